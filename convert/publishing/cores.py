"""How many cores a student takes: a number, or as few as answer like the teacher nearly as often as more would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import QuestionCore, estimate
from ...simcore.records import counted
from ..errors import ConvertError
from ..network.spread import CORES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..constraining.recipe import PlacedNetwork
    from .imitation import Imitation

AUTO: Final = (1, 2, 4)
"""Numbers of cores that "auto" tries."""

MARGIN: Final = 0.005
"""Share of the judging questions on which fewer cores may agree less with the teacher than the best: half a point."""


def check_cores(wanted: int | str, *, student: bool | None) -> tuple[int, ...]:
    """Check a number of cores, and return the numbers to try: itself, or those of "auto".

    Raises
    ------
    ConvertError
        It is neither "auto" nor a number that a student can take, or there is to be no student.

    """
    if wanted == "auto":
        numbers: tuple[int, ...] = AUTO
    elif str(wanted).isdecimal() and 1 <= int(wanted) <= CORES_MAX:
        numbers = (int(wanted),)
    else:
        raise ConvertError(f"cores {wanted!r}: expected 1..{CORES_MAX} or auto")
    if numbers != (1,) and student is False:
        raise ConvertError(f"cores {wanted!r}: only students take them; leave out --no-student")
    return numbers


def fewest_cores(
    placed: Sequence[PlacedNetwork], students: Sequence[Imitation], note: Callable[[str], None]
) -> int:
    """Choose the fewest cores that agree with the teacher nearly as often as the best of some placed students.

    Parameters
    ----------
    placed, students
        The students in order of their number of cores, all with the same judging questions.
    note
        Called with a line for each, and one for the chosen one.

    Returns
    -------
    int
        Index of the chosen one.  Its record gets `cores_tried`, a dict for each: `cores`, `agreement` on the judging
        `questions` (0..1), and mean `ticks` and `energy_uj` of a question by each method of `power`.  With one student
        there are no figures.

    """
    if len(placed) == 1:
        return 0
    asked = students[0].judged
    wanted = students[0].answers(asked)
    tried: list[dict[str, Any]] = []
    for each in placed:
        image = each.matched.image
        answers = QuestionCore(image, each.network.encoder()).answer(asked)
        ticks, events = int(answers.ticks.sum()), int(answers.synaptic_events.sum())
        energy = estimate(cores=image.cores, ticks=ticks, synaptic_events=events)
        tried.append(
            {
                "cores": image.cores,
                "agreement": float((answers.label == wanted).mean()),
                "questions": len(asked),
                "ticks": ticks / len(asked),
                "energy_uj": {m: uj / len(asked) for m, uj in energy.energy_uj.items()},
            }
        )
    agreed = np.array([t["agreement"] for t in tried])
    # a question more or less must not be lost to rounding
    chosen = int(np.argmax(agreed >= agreed.max() - MARGIN - 1e-9))
    for t in tried:
        note(
            f"{counted(t['cores'], 'core')}: {t['agreement']:.1%} as the teacher on {t['questions']} questions,"
            f" {t['ticks']:.0f} ticks, {t['energy_uj']['paper']:.1f} uJ a question"
        )
    note(
        f"taking {counted(tried[chosen]['cores'], 'core')}: the fewest within half a point of the best"
    )
    students[chosen].record["cores_tried"] = tried
    return chosen
