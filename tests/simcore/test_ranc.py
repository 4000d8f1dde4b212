"""Networks of the RANC simulator run spike for spike."""

from __future__ import annotations

import gzip
import json
import tempfile
import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import ranc_vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from images import images, neuron

from spikewatch.simcore import Coding, CoreImage, ImageError, Simulator, blank, pack_lines
from spikewatch.simcore.chip._dispatch import kernels
from spikewatch.simcore.exchange.ranc import LossyImport, read_ranc
from spikewatch.simcore.exchange.ranc_export import write_ranc

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(__file__).parents[3] / "shared" / "ranc"
VECTORS: dict[str, Any] = json.loads(ranc_vectors.FILE.read_text())
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


def test_the_simulator_s_own_input_file_is_read(tmp_path: Path) -> None:
    """RANC itself keeps network and configuration in two files."""
    path = tmp_path / "input.json"
    path.write_text(json.dumps(document()["network"]))
    network = read_ranc(path)
    assert (network.image.cores, network.spikes.shape, network.expected) == (1, (1, 1), None)


def test_coordinates_become_the_grid(tmp_path: Path) -> None:
    there = document()
    there["network"]["cores"][0]["coordinates"] = [300, 7]
    there["network"]["output_bus"]["coordinates"] = [300, 8]
    there["network"]["packets"][0][0]["destination_core"] = [300, 7]
    (tmp_path / "there.json").write_text(json.dumps(there))
    network = read_ranc(tmp_path / "there.json")
    assert network.image.grid is not None
    assert network.image.grid.tolist() == [[300, 7]]
    write_ranc(network.image, network.spikes, tmp_path / "again.json", network.expected)
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["network"]["cores"][0]["coordinates"] == [300, 7]
    assert again["network"]["output_bus"]["coordinates"] == [300, 8]
    assert again["config"]["num_cores_x"] == 301


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("", {"seed": 1}, "file: unknown field seed"),
        ("config", {"noise": 1}, "config: unknown field noise"),
        ("config", {"num_weights": 8}, "config: num_weights 8, only 4 is supported"),
        ("config", {"neuron_reset_type": 2}, r"config: neuron_reset_type is 2, limits 0\.\.1"),
        ("config", {"num_axons": 1}, r"core 0, neuron 0: destination_axon is 1, limits 0\.\.0"),
        ("config", {"max_tick_offset": 32}, "config: max_tick_offset 32, only 16 is supported"),
        ("network", {"links": []}, "network: unknown field links"),
        ("network/output_bus", {"rate": 2}, "output_bus: unknown field rate"),
        ("network/output_bus", {"num_outputs": 0}, "core 0, neuron 1: destination_axon is 0, lim"),
        (
            "network/output_bus",
            {"coordinates": [0, 0]},
            r"output_bus: coordinates \[0, 0\] are those",
        ),
        ("network/cores/0", {"name": "a"}, "core 0: unknown field name"),
        ("network/cores/0", {"axons": [0]}, "core 0: 1 axons and 2 neurons, but connections of 2"),
        ("network/cores/0", {"axons": [0, 4]}, r"core 0, axon 1: type is 4, limits 0\.\.3"),
        (
            "network/cores/0",
            {"connections": [[1], [0, 1]]},
            "core 0: the rows of connections have different",
        ),
        ("network/cores/0", {"connections": []}, "core 0: connections are not a table of 0 and 1"),
        ("network/packets/0/0", {"weight": 2}, "packet at tick 0: unknown field weight"),
        ("network/packets/0/0", {"destination_axon": 256}, "packet at tick 0: destination_axon is"),
        (
            "network/packets/0/0",
            {"destination_tick": 16},
            r"packet at tick 0: destination_tick is 16, limits 0\.\.15",
        ),
        (
            "network/packets/0/0",
            {"destination_core": [0, 1]},
            r"packet at tick 0: \[0, 1\] is the output bus",
        ),
        (
            "network/packets/0/0",
            {"destination_core": [4, 4]},
            r"packet at tick 0: no core at \[4, 4\]",
        ),
    ],
)
def test_what_is_not_understood_is_refused_and_never_dropped(
    tmp_path: Path, place: str, value: dict[str, Any], message: str
) -> None:
    broken = document() | {"config": {}}
    part: Any = broken
    for key in filter(None, place.split("/")):
        part = part[int(key) if isinstance(part, list) else key]
    part |= value
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(ImageError, match=f"broken.json: {message}"):
        read_ranc(tmp_path / "broken.json")


def test_two_cores_in_one_place_are_refused(tmp_path: Path) -> None:
    twice = document()
    twice["network"]["cores"] *= 2
    (tmp_path / "twice.json").write_text(json.dumps(twice))
    with pytest.raises(ImageError, match=r"core 1: coordinates \[0, 0\] are those of core 0$"):
        read_ranc(tmp_path / "twice.json")


