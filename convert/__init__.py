"""Turn trained Elman RNNs into spiking core images, and publish them (workstation side)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .errors import ConstraintError, ConvertError, DataError, ModelFileError, TrainingError

if TYPE_CHECKING:
    from .publishing.publish import evaluate, publish
    from .publishing.source import Source

__all__ = [
    "ConstraintError",
    "ConvertError",
    "DataError",
    "ModelFileError",
    "Source",
    "TrainingError",
    "evaluate",
    "publish",
]

_MODULES: Final = {
    "Source": ".publishing.source",
    "evaluate": ".publishing.publish",
    "publish": ".publishing.publish",
}
"""Where each name that needs onnx is defined: importing onnx and onnxruntime takes a second."""


def __getattr__(name: str) -> Any:
    """Import a name of the conversion on first use (PEP 562), so that `spikewatch-convert --help` need not wait."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
