"""NIR export: the graph, run by NIR's own equations, and the list of what NIR cannot express."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import images, neuron

from spikewatch.simcore import CoreImage, SimcoreError, Simulator, blank, limits, pack_lines
from spikewatch.simcore.exchange import nir_export
from spikewatch.simcore.exchange.nir_export import LossyExport, losses, to_nir, write_nir

nir: Any = pytest.importorskip("nir", reason="the package nir (extra [nir]) is not installed")
from nir_executor import run_graph  # noqa: E402 - it imports nir


def chain() -> CoreImage:
    """Make two cores: line 0 drives neuron 0 of core 0, which after 3 ticks drives neuron 5 of core 1, line 2."""
    arrays: dict[str, Any] = blank(2)
    arrays["crossbar"][0, 4, 0] = 1
    arrays["crossbar"][1, 9, 0] = 1 << 5
    arrays["axon_type"][1, 9] = 3
    arrays["weights"][0, 0, 0] = 7
    arrays["weights"][1, 5, 3] = 2
    arrays["threshold"][0, 0], arrays["threshold"][1, 5] = 14, 2
    arrays["target_core"][0, 0], arrays["target_axon"][0, 0] = 1, 9
    arrays["delay"][0, 0] = 3
    arrays["target_core"][1, 5], arrays["target_axon"][1, 5] = -2, 2
    arrays["inputs"] = np.array([[0, 0, 4]], dtype=np.int32)
    arrays["outputs"] = np.array([[1, 5, 2]], dtype=np.int32)
    return CoreImage(**arrays)


def sayable(image: CoreImage) -> CoreImage:
    """Clear what NIR cannot express, keep one source of each axon, and weaken neurons so that none saturates."""
    none = np.zeros_like(image.kappa)
    image = replace(
        image,
        weights=image.weights % 8 * np.sign(image.weights),
        leak=image.leak % 16 * np.sign(image.leak),
        reset_mode=none,
        kappa=none,
        epsilon=none,
        stochastic_weights=none,
        stochastic_leak=none,
        threshold_bits=none,
        neg_threshold=np.full_like(image.neg_threshold, limits.THRESHOLD_MAX),
        # from below the negative threshold, the chip would go to minus the reset
        reset=np.maximum(image.reset, -limits.THRESHOLD_MAX // 2),
        potential=np.zeros_like(image.potential),
    )
    _, first = np.unique(image.inputs[:, 1:], axis=0, return_index=True)
    inputs = image.inputs[np.sort(first)]
    driven = {(core, axon) for _, core, axon in inputs.tolist()}
    core, axon = image.target_core.copy(), image.target_axon.copy()
    for c, j in np.argwhere(core >= 0):
        place = int(core[c, j]), int(axon[c, j])
        if place in driven:
            core[c, j], axon[c, j] = -1, 0
        driven.add(place)
    return replace(image, inputs=inputs, target_core=core, target_axon=axon)


def test_a_graph_within_what_nir_can_express_gives_the_same_spikes(tmp_path: Path) -> None:
    image = chain()
    with pytest.warns(LossyExport):
        write_nir(image, tmp_path / "chain.nir")
    graph = nir.read(tmp_path / "chain.nir")
    spikes = np.array([[1], [1], [0], [1], [1], [0], [0], [0], [0], [0]], dtype=np.uint8)
    outcome = Simulator(image, "reference").run(pack_lines(spikes), [0, 10], record=True)
    assert outcome.raster is not None
    assert outcome.raster[:, 2].tolist() == [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    np.testing.assert_array_equal(run_graph(graph, spikes), outcome.raster)


def test_a_graph_has_one_input_and_one_output_even_if_nothing_leaves_the_chip() -> None:
    """Package nir gives each node that leads nowhere an output of its own, and one without a source an input."""
    silent = replace(chain(), outputs=np.zeros((0, 3), np.int32))
    silent.target_core[1, 5], silent.target_axon[1, 5] = 0, 0
    for image in (chain(), silent, CoreImage(**blank(3))):
        with pytest.warns(LossyExport):
            graph = to_nir(image)
        assert [*graph.input_type, *graph.output_type] == ["input", "output"]
        shown = run_graph(graph, np.ones((9, max(1, image.input_lines)), np.uint8))
        assert shown.sum() == (3 if len(image.outputs) else 0)


def test_the_warning_lists_what_nir_cannot_express() -> None:
    image = neuron(kappa=1, epsilon=1, leak=-3, reset_mode=1, stochastic_weights=5, potential=4)
    with pytest.warns(LossyExport, match="integer semantics") as caught:
        to_nir(image)
    text = str(caught[0].message)
    for item in (
        "bit widths",
        "reset_mode 1 (linear), written as a reset to 0: 1 neurons",
        "neg_threshold: 1 neurons",
        "kappa (saturation at the negative threshold): 1 neurons",
        "epsilon (leak reversal), written as a constant leak: 1 neurons",
        "stochastic_weights, written as certain: 1 neurons",
        "potential (initial state): 1 neurons",
    ):
        assert item in text
    assert "reset_mode 2" not in text
    assert not [item for item in losses(chain()) if "neurons" in item]


@settings(max_examples=10, deadline=None)
@given(images(most_cores=3), st.integers(0, 2**32 - 1))
def test_every_image_within_what_nir_can_express_gives_the_same_spikes(
    image: CoreImage, seed: int
) -> None:
    image = sayable(image)
    assert not [item for item in losses(image) if "axons with" in item]
    assert {item.partition(":")[0] for item in losses(image) if "neurons" in item} <= {
        "neg_threshold"
    }
    rng = np.random.default_rng(seed)
    spikes = (rng.random((30, image.input_lines)) < rng.choice([0.1, 0.6])).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyExport)
        write_nir(image, Path(folder) / "image.nir")
        graph = nir.read(Path(folder) / "image.nir")
    outcome = Simulator(image).run(pack_lines(spikes), [0, len(spikes)], record=True)
    np.testing.assert_array_equal(run_graph(graph, spikes), outcome.raster)


def test_axons_whose_spikes_merge_are_counted() -> None:
    """A line and a neuron drive axon 9: one spike on the chip, two in NIR."""
    image = chain()
    image = replace(image, inputs=np.array([[0, 0, 4], [1, 1, 9]], dtype=np.int32))
    assert losses(image)[4].endswith("merge on the chip and add in NIR: 1 axons")
    spikes = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [0, 1], [0, 0]], dtype=np.uint8)
    image.threshold[1, 5] = 4
    outcome = Simulator(image).run(pack_lines(spikes), [0, 6], record=True)
    assert outcome.raster is not None
    assert outcome.raster.sum() == 0
    with pytest.warns(LossyExport):
        assert run_graph(to_nir(image), spikes)[:, 2].tolist() == [0, 0, 0, 0, 1, 0]


@settings(max_examples=3, deadline=None)
@given(images(most_cores=3))
def test_every_image_gives_a_graph_that_nir_accepts(image: CoreImage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyExport)
        graph = to_nir(image)
    assert graph.nodes["core_0"].v_threshold.shape == (256,)
    assert [graph.input_type.keys(), graph.output_type.keys()] == [{"input"}, {"output"}]
    assert sum(
        node.weight.sum() for name, node in graph.nodes.items() if name.endswith("_out")
    ) == (len(image.outputs))


def test_a_network_too_large_for_dense_matrices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_export, "MAX_WEIGHTS", 100)
    with pytest.raises(SimcoreError, match="NIR: 1280 weights in dense matrices, limit 100"):
        to_nir(neuron())


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(SimcoreError, match=r"pip install spikewatch\[nir\]"):
        to_nir(neuron())


def test_a_package_without_the_reset_of_if_is_refused_in_one_line(tmp_path: Path) -> None:
    """As nir 1.0.0 to 1.0.5 are, which sinabs installs."""
    old = tmp_path / "old"
    (old / "nir").mkdir(parents=True)
    (old / "nir" / "__init__.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass IF:\n    r: object\n    v_threshold: object\n"
    )
    (old / "nir-1.0.5.dist-info").mkdir()
    (old / "nir-1.0.5.dist-info" / "METADATA").write_text("Name: nir\nVersion: 1.0.5\n")
    neuron().save(tmp_path / "x.safetensors")
    code = f"import sys; sys.path.insert(0, {str(old)!r}); from spikewatch.simcore.cli import main; main()"
    command = ["convert-format", str(tmp_path / "x.safetensors"), str(tmp_path / "x.nir")]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "spikewatch-sim: NIR: the package nir is 1.0.5, at least 1.0.6 is needed (IF with v_reset): "
        "pip install 'nir>=1.0.6', in an environment without packages that want an older one, such as sinabs\n"
    )
    assert not (tmp_path / "x.nir").exists()