def test_a_target_beyond_the_mesh_is_refused(tmp_path: Path) -> None:
    far = document()
    far["network"]["cores"].append(far["network"]["cores"][0] | {"coordinates": [256, 0]})
    first, second = far["network"]["cores"][1]["neurons"]
    there = {"destination_core_offset": [-256, 0]}
    far["network"]["cores"][1]["neurons"] = [first | there, second | there]
    (tmp_path / "far.json").write_text(json.dumps(far))
    with pytest.raises(
        ImageError,
        match=r"core 1, neuron 0: destination_core_offset\[0\] is -256, limits -255\.\.255$",
    ):
        read_ranc(tmp_path / "far.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"negative_threshold": 3},
            r"core 0, neuron 0: negative_threshold is 3, limits -262143\.\.0",
        ),
        (
            {"destination_core_offset": [5, 5]},
            r"core 0, neuron 0: no core or bus at its target \[5, 5\]",
        ),
        ({"destination_tick": 16}, r"core 0, neuron 0: destination_tick is 16, limits 0\.\.15"),
        ({"destination_tick": -1}, r"core 0, neuron 0: destination_tick is -1, limits 0\.\.15"),
        ({"weights": [256, 0, 0, 0]}, r"core 0, neuron 0: weights\[0\] is 256, limits -255\.\.255"),
        ({"weights": "no"}, "core 0, neuron 0: weights 'no', expected 4 numbers"),
        ({"leak": 1.5}, "core 0, neuron 0: leak is 1.5, not an integer"),
        ({"noise": 1}, "core 0, neuron 0: unknown field noise"),
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
def test_files_that_are_not_a_network_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.json: not a "):
        read_ranc(path)


@pytest.mark.parametrize("name", VECTORS)
def test_small_networks_give_the_spikes_that_ranc_itself_gives(name: str, tmp_path: Path) -> None:
    """RANC 08ae4bd made the outputs; `ranc_vectors.py` says how."""
    (tmp_path / "vector.json").write_text(json.dumps(VECTORS[name]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyImport)
        network = read_ranc(tmp_path / "vector.json")
    assert network.expected is not None
    raster = outputs(network.image, network.spikes)
    shown = np.minimum(raster, 1)[: len(network.expected)]
    np.testing.assert_array_equal(shown, network.expected)


def test_the_networks_of_the_vectors_are_those_of_the_script() -> None:
    """And the two types of reset differ, so that one cannot pass for the other."""
    made = ranc_vectors.networks()
    assert {
        name: each | {"output": VECTORS[name]["output"]} for name, each in made.items()
    } == VECTORS
    assert VECTORS["type 0, absolute"]["output"] != VECTORS["type 1, absolute"]["output"]


def test_what_ranc_drops_is_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "late.json").write_text(json.dumps(VECTORS["packets of tick 14 and 15"]))
    with pytest.warns(
        LossyImport,
        match="^packets with destination_tick 15 are dropped, as in RANC: 2 of them,"
        " the first: packet at tick 0$",
    ):
        network = read_ranc(tmp_path / "late.json")
    assert network.spikes.sum() == 1
    (tmp_path / "late.json").write_text(json.dumps(VECTORS["a neuron of tick 15"]))
    with pytest.warns(
        LossyImport,
        match="^neurons with destination_tick 15 drive nothing, as in RANC: 1 of them,"
        " the first: core 0, neuron 0$",
    ):
        network = read_ranc(tmp_path / "late.json")
    assert network.image.target_core[0, :2].tolist() == [-1, -2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"negative_threshold": -3, "reset_mode": 1, "leak": -1},
            "negative_threshold -3 with reset_mode 1 and neuron_reset_type 1: RANC resets it at -3,",
        ),
        (
            {"reset_potential": 2},
            "negative_threshold 0 with reset_potential 2 and neuron_reset_type 1: RANC resets it at 0,",
        ),
    ],
)
def test_a_reset_at_the_threshold_that_the_chip_cannot_do_is_refused(
    tmp_path: Path, change: dict[str, int], message: str
) -> None:
    broken = document() | {"config": {"neuron_reset_type": 1}}
    broken["network"]["cores"][0]["neurons"][1] |= change
    (tmp_path / "other.json").write_text(json.dumps(broken))
    with pytest.raises(ImageError, match=f"other.json: core 0, neuron 1: {message}"):
        read_ranc(tmp_path / "other.json")


def test_a_file_without_the_type_of_the_reset_is_read_with_a_warning_where_it_matters(
    tmp_path: Path,
) -> None:
    other = document()
    other["network"]["cores"][0]["neurons"][1] |= {"negative_threshold": -3, "leak": -1}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.warns(
        LossyImport, match="^the file has no config with neuron_reset_type, taken as 0"
    ):
        read_ranc(tmp_path / "other.json")


