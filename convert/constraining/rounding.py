"""Round a float Elman network to the levels and lines of one core.

The constraints are those of Diehl et al. 2016: 16 weight levels, 16 activity levels, fan-in 64.  In this order:

1. the range of every hidden unit, by calibration: an activity a in 0..15 represents a state between its ends;
2. codes: the range of every input component, after a projection if there are more components than lines left;
3. rows of 4-bit weights, each with its own scale, chosen to keep the pre-activations that calibration questions cause.

A network that is on such a grid already, by quantisation-aware training, keeps its weights exactly: every choice is
the candidate of least error, and the grid is among the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ConstraintError
from ..network.constrained import LEVEL_MAX, LEVEL_MIN, MAX_FAN_IN, ConstrainedNetwork, T
from ..network.elman import reduce_over_time
from ..network.place import gate_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..network.elman import ElmanNetwork

    F64 = NDArray[np.float64]

RELU_PERCENTILE: Final = 99.9
"""Ceiling of an unbounded ReLU unit: this percentile of its states on the calibration questions."""

_SCALES: Final = np.geomspace(0.35, 1.2, 48)
"""Scales tried for a row, relative to the one that maps its largest weight to the largest level."""

_SLOPES: Final = np.linspace(0.4, 1.0, 25)
"""Slopes tried for the line that replaces tanh or sigmoid, relative to their steepest slope."""

_RIDGE: Final = 1e-3
"""Ridge, as a share of the lines' mean variance, so that a line that is silent in calibration still counts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ranges:
    """Ranges of hidden units: state h = low + span a / 15, and f(pre) ~ clip(slope pre + offset, low, low + span)."""

    low: F64
    span: F64
    slope: F64
    offset: F64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Inputs:
    """Input codes: W x = base + columns @ code, where code = x @ projection + origin before rounding."""

    projection: F64
    origin: F64
    codes: F64
    columns: F64
    base: F64


def constrain(
    network: ElmanNetwork,
    questions: list[NDArray[np.int64]],
    *,
    max_lines: int | None = MAX_FAN_IN,
    percentile: float = RELU_PERCENTILE,
) -> ConstrainedNetwork:
    """Constrain a float network to 16 weight levels and 16 activity levels, and to the lines of one core.

    Parameters
    ----------
    network
        The float network.
    questions
        Word ids of the calibration questions (no labels needed), each at least one word.
    max_lines
        Fan-in limit, 64 on TrueNorth; None: keep the inputs as wide as they are, for the stages before that limit.
    percentile
        Ceiling of an unbounded ReLU unit, as a percentile of its states.

    Raises
    ------
    ConstraintError
        The hidden layer leaves no line for the inputs, or the network reads both directions.

    """
    if network.backward is not None:
        raise ConstraintError("network: bidirectional; its directions are constrained one by one")
    readout = network.placed_readout
    trace = network.trace(questions)
    pre = np.concatenate([p for _, _, p, _ in trace])
    h = np.concatenate([s for _, _, _, s in trace])
    read = np.concatenate([network.rows[ids] for ids, _, _, _ in trace])
    ranges = hidden_ranges(network, pre, h, percentile)
    width = network.embedding.shape[1]
    if max_lines is not None:
        width = _lines_left(network, max_lines)
    inputs = _inputs(network, read, width)
    # the activity of the state 0, which every question starts from
    initial = -ranges.low / ranges.span * T
    # what drives each step: the word's code and the hidden activities of the step before
    before = np.concatenate(_states_before(trace, ranges, initial))
    drive = np.concatenate([np.clip(inputs.codes[read], 0, T), np.clip(before, 0, T)], axis=1)
    matrix, bias = _in_activities(network, ranges, inputs)
    levels, scale, shift = quantise_rows(matrix, drive, LEVEL_MIN, LEVEL_MAX)
    activities = (
        (alive, np.clip((states - ranges.low) / ranges.span * T, 0, T))
        for _, alive, _, states in trace
    )
    words = np.array([len(q) for q in questions])
    read_out = reduce_over_time(activities, words, network.n_hidden, readout)
    head = network.C * (ranges.span / T)
    # -7..8: the readout's codebook is negated (see place.py)
    out_levels, out_scale, out_shift = quantise_rows(head, read_out, -LEVEL_MAX, -LEVEL_MIN)
    return ConstrainedNetwork(
        projection=inputs.projection,
        origin=inputs.origin,
        codes=inputs.codes,
        rows=network.rows,
        levels=levels,
        scale=scale,
        bias=bias + shift,
        initial=initial,
        readout_levels=out_levels,
        readout_scale=out_scale,
        readout_bias=network.c + network.C @ ranges.low + out_shift,
        direction=network.direction,
        readout=readout,
        head=network.head,
        spread=network.spread,
    )


