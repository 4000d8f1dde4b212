"""Networks of the RANC simulator run spike for spike."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikewatch.simcore import ImageError, Simulator, pack_lines
from spikewatch.simcore._dispatch import kernels
from spikewatch.simcore.ranc import read_ranc

SHARED = Path(__file__).parents[3] / "shared" / "ranc"
NETWORKS = ("one_core_linear", "four_cores_mixed", "grid_absolute")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not on this machine")
@pytest.mark.parametrize("kernel", ["reference", *kernels()])
@pytest.mark.parametrize("name", NETWORKS)
def test_output_spikes_equal_those_of_ranc(name: str, kernel: str) -> None:
    network = read_ranc(SHARED / f"{name}.json.gz")
    outcome = Simulator(network.image, kernel).run(
        pack_lines(network.spikes), [0, len(network.spikes)], record=True
    )
    assert network.expected is not None
    assert network.expected.sum() > 1000
    assert outcome.raster is not None
    np.testing.assert_array_equal(network.expected, outcome.raster[: len(network.expected)])


def document() -> dict[str, Any]:
    """Make a network of two neurons: axon 0 fires neuron 0, which fires neuron 1 onto the bus two ticks later."""
    neuron = {
        "weights": [1, 0, 0, 0],
        "leak": 0,
        "positive_threshold": 1,
        "negative_threshold": 0,
        "reset_potential": 0,
        "reset_mode": 0,
        "current_potential": 0,
        "destination_core_offset": [0, 0],
        "destination_axon": 1,
        "destination_tick": 1,
    }
    to_bus = neuron | {"destination_core_offset": [0, 1], "destination_axon": 0}
    packet = {"destination_core": [0, 0], "destination_axon": 0, "destination_tick": 1}
    core = {
        "axons": [0, 0],
        "connections": [[1, 0], [0, 1]],
        "coordinates": [0, 0],
        "neurons": [neuron, to_bus],
    }
    network = {
        "packets": [[packet]],
        "output_bus": {"coordinates": [0, 1], "num_outputs": 1},
        "cores": [core],
    }
    # packet: tick 1; neuron 0: tick 1; neuron 1: tick 3; bus: row 4
    return {"network": network, "ticks": 6, "output": ["\ufeff0", "0", "0", "0", "1", "0"]}


def test_delays_and_the_bus_row_are_those_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "two.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document()).encode()))
    network = read_ranc(path)
    outcome = Simulator(network.image).run(pack_lines(network.spikes), [0, 6], record=True)
    assert outcome.raster is not None
    assert network.expected is not None
    assert network.expected[:, 0].tolist() == [0, 0, 0, 1, 0]
    assert outcome.raster[:, 0].tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negative_threshold": 3}, "core 0, neuron 0: negative_threshold 3, limit 0"),
        (
            {"destination_core_offset": [5, 5]},
            r"core 0, neuron 0: its target \[5, 5\] is neither core nor bus",
        ),
        ({"destination_tick": 15}, r"core 0, neuron 0: delay is 16, limits 1\.\.15"),
        ({"weights": [256, 0, 0, 0]}, r"core 0, neuron 0: weights\[0\] is 256, limits -255\.\.255"),
        ({"weights": "no"}, "not a RANC network: ValueError"),
    ],
)
def test_what_the_chip_cannot_do_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    broken = document()
    broken["network"]["cores"][0]["neurons"][0] |= change
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(ImageError, match=f"broken.json: {message}"):
        read_ranc(path)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\x1f\x8b", b"\xff\xfe", b"{" * 100_000])
def test_files_that_are_no_network_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.json: not a "):
        read_ranc(path)
