"""The RNN node's attributes mean what onnxruntime takes them for; onnx's reference implementation often differs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import both_ways, elman, save, weights

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def node(
    names: str | list[str],
    *,
    alpha: list[float] | None = None,
    beta: list[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
) -> onnx.ModelProto:
    """Return a network whose RNN node has these attributes, bidirectional if there are two names."""
    names = [names] if isinstance(names, str) else names
    model = elman(weights(), direction=direction)
    if len(names) == 2 and direction == "forward":
        model = both_ways(weights(), weights(1))
    rnn = next(n for n in model.graph.node if n.op_type == "RNN")
    kept = [a for a in rnn.attribute if a.name != "activations"]
    del rnn.attribute[:]
    rnn.attribute.extend(kept)
    given = {"activations": names, "activation_alpha": alpha, "activation_beta": beta, "clip": clip}
    rnn.attribute.extend(
        onnx.helper.make_attribute(k, v) for k, v in given.items() if v is not None
    )
    return model


def answers(path: Path, questions: list[NDArray[np.int64]]) -> NDArray[Any]:
    """Run the file itself in onnxruntime."""
    session = onnxruntime.InferenceSession(str(path))
    return np.concatenate(
        [
            session.run(None, {"ids": q[:, None], "lengths": np.array([len(q)], dtype=np.int32)})[0]
            for q in questions
        ]
    )


READ: dict[str, dict[str, Any]] = {
    "HardSigmoid, both": {"names": "HardSigmoid", "alpha": [0.3], "beta": [0.4]},
    "HardSigmoid, alpha alone": {"names": "HardSigmoid", "alpha": [0.35]},
    "HardSigmoid, beta alone": {"names": "HardSigmoid", "beta": [0.1]},
    "HardSigmoid, neither": {"names": "HardSigmoid"},
    "HardSigmoid, clip": {"names": "HardSigmoid", "alpha": [0.3], "clip": 0.5},
    "negative clip": {"names": "Tanh", "clip": -1.0},
    "clip": {"names": "Tanh", "clip": 0.3},
    "Affine, clip": {"names": "Affine", "alpha": [0.5], "beta": [0.1], "clip": 0.9},
    "Affine, falling": {"names": "Affine", "alpha": [-0.6], "clip": 0.9},
    "Affine, no clip": {"names": "Affine", "alpha": [0.5], "beta": [-0.1]},
    "ScaledTanh": {"names": "ScaledTanh", "alpha": [1.7], "beta": [0.6]},
    "ScaledTanh, negative": {"names": "ScaledTanh", "alpha": [-1.2], "beta": [0.5], "clip": 0.7},
    "Softsign": {"names": "Softsign"},
    "Softsign, clip": {"names": "Softsign", "clip": 0.8},
    "ThresholdedRelu is a Relu": {"names": "ThresholdedRelu"},
    "LeakyRelu of slope 0": {"names": "LeakyRelu", "alpha": [0.0]},
    "Elu of alpha 0": {"names": "Elu", "alpha": [0.0], "clip": 0.8},
    "two of a kind": {"names": ["HardSigmoid"] * 2, "alpha": [0.3, 0.1], "beta": [0.4, 0.6]},
    "the second of a kind by default": {"names": ["HardSigmoid"] * 2, "alpha": [0.3]},
    "the value goes to the second": {"names": ["Tanh", "HardSigmoid"], "alpha": [0.3]},
    "values in the order of the names": {
        "names": ["ScaledTanh", "HardSigmoid"],
        "alpha": [1.3, 0.3],
        "beta": [0.7],
    },
    "reverse takes the first": {
        "names": ["HardSigmoid", "Tanh"],
        "alpha": [0.3],
        "direction": "reverse",
    },
}


@pytest.mark.parametrize("form", READ)
def test_attributes_mean_what_onnxruntime_takes_them_for(tmp_path: Path, form: str) -> None:
    path = save(node(**READ[form]), tmp_path / "m.onnx")
    network, _ = read_model(path)
    rng = np.random.default_rng(2)
    questions = [rng.integers(0, 21, n) for n in (1, 2, 5, 12)]
    np.testing.assert_allclose(network.logits(questions), answers(path, questions), atol=1e-5)


FITS = (
    ", where a neuron's spikes follow one line between two bounds;"
    " Relu, Tanh, Sigmoid, HardSigmoid, Softsign, ScaledTanh and Affine fit"
)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "clip 0": (
        {"names": "Tanh", "clip": 0.0},
        "its clip is 0, and then onnxruntime takes every pre-activation as 0; leave clip out for no bound",
    ),
    "Affine by default": (
        {"names": "Affine"},
        "activation Affine has alpha or beta 0, onnxruntime's default, so that every state is the same",
    ),
    "ScaledTanh by default": (
        {"names": "ScaledTanh", "alpha": [1.2]},
        "activation ScaledTanh has alpha or beta 0, onnxruntime's default, so that every state is the same",
    ),
    "LeakyRelu by default": (
        {"names": "LeakyRelu"},
        "activation LeakyRelu with alpha 0.01 does not fit a core" + FITS,
    ),
    "ThresholdedRelu": (
        {"names": "ThresholdedRelu", "alpha": [0.5]},
        "activation ThresholdedRelu with alpha 0.5 does not fit a core" + FITS,
    ),
    "Elu by default": (
        {"names": "Elu"},
        "activation Elu with alpha 1 does not fit a core" + FITS,
    ),
    "Softplus": (
        {"names": "Softplus"},
        "activation Softplus does not fit a core" + FITS,
    ),
    "a name in small letters": (
        {"names": "tanh"},
        "activation 'tanh' is unknown to onnxruntime, which has Affine, Elu, HardSigmoid, LeakyRelu, Relu,"
        " ScaledTanh, Sigmoid, Softplus, Softsign, Tanh, ThresholdedRelu",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_attributes_are_refused_with_their_reason(tmp_path: Path, form: str) -> None:
    given, message = REFUSED[form]
    path = save(node(**given), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=re.escape(message) + "$"):
        read_model(path)
