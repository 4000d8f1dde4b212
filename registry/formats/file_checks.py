"""Whether a file is what its name says: the part of verify that reads more than digests."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import Corrupt
from .json_documents import parse_json
from .tensors import read_tensors

__all__ = ["check_file", "left_out"]


def left_out() -> tuple[str, ...]:
    """Say what cannot be checked here."""
    return (
        () if find_spec("onnx") else ("*.onnx: not checked, the extra [convert] is not installed",)
    )


def check_file(path: str, data: bytes) -> None:
    """Check a file whose bytes are those that were published.

    Raises
    ------
    Corrupt
        When a tensor of a safetensors file lies outside of it, or JSON, text or an ONNX graph is
        none.
    """
    if path.endswith(".safetensors"):
        read_tensors(data, what=path)
    elif path.endswith(".json"):
        parse_json(data, what=path)
    elif not path.endswith(".onnx"):
        _check_text(path, data)
    elif find_spec("onnx"):
        _check_graph(path, data)


def _check_text(path: str, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as e:
        raise Corrupt(f"{path}: not text in UTF-8: {e.reason} at byte {e.start}") from None


def _check_graph(path: str, data: bytes) -> None:
    from onnx import checker  # noqa: PLC0415 -- where it is installed; the registry needs it not

    try:
        checker.check_model(data)
    except (ValueError, checker.ValidationError) as e:
        text = str(e).strip().partition("\n")[0]
        raise Corrupt(f"{path}: not an ONNX model: {text}") from None
