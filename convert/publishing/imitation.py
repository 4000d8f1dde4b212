"""Teach a student by a model file that is no Elman network of one core, and hand it on as a model file of its own."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...registry.errors import Corrupt
from ...registry.formats.file_checks import check_file
from ...registry.formats.manifest import MAX_LAYER
from ...simcore.limits import MAX_WORDS
from ...simcore.text.splitting import LibrarySplitter, Padding, highest_id, read_tokenizer
from ..errors import ConvertError, DataError, ModelFileError
from ..network.grid import to_onnx
from ..read.runtime import SHARED, Runtime
from ..words.tokenizer_file import truncation_to, with_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from ..network.spread import Spread
    from ..progress import OnProgress
    from ..student.lessons import Vocabulary
    from ..student.teacher import Teacher
    from ..words.question_files import Example
    from .source import Source

TEACHER_FILE: Final = "teacher.onnx"
"""Name of a published teacher's file."""

FEW: Final = 1500
"""Questions below which a warning suggests more."""

_RISE: Final = "from 300 to 1500 questions, agreement with the teacher rose by 5 to 10 points"
"""What more brought (docs/students.md): of three teachers, as `python -m benchmarks.students` measures."""

LEAST: Final = 100
"""Fewest questions that a student is taught with: with fewer, it would learn them by heart and nothing else."""

LIMIT_S: Final = 300.0
"""Longest time in seconds that one call of the teacher may take."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Imitation:
    """A student as a model file, and the teacher that it imitates.

    Attributes
    ----------
    model : bytes
        The student, ONNX.
    spread : Spread or None
        The cores that it is spread over; None: it is on one.
    tokenizer : bytes
        Its tokenizer.json: the user's without padding, which only the teacher gets.
    held_out : list of Example
        Questions that the student was not taught.
    judging : list of Example
        Further ones, to choose between students of different numbers of cores; none if there is only one.
    judged : list of int64 arrays
        The words of those.
    record : dict
        What is known of teacher and teaching, for `eval.json`.
    kept : bytes or None
        The teacher's file, if it is to be published.
    answers : callable
        The teacher's class for each of some questions, given as the student's words; -1 where it gives none.

    """

    model: bytes
    spread: Spread | None
    tokenizer: bytes
    held_out: list[Example]
    judging: list[Example]
    judged: list[NDArray[np.int64]]
    record: dict[str, Any]
    kept: bytes | None
    answers: Callable[[Sequence[NDArray[np.int64]]], NDArray[np.int64]]


@contextmanager
def imitation(
    source: Source,
    tokenizer: bytes,
    questions: Sequence[Example],
    names: Sequence[str],
    *,
    more: Sequence[str] = (),
    keep: bool = False,
    labels: Callable[[Sequence[Example]], NDArray[np.int64]] | None = None,
    cores: Sequence[int] = (1,),
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
    progress: OnProgress,
) -> Iterator[list[Imitation]]:
    """Teach a student for each number of cores; inside the block, their teacher can be asked.

    Parameters
    ----------
    source
        The files; its model is the teacher.
    tokenizer
        The user's tokenizer.json, with the padding of the user's own code.
    questions
        All calibration questions.
    names
        Class names.
    more
        Further texts without labels.
    keep
        Whether the teacher's file is to be published.
    labels
        Returns the class of each question, to learn the true labels as well; None: the teacher's answers only.
    cores
        Numbers of cores.
    seed
        Seed of everything random.
    note, progress
        See `conversion.convert`.

    Raises
    ------
    ModelFileError
        The model file cannot teach; the message is one line.
    ConvertError, DataError
        torch is missing; there are too few questions; or the teacher is too large to be published.

    """
    # with the weights that it keeps beside itself; a digest without them would be that of many networks
    data = SHARED.load_file(Path(source.model))  # raises for a file that is no network at all
    if keep:
        _check_kept(Path(source.model), data)
    if find_spec("torch") is None:
        raise ConvertError("torch is not installed: pip install 'spikewatch[train]'")
    from ..student.settings import StudentSettings  # noqa: PLC0415 - torch takes seconds to import
    from ..student.teach import teach  # noqa: PLC0415 - torch takes seconds to import
    from ..student.teacher import open_teacher  # noqa: PLC0415 - with the two before

    given, own = read_tokenizer(tokenizer), with_parts(tokenizer, padding=None)
    student = read_tokenizer(own)
    words = _split(student, [q.text for q in questions])
    known = [i for i, ids in enumerate(words) if len(ids)]
    asked, texts = [words[i] for i in known], [questions[i] for i in known]
    if len(asked) < LEAST:
        raise DataError(
            f"{source.calibrate}: {len(asked)} questions with words, at least {LEAST} needed to learn from"
        )
    further = [ids for ids in _split(student, more) if len(ids)]
    runtime = Runtime(limit_s=LIMIT_S)
    try:
        teacher = open_teacher(
            Path(source.model),
            runtime,
            [*asked, *further],
            len(names),
            words=highest_id(student) + 1,
            output=source.output,
            fill=_filling(given),
        )
        beyond = sum(not teacher.takes(q) for q in asked)
        if beyond:
            note(
                f"warning: the file takes no fewer words than {teacher.shortest} and word ids up to {teacher.highest};"
                f" {beyond} of {len(asked)} questions are others, and teach nothing"
            )
        if len(asked) + len(further) < FEW:
            note(
                f"warning: {len(asked) + len(further)} questions to teach with; {_RISE}; --more FILE adds texts of the"
                f" same kind, without labels ({FEW} questions or more)"
            )
        cut = _cut(own, student, teacher, [*asked, *further], note)
        if cut != own:
            own, student = cut, read_tokenizer(cut)
            asked = _split(student, [q.text for q in texts])
            further = [ids for ids in _split(student, more) if len(ids)]
        students = teach(
            teacher.logits,
            asked,
            _vocabulary(given, student, teacher.highest),
            len(names),
            StudentSettings(seed=seed),
            more=further,
            labels=None if labels is None else labels(texts),
            cores=cores,
            note=note,
            progress=progress,
        )
        teaching = {
            "file": Path(source.model).name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "kept": keep,
            "output": teacher.name,
            "shortest": teacher.shortest,
            "longest": teacher.longest if teacher.longest < MAX_WORDS else None,
        }
        yield [
            Imitation(
                model=to_onnx(taught.network).SerializeToString(),
                spread=taught.network.spread,
                tokenizer=own,
                held_out=[texts[i] for i in taught.held_out],
                judging=[texts[i] for i in taught.judging],
                judged=[asked[i] for i in taught.judging],
                record={**teaching, **taught.record},
                kept=data if keep else None,
                answers=lambda some: _answers(teacher, some),
            )
            for taught in students
        ]
    finally:
        runtime.close()


def _check_kept(path: Path, data: bytes) -> None:
    """Refuse a teacher that the registry would not take, before it has taught for minutes."""
    if len(data) > MAX_LAYER:
        raise ConvertError(
            f"{path}: {len(data)} bytes, but a published file has at most {MAX_LAYER}: publish without --keep-teacher"
        )
    try:
        check_file(TEACHER_FILE, data)
    except Corrupt as e:
        raise ConvertError(f"{path}: {e}; publish without --keep-teacher") from None


def _answers(teacher: Teacher, questions: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    found = teacher.logits(questions).argmax(axis=1)
    return np.where([teacher.takes(q) for q in questions], found, -1)


def _split(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the words of each text; none if the tokenizer cannot split it."""
    ids, starts = LibrarySplitter(tokenizer).split(texts)
    words = np.split(ids, starts[1:-1]) if len(texts) else []
    return [w if len(w) and w.min() >= 0 else w[:0] for w in words]


