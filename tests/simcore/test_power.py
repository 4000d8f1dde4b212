"""The published figures come out of the power model."""

from __future__ import annotations

import numpy as np
import pytest

from spikewatch.simcore import estimate


def test_one_core_takes_the_papers_17_uw() -> None:
    assert estimate(cores=1, ticks=1000, synaptic_events=0).paper_uw == pytest.approx(
        17.09, abs=0.005
    )


def test_three_cores_take_the_companion_papers_51_uw() -> None:
    assert estimate(cores=3, ticks=1000, synaptic_events=0).paper_uw == pytest.approx(
        51.3, abs=0.05
    )


def test_method_b_agrees_at_the_published_operating_point() -> None:
    """256 neurons at 20 Hz with 128 synapses each: 655,360 synaptic events a second."""
    energy = estimate(cores=1, ticks=1000, synaptic_events=256 * 20 * 128)
    assert energy.marginal_uw == pytest.approx(17.24, abs=0.005)
    assert energy.marginal_uj == pytest.approx(17.24, abs=0.005)


def test_energy_is_power_times_ticks_of_one_ms() -> None:
    energy = estimate(cores=1, ticks=150, synaptic_events=0)
    assert energy.paper_uj == pytest.approx(17.0898 * 0.150, rel=1e-4)


def test_arrays_give_arrays_and_no_ticks_take_no_energy() -> None:
    energy = estimate(cores=1, ticks=np.array([0, 150]), synaptic_events=np.array([0, 800_000]))
    assert energy.energy_uj["static_marginal"].tolist() == pytest.approx(
        [0.0, 2.3595 + 1.8376], rel=1e-4
    )
    assert energy.power_uw["paper"].shape == (2,)
