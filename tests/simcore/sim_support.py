"""What the tests of simcore share: the type of the fixture `program`, and a comparison of results, and a lookup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from support import tiny_tokenizer

from spikewatch.convert.lookup import compile_tokenizer
from spikewatch.simcore import Answers, Outcome

if TYPE_CHECKING:
    from spikewatch.simcore.text.lookup import Lookup

Program = Callable[..., tuple[int, str, str]]
"""A call of spikewatch-sim that returns exit code, stdout and stderr."""

Result = TypeVar("Result", Outcome, Answers)


def assert_equal(wanted: Result, got: Result) -> None:
    """Compare array by array, so that a failure names the array and shows the values that differ."""
    for field in fields(wanted):
        expected, found = getattr(wanted, field.name), getattr(got, field.name)
        np.testing.assert_array_equal(expected, found, err_msg=field.name)
        assert getattr(expected, "dtype", None) == getattr(found, "dtype", None), field.name


def tiny_lookup() -> Lookup:
    """Compile the lookup of the small model's tokenizer."""
    return compile_tokenizer(tiny_tokenizer())