def _lines_left(network: ElmanNetwork, max_lines: int) -> int:
    """Return how many lines hidden units and gate leave for the inputs; raise if there is none."""
    gate = gate_lines(network.placed_readout, network.head)
    width = max_lines - network.n_hidden - gate
    if width < 1:
        raise ConstraintError(
            f"network: {network.n_hidden} hidden units{' + 1 gate' * gate} + 1 input,"
            f" limit {max_lines} lines"
        )
    return width


def _in_activities(network: ElmanNetwork, ranges: Ranges, inputs: _Inputs) -> tuple[F64, F64]:
    """Return weights (n_hidden, n_in + n_hidden) and bias (n_hidden,) that compute activities from activities."""
    to_activity = (T / ranges.span)[:, None]
    matrix = (
        to_activity
        * ranges.slope[:, None]
        * np.concatenate([inputs.columns, network.U * (ranges.span / T)], axis=1)
    )
    fixed = network.b + inputs.base + network.U @ ranges.low
    bias = to_activity[:, 0] * (ranges.slope * fixed + ranges.offset - ranges.low)
    return matrix, bias


def _states_before(
    trace: list[tuple[NDArray[np.int64], NDArray[np.intp], F64, F64]], ranges: Ranges, initial: F64
) -> list[F64]:
    """Return for each step the activities (m, n_hidden) that its hidden units had in the step before."""
    before = []
    n = len(trace[0][1])
    a = np.repeat(initial[None], n, axis=0)
    for _, alive, _, states in trace:
        before.append(a[alive])
        a[alive] = (states - ranges.low) / ranges.span * T
    return before


def hidden_ranges(network: ElmanNetwork, pre: F64, h: F64, percentile: float) -> Ranges:
    """Choose the states that activities 0 and 15 of each hidden unit represent, and the line that replaces f."""
    n = network.n_hidden
    if network.activation == "Relu":
        ceiling = np.full(n, network.clip)
        if not np.isfinite(network.clip):
            ceiling = np.percentile(h, percentile, axis=0)
            # a unit that is silent in calibration still needs a ceiling
            ceiling = np.where(ceiling > 0, ceiling, max(float(ceiling.max()), 1.0))
        return Ranges(low=np.zeros(n), span=ceiling, slope=np.ones(n), offset=np.zeros(n))
    if network.activation == "HardSigmoid":  # a line already, bounded as an activity is
        slope, offset = np.full(n, network.alpha), np.full(n, network.beta)
        return Ranges(low=np.zeros(n), span=np.ones(n), slope=slope, offset=offset)
    if network.activation == "Affine":
        return _line_ranges(network, h, percentile)
    # lower end and width of the range of f, and its slope at 0
    low, span, steepest = (0.0, 1.0, 0.25) if network.activation == "Sigmoid" else (-1.0, 2.0, 1.0)
    if network.activation == "Softsign":
        # it nears its ends so slowly that most levels of -1..1 would be of no use
        low = -max(float(np.percentile(np.abs(h), percentile)), 1e-3)
        span = -2 * low
    middle = low + span / 2
    slopes = steepest * _SLOPES
    errors = [
        ((np.clip(slope * pre + middle, low, low + span) - h) ** 2).mean(axis=0) for slope in slopes
    ]
    slope = slopes[np.argmin(errors, axis=0)]
    return Ranges(
        low=np.full(n, low), span=np.full(n, span), slope=slope, offset=np.full(n, middle)
    )


