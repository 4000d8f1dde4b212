"""Model files of IBM's TrueNorth tools."""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import images, neuron

from spikewatch.simcore import Coding, CoreImage, ImageError, Simulator, pack_lines
from spikewatch.simcore.exchange.ibm import expand, read_ibm
from spikewatch.simcore.exchange.ibm_export import compress, write_ibm
from spikewatch.simcore.exchange.spikes import (
    axon_events,
    axon_raster,
    output_line,
    output_place,
    read_events,
    read_outputs,
    write_events,
    write_outputs,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(__file__).parents[3] / "shared" / "ibm"

TYPE = {
    **{f"sigma{g}": 1 for g in range(4)},
    **{f"s{g}": 0 for g in range(4)},
    **{f"b{g}": False for g in range(4)},
    "sigma_lambda": -1,
    "lambda": 0,
    "c_lambda": False,
    "epsilon": False,
    "alpha": 5,
    "beta": 9,
    "TM": 0,
    "gamma": 1,
    "kappa": False,
    "sigma_VR": 1,
    "VR": 0,
    "V": 0,
}


def row(synapses: str, kind: str = "S0") -> dict[str, str]:
    """Make a crossbar row that begins with the given bytes."""
    return {"type": kind, "synapses": f"{synapses} {'00 ' * 32}"[:95]}


def document() -> dict[str, Any]:
    """Make two neurons: 0 adds 3 for each spike on axon 0 and drives axon 1 of neuron 9, which leaves the chip.

    Bytes 80 and 00 40: the most significant bit of byte 0 is neuron 0, the second of byte 1 is neuron 9.
    """
    return {
        "model": {"coreCount": 1, "neuronclass": "NeuronGeneral", "crossbarSize": 256},
        "crossbarTypes": [
            {"name": "p", "crossbar": {"rows": [row("80"), row("00 40", "S2"), *[row("00")] * 254]}}
        ],
        "neuronTypes": [
            {"name": "N00000001", "class": "NeuronGeneral", **TYPE, "s0": 3},
            {"name": "N0000000A", **TYPE, "s2": 200, "sigma2": -1, "lambda": 201, "sigma_lambda": 1}
            | {"alpha": 201, "gamma": 0, "sigma_VR": -1, "VR": 3, "kappa": True, "beta": 4},
        ],
        "core": {
            "metadata": {"coreletClass": "example"},
            "id": 0,
            "timeScaleExponent": 0,
            "rngSeed": 4294967295,
            "neurons": {
                "dendrites": ["0:255"],
                "types": [1, "0x8", 10, "0x246"],
                "destCores": [0, "-1x8", -33, "-1x246"],
                "destAxons": [1, "0x8", 2, "0x246"],
                "destDelays": [15, "1x255"],
            },
            "crossbar": {"name": "p"},
        },
    }


def outputs(image: CoreImage, spikes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    outcome = Simulator(image).run(pack_lines(spikes), [0, len(spikes)], record=True)
    assert outcome.raster is not None
    return outcome.raster


def test_a_model_with_comments_runs_as_derived_by_hand(tmp_path: Path) -> None:
    """Follow both neurons by hand.

    Spikes with srcTime 0, 1, 2 arrive at axon 0 in ticks 1, 2, 3: neuron 0 holds 3, then 6 >= 5, so it fires in tick
    2 and keeps 1; 4 in tick 3, no more spikes.  Its spike reaches axon 1 in tick 17.  Neuron 9 leaks +201 a tick
    and fires at 201 in tick 0; then V = -(2^3 - 1) = -7, so -7 + 201 = 194 < 201 in tick 1; 395 in tick 2 fires, and so
    on: it fires in the even ticks.  In tick 17 it starts at -7 (it fired in 16), -7 - 200 + 201 = -6 < -4, and kappa
    makes it -4; in tick 18 it is 197, no spike; in tick 19 it is 398 and fires: from then on in the odd ticks.
    """
    model, spikes = tmp_path / "model.json", tmp_path / "in.sfti"
    text = json.dumps(document(), indent=1)
    model.write_text("/* a // comment */" + text.replace("\n", " // x /* y\n", 3))
    spikes.write_text(
        '{"class":"SpikeWriter","encoding":"TEXT","nscsVersion":"1.4.0"}\n'
        '   {"version":"sfti1.0", "defaultDestinationDelay" : 1}\n'
        + "".join(f'{{"spike":{{"srcTime":{t},"destCore":0,"destAxon":0}}}}\n' for t in (0, 1, 2))
    )
    image = read_ibm(model)
    raster = axon_raster(image, read_events(spikes), 24)
    assert raster[:, 0].nonzero()[0].tolist() == [1, 2, 3]
    fired = outputs(image, raster)
    assert np.unique(fired.nonzero()[1]).tolist() == [256 + 2]
    assert fired[:, 258].nonzero()[0].tolist() == [*range(0, 18, 2), 19, 21, 23]


def test_the_first_neuron_of_a_hex_byte_is_its_most_significant_bit(tmp_path: Path) -> None:
    """Read the diagonal as IBM's BootCampExample11 writes it: 80, 40, 20, ... 01, then 80 in the next byte."""
    diagonal = [row("00 " * (i // 8) + f"{0x80 >> i % 8:02X}") for i in range(256)]
    (tmp_path / "m.json").write_text(json.dumps(changed("crossbarTypes/0/crossbar/rows", diagonal)))
    image = read_ibm(tmp_path / "m.json")
    assert (image.synapses()[0] == np.eye(256, dtype=bool)).all()


@pytest.mark.parametrize("core", [-1, -2])
@pytest.mark.parametrize("axon", [-1, 0, 255])
def test_a_neuron_in_use_may_drive_nothing(tmp_path: Path, core: int, axon: int) -> None:
    """Neuron 0 of the example fires at tick 2, as before, and nothing reaches neuron 9, which keeps its rhythm."""
    neurons = document()["core"]["neurons"]
    neurons["destCores"][0], neurons["destAxons"][0] = core, axon
    (tmp_path / "m.json").write_text(json.dumps(changed("core/neurons", neurons)))
    image = read_ibm(tmp_path / "m.json")
    spikes = np.zeros((24, image.input_lines), dtype=np.uint8)
    spikes[1:4, 0] = 1
    outcome = Simulator(image).run(pack_lines(spikes), [0, 24], record=True)
    assert outcome.raster is not None
    assert outcome.raster[:, 258].nonzero()[0].tolist() == [*range(0, 24, 2)]
    assert outcome.spikes[0].tolist() == [3, 0, 12]


def test_neurons_without_target_are_written_as_ibm_s_tools_write_them(tmp_path: Path) -> None:
    """IBM's files have -2, -1 for a neuron in use, and -1, 0 for one that is not."""
    neurons = document()["core"]["neurons"]
    neurons["types"] = [1, 1, "0x7", 10, "0x246"]
    neurons["destCores"], neurons["destAxons"] = (
        [0, -2, "-1x7", -33, "-2x246"],
        [1, "-1:6", 2, "-1x246"],
    )
    (tmp_path / "m.json").write_text(json.dumps(changed("core/neurons", neurons)))
    image = read_ibm(tmp_path / "m.json")
    assert image.target_core[0, :11].tolist() == [0, *[-1] * 8, -2, -1]
    write_ibm(image, tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())["core"]["neurons"]
    assert again["destCores"] == [0, -2, "-1x7", -33, "-1x246"]
    assert again["destAxons"] == [1, -1, "0x7", 2, "0x246"]
    copy = read_ibm(tmp_path / "again.json")
    for field in fields(CoreImage):
        wanted = getattr(image, field.name)
        np.testing.assert_array_equal(getattr(copy, field.name), wanted, field.name)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not on this machine")
def test_the_genuine_sample_runs_as_plain_numpy_does() -> None:
    image = read_ibm(SHARED / "ex1.json")
    events = read_events(SHARED / "ex1_spikes.sfti")
    assert len(events) == 1324
    fired = outputs(image, axon_raster(image, events, 60))
    w = image.synapses()[0].astype(int)
    assert (image.weights[0, :200] == [1, 3, 2, 1]).all()
    assert int(w.sum(axis=0)[:200].min()) == 16
    V = np.zeros(256, dtype=int)
    for t in range(60):
        axons = events[events[:, 0] == t, 2]
        V += 3 * w[axons].sum(axis=0)
        spiking = np.arange(256) < 200
        spiking &= V >= 22
        V[spiking] -= 22
        np.testing.assert_array_equal(fired[t, :200], spiking[:200])
    assert int(fired.sum()) == 5396


@pytest.mark.parametrize(
    ("items", "values"),
    [
        (["1x4"], [1, 1, 1, 1]),
        (["0:3"], [0, 1, 2, 3]),
        (["231:4:255"], [231, 235, 239, 243, 247, 251, 255]),
        (["22:-1:20", 7, "-32x2"], [22, 21, 20, 7, -32, -32]),
        (["-59x7"], [-59] * 7),
        ([], []),
    ],
)
def test_run_length_lists_are_written_out(items: list[int | str], values: list[int]) -> None:
    assert expand(items, "list") == values


@given(st.lists(st.integers(-40, 40), max_size=256))
def test_compressed_lists_expand_to_themselves(values: list[int]) -> None:
    assert expand(compress(values), "list") == values


def writable(image: CoreImage) -> CoreImage:
    """Replace the resets that the format cannot express by ones that it can."""
    bits = np.vectorize(int.bit_length)(np.abs(image.reset).astype(object))
    expressible = np.sign(image.reset) * (2 ** bits.astype(np.int64) - 1)
    return replace(image, reset=expressible.astype(np.int32))


@settings(max_examples=8, deadline=None)
@given(images(most_cores=3), st.integers(0, 2**32 - 1))
def test_an_image_written_and_read_is_the_same_and_runs_to_equal_spikes(
    image: CoreImage, seed: int
) -> None:
    image = writable(image)
    rng = np.random.default_rng(seed)
    spikes = (rng.random((25, image.input_lines)) < 0.2).astype(np.uint8)
    spikes[0] = 0
    expected = outputs(image, spikes)
    with tempfile.TemporaryDirectory() as folder:
        model, sent, got = (Path(folder) / name for name in ("m.json", "in.sfti", "out.sfci"))
        write_ibm(image, model)
        write_events(sent, axon_events(image, spikes))
        write_outputs(got, expected)
        back = read_ibm(model)
        raster = axon_raster(back, read_events(sent), len(spikes))
        again = axon_raster(image, read_events(sent), len(spikes))
        stored = read_outputs(got, *expected.shape)
    for field in fields(CoreImage):
        if field.name != "inputs":
            np.testing.assert_array_equal(getattr(back, field.name), getattr(image, field.name))
    np.testing.assert_array_equal(outputs(back, raster), expected)
    np.testing.assert_array_equal(outputs(image, again), expected)
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize("line", [0, 255, 256, 2**20 - 1])
def test_output_lines_have_places_off_the_chip(line: int) -> None:
    assert output_line(*output_place(line)) == line
    assert output_place(line)[0] <= -32


def changed(path: str, value: Any) -> dict[str, Any]:
    """Change one place of the document, given by its keys."""
    broken = document()
    *keys, last = path.split("/")
    place: Any = broken
    for key in keys:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return broken


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model/coreCount", 2, "model: coreCount 2, but the file has 1 cores"),
        ("model/networking", "EXTRA", "model: networking 'EXTRA', only INTRA is supported"),
        ("model/clock", 1, "model: unknown field clock"),
        ("extra", 1, "model file: unknown field extra"),
        ("core/id", 1, r"cores: the ids are not 0\.\.0, each once"),
        ("core/timeScaleExponent", 2, "core 0: timeScaleExponent 2, only 0 is supported"),
        ("core/rngSeed", -1, r"core 0: rngSeed -1, limits 0\.\.4294967295"),
        ("core/noise", 1, "core 0: unknown field noise"),
        ("core/crossbar/name", "q", "core 0: crossbar 'q' is not in crossbarTypes"),
        ("core/neurons", [], "core 0: neurons is not an object of run-length lists"),
        ("core/neurons/types", ["7x256"], "core 0, neuron 0: type 7 is not in neuronTypes"),
        ("core/neurons/types", ["1x9999"], "core 0, types: more than 256 values"),
        ("core/neurons/types", ["0:999999999"], "core 0, types: more than 256 values"),
        ("core/neurons/types", ["0:0:9"], "core 0, types: a range with step 0"),
        ("core/neurons/types", ["one"], "core 0, types: 'one' is not a number, run or range"),
        ("core/neurons/types", [1], "core 0: 1 types, but 256 dendrites"),
        ("core/neurons/dendrites", ["0x256"], "core 0: dendrites are not distinct numbers"),
        (
            "core/neurons/destCores",
            ["-5x256"],
            "core 0, neuron 0: destCore -5, expected a core, -1 or -2 \\(nowhere\\)",
        ),
        (
            "core/neurons/destAxons",
            [-1, "0x8", 2, "0x246"],
            r"core 0, neuron 0: destAxon -1, limits 0\.\.255",
        ),
        (
            "core/neurons/destAxons",
            ["0x9", -1, "0x246"],
            r"core 0, neuron 9: destAxon -1, limits 0\.\.255",
        ),
        (
            "core/neurons/destAxons",
            [0, "-2x8", 2, "0x246"],
            r"core 0, neuron 1: destAxon -2, limits -1\.\.255",
        ),
        (
            "core/neurons/destCores",
            [4, "-1x8", -33, "-1x246"],
            r"neuron 0: destCore 4, limits -4127\.\.0",
        ),
        ("core/neurons/destAxons", ["256x256"], r"core 0, neuron 0: destAxon 256, limits 0\.\.255"),
        ("core/neurons/destDelays", ["16x256"], r"core 0, neuron 0: destDelay 16, limits 1\.\.15"),
        ("neuronTypes/0/s0", 256, r"neuron type N00000001: s0 256, limits 0\.\.255"),
        ("neuronTypes/0/sigma0", 0, "neuron type N00000001: sigma0 0, expected 1 or -1"),
        ("neuronTypes/0/alpha", 2**18, r"neuron type N00000001: alpha 262144, limits 0\.\.262143"),
        ("neuronTypes/0/beta", None, "neuron type N00000001: beta None"),
        ("neuronTypes/0/TM", 16, r"neuron type N00000001: TM 16, limits 0\.\.15"),
        ("neuronTypes/0/VR", 20, r"neuron type N00000001: VR 20, limits 0\.\.19"),
        ("neuronTypes/0/gamma", 1.0, r"neuron type N00000001: gamma 1\.0, limits 0\.\.2"),
        (
            "neuronTypes/0/class",
            "Other",
            "neuron type N00000001: class 'Other', only NeuronGeneral",
        ),
        ("neuronTypes/0/name", "one", "neuronTypes: name 'one', expected N and 8"),
        ("neuronTypes/0/name", "N0000000A", "neuronTypes: duplicate name N0000000A"),
        ("neuronTypes/0/rate", 1, "neuron type N00000001: unknown field rate"),
        (
            "crossbarTypes/0/crossbar/rows/1/type",
            "S4",
            r"crossbar p, row 1: type 'S4', limits S0\.\.S3",
        ),
        (
            "crossbarTypes/0/crossbar/rows/1/synapses",
            "80",
            "crossbar p, row 1: synapses are not 32",
        ),
        ("crossbarTypes/0/crossbar/rows", [], "crossbar p: 0 rows, expected 256"),
        ("core/neurons/types", 5, "not an IBM model: TypeError"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(
    tmp_path: Path, path: str, value: Any, message: str
) -> None:
    file = tmp_path / "m.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(ImageError, match=message) as caught:
        read_ibm(file)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a JSON document: "),
        ("[]", "not a JSON object$"),
        ("{" * 100_000, "not a JSON document: "),
        ("/*" * 100_000, "not a JSON document: "),
        ('"' * 99_999, "not a JSON document: "),
        ('{"a":1,"a":1}', "duplicate key a$"),
    ],
    ids=["empty", "list", "nested", "comments", "quotes", "duplicate"],
)
def test_files_that_are_not_a_model_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ImageError, match=f"bad.json: {message}"):
        read_ibm(tmp_path / "bad.json")


def test_what_the_format_cannot_express_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError,
        match=r"^core 0, neuron 0: IBM's format cannot express reset 5, only \+-\(2\^VR - 1\)$",
    ):
        write_ibm(neuron(reset=5), tmp_path / "m.json")
    coded = replace(neuron(), coding=Coding(ticks_per_step=1, word_lines=4))
    with pytest.raises(ImageError, match="^coding: IBM's format cannot express it$"):
        write_ibm(coded, tmp_path / "m.json")