def _filling(tokenizer: Tokenizer) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """Return what the user's pipeline does to a question's words: it fills them up."""
    padding = Padding.of(tokenizer)
    if padding is None:
        return lambda words: words
    return lambda words: padding.pad(words, np.array([0, len(words)]))[0]


def _vocabulary(given: Tokenizer, student: Tokenizer, highest: int) -> Vocabulary:
    from ..student.lessons import Vocabulary  # noqa: PLC0415 - torch takes seconds to import

    special = {i for i, t in student.get_added_tokens_decoder().items() if t.special}
    # text of its own has no special tokens; those of the template are in every question already
    special |= set(student.encode("").ids)
    padding = Padding.of(given)
    if padding is not None:
        special.add(padding.id)
    unknown = _unknown(student)
    ids = set(student.get_vocab(with_added_tokens=True).values()) - special
    if unknown is not None:
        ids.add(unknown)
    words = np.array(sorted(i for i in ids if i <= highest), dtype=np.int64)
    return Vocabulary(size=highest_id(student) + 1, words=words)


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token, which stands for words although it is special."""
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    return tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else None


def _cut(
    own: bytes,
    student: Tokenizer,
    teacher: Teacher,
    questions: Sequence[NDArray[np.int64]],
    note: Callable[[str], None],
) -> bytes:
    """Return the student's tokenizer.json with a cut where the teacher or the core takes no more words.

    It loses a text's last words, or its first ones where the tokenizer's own truncation loses those.
    """
    longest = min(teacher.longest, MAX_WORDS)
    own_cut = student.truncation
    if own_cut is not None and own_cut["max_length"] <= longest:
        return own
    if teacher.longest >= MAX_WORDS and max(map(len, questions)) <= MAX_WORDS:
        return own
    longer = sum(len(q) > longest for q in questions)
    who = "the file" if teacher.longest < MAX_WORDS else "the core"
    left = own_cut is not None and own_cut["direction"] == "left"
    note(
        f"{who} takes at most {longest} words; tokenizer.json cuts there, and loses the {'first' if left else 'last'}"
        f" words of longer texts: {longer} of {len(questions)} questions"
    )
    return with_parts(own, truncation=truncation_to(longest, "left" if left else "right"))


def named(e: ConvertError, path: Path) -> ConvertError:
    """Return an error about a model file with the file's name in front, if it has none."""
    text = str(e)
    if not isinstance(e, ModelFileError) or text.startswith(str(path)):
        return e
    return type(e)(f"{path}: {text}")


def refused(refusal: ConvertError, e: ConvertError, path: Path) -> ConvertError:
    """Return one error of two: why the file is not read as an Elman network, and why no student can be taught by it."""
    first, second = str(refusal), str(e).removeprefix(f"{path}: ")
    if second in first:
        return type(refusal)(first)
    return type(refusal)(f"{first}; nor can it teach a student: {second}")
