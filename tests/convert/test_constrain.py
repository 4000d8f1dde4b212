"""Rounding keeps the answers of a network, and keeps a network that is on the grid exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.convert.constraining.rounding import constrain, quantise_rows
from spikewatch.convert.errors import ConstraintError
from spikewatch.convert.network.elman import ElmanNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray


def float_network(
    seed: int = 0, *, activation: str = "Tanh", d: int = 8, n: int = 10, classes: int = 4
) -> ElmanNetwork:
    """Return a network whose classes depend on its words with a clear margin."""
    rng = np.random.default_rng(seed)
    return ElmanNetwork(
        embedding=rng.normal(size=(60, d)),
        rows=np.arange(60, dtype=np.int32),
        W=rng.normal(0, 0.7 / np.sqrt(d), (n, d)),
        U=rng.normal(0, 0.4 / np.sqrt(n), (n, n)),
        b=rng.normal(0, 0.1, n),
        activation=activation,
        clip=float("inf"),
        direction="forward",
        C=rng.normal(size=(classes, n)),
        c=np.zeros(classes),
    )


def sentences(seed: int = 1, n: int = 400) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 60, length) for length in rng.integers(1, 9, n)]


def grid_network(seed: int = 0) -> ElmanNetwork:
    """Return a float network whose weights and activities are on the core's grid."""
    rng = np.random.default_rng(seed)
    n_in, n, classes = 7, 9, 5
    levels = rng.integers(-8, 8, (n, n_in + n))
    scale = rng.uniform(0.03, 0.1, n)
    grid = levels * scale[:, None]
    return ElmanNetwork(
        embedding=rng.integers(0, 16, (60, n_in)) / 15,
        rows=np.arange(60, dtype=np.int32),
        W=grid[:, :n_in],
        U=grid[:, n_in:],
        b=rng.uniform(-0.3, 0.5, n),
        activation="Relu",
        clip=1.0,
        direction="reverse",
        C=rng.integers(-7, 9, (classes, n)) * rng.uniform(0.1, 0.3, (classes, 1)),
        c=rng.normal(size=classes),
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_network_on_the_grid_is_kept_exactly(seed: int) -> None:
    network = grid_network(seed)
    constrained = constrain(network, sentences())
    again = constrained.levels * constrained.scale[:, None]
    np.testing.assert_allclose(again, np.hstack([network.W, network.U]), atol=1e-9)
    np.testing.assert_allclose(constrained.codes, network.embedding * 15, atol=1e-9)
    np.testing.assert_allclose(constrained.bias, network.b * 15, atol=1e-6)
    held_out = sentences(99)
    np.testing.assert_allclose(
        constrained.logits(held_out, rounded=False), network.logits(held_out), atol=1e-6
    )


@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid", "Relu", "Softsign"])
@pytest.mark.parametrize("seed", range(3))
def test_sixteen_levels_keep_most_answers(activation: str, seed: int) -> None:
    """Random networks have thin margins: trained ones keep far more (benchmarks)."""
    network = float_network(seed, activation=activation)
    constrained = constrain(network, sentences())
    held_out = sentences(99)
    wanted = network.logits(held_out).argmax(axis=1)
    assert (constrained.logits(held_out).argmax(axis=1) == wanted).mean() > 0.85


@pytest.mark.parametrize("clip", [0.8, float("inf")])
@pytest.mark.parametrize("alpha", [0.7, -0.7])
def test_a_line_with_or_without_bounds_keeps_most_answers(alpha: float, clip: float) -> None:
    network = replace(float_network(), activation="Affine", alpha=alpha, beta=0.1, clip=clip)
    constrained = constrain(network, sentences())
    held_out = sentences(99)
    wanted = network.logits(held_out).argmax(axis=1)
    assert (constrained.logits(held_out).argmax(axis=1) == wanted).mean() > 0.85


def test_levels_and_activities_stay_in_their_sixteen_levels() -> None:
    constrained = constrain(float_network(), sentences())
    assert constrained.levels.min() >= -8
    assert constrained.levels.max() <= 7
    assert constrained.readout_levels.min() >= -7
    assert constrained.readout_levels.max() <= 8
    activities = constrained.hidden(sentences(5))
    assert set(np.unique(activities)) <= set(range(16))
    assert set(np.unique(constrained.rounded_codes())) <= set(range(16))


def test_wide_inputs_are_projected_without_loss_where_the_lines_hold_the_hidden_rank() -> None:
    """W x has at most n_hidden dimensions: 100 components become 10 lines that carry all of it."""
    network = float_network(d=100)
    constrained = constrain(network, sentences(), max_lines=21)
    assert constrained.n_in == 10
    read = np.unique(np.concatenate(sentences()))
    W = constrained.levels[:, :10] * constrained.scale[:, None]
    carried = constrained.codes[read] @ W.T
    wanted = network.embedding[read] @ network.W.T
    # up to gain and offset of each unit, the projected lines carry the same drive
    for unit in range(10):
        assert np.corrcoef(carried[:, unit], wanted[:, unit])[0, 1] > 0.97


def test_the_projection_limit_is_kept() -> None:
    constrained = constrain(float_network(d=100), sentences(), max_lines=16)
    assert constrained.n_in == 5


def test_a_hidden_layer_that_leaves_no_line_is_refused() -> None:
    message = r"^network: 10 hidden units \+ 1 gate \+ 1 input, limit 11 lines$"
    with pytest.raises(ConstraintError, match=message):
        constrain(float_network(), sentences(), max_lines=11)


def test_silent_relu_units_do_not_break_the_calibration() -> None:
    network = float_network(activation="Relu")
    silent = replace(network, b=np.full(10, -100.0))
    constrained = constrain(silent, sentences())
    assert np.isfinite(constrained.scale).all()
    assert (constrained.hidden(sentences(5)) == 0).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), lines=st.integers(1, 40), spread=st.floats(0.01, 100))
def test_improved_levels_are_never_worse_than_plain_rounding(
    seed: int, lines: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, spread, (3, lines))
    activities = np.clip(rng.normal(5, 4, (200, lines)) @ rng.normal(size=(lines, lines)), 0, 15)
    levels, scale, shift = quantise_rows(matrix, activities, -8, 7)
    error = ((activities @ (matrix - scale[:, None] * levels).T - shift) ** 2).mean(axis=0)
    plain = np.abs(matrix).max(axis=1) / 7
    q = np.clip(np.round(matrix / plain[:, None]), -8, 7)
    left = matrix - plain[:, None] * q
    rounded = ((activities @ left.T - left @ activities.mean(axis=0)) ** 2).mean(axis=0)
    # the ridge, which counts silent lines as well, costs a little where plain rounding is already good
    assert (error <= rounded * 1.05 + 1e-9).all()
    assert levels.min() >= -8
    assert levels.max() <= 7
