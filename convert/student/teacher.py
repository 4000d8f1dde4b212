"""The teacher: a model file of any kind that takes word ids and returns logits, run in a child process.

Nothing is read in its graph.  What its inputs are for, which output is a classifier's, which lengths it takes and
whether it answers a question in company as it does alone is found by asking it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore.limits import MAX_WORDS
from ..errors import ModelFileError
from ..read.outputs import CONVENTIONAL
from ..read.runtime import RuntimeEnded
from .refusals import no_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..read.inputs import InputLayout
    from ..read.runtime import RemoteSession, Runtime
    from ..read.teacher_file import TeacherFile

    F64 = NDArray[np.float64]
    Questions = Sequence[NDArray[np.int64]]

__all__ = ["Teacher", "open_teacher"]

MOST_TRACED: Final = 128
"""Most words that a file may have been traced with, for the message that says so."""

PROBES: Final = 24
"""Questions that the file is tried with before it is believed."""

_AT_ONCE: Final = 256
"""Questions in one call, if the file takes any number."""

_TOLERANCE: Final = 1e-3
"""Largest difference between answers that should be equal, relative to the largest answer (or to 1)."""

_LEAST: Final = 1e-6
"""Probabilities are at least this far from 0 and 1 before they become logits."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Teacher:
    """A model file that answers questions.

    Attributes
    ----------
    session : RemoteSession
        The file in onnxruntime, in a child process.
    layout : InputLayout
        How it takes questions.
    output : int
        Position of the output that is used.
    name : str
        Its name.
    kind : {"logits", "probabilities", "shares", "logit", "probability"}
        What it holds: a value for each class (of any size, or that add up to 1, or each in 0..1), or a single one for
        the second of two classes.
    classes : int
    fill : callable
        Returns a question's words as the file gets them: with the padding of the user's own pipeline.
    shortest, longest : int
        Fewest and most words that it takes.
    highest : int
        Highest word id that it takes.

    """

    session: RemoteSession
    layout: InputLayout
    output: int
    name: str
    kind: str
    classes: int
    fill: Callable[[NDArray[np.int64]], NDArray[np.int64]]
    shortest: int = 1
    longest: int = 2**31
    highest: int = 2**31

    def takes(self, question: NDArray[np.int64]) -> bool:
        """Return whether the file can answer a question, or its first `longest` words."""
        return len(question) >= self.shortest and question.max() <= self.highest

    def logits(self, questions: Questions) -> F64:
        """Return the logits of questions, float64 (n, classes); of longer questions, their first words are asked.

        A question that the file does not take (see `takes`) gets equal logits, which teach nothing.

        Raises
        ------
        ModelFileError
            onnxruntime cannot run the file.

        """
        found = np.zeros((len(questions), self.classes))
        asked = [self.fill(q[: self.longest]) for q in questions]
        lengths = np.array([len(q) for q in asked])
        enough = np.array([self.takes(q) for q in questions], dtype=bool)
        for length in np.unique(lengths[enough]):
            chosen = np.flatnonzero(enough & (lengths == length))
            size = 1 if self.layout.one_at_a_time else self.layout.batch or _AT_ONCE
            for i in range(0, len(chosen), size):
                piece = chosen[i : i + size]
                found[piece] = self._ask([asked[k] for k in piece])
        return found

    def _ask(self, questions: list[NDArray[np.int64]]) -> F64:
        """Ask questions of one length in one call."""
        # a batch of fixed size is filled up with copies of its first question
        missing = (self.layout.batch or 0) - len(questions)
        asked = questions + [questions[0]] * max(missing, 0)
        results = self.session.run(None, self.layout.feed(asked))
        values = np.asarray(results[self.output], dtype=np.float64).reshape(len(asked), -1)
        if not np.isfinite(values).all():
            raise ModelFileError(f"output {self.name!r}: holds a value that is not finite")
        return as_logits(values, self.kind)[: len(questions)]


def as_logits(values: F64, kind: str) -> F64:
    """Return what an output holds as logits, (n, classes)."""
    if kind == "logits":
        return values
    bounded = np.clip(values, _LEAST, 1 - _LEAST)
    if kind == "probabilities":
        return np.log(bounded)
    if kind in {"shares", "probability"}:
        values = np.log(bounded) - np.log1p(-bounded)
    if kind == "shares":
        return values
    return np.concatenate([np.zeros_like(values), values], axis=1)


