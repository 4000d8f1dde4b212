"""Hand core images to spikewatch-sim, which knows no registry (entry point `spikewatch.models`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import BadReference, NotFound, RegistryError
from .reader import Reader, bundled

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["core_image"]

_FILE: Final = "core.safetensors"


def core_image(reference: str, root: Path | None) -> bytes:
    """Load the core image of a model; every byte has passed its digest.

    Parameters
    ----------
    reference
        ``model:1.0.0``, ``model:production``, ``model@sha256:...``.
    root
        The registry's directory; None for the bundled one.

    Raises
    ------
    LookupError
        When it is no reference, or nothing has this name.
    ValueError
        When the model is damaged or holds no core image.
    """
    try:
        files = Reader(bundled() if root is None else root).load(reference, [_FILE]).files
    except (BadReference, NotFound) as e:
        raise LookupError(str(e)) from e
    except RegistryError as e:
        raise ValueError(str(e)) from e
    return files[_FILE]
