"""The coding of a classifier: how words become spikes on its input lines, and which steps are read."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from . import limits
from .errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPTIONAL: Final = {"readout", "backward_lines"}
"""Fields that images of spikewatch 0.1 lack; their defaults are what 0.1 did."""

READOUTS: Final = ("last", "mean", "max")


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """How words become spikes on the input lines, and when the answer is read.

    Attributes
    ----------
    ticks_per_step : int
        T: ticks of one step, in which one word is read; an activity a in 0..T means a spikes in the step.
    word_lines : int
        Input lines 0..word_lines-1 carry the code of a word.
    direction : {"forward", "reverse"}
        The order in which the words of a question are read (ONNX `direction`).
    backward_lines : int
        Number of word lines, the last ones, that read the words in the opposite order, so that both directions of a
        bidirectional network have read all words in the same step; 0: none.
    drain_steps : int
        Steps that run after the last word; 0 if the output lines spike in the step of the word itself.
    gate_line : int
        Input line that spikes at every tick of the steps that are read, which enables the readout neurons; -1: none.
    readout : {"last", "mean", "max"}
        The steps in which output spikes are counted.  "last": the drain steps only, which show the state after the last
        word.  "mean": every step but the first (no hidden spike has reached the readout in it), so the states after all
        words.  "max": the same steps as "mean", but each line gets the count of its largest step, not the sum.
        Without drain steps: the step of the last word, or every step.

    """

    ticks_per_step: int
    word_lines: int
    direction: Literal["forward", "reverse"] = "forward"
    drain_steps: int = 1
    gate_line: int = -1
    readout: Literal["last", "mean", "max"] = "last"
    backward_lines: int = 0

    def __post_init__(self) -> None:
        """Check every field.

        Raises
        ------
        ImageError
            A field is of the wrong type or outside its range.

        """
        ranges = {
            "ticks_per_step": (1, limits.TICKS_PER_STEP_MAX),
            "word_lines": (1, limits.AXONS),
            "drain_steps": (0, 16),
            "gate_line": (-1, limits.AXONS - 1),
            "backward_lines": (0, limits.AXONS),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ImageError(f"coding: {name} is {value!r}, limits {low}..{high}")
        if self.direction not in ("forward", "reverse"):
            raise ImageError(f"coding: direction is {self.direction!r}, not forward or reverse")
        if self.readout not in READOUTS:
            raise ImageError(f"coding: readout is {self.readout!r}, not last, mean or max")
        if self.backward_lines > self.word_lines:
            raise ImageError(
                f"coding: backward_lines is {self.backward_lines}, limit {self.word_lines} (word_lines)"
            )
        if 0 <= self.gate_line < self.word_lines:
            raise ImageError(
                f"coding: gate_line {self.gate_line} is one of the {self.word_lines} word lines"
            )

    @property
    def lines(self) -> int:
        """Number of input lines that a question uses: the word lines, and the gate line if there is one."""
        return max(self.word_lines, self.gate_line + 1)

    def steps_read(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many steps of each question are read (always its last ones), int64 (n,), given its words (n,)."""
        # Without drain steps, "last" is the step of the last word, and "mean" reads every step: 1 + words - 1.
        last = np.full(len(words), max(self.drain_steps, 1), dtype=np.int64)
        return last if self.readout == "last" else last + words - 1


def read_coding(value: Any) -> Coding | None:
    """Convert the JSON value in a file's metadata to a coding; null means no coding.

    Raises
    ------
    ImageError
        The value is not an object with the fields of a coding.

    """
    if value is None:
        return None
    names = {f.name for f in fields(Coding)}
    if not isinstance(value, dict) or not names - _OPTIONAL <= set(value) <= names:
        raise ImageError(f"coding: {json.dumps(value)[:80]}, expected the fields {sorted(names)}")
    return Coding(**value)
