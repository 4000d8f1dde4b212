"""The program spikewatch-sim on published models, and its measurements."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from images import neuron

from spikewatch.registry import Registry
from spikewatch.simcore.chip._dispatch import kernels

if TYPE_CHECKING:
    from pathlib import Path

    from sim_support import Program

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class TestModels:
    """Published models by reference, found through the registry's entry point."""

    def test_inspect_run_plot_bench_and_convert_take_a_reference(
        self, program: Program, tmp_path: Path
    ) -> None:
        store = Registry.init(tmp_path / "models")
        files = {"core.safetensors": neuron(s0=1, threshold=2, reset_mode=1).to_bytes()}
        store.publish("mine", "1.0.0", files, created=CREATED, alias="production")
        ours = ("--registry", tmp_path / "models")
        (tmp_path / "in.txt").write_text("0 0\n1 0\n")
        given = ("--spikes", tmp_path / "in.txt")
        shown = program("inspect", "mine:production", *ours, "--json")[1]
        assert json.loads(shown)["format"] == "model"
        assert json.loads(shown)["synapses"] == 4
        shown = program("run", "mine:1.0.0", *ours, *given, "--json")[1]
        assert json.loads(shown)["output_lines"] == {"0": 1}
        copy = tmp_path / "copy.safetensors"
        assert program("convert-format", "mine:production", copy, *ours)[0] == 0
        assert copy.read_bytes() == files["core.safetensors"]
        shown = program("bench", "mine:1.0.0", *ours, *given, "--seconds", 0, "--json")[1]
        assert json.loads(shown)["network"] == "mine:1.0.0"
        pytest.importorskip("matplotlib", reason="matplotlib (extra [plot]) is not installed")
        out = tmp_path / "m.png"
        assert program("plot", "mine:1.0.0", *ours, *given, "--out", out)[0] == 0

    def test_without_a_registry_the_bundled_one_is_used(self, program: Program) -> None:
        code, shown, _ = program("inspect", "trec:production")
        assert code == 0
        assert shown.startswith("format          model\ncores           1\n")

    def test_a_file_of_that_name_goes_before_a_model(
        self, program: Program, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        counter.rename("trec:production")
        shown = program("inspect", "trec:production", "--json")[1]
        assert json.loads(shown)["format"] == "image"

    def test_a_damaged_model_and_one_without_a_core_are_one_line(
        self, program: Program, tmp_path: Path
    ) -> None:
        ours = ("--registry", tmp_path / "models")
        store = Registry.init(tmp_path / "models")
        store.publish("odd", "1.0.0", {"labels.json": b"[]"}, created=CREATED)
        store.publish("bad", "1.0.0", {"core.safetensors": b"no image at all"}, created=CREATED)
        code, _, message = program("inspect", "odd:1.0.0", *ours)
        assert (code, message.count("\n")) == (2, 1)
        assert message.startswith("spikewatch-sim: odd:1.0.0: ")
        assert "core.safetensors" in message
        code, _, message = program("inspect", "bad:1.0.0", *ours)
        assert (code, message.count("\n")) == (2, 1)
        assert message.startswith("spikewatch-sim: bad:1.0.0: not a safetensors file, or damaged: ")

    @pytest.mark.parametrize(
        "reference", ["trec:none", "none:production", "trec@sha256:12", "a:b:c"]
    )
    def test_what_no_registry_has_is_one_line(self, program: Program, reference: str) -> None:
        code, _, message = program("inspect", reference)
        assert (code, message.count("\n")) == (2, 1)
        start = f"spikewatch-sim: {reference}: no such file, and no registry has this model: "
        assert message.startswith(start)
        assert len(message) > len(start) + 1

    def test_without_any_registry_installed_it_says_so(
        self, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
        message = program("inspect", "trec:production")[2]
        assert message == (
            "spikewatch-sim: trec:production: no such file, and no model registry is installed"
            " (no entry point in the group spikewatch.models); install spikewatch, which brings one\n"
        )


class TestBench:
    def test_the_dense_core_is_measured_by_every_kernel_and_thread(self, program: Program) -> None:
        code, shown, _ = program(
            *("bench", "--ticks", 20, "--seconds", 0, "--json", "--threads", 1, "--threads", 2)
        )
        report = json.loads(shown)
        assert (code, report["network"], report["cores"], report["ticks"]) == (
            0,
            "dense core",
            1,
            20,
        )
        found = [(row["kernel"], row["threads"], row["runs"]) for row in report["measured"]]
        assert found == [(name, n, n) for name in kernels() for n in (1, 2)]
        for row in report["measured"]:
            assert row["real_time"] == pytest.approx(row["ticks_per_s"] / 1000)
            # all of 256 synapses of 51 axons
            assert row["events_per_s"] == pytest.approx(row["ticks_per_s"] * 51 * 256)
            assert row["repetitions"] == 3

    def test_a_classifier_is_measured_on_both_kernels(self, program: Program) -> None:
        shown = program(
            *("bench", "trec:production", "--kernel", "base", "--threads", 1, "--seconds", 0),
            *("--ticks", 30),
        )[1]
        rows = [line.split() for line in shown.splitlines()[3:]]
        assert [row[:-3] for row in rows] == [["base,", "derived", "1", "2048"], ["base", "1", "1"]]

    def test_given_spikes_are_run_and_missing_ones_are_made(
        self, program: Program, counter: Path, ranc: Path
    ) -> None:
        options = ("--kernel", "base", "--threads", 1, "--seconds", 0, "--json")
        given = json.loads(program("bench", ranc, *options)[1])
        # three input spikes in six ticks, one synapse each
        row = given["measured"][0]
        assert row["events_per_s"] / row["ticks_per_s"] == pytest.approx(3 / 6)
        made = json.loads(program("bench", counter, *options, "--rate", 1, "--ticks", 8)[1])
        row = made["measured"][0]
        assert row["events_per_s"] / row["ticks_per_s"] == pytest.approx(4)

    def test_an_unknown_kernel_is_refused_before_the_table_begins(self, program: Program) -> None:
        code, shown, message = program("bench", "--kernel", "base", "--kernel", "avx9")
        assert (code, shown) == (2, "")
        runs = ", ".join(kernels())
        assert message == f"spikewatch-sim: kernel 'avx9': this CPU runs {runs}\n"
