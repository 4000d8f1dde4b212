"""Check that the content of a file fits its name, beyond its digest: the part of `verify --deep`."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import Corrupt
from .json_documents import parse_json
from .tensors import read_tensors

__all__ = ["check_file", "skipped_checks"]


def skipped_checks() -> tuple[str, ...]:
    """Return one note for each type of file that cannot be checked in this installation."""
    return (
        () if find_spec("onnx") else ("*.onnx: not checked, the extra [convert] is not installed",)
    )


def check_file(path: str, data: bytes) -> None:
    """Check a file by the format that its name promises; the caller has verified its digest.

    ONNX graphs are checked only where onnx is installed (see `skipped_checks`).

    Parameters
    ----------
    path
        Path of the file in the model.
    data
        Its bytes.

    Raises
    ------
    Corrupt
        A tensor lies outside its safetensors file, or the bytes are not valid JSON, UTF-8 text or an ONNX graph.

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
        raise Corrupt(f"{path}: not UTF-8 text: {e.reason} at byte {e.start}") from None


def _check_graph(path: str, data: bytes) -> None:
    from onnx import checker  # noqa: PLC0415 -- optional, see skipped_checks

    try:
        checker.check_model(data)
    except (ValueError, checker.ValidationError) as e:
        text = str(e).strip().partition("\n")[0]
        raise Corrupt(f"{path}: not an ONNX model: {text}") from None