def test_numbers_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.json"
    path.write_text(json.dumps(document() | {"ticks": 6.5}))
    with pytest.raises(ImageError, match=r"half.json: ticks is 6\.5, not an integer"):
        read_ranc(path)
    half = document()
    half["network"]["cores"][0]["axons"] = [0, 0.5]
    path.write_text(json.dumps(half))
    with pytest.raises(
        ImageError, match=r"half.json: core 0, axon 1: type is 0\.5, not an integer"
    ):
        read_ranc(path)


def test_a_file_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text(json.dumps(document() | {"ticks": 10**13}))
    with pytest.raises(
        ImageError, match=r"10000000000000 ticks x 1 input lines, limits 0\.\.4194304 ticks"
    ):
        read_ranc(path)


def expressible(image: CoreImage) -> CoreImage:
    """Clear everything in an image that RANC's format cannot express."""
    nothing = np.zeros_like(image.kappa)
    lost = image.target_core == -1
    return replace(
        image,
        kappa=nothing,
        epsilon=np.where(image.leak == 0, image.epsilon, 0).astype(np.uint8),
        stochastic_leak=np.where(image.leak == 0, image.stochastic_leak, 0).astype(np.uint8),
        stochastic_weights=nothing,
        threshold_bits=nothing,
        reset_mode=image.reset_mode % 2,
        target_core=np.where(lost, 0, image.target_core).astype(np.int32),
    )


def outputs(image: CoreImage, spikes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    outcome = Simulator(image).run(pack_lines(spikes), [0, len(spikes)], record=True)
    assert outcome.raster is not None
    return outcome.raster


@settings(max_examples=8, deadline=None)
@given(images(most_cores=3), st.integers(0, 2**32 - 1))
def test_a_network_written_and_read_runs_to_equal_spikes(image: CoreImage, seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.choice(200 * 200, image.cores, replace=False).astype(np.int32)
    grid = np.stack(np.divmod(places, np.int32(200)), axis=1)
    image = replace(expressible(image), grid=grid)
    spikes = (rng.random((30, image.input_lines)) < 0.3).astype(np.uint8)
    expected = outputs(image, spikes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.json.gz"
        write_ranc(image, spikes, path, expected)
        network = read_ranc(path)
        again = Path(folder) / "again.json.gz"
        write_ranc(network.image, network.spikes, again, network.expected)
        same = again.read_bytes() == path.read_bytes()
    for field in fields(CoreImage):
        if field.name not in {"inputs", "epsilon", "stochastic_leak", "seed"}:
            wanted = getattr(image, field.name)
            np.testing.assert_array_equal(getattr(network.image, field.name), wanted)
    np.testing.assert_array_equal(outputs(network.image, network.spikes), expected)
    np.testing.assert_array_equal(network.expected, np.minimum(expected, 1)[:-1])
    assert same


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not on this machine")
@pytest.mark.parametrize("name", NETWORKS)
def test_ranc_s_own_files_survive_writing_and_reading(name: str, tmp_path: Path) -> None:
    network = read_ranc(SHARED / f"{name}.json.gz")
    write_ranc(network.image, network.spikes, tmp_path / "copy.json", network.expected)
    copy = read_ranc(tmp_path / "copy.json")
    assert network.expected is not None
    np.testing.assert_array_equal(copy.expected, network.expected)
    raster = outputs(copy.image, copy.spikes)
    np.testing.assert_array_equal(raster[: len(network.expected)], network.expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kappa": 1}, "kappa 1"),
        ({"epsilon": 1, "leak": -2}, "epsilon 1"),
        ({"reset_mode": 2}, "reset_mode 2"),
        ({"stochastic_weights": 4}, "stochastic_weights 4"),
        ({"stochastic_leak": 1, "leak": 9}, "stochastic_leak 1"),
        ({"threshold_bits": 3}, "threshold_bits 3"),
    ],
)
def test_what_the_format_cannot_express_is_refused_by_name(
    tmp_path: Path, fields: dict[str, int], message: str
) -> None:
    image = neuron(s0=1, threshold=1, **fields)
    with pytest.raises(
        ImageError, match=f"^core 0, neuron 0: RANC's format cannot express {message}$"
    ):
        write_ranc(image, np.zeros((1, 4), np.uint8), tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_a_firing_neuron_without_target_and_a_coding_are_refused(tmp_path: Path) -> None:
    arrays: dict[str, Any] = blank(1)
    arrays["leak"][0, 7] = 1
    with pytest.raises(
        ImageError, match="^core 0, neuron 7: RANC's format cannot express target_core -1$"
    ):
        write_ranc(CoreImage(**arrays), np.zeros((1, 0)), tmp_path / "x.json")
    coded = replace(neuron(), coding=Coding(ticks_per_step=1, word_lines=4))
    with pytest.raises(ImageError, match="^coding: RANC's format cannot express it$"):
        write_ranc(coded, np.zeros((1, 4)), tmp_path / "x.json")
