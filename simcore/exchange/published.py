"""Find the core image of a published model, by the registries that are installed.

simcore knows no registry. One makes itself known as an entry point of the group `spikewatch.models`: a function
`(reference: str, root: Path | None) -> bytes` that gives the bytes of a model's core image, from the registry at `root`
(None: its own default). It raises LookupError where it has no such model or the text is no reference of its kind, and
OSError or ValueError where the model cannot be read; each with one line of text.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from ..errors import InputError, ModelError
from ..image import CoreImage

if TYPE_CHECKING:
    from pathlib import Path

GROUP: Final = "spikewatch.models"
"""Entry points that find models."""


def is_reference(text: str) -> bool:
    """Tell whether a text that names no file may be a reference: `model:version`, `model:alias`, `model@digest`."""
    return ":" in text or "@" in text


def find(reference: str, root: Path | None = None) -> CoreImage:
    """Load the core image of a published model.

    Parameters
    ----------
    reference
        As its registry writes it, `model:production` for example.
    root
        The registry's directory; None: the registry's own default.

    Raises
    ------
    InputError
        No installed registry has it.
    ModelError
        A registry has it, and cannot read it.
    ImageError
        What it has is no valid core image.

    """
    refused = []
    for point in entry_points(group=GROUP):
        try:
            data = point.load()(reference, root)
        except LookupError as e:
            refused.append(str(e.args[0] if e.args else e))
        except (OSError, ValueError) as e:
            raise ModelError(f"{reference}: {e}") from None
        else:
            return CoreImage.from_bytes(data, what=reference)
    why = "; ".join(refused) or "none is installed"
    raise InputError(f"{reference}: no such file, and no registry has it: {why}")