def open_teacher(
    path: Path,
    runtime: Runtime,
    questions: Questions,
    classes: int,
    *,
    words: int = 0,
    output: str | None = None,
    fill: Callable[[NDArray[np.int64]], NDArray[np.int64]] = lambda words: words,
) -> Teacher:
    """Load a model file as a teacher, and find out how it takes and answers questions.

    Parameters
    ----------
    path
        The model file.
    runtime
        The child process, which runs this file only.
    questions
        Calibration questions as word ids, at least one word each.
    classes
        Number of labels.
    words
        Number of word ids of the tokenizer, of which the file may take fewer; 0: not known.
    output
        Name of the output to use; None: the one that is a classifier's.
    fill
        See `Teacher`.

    Raises
    ------
    ModelFileError
        The file cannot be read or run, does not take word ids, or has no output that is a classifier's, or several;
        the message is one line.

    """
    file, session = runtime.describe(path, output)
    refusals: list[ModelFileError] = []
    # a few words may be beyond the embedding; the file is tried with ids that most questions hold
    usual = int(np.median([q.max() for q in questions]))
    probes = [np.minimum(q, usual) for q in questions]
    found = file.layouts
    # a graph that was traced with one question may hold that number, whatever its axes say
    alone = [replace(layout, batch=1) for layout in found if layout.batch is None]
    for layout in [*found, *alone]:
        try:
            teacher = _in_layout(file, session, layout, probes, classes, words, output, fill)
        except RuntimeEnded:
            raise
        except ModelFileError as e:
            refusals.append(e)
        else:
            teacher = _with_highest(teacher, probes, words)
            runtime.lift()
            return teacher
    only = _only_length(session, found[0])
    if only is not None:
        n = found[0].batch or 1
        values = session.run(None, found[0].feed([np.ones(only, dtype=np.int64)] * n))
        if not any(_is_answer(value, n, classes) for value in values):
            raise ModelFileError(no_answer(file, values, only, classes, words))
        raise ModelFileError(
            f"declares any length, but onnxruntime runs it on questions of {only} words only; export it again with a"
            f" free length, or fill questions up (--pad-to {only})"
        )
    raise refusals[0]


def _only_length(session: RemoteSession, layout: InputLayout) -> int | None:
    """Return the one length that a file of free length runs on, that it was traced with; None: none, or more."""
    if layout.length is not None:
        return None
    found = []
    for length in range(1, MOST_TRACED + 1):
        question = np.ones(length, dtype=np.int64)
        try:
            session.run(None, layout.feed([question] * (layout.batch or 1)))
        except RuntimeEnded:
            raise
        except ModelFileError:
            continue
        found.append(length)
        if len(found) > 1:
            return None
    return found[0] if found else None


