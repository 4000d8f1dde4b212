"""Explain why a file that runs cannot teach: its output is not one answer for a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..read.teacher_file import TeacherFile

__all__ = ["no_answer"]


def no_answer(
    file: TeacherFile, values: list[NDArray[Any]], words: int, classes: int, vocabulary: int
) -> str:
    """Return why none of a file's outputs answers questions.

    Parameters
    ----------
    file
        The file.
    values
        Its outputs for some questions.
    words
        Words of each of these questions.
    classes
        Number of labels.
    vocabulary
        Number of word ids of the tokenizer; 0: not known.

    """
    wanted = "expected one answer for a question"
    for value in values:
        shape = np.shape(value)
        if len(shape) >= 2 and 0 < vocabulary <= shape[-1] and shape[-1] > classes:
            return f"outputs {file.listed}: predicts the next word (generation); {wanted}"
        if len(shape) >= 3 and words in shape[:-1]:
            if shape[-1] == classes:
                return (
                    f"outputs {file.listed}: labels every word of a question (sequence labelling);"
                    f" {wanted}"
                )
            return f"outputs {file.listed}: has {shape[-1]} values for every word; {wanted}"
    return f"outputs {file.listed}: none has a value for each of the {classes} labels"
