"""Hand the files of published models to simcore, which imports no registry (entry point `spikewatch.models`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import BadReference, NotFound, RegistryError
from .store import Registry, bundled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["model_files"]


def model_files(
    reference: str, root: Path | None, names: Sequence[str], optional: Sequence[str]
) -> Mapping[str, bytes]:
    """Return files of a model by name; the digest of every file has been checked.

    Parameters
    ----------
    reference
        `model:1.0.0`, `model:production` or `model@sha256:...`.
    root
        The registry's directory; None: the bundled registry.
    names
        Files that the model must have.
    optional
        Files to return where the model has them.

    Raises
    ------
    LookupError
        The text is not a reference, or no model or version has this name.
    ValueError
        The model is damaged, or lacks one of `names`.

    """
    try:
        registry = Registry(bundled() if root is None else root)
        # All are passed as optional: `load` would raise NotFound for a missing file as well as for a missing model.
        files = registry.load(reference, (), optional=(*names, *optional)).files
    except (BadReference, NotFound) as e:
        raise LookupError(str(e)) from e
    except RegistryError as e:
        raise ValueError(str(e)) from e
    for name in names:
        if name not in files:
            raise ValueError(f"the model has no file {name}")
    return files
