"""Compare two versions: files, tensors, config and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Corrupt
from ..formats.tensors import read_tensors
from ..values import Changed, Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..values import Model

__all__ = ["compare"]


def compare(left: Model, right: Model, figures: Callable[[Model], Mapping[str, Any]]) -> Difference:
    """Return the differences between two loaded versions.

    Parameters
    ----------
    left, right
        The versions, with all their files.
    figures
        Returns the figures of a version by stage.

    """
    tensors: list[Changed] = []
    for path in sorted({*left.files} & {*right.files}):
        if path.endswith(".safetensors") and left.files[path] != right.files[path]:
            tensors += _tensors(path, left, right)
    return Difference(
        left=left.pin,
        right=right.pin,
        files=tuple(
            _changed(
                {path: _size(data) for path, data in left.files.items()},
                {path: _size(data) for path, data in right.files.items()},
                same=lambda path: left.files[path] == right.files[path],
            )
        ),
        tensors=tuple(tensors),
        config=tuple(_changed(left.config, right.config)),
        figures=tuple(_changed(dict(_flat(figures(left))), dict(_flat(figures(right))))),
    )


def _size(data: bytes) -> str:
    return f"{len(data)} bytes"


def _tensors(path: str, left: Model, right: Model) -> Iterator[Changed]:
    try:
        a = read_tensors(left.files[path], what=f"{left.pin}: {path}")
        b = read_tensors(right.files[path], what=f"{right.pin}: {path}")
    except Corrupt:
        return  # not a safetensors file despite its name; the difference in files is reported anyway
    yield from _changed(
        {f"{path}: {name}": str(tensor) for name, tensor in a.items()},
        {f"{path}: {name}": str(tensor) for name, tensor in b.items()},
        same=lambda key: a[key.removeprefix(f"{path}: ")] == b[key.removeprefix(f"{path}: ")],
    )


def _changed(
    left: Mapping[str, Any],
    right: Mapping[str, Any],
    same: Callable[[str], bool] | None = None,
) -> Iterator[Changed]:
    for key in sorted({*left, *right}):
        both = key in left and key in right
        if not both or not (same(key) if same else left[key] == right[key]):
            yield Changed(what=key, left=left.get(key), right=right.get(key))


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", value
