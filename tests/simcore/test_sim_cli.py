"""The program `spikewatch-sim`, as its users call it."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import ranc_vectors
from images import neuron

from spikewatch.simcore import Coding, CoreImage
from spikewatch.simcore.exchange.ranc import read_ranc
from spikewatch.simcore.program import inspection
from spikewatch.simcore.program.inspection import inspect, picture
from spikewatch.simcore.program.trace import trace

if TYPE_CHECKING:
    from sim_support import Program

VECTORS = json.loads(ranc_vectors.FILE.read_text())
SHARED = Path(__file__).parents[3] / "shared"
RANC = sorted((SHARED / "ranc").glob("*.json.gz"))
needs_shared = pytest.mark.skipif(not RANC, reason=f"{SHARED} is not on this machine")


def test_run_prints_spikes_and_energy_and_writes_output(
    program: Program, counter: Path, tmp_path: Path
) -> None:
    spikes = tmp_path / "in.txt"
    spikes.write_text("# tick line\n0 0\n3 0\n3 1\n5 0\n6 0\n")
    code, shown, _ = program("run", counter, "--spikes", spikes, "--out", tmp_path / "out.sfci")
    assert code == 0
    assert shown.splitlines() == [
        "22 ticks, spikes 5 input, 0 hidden, 2 output, 5 synaptic events",
        "estimated for the chip (paper): 17.09 uW, 0.376 uJ",
        "estimated for the chip (static_marginal): 15.73 uW, 0.346 uJ",
        "output spikes by line: 0:2",
    ]
    assert (tmp_path / "out.sfci").read_text().splitlines()[2:] == [
        '{"spike":{"srcTime":3,"destCore":-32,"destAxon":0}}',
        '{"spike":{"srcTime":6,"destCore":-32,"destAxon":0}}',
    ]


def test_run_as_json_with_traces_and_a_given_length(
    program: Program, counter: Path, tmp_path: Path
) -> None:
    spikes, out = tmp_path / "in.sfti", tmp_path / "out.txt"
    spikes.write_text('{"spike":{"srcTime":0,"destCore":0,"destAxon":0}}\n' * 2)
    code, shown, _ = program(
        *("run", counter, "--spikes", spikes, "--ticks", 3, "--out", out),
        *("--trace", "0:0", "--trace", "0:9", "--json"),
    )
    report = json.loads(shown)
    assert code == 0
    assert report["ticks"] == 3
    assert report["spikes"] == {"input": 1, "hidden": 0, "output": 0}
    assert report["output_lines"] == {}
    assert report["trace"] == {"0:0": [0, 1, 1], "0:9": [0, 0, 0]}
    assert set(report["energy_uj"]) == {"paper", "static_marginal"}
    assert out.read_text() == "# tick line\n"


def test_trace_in_text_is_a_table(program: Program, ranc: Path) -> None:
    _, shown, _ = program("run", ranc, "--trace", "0:0", "--ticks", 5)
    assert [line.split() for line in shown.splitlines()[-6:]] == [
        ["tick", "0:0"],
        *([str(t), str(v)] for t, v in enumerate([0, 1, 0, 0, 1])),
    ]


def test_check_passes_on_equal_spikes(program: Program, ranc: Path) -> None:
    code, shown, _ = program("run", ranc, "--check")
    assert code == 0
    assert shown.splitlines()[-1] == "equal to the file's output"


def test_spikes_that_ranc_drops_are_dropped_in_one_line(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "late.json"
    path.write_text(json.dumps(VECTORS["packets of tick 14 and 15"]))
    code, shown, line = program("run", path, "--check")
    assert (code, shown.splitlines()[-1]) == (0, "equal to the file's output")
    assert line == (
        "spikewatch-sim: packets with destination_tick 15 are dropped, as in RANC: 2 of them,"
        " the first: packet at tick 0\n"
    )


def test_check_names_the_first_difference(program: Program, ranc: Path) -> None:
    document = json.loads(ranc.read_text())
    document["output"][5] = "1"
    ranc.write_text(json.dumps(document))
    code, shown, _ = program("run", ranc, "--check")
    assert code == 1
    assert shown.splitlines()[-1] == ("first difference: tick 4, line 0: 0 here, 1 in the file")
    code, shown, _ = program("run", ranc, "--check", "--json")
    assert (code, json.loads(shown)["difference"]) == (
        1,
        {"tick": 4, "line": 0, "here": 0, "file": 1},
    )


@needs_shared
@pytest.mark.parametrize("path", RANC, ids=lambda path: path.name)
def test_the_files_of_ranc_run_and_equal_their_output(program: Program, path: Path) -> None:
    code, shown, _ = program("run", path, "--check")
    assert (code, shown.splitlines()[-1]) == (0, "equal to the file's output")


@needs_shared
def test_the_files_of_ibm_run_and_survive_conversion(program: Program, tmp_path: Path) -> None:
    model, spikes = SHARED / "ibm" / "ex1.json", SHARED / "ibm" / "ex1_spikes.sfti"
    outputs = []
    for name in ("a.safetensors", "b.json"):
        copy = tmp_path / name
        to = ("--to", "ibm") if name == "b.json" else ()
        assert program("convert-format", model, copy, "--spikes", spikes, *to)[0] == 0
        given = tmp_path / ("b.sfti" if to else "a.txt")
        out = tmp_path / f"{name}.sfci"
        assert program("run", copy, "--spikes", given, "--out", out)[0] == 0
        outputs.append(out.read_bytes())
    assert program("run", model, "--spikes", spikes, "--out", tmp_path / "o.sfci")[0] == 0
    assert outputs == [(tmp_path / "o.sfci").read_bytes()] * 2
    assert outputs[0].count(b"srcTime") == 5396


@needs_shared
def test_the_examples_of_the_docs_run(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra [plot]) is not installed")
    (tmp_path / "shared").symlink_to(SHARED)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text()
    examples = re.findall(r"^spikewatch-sim (.*)", text.partition("\nExamples")[2], re.MULTILINE)
    assert len(examples) == 7
    for line in examples:
        assert program(*line.split())[0] == 0, line
    assert {p.name for p in Path().iterdir()} == {
        *("ex1_out.sfci", "ex1.png", "ex1.safetensors", "ex1.txt")
    }


def test_inspect_shows_use_copies_and_a_crossbar(program: Program, counter: Path) -> None:
    code, shown, _ = program("inspect", counter, "--core", 0)
    assert code == 0
    lines = shown.splitlines()
    assert lines[:5] == [
        "format          image",
        "cores           1",
        "axons used      4 of 256",
        "neurons used    1 of 256",
        "  copies        0",
    ]
    # four axons of the first neuron: the left dots of one character
    assert lines[-3:] == ["   axon + neurons 0..3 +", "      0 |⡇ |", "      3 +--+"]
    assert "weight                             1      255      0.4" in lines
    assert max(map(len, lines)) <= 100


def test_inspect_as_json_and_with_a_coding(program: Program, tmp_path: Path) -> None:
    image = replace(neuron(), coding=Coding(ticks_per_step=15, word_lines=4, gate_line=5))
    image.save(tmp_path / "m.safetensors")
    code, shown, _ = program("inspect", tmp_path / "m.safetensors", "--json")
    found = json.loads(shown)
    assert code == 0
    assert (found["format"], found["cores"], found["synapses"]) == ("image", 1, 4)
    assert found["use"]["delay"] == {"used": 1, "limit": 15}
    assert "drain steps 1, gate line 5" in program("inspect", tmp_path / "m.safetensors")[1]


def test_copies_are_neurons_that_only_send_elsewhere() -> None:
    image = neuron(s0=1, threshold=2)
    crossbar, weights = image.crossbar.copy(), image.weights.copy()
    crossbar[0, :4, 0] = 0b111
    weights[0, :3] = weights[0, 0]
    targets = image.target_core.copy()
    targets[0, 1:4] = 0
    threshold = image.threshold.copy()
    threshold[0, :3] = 2
    copied = replace(
        image, crossbar=crossbar, weights=weights, target_core=targets, threshold=threshold
    )
    assert inspect(copied).copies == 2
    noisy = image.stochastic_leak.copy()
    noisy[0, 1] = 1
    found = inspect(replace(copied, stochastic_leak=noisy))
    assert (found.copies, found.stochastic) == (1, 1)


def test_a_picture_fits_its_room_and_shows_every_synapse_or_the_densest_blocks() -> None:
    image = neuron()
    crossbar = image.crossbar.copy()
    crossbar[0, :4] = 0
    crossbar[0, 0, 31] = 0x80
    crossbar[0, 255, 31] = 0x40
    sparse = replace(image, crossbar=crossbar)
    exact = picture(sparse, 0, columns=138).splitlines()
    assert exact[0] == "core 0: 2 synapses; a dot is a synapse"
    assert [len(line) for line in exact[1:]] == [138] * 66
    assert exact[2] == "      0 |" + " " * 127 + "⠈|"
    assert exact[-2].endswith("|" + " " * 127 + "⡀|")
    coarse = picture(sparse, 0, columns=80).splitlines()
    assert coarse[0].endswith("a dot is 2 x 2 synapses, 1 or more set")
    assert max(map(len, coarse)) <= 80
    assert coarse[2].endswith(" ⠈|")
    crossbar[0, 128:] = 255
    half = picture(replace(image, crossbar=crossbar), 0, columns=80).splitlines()
    assert half[2].endswith("|" + " " * 64 + "|")
    assert half[-2].endswith("|" + "⣿" * 64 + "|")


def test_inspect_draws_one_core_of_many(program: Program, ranc: Path) -> None:
    document = json.loads(ranc.read_text())
    document["network"]["cores"].append(document["network"]["cores"][0] | {"coordinates": [9, 0]})
    document["network"]["output_bus"]["coordinates"] = [0, 0]
    for core, place in zip(document["network"]["cores"], ([0, 1], [9, 1]), strict=True):
        core["coordinates"] = place
        core["neurons"] = [n | {"destination_core_offset": [0, 0]} for n in core["neurons"]]
    document["network"]["cores"][1]["neurons"][0]["destination_core_offset"] = [-9, 0]
    document["network"]["packets"] = []
    document.pop("output")
    ranc.write_text(json.dumps(document))
    shown = program("inspect", ranc, "--core", 1)[1]
    assert "core 1: 4 synapses" in shown
    assert shown.splitlines()[-1] == "one of 2 cores; --core N draws another"
    assert "hops in x                          9      255      3.5" in shown


def test_a_terminal_without_braille_shows_the_rest(
    program: Program, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", plain)
    assert program("inspect", counter)[0] == 0
    plain.seek(0)
    assert "      0 |? |" in plain.read()


def test_trace_holds_potentials_after_each_tick() -> None:
    image = neuron(s0=3, threshold=5, reset_mode=1, leak=-1, neg_threshold=2)
    spikes = np.array([[1, 0, 0, 0]] * 3 + [[0, 0, 0, 0]] * 2)
    assert trace(image, spikes, [(0, 0)]).tolist() == [[2], [4], [1], [0], [-1]]


def test_ranc_converts_to_an_image_and_its_spikes(
    program: Program, ranc: Path, tmp_path: Path
) -> None:
    code, shown, printed = program("convert-format", ranc, tmp_path / "x.safetensors")
    assert code == 0
    assert shown.split() == [str(tmp_path / "x.safetensors"), str(tmp_path / "x.txt")]
    assert "left out: the output spikes that the file has for comparison" in printed
    run = program("run", tmp_path / "x.safetensors", "--spikes", tmp_path / "x.txt", "--json")
    assert json.loads(run[1])["output_lines"] == {"0": 1}


def test_an_image_converts_to_every_format(program: Program, counter: Path, tmp_path: Path) -> None:
    replace(CoreImage.load(counter), coding=Coding(ticks_per_step=15, word_lines=4)).save(counter)
    for name, to in (("a.json", "ranc"), ("b.json", "ibm"), ("c.json.gz", None)):
        option = ("--to", to) if to else ()
        code, shown, printed = program("convert-format", counter, tmp_path / name, *option)
        assert (code, shown.strip()) == (0, str(tmp_path / name))
        assert "left out: the coding: how questions are presented" in printed
        assert "left out: the numbers of the input lines" in printed
    assert read_ranc(tmp_path / "c.json.gz").image.threshold[0, 0] == 2
    code, shown, _ = program("inspect", tmp_path / "b.json", "--json")
    assert json.loads(shown)["format"] == "ibm"


def test_an_image_converts_to_nir(program: Program, counter: Path, tmp_path: Path) -> None:
    pytest.importorskip("nir", reason="the package nir (extra [nir]) is not installed")
    code, _, printed = program("convert-format", counter, tmp_path / "x.nir")
    assert code == 0
    assert "spikewatch-sim: NIR cannot express\n  bit widths" in printed
    assert (tmp_path / "x.nir").stat().st_size > 0


def test_plot_draws_every_spike_and_the_membranes(
    program: Program, ranc: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra [plot]) is not installed")
    out = tmp_path / "raster.svg"
    code, shown, _ = program("plot", ranc, "--out", out, "--trace", "0:0", "--trace", "0:9")
    assert (code, shown.strip()) == (0, str(out))
    drawn = out.read_text()
    assert drawn.startswith("<?xml")
    rasters = re.findall(r'<g id="LineCollection_\d+">(.*?)</g>', drawn, re.DOTALL)
    assert [raster.count("<path") for raster in rasters] == [3, 1]  # input and output spikes
    assert drawn.count('<g id="axes_') == 3
    assert "<!-- 0:0 -->" in drawn  # the legend of the membranes
    assert "<!-- 0:9 -->" in drawn


def test_plot_writes_a_png_that_is_not_blank(program: Program, ranc: Path, tmp_path: Path) -> None:
    image = pytest.importorskip(
        "matplotlib.image", reason="matplotlib (extra [plot]) is not installed"
    )
    out = tmp_path / "raster.png"
    code, shown, _ = program("plot", ranc, "--out", out)
    assert (code, shown.strip()) == (0, str(out))
    assert out.read_bytes().startswith(b"\x89PNG")
    assert image.imread(out)[:, :, :3].min() == 0  # black strokes


def test_a_network_too_large_for_the_machine_is_one_line(
    program: Program, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(_: object) -> None:
        raise MemoryError("Unable to allocate 3.00 GiB")

    monkeypatch.setattr(inspection, "inspect", exhausted)
    assert program("inspect", counter) == (
        2,
        "",
        "spikewatch-sim: out of memory: Unable to allocate 3.00 GiB\n",
    )


def test_plot_without_matplotlib_names_the_extra(
    program: Program, ranc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, printed = program("plot", ranc, "--out", tmp_path / "x.png")
    assert (code, printed) == (
        2,
        "spikewatch-sim: plots need matplotlib: install it with `pip install spikewatch[plot]`\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "none.safetensors"], "none.safetensors: No such file or directory"),
        (["inspect", "none.json"], "none.json: No such file or directory"),
        (["inspect", "IMAGE", "--core", "4"], "core 4: limits 0..0"),
        (["bench", "--ticks", "0"], "--ticks 0: nothing to measure, give at least 1"),
        (
            ["bench", "--spikes", "s.txt"],
            "--spikes s.txt: needs a network; name one, or drop --spikes",
        ),
        (["bench", "IMAGE", "--kernel", "gpu"], "kernel 'gpu': this CPU runs "),
        (
            ["run", "IMAGE"],
            "IMAGE: has no input spikes; give a spike file (--spikes) or a number of ticks (--ticks)",
        ),
        (
            ["run", "IMAGE", "--ticks", "9", "--check"],
            "IMAGE: has no output spikes to compare with",
        ),
        (["run", "IMAGE", "--ticks", "9", "--trace", "7"], "--trace 7: expected CORE:NEURON"),
        (["run", "IMAGE", "--ticks", "9", "--trace", "7:0"], "trace 7:0: limits core 0..0, neuron"),
        (["run", "IMAGE", "--spikes", "none.txt"], "none.txt: No such file or directory"),
        (
            ["run", "IMAGE", "--ticks", "1000000000"],
            "1000000000 ticks x 4 lines, limits 0..4194304",
        ),
        (["run", "IMAGE", "--ticks", "1", "--out", "no/x.txt"], "no/x.txt: No such file"),
        (["convert-format", "IMAGE", "x.json"], "x.json: the suffix does not determine the format"),
        (["convert-format", "IMAGE", "x", "--to", "xml"], "--to xml: expected image, ranc, ibm"),
        (
            ["convert-format", "KAPPA", "x.json.gz"],
            "core 0, neuron 0: RANC's format cannot express kappa 1",
        ),
        (
            ["plot", "IMAGE", "--ticks", "9", "--out", "x.pdf"],
            "x.pdf: unknown picture format, expected a name",
        ),
    ],
)
def test_errors_are_one_line_and_exit_code_2(
    program: Program,
    counter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    counter.rename("IMAGE")
    neuron(kappa=1).save(Path("KAPPA"))
    code, _, printed = program(*arguments)
    assert code == 2
    (line,) = printed.splitlines()
    assert line.startswith(f"spikewatch-sim: {message}")
    assert not list(tmp_path.glob("x*"))
