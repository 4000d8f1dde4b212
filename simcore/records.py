"""Equality for dataclasses that hold arrays, and numbers with their nouns for a `repr`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np


class ArrayRecord:
    """Base of dataclasses (declared with `eq=False`) whose fields are arrays, numbers or None.

    The `==` that `dataclass` generates compares tuples of fields, which raises on arrays of more than one element.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as for every mutable value: arrays can change

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs: list[tuple[Any, Any]] = [
            (getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
        ]
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural: "1 core", "2 classes", "3,000 words"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"
