"""The schedule of a distillation: short at first, and longer if the core falls behind its integer model.

Most networks are distilled in two minutes.  If the core answers clearly fewer judging questions as wanted than the
integer model that its training started from, it has not learnt enough.  Then the distillation is repeated with more
passes, a higher learning rate and fewer changed questions, and the better of the two cores is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...progress import counted, silent
from ..response_matching import hidden_neurons, match_responses
from .loop import train_student

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ...network.constrained import ConstrainedNetwork
    from ...network.elman import ElmanNetwork
    from ...progress import OnProgress
    from ..response_matching import MatchedCore
    from .settings import DistilSettings

__all__ = ["Distilled", "distil"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Distilled:
    """A distilled network.

    Attributes
    ----------
    integer, spiking : ConstrainedNetwork
        The integer model, and the network that was trained further from it with the spikes in the loop.
    matched : MatchedCore
        The core of `spiking`; its agreement is the share of the judging questions that it answers as wanted.
    behind : float
        The integer model's share less the core's.

    """

    integer: ConstrainedNetwork
    spiking: ConstrainedNetwork
    matched: MatchedCore
    behind: float


def distil(
    start: ConstrainedNetwork,
    network: ElmanNetwork,
    questions: list[NDArray[np.int64]],
    settings: DistilSettings,
    *,
    judges: list[NDArray[np.int64]] | None = None,
    truth: NDArray[np.int64] | None = None,
    note: Callable[[str], None] = lambda _: None,
    progress: OnProgress = silent,
) -> Distilled:
    """Distil a float network by `settings`, and by longer ones if the core is too far behind its integer model.

    Parameters
    ----------
    start
        The integer model in closed form.
    network
        The float network: the teacher.
    questions
        Calibration questions as word ids, each at least one word.
    settings
        Schedule and seed of the first attempt; equal ones give equal networks.
    judges
        Questions that choose the readout's range and between cores; None: the calibration questions.
    truth
        int64 (questions,): true labels of the calibration questions, which are then the wanted answers and choose;
        None: the float network's are.
    note
        Called with one line before each step.
    progress
        Called after every pass over the questions.

    Raises
    ------
    ConstraintError
        The network does not fit one core, or each direction one.

    """
    judges = questions if judges is None or truth is not None else judges
    taught = _attempt(start, network, questions, judges, settings, truth, note, progress)
    if taught.behind <= settings.behind:
        return taught
    note(
        f"the core gives the wanted answer to {taught.behind:.1%} fewer of the judging questions than its integer"
        " model does: distilling longer"
    )
    longer = _attempt(start, network, questions, judges, settings.longer(), truth, note, progress)
    return max(taught, longer, key=lambda t: t.matched.agreement)


def _attempt(
    start: ConstrainedNetwork,
    network: ElmanNetwork,
    questions: list[NDArray[np.int64]],
    judges: list[NDArray[np.int64]],
    settings: DistilSettings,
    truth: NDArray[np.int64] | None,
    note: Callable[[str], None],
    progress: OnProgress,
) -> Distilled:
    """Train the integer model, then rounds with the spikes in the loop, each starting from the best one so far."""
    logits = network.logits(judges)
    wanted = logits.argmax(axis=1) if truth is None else truth
    passes = settings.passes(len(questions))
    note(f"distilling the integer network in {passes} passes")
    integer = train_student(
        start,
        "integer",
        network,
        questions,
        settings,
        labels=truth,
        on_pass=counted(progress, "distilling", passes),
    )
    answered = float((integer.logits(judges).argmax(axis=1) == wanted).mean())
    spiking, matched = integer, None
    for round_ in range(settings.spiking_rounds):
        note(
            f"distilling with the spikes in the loop in {settings.spiking_epochs} passes,"
            f" round {round_ + 1} of at most {settings.spiking_rounds}"
        )
        # another seed for each round, so that other words are replaced
        tried = train_student(
            spiking,
            "spiking",
            network,
            questions,
            replace(settings, seed=settings.seed + round_),
            labels=truth,
            floor=settings.floor,
            on_pass=counted(progress, f"round {round_ + 1}", settings.spiking_epochs),
        )
        neurons = hidden_neurons(tried, floor=settings.floor)
        found = match_responses(tried, judges, wanted, neurons, logits=logits)
        # the first round always counts as a gain
        gained = found.agreement - (-1.0 if matched is None else matched.agreement)
        if matched is None or gained > 0:
            spiking, matched = tried, found
        if gained < settings.least_gain or matched.agreement >= settings.enough:
            break
        if answered - matched.agreement <= settings.near:
            break
    if matched is None:
        raise AssertionError  # there is at least one round
    return Distilled(
        integer=integer, spiking=spiking, matched=matched, behind=answered - matched.agreement
    )
