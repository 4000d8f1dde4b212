"""Check the network in training: quantisation, spikes, snapping to the core's numbers, and ONNX export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_training import random_questions, small_net

from spikewatch.convert.network.grid import to_onnx
from spikewatch.convert.network.place import GAIN_MAX
from spikewatch.convert.straight_through.quantise import round_activities, round_weights
from spikewatch.convert.straight_through.spikes import (
    LEAK_BOUND,
    HiddenSpikes,
    NeuronParameters,
    neuron_parameters,
)
from spikewatch.convert.training.corpus import pack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class TestQuantise:
    def test_levels_are_integers_within_their_bounds(self) -> None:
        weights = torch.linspace(-3, 3, 601)[None].expand(2, -1)
        scale = torch.tensor([[0.07], [0.3]])

        q = round_weights(weights, scale, -8, 7)

        assert torch.equal(q, torch.round(q))
        assert q.min() == -8
        assert q.max() == 7

    def test_levels_pass_gradients_inside_their_bounds_only(self) -> None:
        weights = torch.tensor([0.24, 2.0, -2.0], requires_grad=True)
        scale = torch.tensor(0.1)

        round_weights(weights, scale, -8, 7).sum().backward()

        np.testing.assert_allclose(weights.grad, [10, 0, 0])

    def test_activities_are_sixteenths_and_half_goes_up(self) -> None:
        rates = torch.tensor([0.0, 0.49 / 15, 0.5 / 15, 7.4 / 15, 1.0], requires_grad=True)

        rounded = round_activities(rates)
        rounded.sum().backward()

        np.testing.assert_allclose(rounded.detach() * 15, [0, 0, 1, 7, 15], atol=1e-6)
        assert torch.equal(rates.grad, torch.ones(5))


def spikes_by_the_equations(
    neurons: NeuronParameters, q: NDArray[np.int64], codes: list[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Return the hidden spikes of one question per step, computed tick by tick and neuron by neuron from its codes."""
    threshold = neurons.threshold.numpy().astype(np.int64)
    leak = neurons.leak.numpy().astype(np.int64)
    n_hidden, n_in = len(threshold), q.shape[1] - len(threshold)
    V = threshold // 2
    arriving = np.zeros((15, n_hidden), dtype=np.int64)
    counts = []
    for code in codes:
        fired = np.zeros((15, n_hidden), dtype=np.int64)
        for t in range(15):
            inputs = np.array([(t + 1) * a // 15 > t * a // 15 for a in code], dtype=np.int64)
            for j in range(n_hidden):
                V[j] += GAIN_MAX * int(q[j, :n_in] @ inputs + q[j, n_in:] @ arriving[t])
                V[j] += leak[j]
                if V[j] >= threshold[j]:
                    fired[t, j] = 1
                    V[j] -= threshold[j]
                elif V[j] < 0:
                    V[j] = 0
        arriving = fired  # arrive 15 ticks later, at the same tick of the next step
        counts.append(fired.sum(axis=0))
    return counts


class TestHiddenSpikes:
    @pytest.mark.parametrize("seed", range(8))
    def test_equal_the_equations_bit_for_bit(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n_in, n_hidden, lengths = 6, 5, [4, 1, 3]
        q = rng.integers(-8, 8, (n_hidden, n_in + n_hidden))
        neurons = NeuronParameters(
            threshold=torch.from_numpy(rng.integers(1, 700, n_hidden).astype(np.float32)),
            leak=torch.from_numpy(rng.integers(-255, 256, n_hidden).astype(np.float32)),
        )
        codes = np.zeros((max(lengths), len(lengths), n_in), dtype=np.float32)
        alive = np.zeros((max(lengths), len(lengths)), dtype=bool)
        for i, length in enumerate(lengths):
            alive[-length:, i] = True
            codes[-length:, i] = rng.integers(0, 16, (length, n_in))

        layer = HiddenSpikes(
            neurons, torch.from_numpy(q).float(), torch.from_numpy(codes), torch.from_numpy(alive)
        )
        counts = np.stack([layer.step(t).numpy() for t in range(max(lengths))])

        for i, length in enumerate(lengths):
            words = list(codes[-length:, i].astype(np.int64))
            expected = np.stack(spikes_by_the_equations(neurons, q, words))
            np.testing.assert_array_equal(counts[-length:, i], expected)
            assert not counts[:-length, i].any()

    def test_neurons_stay_within_the_chips_leak(self) -> None:
        neurons = neuron_parameters(torch.tensor([0.1, 0.1, 0.2]), torch.tensor([-9.0, 9.0, 0.5]))

        assert neurons.threshold.tolist() == [310, 310, 155]
        assert neurons.leak.tolist() == [-LEAK_BOUND, LEAK_BOUND, 78]

    def test_drive_the_network_in_the_spiking_way(self) -> None:
        net = small_net(1)
        network = net.snap()
        question = random_questions(4, 1)[0]

        logits = net(*pack([question]), "spiking")

        scale, bias = torch.from_numpy(network.scale), torch.from_numpy(network.bias)
        neurons = neuron_parameters(scale, bias)
        codes = [network.codes[network.rows[i]].astype(np.int64) for i in question[::-1]]
        last = spikes_by_the_equations(neurons, network.weights.astype(np.int64), codes)[-1]
        expected = network.head_scale * (network.head @ last) / 15 + network.head_bias
        np.testing.assert_allclose(logits.detach()[0], expected, atol=1e-5)


class TestSnap:
    def test_puts_every_parameter_on_the_core(self) -> None:
        net = small_net(2)
        before = {way: net(*pack(random_questions(1, 20)), way) for way in ("integer", "spiking")}

        network = net.snap()

        assert network.codes.max() <= 15
        assert network.weights.min() >= -8
        assert network.weights.max() <= 7
        assert np.abs(network.head).max() <= 7
        threshold = GAIN_MAX / network.scale
        np.testing.assert_allclose(threshold, np.round(threshold), rtol=1e-12)
        np.testing.assert_allclose(network.bias * threshold, np.round(network.bias * threshold))
        assert len(np.unique(network.codes, axis=0)) == len(network.codes)
        # The spiking way already used the core's numbers before.
        after = net(*pack(random_questions(1, 20)), "spiking")
        np.testing.assert_allclose(after.detach(), before["spiking"].detach(), atol=1e-5)

    def test_changes_nothing_the_second_time(self) -> None:
        net = small_net(2)
        first, second = net.snap(), net.snap()

        for name in ("rows", "codes", "weights", "head"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        np.testing.assert_allclose(first.scale, second.scale, rtol=1e-12)
        np.testing.assert_allclose(first.bias, second.bias, rtol=1e-12, atol=1e-12)


class TestOnnx:
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_the_float_way_in_onnxruntime(self, seed: int) -> None:
        net = small_net(seed)
        model = to_onnx(net.snap())
        questions = random_questions(seed, 40)
        lengths = np.array([len(q) for q in questions], dtype=np.int32)
        ids = np.zeros((lengths.max(), len(questions)), dtype=np.int64)
        for i, question in enumerate(questions):
            ids[: len(question), i] = question
            ids[len(question) :, i] = 7  # padding, which must not be read

        session = onnxruntime.InferenceSession(model.SerializeToString())
        (logits,) = session.run(None, {"ids": ids, "lengths": lengths})

        expected = net(*pack(questions), "float").detach()
        np.testing.assert_allclose(logits, expected, atol=2e-5)

    def test_clips_at_full_activity(self) -> None:
        net = small_net(0)
        with torch.no_grad():
            net.weights += 0.5
        model = to_onnx(net.snap())
        question = random_questions(1, 1)[0]

        def logits(clip: bool) -> NDArray[np.float32]:
            changed = onnx.ModelProto()
            changed.CopyFrom(model)
            rnn = next(node for node in changed.graph.node if node.op_type == "RNN")
            kept = [a for a in rnn.attribute if clip or a.name != "clip"]
            del rnn.attribute[:]
            rnn.attribute.extend(kept)
            session = onnxruntime.InferenceSession(changed.SerializeToString())
            feeds = {"ids": question[:, None], "lengths": np.array([len(question)], np.int32)}
            return np.asarray(session.run(None, feeds)[0])

        clipped = net(*pack([question]), "float").detach()
        np.testing.assert_allclose(logits(clip=True), clipped, atol=2e-5)
        assert np.abs(logits(clip=False) - clipped.numpy()).max() > 0.1

    def test_is_named_as_the_converter_expects(self, trained: Path) -> None:
        graph = onnx.load(trained / "model.onnx").graph

        assert [node.op_type for node in graph.node] == [
            "Gather",
            "Gather",
            "RNN",
            "Squeeze",
            "Gemm",
        ]
        assert [value.name for value in graph.input] == ["ids", "lengths"]
        assert [value.name for value in graph.output] == ["logits"]
