"""Match the responses of spiking neurons to those of the integer model: thresholds, leaks, initial potentials.

A hidden unit of scale s and bias B becomes a neuron of gain g, threshold theta = g / s and leak B theta / 15.  If its
input spikes arrive evenly, it spikes floor(s q.a + B + 1/2) times in a step of 15 ticks.  They do not: if inhibition
comes first, the membrane potential stops at its floor of zero, and the excitation after it causes spikes that the
model, which only adds up the whole step, does not have.  `match_hidden` measures the spike count of every unit on
calibration questions and moves its leak until the mean is right; `match_responses` then tries ranges of the readout
and keeps the one whose core agrees best with the float network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ...simcore import CoreImage, QuestionCore, limits
from ..errors import ConstraintError
from ..network.constrained import ConstrainedNetwork, T
from ..network.hidden_spikes import readout_counts, run_hidden_neurons
from ..network.place import GAIN_MAX, Neurons, Readout, check_fit, layout, place, spare_neurons
from .host_head import host_heads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

READOUT_GAIN: Final = 7
"""g of the readout: the four gate axons add 32 g = 224, which the leak (at most 255) can subtract without the gate."""

GATE_LIFT: Final = 32 * READOUT_GAIN
"""Potential that the gate adds to a readout neuron at every tick of the drain step."""

READOUT_CEILING: Final = T - 0.5
"""Spike count in a step to which the readout maps the highest logit."""

READOUT_MARGINS: Final = (0.0, 0.5, 1.5, 4.0)
"""Margins tried on both sides of the range of logits, relative to its width."""

SPREAD_QUESTIONS: Final = 500
"""Most questions by which the readout of a network that is spread over several cores is chosen, taken evenly."""

COPIES_MAX: Final = 16
"""Most readout neurons of a class: 16 staggered ones resolve 1/16 of a spike; more cost events and change no label."""


def hidden_neurons(network: ConstrainedNetwork, *, floor: float = 0.0) -> Neurons:
    """Derive the hidden neurons in closed form.

    The gain is the largest for which theta and leak are inside the chip's limits.

    Parameters
    ----------
    network
        The network.
    floor
        Lowest potential in thresholds, at most 0.

    Raises
    ------
    ConstraintError
        A unit has a scale that no gain can express; the message has its number.

    """
    s, B = network.scale, network.bias
    # g has three upper bounds: GAIN_MAX, so that the weight -8 g fits; THRESHOLD_MAX s, because theta = g / s; and
    # LEAK_MAX T s / |B|, because the leak is B theta / T.
    leak_bound = np.full(len(s), np.inf)
    np.divide(limits.LEAK_MAX * T * s, np.abs(B), out=leak_bound, where=B != 0)
    gain = np.floor(
        np.minimum.reduce([np.full(len(s), float(GAIN_MAX)), limits.THRESHOLD_MAX * s, leak_bound])
    )
    gain = np.maximum(gain, 1)  # no bound may leave g at 0; the threshold is checked below
    threshold = np.maximum(np.round(gain / s), 1)
    if (threshold > limits.THRESHOLD_MAX).any():
        j = int(np.argmax(threshold))
        raise ConstraintError(
            f"hidden unit {j}: scale {s[j]:.3g} needs threshold {threshold[j]:.0f}, limit {limits.THRESHOLD_MAX}"
        )
    # A bias is beyond the leak's range only if |B| is far above 15, and then the unit is constant anyway.
    leak = np.clip(np.round(B * threshold / T), -limits.LEAK_MAX, limits.LEAK_MAX)
    # half a threshold rounds to nearest; an initial state counts as if its spikes had arrived already
    start = gain * (network.levels[:, network.n_in :] @ network.initial) + threshold / 2
    potential = np.clip(np.floor(start), limits.POTENTIAL_MIN, limits.POTENTIAL_MAX)
    return Neurons(
        gain=gain.astype(np.int64),
        threshold=threshold.astype(np.int64),
        leak=leak.astype(np.int64),
        potential=potential.astype(np.int64),
        floor=np.maximum(np.round(floor * threshold), -limits.THRESHOLD_MAX).astype(np.int64),
    )


def match_hidden(
    network: ConstrainedNetwork,
    neurons: Neurons,
    questions: list[NDArray[np.int64]],
    *,
    states: NDArray[np.float64] | None = None,
    rounds: int = 6,
) -> tuple[Neurons, float]:
    """Move leaks until every unit's mean spike count on the questions is the wanted one.

    Without `states`, the wanted count is the model's for the spike counts that the core had in the step before, so
    that each unit's own response is matched, not the errors of other units.  With `states`, a unit compensates for
    errors of other units as well.

    Parameters
    ----------
    network, neurons
        The layer to match.
    questions
        Word ids of the calibration questions.
    states
        float64 (steps of all questions, n_hidden): wanted activities, in the order of `run_hidden_neurons`.
    rounds
        Number of corrections; the result is the one with the smallest mean error.

    Returns
    -------
    Neurons and float
        The neurons, and their mean absolute error in spikes.

    """
    matrix = (network.levels * network.scale[:, None]).T
    best, best_error = neurons, np.inf
    for _ in range(rounds + 1):
        ran = list(run_hidden_neurons(network, neurons, questions))
        counts = np.concatenate([c for _, _, c in ran])
        wanted = states
        if wanted is None:
            inputs = np.concatenate([i for _, i, _ in ran])
            wanted = np.floor(inputs @ matrix + network.bias + 0.5)
        error = counts - np.clip(wanted, 0, T)
        size = float(np.abs(error).mean())
        if size < best_error:
            best, best_error = neurons, size
        # over the 15 ticks of a step, a leak of theta / 15 adds one spike
        change = np.round(error.mean(axis=0) * neurons.threshold / T)
        leak = np.clip(neurons.leak - change, -limits.LEAK_MAX, limits.LEAK_MAX)
        neurons = replace(neurons, leak=leak.astype(np.int64))
    return best, best_error


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MatchedCore:
    """A network on its cores, with matched responses.

    Attributes
    ----------
    image : CoreImage
        Its core or cores.
    hidden : Neurons
        The hidden neurons.
    readout : Readout
        The readout neurons, or the head that the host computes.
    agreement : float
        Share of the calibration questions on which the core gives the wanted label, 0..1.
    method : {"closed-form", "matched", "refitted"}
        Hidden neurons of the closed form, with matched leaks, or as the caller passed them.

    """

    image: CoreImage
    hidden: Neurons
    readout: Readout
    agreement: float
    method: str


def match_responses(
    network: ConstrainedNetwork,
    questions: list[NDArray[np.int64]],
    labels: NDArray[np.int64],
    hidden: Neurons | None = None,
    *,
    logits: NDArray[np.float64] | None = None,
) -> MatchedCore:
    """Place a network, and match its responses on calibration questions.

    Parameters
    ----------
    network
        The constrained network.
    questions
        Word ids of the calibration questions, each at least one word.
    labels
        int64 (questions,): wanted label of each question: the float network's, or the true one.
    hidden
        Hidden neurons that are matched already; None: the closed form's or matched ones, whichever agree better.
    logits
        float64 (questions, classes): the float network's logits, to which a head on the host is fitted.

    Raises
    ------
    ConstraintError
        The network does not fit one core, or each direction one; or all classes have the same logit.

    """
    if hidden is None:
        closed = hidden_neurons(network)
        matched, _ = match_hidden(network, closed, questions)
        candidates = {"closed-form": closed, "matched": matched}
    else:
        candidates = {"refitted": hidden}
    results = [
        _with_readout(network, neurons, questions, labels, logits, method)
        for method, neurons in candidates.items()
    ]
    return max(results, key=lambda r: r.agreement)


def _with_readout(
    network: ConstrainedNetwork,
    hidden: Neurons,
    questions: list[NDArray[np.int64]],
    labels: NDArray[np.int64],
    logits: NDArray[np.float64] | None,
    method: str,
) -> MatchedCore:
    """Choose the readout's range or the host's head: of a few candidates, the one that agrees best."""
    candidates: Iterable[Readout]
    if network.head == "host":
        candidates = host_heads(network, readout_counts(network, hidden, questions), logits)
    else:
        check_fit(network)
        on = layout(network)
        spare = limits.NEURONS - on.neurons("core")
        parts = read_out_parts(network)
        ranges = _readout_ranges(network, hidden, questions)
        several = (
            tuple(
                readout_neurons(part, low, high, spare=int(n))
                for part, n in zip(parts, spare, strict=True)
            )
            for low, high in ranges
        )
        candidates = (found if on.cores > 1 else found[0] for found in several)
    asked, wanted = questions, labels
    if network.spread is not None:
        # the chip kernel, which simulates several cores, is slow
        some = np.linspace(0, len(questions) - 1, min(len(questions), SPREAD_QUESTIONS)).astype(int)
        asked, wanted = [questions[i] for i in some], labels[some]
    best: MatchedCore | None = None
    for readout in candidates:
        image = place(network, hidden, readout)
        agreement = float((answer_on_core(image, network, asked) == wanted).mean())
        if best is None or agreement > best.agreement:
            best = MatchedCore(
                image=image, hidden=hidden, readout=readout, agreement=agreement, method=method
            )
    if best is None:
        raise ConstraintError("readout: the calibration questions give every class the same logit")
    if len(asked) < len(questions):
        agreement = float((answer_on_core(best.image, network, questions) == labels).mean())
        return replace(best, agreement=agreement)
    return best


def read_out_parts(network: ConstrainedNetwork) -> list[ConstrainedNetwork]:
    """Return the network with the readout of each of its cores: the units read out there, and a share of the bias."""
    on = layout(network)
    at = on.read_out_at()
    return [
        replace(
            network,
            readout_levels=np.where(at == core, network.readout_levels, 0).astype(np.int8),
            readout_bias=network.readout_bias / on.cores,
        )
        for core in range(on.cores)
    ]


def _readout_ranges(
    network: ConstrainedNetwork, hidden: Neurons, questions: list[NDArray[np.int64]]
) -> list[tuple[float, float]]:
    """List ranges of logits, (lowest, highest), that the readout's spike counts could span.

    A narrow range resolves more; a wide one keeps the fluctuations of single ticks away from floor and ceiling.  If
    the mean is read, the logits are those of single words.  A class cannot take back a spike when a later word speaks
    against it, so the range reaches down to the lowest logits of single words.  It does so too if each of several
    cores contributes spikes to a class.
    """
    if network.readout == "mean":
        counted = np.concatenate([c for _, _, c in run_hidden_neurons(network, hidden, questions)])
    else:
        counted = readout_counts(network, hidden, questions)
    logits = [part.read_out(counted) for part in read_out_parts(network)]
    ordered = np.sort(np.concatenate(logits), axis=1)
    if network.readout == "mean" or len(logits) > 1:
        lows = np.percentile(ordered[:, 0], [0, 2, 20])
    else:
        # only the two best classes decide, so the range may start near the logit of the second
        lows = np.percentile(ordered[:, -2], [1, 20])
    ranges = set()  # different percentiles may give equal ranges
    for high in np.percentile(ordered[:, -1], [99, 100]):
        for low in lows:
            for wider in READOUT_MARGINS:
                margin = wider * (high - low)
                if high > low:
                    ranges.add((float(low - margin), float(high + margin)))
    return sorted(ranges)


def readout_neurons(
    network: ConstrainedNetwork, low: float, high: float, *, spare: int | None = None
) -> Neurons:
    """Derive readout neurons whose count maps logits from `low` (no spike) to `high` (READOUT_CEILING spikes a step).

    Neuron k of a class is (k + 1/2) / copies of a spike ahead, so that the class's total resolves fractions of a
    spike.

    Parameters
    ----------
    network
        The network, with the readout of one core.
    low, high
        The range.
    spare
        Neurons that the hidden units leave on the core; None: those of a core that holds the whole network.

    """
    if spare is None:
        spare = spare_neurons(network.n_hidden, "core")
    copies = min(spare // network.classes, COPIES_MAX)
    per_logit = READOUT_CEILING / (high - low)
    stagger = (np.arange(copies) + 0.5) / copies
    # the bias, in spikes a step
    drive = (network.readout_bias[:, None] - low) * per_logit
    if network.readout == "mean":
        return _integrating(network, per_logit, drive, stagger)
    threshold = READOUT_GAIN / (network.readout_scale * per_logit)
    # the gate adds GATE_LIFT in the drain step; without it, this leak keeps the potential at the floor
    leak = np.round((drive + stagger) * threshold[:, None] / T - GATE_LIFT)
    n = network.classes * copies
    return Neurons(
        gain=np.full(n, READOUT_GAIN),
        threshold=_repeated(threshold, copies),
        leak=np.clip(leak, -limits.LEAK_MAX, limits.LEAK_MAX).astype(np.int64).reshape(-1),
        potential=np.zeros(n, dtype=np.int64),
        floor=np.zeros(n, dtype=np.int64),
    )


def _integrating(
    network: ConstrainedNetwork,
    per_logit: float,
    drive: NDArray[np.float64],
    stagger: NDArray[np.float64],
) -> Neurons:
    """Derive readout neurons that add up all steps; they start lower by what the leak adds in the first step."""
    copies = len(stagger)
    # threshold for a gain of 1; a larger gain keeps the rounding errors of threshold and leak small
    per_gain = 1 / (network.readout_scale * per_logit)
    bound = np.full(network.classes, float(GAIN_MAX))
    leak_of_gain = np.abs(drive[:, 0]) * per_gain / T
    np.divide(limits.LEAK_MAX, leak_of_gain, out=bound, where=leak_of_gain > 0)
    gain = np.clip(np.floor(np.minimum(bound, limits.THRESHOLD_MAX / per_gain)), 1, GAIN_MAX)
    threshold = gain * per_gain
    leak = np.clip(np.round(drive[:, 0] * threshold / T), -limits.LEAK_MAX, limits.LEAK_MAX)
    # No hidden spike arrives in the first step, but the leak acts 15 times.  If it is negative it raises the start,
    # which must still be below the threshold, or the neuron would fire at once.
    start = np.minimum(stagger * threshold[:, None], threshold[:, None] - 1) - T * leak[:, None]
    start = np.minimum(np.floor(start), np.floor(threshold[:, None]) - 1)
    return Neurons(
        gain=np.repeat(gain, copies).astype(np.int64),
        threshold=_repeated(threshold, copies),
        leak=np.repeat(leak, copies).astype(np.int64),
        potential=start.astype(np.int64).reshape(-1),
        floor=np.full(start.size, -limits.THRESHOLD_MAX),
    )


def _repeated(threshold: NDArray[np.float64], copies: int) -> NDArray[np.int64]:
    whole = np.clip(np.round(np.repeat(threshold, copies)), 1, limits.THRESHOLD_MAX)
    return whole.astype(np.int64)


def answer_on_core(
    image: CoreImage, network: ConstrainedNetwork, questions: list[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Answer questions on the simulated core; return the labels, int64 (questions,)."""
    return QuestionCore(image, network.encoder()).answer(questions).label.astype(np.int64)
