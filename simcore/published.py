"""Read the files of a published model through the model registries that are installed.

simcore imports no registry.  A registry offers its models as an entry point of the group `spikewatch.models`: a
function

    (reference: str, root: Path | None, names: Sequence[str], optional: Sequence[str]) -> Mapping[str, bytes]

that returns the files `names` of a model, and those of `optional` that the model has, from the registry at `root`
(None: its own default).  The function raises LookupError if it has no such model or cannot parse the reference, and
OSError or ValueError if the model cannot be read; each with one line of text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CORE_FILE: Final = "core.safetensors"
"""The file of a published model that holds its core image."""

GROUP: Final = "spikewatch.models"
"""Entry point group of the functions that return a model's files."""


def is_reference(text: str) -> bool:
    """Return whether a text has the form of a reference: `model:version`, `model:alias` or `model@digest`."""
    return ":" in text or "@" in text


def model_files(
    reference: str,
    registry: str | Path | None,
    names: Sequence[str],
    optional: Sequence[str] = (),
) -> Mapping[str, bytes]:
    """Return files of a published model by name.

    Parameters
    ----------
    reference
        The model as its registry names it, `trec:production` for example.
    registry
        The registry's directory; None: the default of each installed registry.
    names
        Files that the model must have.
    optional
        Files to return where the model has them.

    Raises
    ------
    LookupError
        No installed registry has the model, or none is installed; the text says why, but leaves it to the caller to
        name the reference and the other places where it looked.
    ModelError
        A registry has the model but cannot read it.

    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, and the daemon never gets here

    points = entry_points(group=GROUP)
    if not points:
        raise LookupError(
            f"no model registry is installed (no entry point in the group {GROUP});"
            " install spikewatch, which brings one"
        )
    root = None if registry is None else Path(registry)
    reasons = []
    for point in points:
        try:
            files: Mapping[str, bytes] = point.load()(reference, root, names, optional)
        except LookupError as e:
            reasons.append(str(e.args[0] if e.args else e))
        except (OSError, ValueError) as e:
            raise ModelError(f"{reference}: {e}") from None
        else:
            return files
    raise LookupError(f"no registry has this model: {'; '.join(reasons)}")
