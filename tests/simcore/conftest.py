"""Fixtures: the program spikewatch-sim, and a small classifier."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from images import neuron
from support import tiny_model_files

from spikewatch.simcore import Classifier
from spikewatch.simcore.cli import main
from spikewatch.simcore.exchange.ranc_export import write_ranc

if TYPE_CHECKING:
    from pathlib import Path

    from sim_support import Program


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Return a function that runs the program and returns its exit code, stdout and stderr."""

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spikewatch-sim", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        return int(caught.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    """Save a neuron that fires at every second spike on line 0, its output on line 0."""
    path = tmp_path / "counter.safetensors"
    neuron(s0=1, threshold=2, reset_mode=1).save(path)
    return path


@pytest.fixture
def ranc(tmp_path: Path) -> Path:
    """Save the same neuron as a RANC network, with three input spikes and the output spike that they cause."""
    path = tmp_path / "counter.json"
    spikes = np.zeros((6, 4), dtype=np.uint8)
    spikes[[1, 2, 4], 0] = 1
    expected = np.zeros((6, 1), dtype=np.uint8)
    expected[2, 0] = 1
    write_ranc(neuron(s0=1, threshold=2, reset_mode=1), spikes, path, expected)
    return path


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.from_files(tiny_model_files())
