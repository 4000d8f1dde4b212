"""Teach a student: word features, trials of its shape, lessons, training, and what it learned on held-out questions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ConstraintError
from ..network.constrained import MAX_FAN_IN
from ..network.place import readout_copies
from ..progress import counted, silent
from ..straight_through.one_thread import one_thread
from .lessons import lessons
from .network import Shape, StudentNet
from .several_cores import on_cores, over_cores, spread
from .training import agreement, fit
from .word_features import word_features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..network.grid import GridNetwork
    from ..progress import OnProgress
    from .lessons import Ask, Lesson, Vocabulary
    from .settings import StudentSettings

__all__ = ["HELD_OUT", "Taught", "teach"]

HELD_OUT: Final = 500
"""Most questions held out to count agreement on; with fewer than ten times as many, a tenth of them."""

_LEAST_HELD_OUT: Final = 8
_HIDDEN: Final = (40, 48, 32)
"""Numbers of hidden units that are tried; the lines that they and the gate leave are input lines."""

_TRIAL_QUESTIONS: Final = 2000
"""Most questions in a trial."""

_TRIAL_VERSIONS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Taught:
    """A student, and what it learned.

    Attributes
    ----------
    network : GridNetwork
        The student on the grid of its cores.
    held_out : list of int
        Indices of the questions that it was not taught, and that did not choose its shape.
    judging : list of int
        Indices of further questions that it was not taught, to choose between students of different numbers of cores;
        none if there is only one student.
    record : dict
        Shape, trials, settings and agreement, for `eval.json`.

    """

    network: GridNetwork
    held_out: list[int]
    judging: list[int]
    record: dict[str, Any]


def teach(
    ask: Ask,
    questions: Sequence[NDArray[np.int64]],
    vocabulary: Vocabulary,
    classes: int,
    settings: StudentSettings,
    *,
    more: Sequence[NDArray[np.int64]] = (),
    labels: NDArray[np.int64] | None = None,
    cores: Sequence[int] = (1,),
    note: Callable[[str], None] = lambda _: None,
    progress: OnProgress = silent,
) -> list[Taught]:
    """Teach Elman networks that fit one core, or some, to answer as the teacher does: one for each number of cores.

    Equal arguments give equal students: everything runs on one thread.

    Parameters
    ----------
    ask
        The teacher: logits float64 (n, classes) of questions.
    questions
        Word ids of the questions, each at least one word; a tenth of them is held out.
    vocabulary
        All word ids.
    classes
        Number of classes.
    settings
        Schedule and seed.
    more
        Further questions without labels, none of which is held out.
    labels
        int64 (questions,): true labels of `questions` to learn as well; None: the teacher's answers only.
    cores
        Numbers of cores, each 1 to CORES_MAX.
    note
        Called with one line before each step.
    progress
        Called after every trial and every pass.

    Raises
    ------
    ConstraintError
        There are too many classes for one core.

    """
    shapes = _shapes(classes)
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(questions)).tolist()
    n = min(HELD_OUT, max(len(order) // 10, _LEAST_HELD_OUT))
    held_out, rest = sorted(order[:n]), order[n:]
    with one_thread(settings.seed):
        note(
            f"asking the teacher about {len(vocabulary.words)} words in {settings.contexts} questions each"
        )
        features = word_features(ask, [questions[i] for i in rest], vocabulary, settings, rng)
        bench = _Bench(ask, features, classes, vocabulary, settings)
        one_more = counted(progress, "trials", len(shapes))
        note(f"trying readouts, directions and sizes on {n} of the calibration questions")
        shape, trials = bench.choose(shapes, questions, rest[:n], rest[n:], rng, one_more)
        judging, rest = (rest[:n], rest[n:]) if len(cores) > 1 else ([], rest)
        given = [questions[i] for i in rest] + list(more)
        true = None
        if labels is not None:
            true = np.concatenate([labels[rest], np.full(len(more), -1)])
        settings = settings.for_questions(len(given))
        taught: list[Lesson] = []
        asked = [questions[i] for i in held_out]
        wanted = ask(asked).argmax(axis=1)
        one_more = counted(
            progress, "passes", len(cores) * (settings.passes + settings.spiking_passes)
        )
        students = []
        for number in cores:
            wide = shape if number == 1 else over_cores(shape, number)
            note(
                f"teaching {wide}{on_cores(number)}: {settings.passes} passes over {len(given)} questions"
            )
            taught = taught or list(
                lessons(ask, given, vocabulary, shape.direction, settings, rng, labels=true)
            )
            net = StudentNet(features, classes, wide)
            passes = settings.passes
            if number > 1:
                passes -= spread(net, number, taught, settings, rng, one_more)
            fit(net, taught, "integer", passes, settings, rng, one_more)
            note(f"teaching it with the spikes in the loop: {settings.spiking_passes} passes")
            fit(net, taught, "spiking", settings.spiking_passes, settings, rng, one_more)
            record = {
                "shape": wide._asdict(),
                "trials": trials,
                "questions": len(rest),
                "more": len(more),
                "held_out": len(held_out),
                "held_out_agreement": agreement(net, asked, wanted, "spiking"),
                "settings": asdict(settings),
            }
            students.append(
                Taught(network=net.on_grid(), held_out=held_out, judging=judging, record=record)
            )
    return students


def _shapes(classes: int) -> list[Shape]:
    """Return the shapes to try: every readout and direction in the first size, which is the likeliest to win."""
    sizes = [h for h in _HIDDEN if readout_copies(h, classes) >= 1]
    if not sizes:
        raise ConstraintError(
            f"{classes} classes: a core has no readout neuron for each beside {min(_HIDDEN)} hidden units"
        )
    first = sizes[0]
    found = [
        Shape(MAX_FAN_IN - 1 - first, first, readout, direction)
        for readout in ("mean", "last")
        for direction in ("forward", "reverse")
    ]
    return found + [_resized(found[0], h) for h in sizes[1:]]


def _resized(shape: Shape, n_hidden: int) -> Shape:
    """Return a shape with another number of hidden units, and the lines that are left as input lines."""
    return shape._replace(n_in=MAX_FAN_IN - 1 - n_hidden, n_hidden=n_hidden)


class _Bench:
    """Trials: short trainings, each judged by questions that it did not see."""

    def __init__(
        self,
        ask: Ask,
        features: NDArray[np.float32],
        classes: int,
        vocabulary: Vocabulary,
        settings: StudentSettings,
    ) -> None:
        self._ask = ask
        self._features = features
        self._classes = classes
        self._vocabulary = vocabulary
        self._settings = replace(settings, versions=_TRIAL_VERSIONS)

    def choose(
        self,
        shapes: list[Shape],
        questions: Sequence[NDArray[np.int64]],
        judging: list[int],
        learning: list[int],
        rng: np.random.Generator,
        on_trial: Callable[[], None],
    ) -> tuple[Shape, list[dict[str, Any]]]:
        """Return the best shape, and the agreement of every one: first readouts and directions, then sizes."""
        judges = [questions[i] for i in judging]
        wanted = self._ask(judges).argmax(axis=1)
        learned = [questions[i] for i in learning[:_TRIAL_QUESTIONS]]
        taught = {
            direction: list(
                lessons(self._ask, learned, self._vocabulary, direction, self._settings, rng)
            )
            for direction in ("forward", "reverse")
        }
        first = [s for s in shapes if s.n_hidden == shapes[0].n_hidden]

        def trial(shape: Shape) -> tuple[float, Shape]:
            agreed = self._trial(shape, taught, judges, wanted, rng)
            on_trial()
            return agreed, shape

        found = [trial(shape) for shape in first]
        best = max(found, key=lambda f: f[0])[1]
        found.extend(trial(_resized(best, other.n_hidden)) for other in shapes[len(first) :])
        trials = [{**shape._asdict(), "agreement": agreed} for agreed, shape in found]
        return max(found, key=lambda f: f[0])[1], trials

    def _trial(
        self,
        shape: Shape,
        taught: dict[str, list[Any]],
        judges: list[NDArray[np.int64]],
        wanted: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> float:
        net = StudentNet(self._features, self._classes, shape)
        fit(
            net,
            taught[shape.direction],
            "integer",
            self._settings.trial_passes,
            self._settings,
            rng,
        )
        return agreement(net, judges, wanted, "integer")