def _in_layout(
    file: TeacherFile,
    session: RemoteSession,
    layout: InputLayout,
    questions: list[NDArray[np.int64]],
    classes: int,
    vocabulary: int,
    output: str | None,
    fill: Callable[[NDArray[np.int64]], NDArray[np.int64]],
) -> Teacher:
    by_length = sorted(questions, key=len)
    if layout.length is not None and any(len(fill(q)) != layout.length for q in questions):
        raise ModelFileError(
            f"takes questions of {layout.length} words only; if your code fills them up, use --pad-to {layout.length}"
        )
    middle = by_length[len(by_length) // 2]
    probes = [q[: len(middle)] for q in questions if len(q) >= len(middle)][:PROBES]
    n = 1 if layout.one_at_a_time else layout.batch or len(probes)
    probes = (probes * n)[: max(n, len(probes))]
    first = session.run(None, layout.feed([fill(q) for q in probes[:n]]))
    candidates = []
    for i, name in enumerate(file.outputs):
        if output in {None, name} and _is_answer(first[i], n, classes):
            values = np.asarray(first[i], dtype=np.float64).reshape(n, -1)
            kind = _kind(values, classes, linear=file.linear[i])
            candidates.append(
                Teacher(
                    session=session,
                    layout=layout,
                    output=i,
                    name=name,
                    kind=kind,
                    classes=classes,
                    fill=fill,
                )
            )
    if not candidates:
        raise ModelFileError(no_answer(file, first, len(fill(probes[0])), classes, vocabulary))
    chosen = _choose(file, candidates, probes)
    _check_answers(chosen, probes)
    return _limits(chosen, by_length)


def _is_answer(values: Any, n: int, classes: int) -> bool:
    """Return whether an output has a value for each class of each question, or one for the second of two classes."""
    shape = np.shape(values)
    if values.dtype.kind in "OSU":  # names of classes
        return False
    # a question is along the first axis that is not 1
    sizes = [s for s in shape if s != 1]
    per_question = [classes] if classes != 1 else []
    wanted = [*([n] if n != 1 else []), *per_question]
    if sizes == wanted:
        return True
    return classes == 2 and sizes == ([n] if n != 1 else [])


def _kind(values: F64, classes: int, *, linear: bool) -> str:
    # values of a linear operator are logits, even if all that were asked for lie between 0 and 1
    inside = not linear and bool((values >= 0).all() and (values <= 1).all())
    if values.shape[1] != classes:
        return "probability" if inside else "logit"
    if not inside:
        return "logits"
    sums_to_one = np.allclose(values.sum(axis=1), 1, atol=1e-3)
    return "probabilities" if sums_to_one else "shares"


def _choose(
    file: TeacherFile, candidates: list[Teacher], probes: list[NDArray[np.int64]]
) -> Teacher:
    """Return the candidate that is a classifier's answer: all that answer alike are one."""
    given = [c.logits(probes).argmax(axis=1) for c in candidates]
    if all((g == given[0]).all() for g in given):
        # logits say more than probabilities, which may have been rounded to 0 or 1
        return min(candidates, key=lambda c: c.kind not in {"logits", "logit"})
    named = [c for c in candidates if c.name.lower() == CONVENTIONAL]
    if len(named) == 1:
        return named[0]
    names = " and ".join(repr(c.name) for c in candidates)
    raise ModelFileError(
        f"outputs {names} may all be the logits; choose with --output NAME, from {file.listed}"
    )


def _check_answers(teacher: Teacher, probes: list[NDArray[np.int64]]) -> None:
    """Check that answers are the same each time and in company, and differ between questions."""
    given = teacher.logits(probes)
    bound = _TOLERANCE * max(1.0, float(np.abs(given).max()))
    if np.abs(teacher.logits(probes) - given).max() > bound:
        raise ModelFileError(
            "answers a question differently each time; export it in evaluation mode (model.eval())"
        )
    alone = np.concatenate([teacher.logits([q]) for q in probes[:4]])
    if np.abs(alone - given[:4]).max() > bound:
        raise ModelFileError("answers a question differently when others are asked with it")
    if np.ptp(given, axis=0).max() <= bound / 10:
        raise ModelFileError("gives all of the first calibration questions the same answer")


def _limits(teacher: Teacher, by_length: list[NDArray[np.int64]]) -> Teacher:
    """Return the teacher with the fewest and most words that it takes, up to what the core takes."""
    longest = by_length[-1]
    if teacher.layout.length is None:
        # texts of later may be longer than any of these
        longest = np.resize(longest, max(len(longest), MAX_WORDS))
    known = by_length[len(by_length) // 2]

    def runs(n: int) -> bool:
        try:
            teacher.logits([longest[:n]])
        except RuntimeEnded:
            raise
        except ModelFileError:
            return False
        return True

    low, high = 1, len(known)  # the fewest is in low..high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle) else (middle + 1, high)
    shortest = low
    most = 2**31
    if not runs(len(longest)):
        low, high = len(known), len(longest) - 1  # the most is in low..high
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if runs(middle) else (low, middle - 1)
        most = low
    return replace(teacher, shortest=shortest, longest=most)


def _with_highest(teacher: Teacher, questions: Questions, words: int) -> Teacher:
    """Return the teacher with the highest word id that it takes: its embedding may end before the tokenizer does."""
    asked = max(questions, key=lambda q: teacher.takes(q) and len(q) <= teacher.longest).copy()

    def runs(number: int) -> bool:
        asked[0] = number
        try:
            teacher.logits([asked])
        except RuntimeEnded:
            raise
        except ModelFileError:
            return False
        return True

    if not words or runs(words - 1):
        return teacher
    low, high = 0, words - 1  # the highest is in low..high - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if runs(middle) else (low, middle)
    return replace(teacher, highest=low)