def _line_ranges(network: ElmanNetwork, h: F64, percentile: float) -> Ranges:
    """Choose the ends of a line: where the network bounds it, or else where the calibration's states lie."""
    n = network.n_hidden
    low = np.full(n, network.beta - abs(network.alpha) * network.clip)
    high = np.full(n, network.beta + abs(network.alpha) * network.clip)
    if not np.isfinite(network.clip):
        low, high = np.percentile(h, [100 - percentile, percentile], axis=0)
        # the state that every question starts from, 0, is in the range
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        # a unit that is silent in calibration still needs a range
        high = np.where(high > low, high, max(float(high.max()), 1.0))
    return Ranges(
        low=low, span=high - low, slope=np.full(n, network.alpha), offset=np.full(n, network.beta)
    )


def _inputs(network: ElmanNetwork, read: NDArray[np.int32], width: int) -> _Inputs:
    """Choose the input lines and their ranges; `read` holds the embedding rows of the calibration questions' words."""
    weight = np.bincount(read, minlength=len(network.embedding)).astype(np.float64)
    projection, columns, base = (
        np.eye(network.embedding.shape[1]),
        network.W,
        np.zeros(network.n_hidden),
    )
    if len(projection) > width:
        projection, columns, base = _project(network, weight, width)
    values = network.embedding @ projection
    ranges = np.array([_component_range(component, weight) for component in values.T])
    start, step = ranges.T
    # code = (value - start) / step, so value = start + step code: offset and scale go into base and columns
    return _Inputs(
        projection=projection / step,
        origin=-start / step,
        codes=(values - start) / step,
        columns=columns * step,
        base=base + columns @ start,
    )


def _project(network: ElmanNetwork, weight: F64, width: int) -> tuple[F64, F64, F64]:
    """Project wide inputs onto the directions in which W x varies most over the words read.

    W x = W m + A A^T W (x - m) for an orthonormal A.  Its columns are singular vectors of W (x - m) over the words, so
    no other projection of the same rank loses less.
    """
    share = weight / weight.sum()
    mean = share @ network.embedding
    varying = (network.embedding - mean) @ network.W.T
    # the square root, because the singular values measure squares: each word counts as often as it occurs
    _, _, directions = np.linalg.svd(varying * np.sqrt(share)[:, None], full_matrices=False)
    A = directions[:width].T
    # W x ~ W m + A (A^T W x - A^T W m): the lines carry A^T W x
    return network.W.T @ A, A, network.W @ mean - A @ (A.T @ (network.W @ mean))


def _component_range(values: F64, weight: F64) -> tuple[float, float]:
    """Choose start and step of a component's 16 levels: the candidate with the least squared error over the words."""
    seen = values[weight > 0]
    # the first candidate is the grid of our own training, the second covers the whole range
    candidates = [(0.0, 1.0 / T), (float(values.min()), float(np.ptp(values)) / T)]
    for tail in (0.0, 0.1, 0.5, 1, 2, 4):
        low, high = np.percentile(seen, [tail, 100 - tail])
        candidates.append((float(low), float(high - low) / T))
    # a constant component has no range; any step represents it
    usable = [(start, step) for start, step in candidates if step > 0] or [(float(values[0]), 1.0)]
    # words that calibration did not read count a little: questions will hold them
    share = weight / weight.sum() + 0.1 / len(values)

    def error(candidate: tuple[float, float]) -> float:
        start, step = candidate
        level = np.clip(np.floor((values - start) / step + 0.5), 0, T)
        return float(share @ (values - start - step * level) ** 2)

    return min(usable, key=error)


