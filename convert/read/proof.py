"""Prove against onnxruntime that a network as read answers as its file does, at which lengths, and with which ids."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ModelFileError, ProofError
from .heads import ONE_OF
from .inputs import Cut
from .purposes import check_purposes
from .special_ids import find_special_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..network.elman import ElmanNetwork
    from .float_model import FloatModel

    I64 = NDArray[np.int64]
    F64 = NDArray[np.float64]

TOLERANCE: Final = 1e-4
"""Largest difference of a logit from onnxruntime's."""

SHARE: Final = 0.1
"""Extra difference allowed for each 1 of the question's largest logit, in units of TOLERANCE: onnxruntime computes in
single precision, and the states of an unbounded ReLU may be large."""

ROUNDING: Final = 2.0**-24
"""Relative rounding error of single precision."""

ROUNDINGS: Final = 16
"""Extra difference allowed, in units of what one rounding of every weight changes: over many words, a network whose
weights are large multiplies the rounding errors of its states."""

HUGE: Final = 1e30
"""Logits beyond this are not compared: the states before them may exceed single precision."""

SEQUENCES: Final = 4
"""Random sequences of each length."""

REACH: Final = 48
"""Words of the longest sequence at least, whatever the length of the calibration questions."""

MORE: Final = 1.5
"""Words of the longest sequence, for each word of the longest calibration question."""

FAR: Final = (89, 144, 233, 377, 610)
"""Words of sequences beyond that, which only show whether the model cuts longer questions."""

FADED: Final = 32
"""Most words after which a last state may still show, within the allowed difference, what came before them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Asked:
    """Sequences of one length, and their logits in onnxruntime; None: it cannot run them, for the `reason`."""

    length: int
    questions: list[I64]
    wanted: F64 | None
    reason: str = ""


class _Differs(ProofError):
    """The network as read differs from onnxruntime on the sequences that were `asked`."""

    def __init__(self, asked: _Asked, line: str) -> None:
        super().__init__(line)
        self.asked = asked


def prove(
    model: FloatModel,
    *,
    compared: set[int],
    read_at: int,
    again: Callable[[int], ElmanNetwork],
    longest: int,
    seed: int,
) -> FloatModel:
    """Check a network as read against onnxruntime on random sequences, from one word to more than `longest`.

    Where the file does not answer some lengths, or answers them as if words were cut off, the returned model's layout
    says so.  A model of one fixed length gets sequences of that length.  If it compares its words with a padding id, it
    gets shorter sequences as well, filled up with that id; if it answers those correctly, the returned model has that
    padding.  Last come sequences that hold the ids that the graph compares its words with (see `find_special_ids`).

    Parameters
    ----------
    model
        The model, with the network that was read from it.
    compared
        Word ids with which the graph compares its words.
    read_at
        Number of words that the network was read at.
    again
        Reads the network at another number of words; its difference explains a refusal.
    longest
        Words of the longest calibration question, 0 if there are none.
    seed
        Seed of the sequences.

    Returns
    -------
    FloatModel
        The model, with the lengths, the padding and the skipped ids that were found, and with the sum as the readout of
        its network if that is what the file computes at every length.

    Raises
    ------
    ModelFileError
        Some logits differ, or onnxruntime cannot run the model.

    """
    compared = {c for c in compared if 0 <= c < len(model.network.rows)}
    words = np.setdiff1d(np.arange(len(model.network.rows)), sorted(compared))
    if not len(words):
        raise ModelFileError("embedding: holds no word except padding")
    rng = np.random.default_rng(seed)
    if model.layout.length is None:
        try:
            model = _at_any_length(model, words, _lengths(longest, read_at), read_at, rng)
        except _Differs as e:
            raise _explained(e, read_at, again) from None
    else:
        model = _at_its_length(model, sorted(compared), words, rng)

    check_purposes(model, words, partial(excess, model.network), rng)

    def agrees(asked: list[I64], read: list[I64]) -> bool:
        return bool(excess(model.network, model.run(asked), read) <= 1)

    skipped, unusable = find_special_ids(model.layout, sorted(compared), words, agrees, rng)
    return replace(model, skipped=skipped, unusable=unusable)


def _lengths(longest: int, read_at: int) -> list[int]:
    """Return the lengths of the proof's sequences: every short one, then each the sum of the two before."""
    reach = max(REACH, math.ceil(MORE * max(longest, read_at)))
    found, n, after = {*range(1, 9), longest, read_at, reach} - {0}, 8, 13
    while after < reach:
        found.add(after)
        n, after = after, n + after
    return sorted(found)


