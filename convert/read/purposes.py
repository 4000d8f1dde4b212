"""Check that an input which is fed as lengths or as a mask is one, unless its name says so or it changes nothing.

Every number of words, and 1 for every word, is also what an input with another meaning might be given (a tag of each
word, the asker's age): the network as read would then hold for that one value only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from .companions import Companion
    from .float_model import FloatModel

    I64 = NDArray[np.int64]
    F64 = NDArray[np.float64]

LENGTH: Final = 8
"""Words of the question that is asked, if the model takes any number."""

LEFT_OUT: Final = 3
"""Words at its end that lengths or a mask leave out."""

_MEANING: Final = {
    "lengths": "the number of words",
    "mask": "a mask, 1 for each word",
    "padding": "a mask, 0 for each word",
}

_NAME: Final = {"lengths": "lengths", "mask": "attention_mask", "padding": "padding_mask"}


def check_purposes(
    model: FloatModel,
    words: I64,
    excess: Callable[[F64, list[I64]], float],
    rng: np.random.Generator,
) -> None:
    """Ask the model a question whose last words are left out by one input alone, for each input that may do so.

    Parameters
    ----------
    model
        The model, with the network that was read from it.
    words
        int64 (words,): ids that are words to it.
    excess
        Returns how much logits differ from the network's for some questions, in units of the allowed difference.
    rng
        Draws the question.

    Raises
    ------
    ModelFileError
        An input is neither heeded as what it was taken for, nor ignored, nor named as such.

    """
    layout = model.layout
    length = layout.length or LENGTH
    if layout.cut is not None:
        length = min(length, layout.cut.words)
    batch = 1 if layout.one_at_a_time else layout.batch or 1
    doubtful = [c for c in layout.companions if c.tells_lengths and not c.told_by_name]
    if not doubtful or length == 1:
        return
    question = rng.choice(words, length)
    feed = layout.feed([question] * batch)
    whole = model.answer(feed, batch)

    def answer(c: Companion, count: int) -> Any:
        left = np.broadcast_to(np.arange(length) < count, (batch, length))
        return model.answer(feed | {c.name: c.values(left)}, batch)

    kept = max(1, length - LEFT_OUT)
    for c in doubtful:
        heeded = excess(answer(c, kept)[:1], [question[:kept]]) <= 1
        if not heeded and not np.array_equal(answer(c, 1), whole):
            raise ModelFileError(
                f"input {c.name!r}: was taken for {_MEANING[c.role]}, but leaves out no word; if it is that, name it"
                f" {_NAME[c.role]!r}, otherwise export the model without it"
            )