def quantise_rows(
    matrix: F64, activities: F64, low: int, high: int
) -> tuple[NDArray[np.int8], F64, F64]:
    """Quantise every row of a matrix to integer levels times its own scale.

    The error to minimise is that of matrix @ a over the activities a.  With H their covariance, a row w becomes s q
    with the least (w - s q)^T H (w - s q).  Levels change one at a time while that reduces the error: the
    error-compensating rounding of Frantar et al. 2022 (GPTQ), in coordinate form.

    Parameters
    ----------
    matrix
        float64 (rows, lines).
    activities
        float64 (samples, lines): activities of the lines on calibration questions.
    low, high
        Range of the levels.

    Returns
    -------
    levels, scale, shift
        int8 (rows, lines), float64 (rows,) and float64 (rows,): matrix @ a ~ scale (levels @ a) + shift.

    """
    mean = activities.mean(axis=0)
    centred = activities - mean
    H = centred.T @ centred / len(activities)
    # 1e-12 keeps H positive definite even if no line varies
    H += np.eye(len(H)) * (_RIDGE * np.trace(H) / len(H) + 1e-12)
    levels = np.zeros(matrix.shape, dtype=np.int8)
    scale = np.ones(len(matrix))
    for r, row in enumerate(matrix):
        levels[r], scale[r] = _quantise_row(row, H, low, high)
    # H is centred, so it ignores the mean error of a row: the shift makes that zero
    shift = (matrix - scale[:, None] * levels) @ mean
    return levels, scale, shift


def _quantise_row(row: F64, H: F64, low: int, high: int) -> tuple[NDArray[np.int8], float]:
    if not row.any():  # every scale is right
        return np.zeros(len(row), dtype=np.int8), 1.0
    largest = max(row.max() / high, row.min() / low)
    # scales that put the largest weight on a level exactly: with one of them a row on the grid has no error
    exact = [row[np.argmax(np.abs(row))] / k for k in (*range(low, 0), *range(1, high + 1))]
    scales = np.concatenate([[s for s in exact if s > 0], largest * _SCALES])
    q = np.clip(np.round(row / scales[:, None]), low, high)
    left = row - scales[:, None] * q
    best = int(np.argmin(np.einsum("si,ij,sj->s", left, H, left)))
    q, s = descend(row, q[best], float(scales[best]), H, low, high)
    return q.astype(np.int8), s


def descend(row: F64, q: F64, s: float, H: F64, low: int, high: int) -> tuple[F64, float]:
    """Change levels by one, one at a time, while that reduces the error; refit the scale in between."""
    diagonal = np.diag(H)
    # below it, a "gain" is rounding error, and levels could flip for ever
    tolerance = 1e-12 * float(row @ H @ row)
    # Every move lowers the error, so the loops end without these bounds, which only limit the time.
    for _ in range(8):
        gradient = H @ (row - s * q)
        moved = False
        for _ in range(4 * len(q)):
            # changing level i by d changes the error by  d s (d s H_ii - 2 g_i), with g the gradient
            up = np.where(q < high, s * (s * diagonal - 2 * gradient), np.inf)
            down = np.where(q > low, s * (s * diagonal + 2 * gradient), np.inf)
            i = int(np.argmin(np.minimum(up, down)))
            if min(up[i], down[i]) >= -tolerance:
                break
            d = 1.0 if up[i] < down[i] else -1.0
            q[i] += d
            gradient -= d * s * H[:, i]
            moved = True
        # least squares for the scale, with the levels fixed
        power = float(q @ H @ q)
        fitted = float(q @ H @ row) / power if power > 0 else s
        if fitted > 0:
            moved |= abs(fitted - s) > 1e-9 * s
            s = fitted
        if not moved:
            break
    return q, s
