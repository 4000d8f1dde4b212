"""NIR export: the graph, and the list of what NIR cannot express."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from images import images, neuron

from spikewatch.simcore import CoreImage, SimcoreError, Simulator, blank, pack_lines
from spikewatch.simcore.exchange import nir_export
from spikewatch.simcore.exchange.nir_export import LossyExport, losses, to_nir, write_nir

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

nir: Any = pytest.importorskip("nir", reason="the package nir (extra [nir]) is not installed")


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


def run_graph(graph: Any, spikes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a graph of ours tick by tick, as a reader of NIR with a time step of 1 would."""
    cores = [n for n, node in graph.nodes.items() if isinstance(node, nir.IF)]
    v = {n: np.zeros(256, np.float32) for n in cores}
    past: dict[str, list[NDArray[np.bool_]]] = {n: [] for n in cores}
    shown = []
    for t, line in enumerate(spikes):
        current = {}
        for n in cores:
            drive = graph.nodes[f"{n}_in"]
            current[n] = drive.weight @ line + drive.bias
            for source, name in ((s, f"{s}_to_{n.removeprefix('core_')}") for s in cores):
                if name in graph.nodes:
                    at = t - graph.nodes[f"{source}_delay"].delay.astype(int)
                    late = [at[j] >= 0 and past[source][at[j]][j] for j in range(256)]
                    current[n] = current[n] + graph.nodes[name].weight @ np.array(late)
        out = np.zeros(graph.nodes["output"].output_type["output"], np.float32)
        for n in cores:
            v[n] += current[n]
            fired = v[n] > graph.nodes[n].v_threshold
            v[n] = np.where(fired, graph.nodes[n].v_reset, v[n])
            past[n].append(fired)
            if f"{n}_out" in graph.nodes:
                out += graph.nodes[f"{n}_out"].weight @ fired
        shown.append(out)
    return np.array(shown)


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


@settings(max_examples=3, deadline=None)
@given(images(most_cores=3))
def test_every_image_gives_a_graph_that_nir_accepts(image: CoreImage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyExport)
        graph = to_nir(image)
    assert graph.nodes["core_0"].v_threshold.shape == (256,)
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