def excess(network: ElmanNetwork, wanted: F64, read: list[I64]) -> float:
    """Return the largest difference of a logit from onnxruntime's, in units of the allowed difference."""
    with np.errstate(invalid="ignore", over="ignore"):
        got = network.logits(read)
        if wanted.shape != got.shape:
            raise ModelFileError(
                f"head: {wanted.shape[1]} outputs in onnxruntime, {got.shape[1]} as read"
            )
        rounded = np.abs(_rounded(network).logits(read) - got).max(axis=1, keepdims=True)
        allowed = TOLERANCE * (1 + SHARE * np.abs(wanted).max(axis=1, keepdims=True))
        share = np.abs(wanted - got) / (allowed + ROUNDINGS * rounded)
        share[~(np.abs(got).max(axis=1) <= HUGE)] = 0  # NaN if states exceed double precision, too
    return float(share.max())


def _rounded(network: ElmanNetwork) -> ElmanNetwork:
    """Return the network with recurrent weights and biases that differ by one rounding of single precision."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-ROUNDING, ROUNDING], size=(network.n_hidden, network.n_hidden + 1))
    backward = None if network.backward is None else _rounded(network.backward)
    return replace(
        network,
        U=network.U * (1 + signs[:, 1:]),
        b=network.b * (1 + signs[:, 0]),
        backward=backward,
    )


def _ask(model: FloatModel, words: I64, length: int, rng: np.random.Generator) -> _Asked:
    questions = list(rng.choice(words, (SEQUENCES, length)))
    try:
        wanted = model.run(questions)
    except ModelFileError as e:
        return _Asked(length=length, questions=questions, wanted=None, reason=str(e))
    return _Asked(length=length, questions=questions, wanted=wanted)


def _differs(network: ElmanNetwork, asked: _Asked, cut: Cut | None = None) -> float:
    """Return the excess of some sequences, cut or whole; infinite if onnxruntime cannot run them."""
    if asked.wanted is None or asked.wanted.shape[1] != network.classes:
        return math.inf
    read = asked.questions if cut is None else [cut.apply(q) for q in asked.questions]
    return excess(network, asked.wanted, read)


def _at_any_length(
    model: FloatModel, words: I64, lengths: Sequence[int], read_at: int, rng: np.random.Generator
) -> FloatModel:
    """Prove a model that declares a free length; return it with the lengths that it answers."""
    asked = [_ask(model, words, n, rng) for n in lengths]
    networks = _readings(model.network, read_at)
    model = replace(
        model,
        network=min(networks, key=lambda n: sum(not _differs(n, a) <= 1 for a in asked)),
    )
    if not all(_differs(model.network, a) <= 1 for a in asked):
        return _limited(model, words, asked, read_at, rng)
    cut = _far_cut(model, words, lengths[-1], rng)
    if cut is not None:
        model = replace(model, layout=replace(model.layout, cut=cut))
    if not model.layout.tells_lengths:
        return model
    # questions of different lengths in a batch, filled up with padding
    padded = replace(model, layout=replace(model.layout, padding=0))
    mixed = [q for a in asked for q in a.questions]
    mixed = [mixed[i] for i in rng.permutation(len(mixed))]
    difference = excess(model.network, padded.run(mixed), mixed)
    if difference <= 1:
        return padded
    if model.layout.padding is None:
        return (
            model  # it ignores its mask, so that only questions of equal length can share a batch
        )
    raise _refusal(difference, "")


def _readings(network: ElmanNetwork, length: int) -> list[ElmanNetwork]:
    """Return a network as read at some length, and with a sum in place of its mean: at one length both are the same."""
    if network.readout != "mean":
        return [network]
    return [network, _with_sum(network, length)]


def _with_sum(network: ElmanNetwork, length: int) -> ElmanNetwork:
    backward = None if network.backward is None else _with_sum(network.backward, length)
    return replace(network, readout="sum", C=network.C / length, backward=backward)


def _limited(
    model: FloatModel, words: I64, asked: list[_Asked], read_at: int, rng: np.random.Generator
) -> FloatModel:
    """Find the lengths that a model answers if it does not answer all; raise if they make no sense."""
    network, layout = model.network, model.layout
    bad = [a for a in asked if not _differs(network, a) <= 1]
    good = [a.length for a in asked if a not in bad]
    shorter = [n for n in good if n < bad[0].length]
    if shorter and all(a.wanted is not None for a in bad):
        longer = [a for a in asked if a.length > shorter[-1]]
        cut = _cut(model, words, shorter[-1], longer, rng)
        if cut is not None:
            return replace(model, layout=replace(layout, cut=cut))
    # A graph that was unrolled for some words fails on fewer.  What it makes of more is an accident of the export: it
    # reads the first of them, and may divide their sum by the number of all.
    if good == [read_at] and all(a.wanted is None for a in bad if a.length < read_at):
        return replace(model, layout=replace(layout, length=read_at))
    # of one word, the recurrence cannot be read
    answered = sorted((a for a in bad if a.wanted is not None), key=lambda a: a.length == 1)
    worst = [*answered, *bad][0]
    if worst.wanted is None:
        raise ModelFileError(f"{worst.reason} (a question of {worst.length} words)")
    raise _Differs(worst, str(_refusal(_differs(network, worst), f" of {worst.length} words")))


def _explained(
    refusal: _Differs, read_at: int, again: Callable[[int], ElmanNetwork]
) -> ModelFileError:
    """Return the refusal of a model, which says more if it computes something else at another number of words."""
    n = refusal.asked.length
    try:
        if not _differs(again(n), refusal.asked) <= 1:
            return refusal
    except ModelFileError as e:
        return ModelFileError(f"with questions of {n} words: {e}")
    return ModelFileError(
        f"head: weighs the states otherwise in questions of {n} words than in those of {read_at}; {ONE_OF}"
    )


def _far_cut(model: FloatModel, words: I64, good: int, rng: np.random.Generator) -> Cut | None:
    """Return how the model cuts sequences that are longer than any that it must answer; None: not in a known way."""
    for length in FAR:
        if length <= good:
            continue
        asked = _ask(model, words, length, rng)
        if asked.wanted is None:
            return None
        if not _differs(model.network, asked) <= 1:
            return _cut(model, words, good, [asked], rng)
        good = length
    return None


def _cut(
    model: FloatModel, words: I64, good: int, longer: list[_Asked], rng: np.random.Generator
) -> Cut | None:
    """Return the words that explain the answers to longer sequences than the `good` words; None: no cut does."""
    last = _last_good(model, words, good, longer[0].length, rng)
    # a last state may hardly show the words that were cut off: then fewer are read than the last good length
    fewer = range(last, max(0, last - FADED), -1)
    for cut in (Cut(last, "right"), *(Cut(n, "left") for n in fewer)):
        if all(_differs(model.network, a, cut) <= 1 for a in longer):
            return cut
    return None


def _last_good(model: FloatModel, words: I64, good: int, bad: int, rng: np.random.Generator) -> int:
    """Return the longest length between two that the network as read answers like onnxruntime."""
    while bad - good > 1:
        middle = (good + bad) // 2
        if _differs(model.network, _ask(model, words, middle, rng)) <= 1:
            good = middle
        else:
            bad = middle
    return good


def _at_its_length(
    model: FloatModel, compared: list[int], words: I64, rng: np.random.Generator
) -> FloatModel:
    """Prove a model of one length; return it with the padding that lets it take shorter questions, if there is one."""
    layout = model.layout
    length = layout.length or 0
    full = [rng.choice(words, length) for _ in range(4 * SEQUENCES)]
    shorter = [q[: 1 + i % length] for i, q in enumerate(full)]
    candidates = [0] if layout.tells_lengths else compared
    for padding in candidates:
        # an id that the graph compares with is padding only if shorter sequences come out right
        padded = replace(model, layout=replace(layout, padding=padding))
        answers = padded.run(shorter)
        for network in _readings(model.network, length):
            if excess(network, answers, shorter) <= 1:
                return replace(padded, network=network)
    difference = excess(model.network, model.run(full), full)
    if not difference <= 1:  # not `difference > 1`, which is false for NaN
        raise _refusal(difference, "")
    return replace(model, layout=replace(layout, padding=None))


def _refusal(difference: float, which: str) -> ProofError:
    return ProofError(
        f"the network as read differs from onnxruntime by {difference * TOLERANCE:.3g} on random sequences{which},"
        f" limit {TOLERANCE:g}"
    )
