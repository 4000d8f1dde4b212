"""The output that holds the logits is found among several, and one logit tells two classes apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import elman, save, weights
from onnx import TensorProto, helper, numpy_helper

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model, read_model_bytes

if TYPE_CHECKING:
    from pathlib import Path

Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]

QUESTIONS = list(np.random.default_rng(2).integers(0, 21, (40, 6)))


def extended(
    nodes: Nodes, outputs: list[str], *, classes: int = 6, **constants: np.ndarray[Any, Any]
) -> onnx.ModelProto:
    """Return a network whose logits `z` are followed by nodes, with these outputs of its graph."""
    w = weights(classes=classes)
    model = elman(w, lengths=False)
    graph = model.graph
    graph.node[-1].output[0] = "z"
    for kind, read, written, options in nodes:
        graph.node.append(helper.make_node(kind, read, written, **options))
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    del graph.output[:]
    # by onnxruntime's own inference, so that any type can be an output
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {v.name: v for v in [*inferred.graph.value_info, *inferred.graph.output]}
    del graph.output[:]
    graph.output.extend(known[name] for name in outputs)
    return model


def answers(model: onnx.ModelProto) -> np.ndarray[Any, Any]:
    """Return the first output of the unchanged file for QUESTIONS."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {"ids": np.stack(QUESTIONS, axis=1)})[0])


HALF = np.float32(0.5)
ONE = np.float32(1)
LOGIT: dict[str, tuple[Nodes, Any]] = {
    "nothing": ([("Identity", ["z"], ["y"], {})], lambda y: y > 0),
    "Sigmoid": ([("Sigmoid", ["z"], ["y"], {})], lambda y: y > 0.5),
    "z > 0": ([("Greater", ["z", "zero"], ["y"], {})], lambda y: y),
    "0 < z": ([("Less", ["zero", "z"], ["y"], {})], lambda y: y),
    "p >= 0.5": (
        [("Sigmoid", ["z"], ["p"], {}), ("GreaterOrEqual", ["p", "half"], ["y"], {})],
        lambda y: y,
    ),
    "p > 0.7, as an integer": (
        [
            ("Sigmoid", ["z"], ["p"], {}),
            ("Greater", ["p", "most"], ["b"], {}),
            ("Cast", ["b"], ["y"], {"to": TensorProto.INT64}),
        ],
        lambda y: y == 1,
    ),
    "not p < 0.3": (
        [
            ("Sigmoid", ["z"], ["p"], {}),
            ("Less", ["p", "few"], ["b"], {}),
            ("Not", ["b"], ["y"], {}),
        ],
        lambda y: y,
    ),
    "Round": ([("Sigmoid", ["z"], ["p"], {}), ("Round", ["p"], ["y"], {})], lambda y: y == 1),
    "squeezed": (
        [("Sigmoid", ["z"], ["p"], {}), ("Squeeze", ["p", "axis_1"], ["y"], {})],
        lambda y: y > 0.5,
    ),
    "LogSigmoid": (
        [("Sigmoid", ["z"], ["p"], {}), ("Log", ["p"], ["y"], {})],
        lambda y: y > -0.6931,
    ),
    "LogSigmoid by Softplus": (
        [
            ("Neg", ["z"], ["m"], {}),
            ("Softplus", ["m"], ["s"], {}),
            ("Neg", ["s"], ["y"], {}),
        ],
        lambda y: y > -0.6931,
    ),
    "cat(1 - p, p)": (
        [
            ("Sigmoid", ["z"], ["p"], {}),
            ("Sub", ["one", "p"], ["q"], {}),
            ("Concat", ["q", "p"], ["y"], {"axis": 1}),
        ],
        lambda y: y.argmax(axis=1) == 1,
    ),
    "cat(p, 1 - p), the label": (
        [
            ("Sigmoid", ["z"], ["p"], {}),
            ("Sub", ["one", "p"], ["q"], {}),
            ("Concat", ["p", "q"], ["two"], {"axis": 1}),
            ("ArgMax", ["two"], ["y"], {"axis": 1}),
        ],
        lambda y: y == 1,
    ),
    "where": (
        [
            ("Greater", ["z", "zero"], ["b"], {}),
            ("Where", ["b", "label0", "label1"], ["y"], {}),
        ],
        lambda y: y == 1,
    ),
    "Tanh": ([("Tanh", ["z"], ["y"], {})], lambda y: y > 0),
    "percent": (
        [("Sigmoid", ["z"], ["p"], {}), ("Mul", ["p", "hundred"], ["y"], {})],
        lambda y: y > 50,
    ),
    "labels 1 and 2": (
        [
            ("Greater", ["z", "zero"], ["b"], {}),
            ("Where", ["b", "label2", "label1"], ["y"], {}),
        ],
        lambda y: y == 2,
    ),
}
CONSTANTS = {
    "zero": np.float32(0),
    "half": HALF,
    "one": ONE,
    "most": np.float32(0.7),
    "few": np.float32(0.3),
    "axis_1": np.array([1]),
    "label0": np.array(0),
    "label1": np.array(1),
    "label2": np.array(2),
    "hundred": np.float32(100),
}


def one_logit(form: str) -> onnx.ModelProto:
    constants = {name: np.asarray(value) for name, value in CONSTANTS.items()}
    return extended(LOGIT[form][0], ["y"], classes=1, **constants)


@pytest.mark.parametrize("form", LOGIT)
def test_one_logit_is_read_as_two_classes(tmp_path: Path, form: str) -> None:
    model = one_logit(form)
    network, float_model = read_model(save(model, tmp_path / "m.onnx"), classes=2)
    wanted = LOGIT[form][1](answers(model).reshape(len(QUESTIONS), -1))
    wanted = np.asarray(wanted).reshape(-1)
    assert 0 < wanted.sum() < len(wanted)
    for logits in (network.logits(QUESTIONS), float_model.logits(QUESTIONS)):
        assert logits.shape == (len(QUESTIONS), 2)
        np.testing.assert_array_equal(logits.argmax(axis=1), wanted)
    np.testing.assert_allclose(network.logits(QUESTIONS), float_model.logits(QUESTIONS), atol=1e-4)


def test_one_logit_for_three_labels_is_refused(tmp_path: Path) -> None:
    message = (
        r"m\.onnx: output 'y': 1 logit, which tells two classes apart, but there are 3 labels$"
    )
    with pytest.raises(ModelFileError, match=message):
        read_model(save(one_logit("Sigmoid"), tmp_path / "m.onnx"), classes=3)


def test_a_label_that_does_not_follow_from_one_threshold_is_refused(tmp_path: Path) -> None:
    nodes: Nodes = [("Abs", ["z"], ["a"], {}), ("Greater", ["a", "one"], ["y"], {})]
    model = extended(nodes, ["y"], classes=1, one=np.asarray(ONE))
    with pytest.raises(ModelFileError, match=r"m\.onnx: node 'Greater|m\.onnx: node 'Abs"):
        read_model(save(model, tmp_path / "m.onnx"), classes=2)


SOFTMAX = ("Softmax", ["z"], ["probabilities"], {"axis": -1})
LABEL = ("ArgMax", ["z"], ["label"], {"axis": -1})
STATE = ("Identity", ["Y_h"], ["hn"], {})


@pytest.mark.parametrize(
    ("nodes", "outputs", "published"),
    [
        ([STATE], ["hn", "z"], "z"),
        ([STATE, SOFTMAX], ["hn", "probabilities"], "probabilities"),
        ([SOFTMAX, LABEL], ["label", "probabilities", "z"], "z"),
        ([LABEL, STATE], ["label", "hn"], "label"),
    ],
)
def test_the_output_that_holds_the_logits_is_chosen(
    tmp_path: Path, nodes: Nodes, outputs: list[str], published: str
) -> None:
    """There are as many classes as hidden units, so that sizes do not decide."""
    model = extended(nodes, outputs, classes=8)
    network, float_model = read_model(save(model, tmp_path / "m.onnx"), classes=8)
    only = extended([], ["z"], classes=8)
    np.testing.assert_allclose(network.logits(QUESTIONS), answers(only), atol=1e-4)
    # whoever reads the published file again reads the same output
    kept = onnx.load_model_from_string(float_model.data)
    assert [o.name for o in kept.graph.output] == [published]
    again, _ = read_model_bytes(float_model.data, what="again")
    np.testing.assert_array_equal(again.C, network.C)


def test_the_number_of_labels_decides_between_heads(tmp_path: Path) -> None:
    nodes: Nodes = [("Gemm", ["h", "other"], ["scores"], {})]
    other = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    model = extended(nodes, ["scores", "z"], other=other)
    for classes in (4, 6):
        network, _ = read_model(save(model, tmp_path / "m.onnx"), classes=classes)
        assert network.classes == classes


def two_heads(first: str) -> onnx.ModelProto:
    other = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    nodes: Nodes = [("Gemm", ["h", "other"], [first], {})]
    return extended(nodes, [first, "z"], other=other)


def test_heads_that_nothing_tells_apart_are_listed(tmp_path: Path) -> None:
    path = save(two_heads("scores"), tmp_path / "m.onnx")
    message = (
        r"m\.onnx: outputs 'scores' and 'z' may all be the logits; choose with --output NAME,"
        r" from 'scores' \(batch x 6\), 'z' \(batch x 6\)$"
    )
    with pytest.raises(ModelFileError, match=message):
        read_model(path, classes=6)
    chosen = [read_model(path, classes=6, output=name)[0] for name in ("scores", "z")]
    assert not np.allclose(chosen[0].C, chosen[1].C)


def test_a_head_that_is_named_logits_is_chosen(tmp_path: Path) -> None:
    path = save(two_heads("logits"), tmp_path / "m.onnx")
    network, _ = read_model(path, classes=6)
    named, _ = read_model(path, classes=6, output="logits")
    np.testing.assert_array_equal(network.C, named.C)


def test_an_output_that_the_file_does_not_have_is_refused_with_those_that_it_has(
    tmp_path: Path,
) -> None:
    message = r"m\.onnx: output 'score': there is none; the file has 'scores' \(batch x 6\), 'z' \(batch x 6\)$"
    with pytest.raises(ModelFileError, match=message):
        read_model(save(two_heads("scores"), tmp_path / "m.onnx"), output="score")


def test_a_network_without_a_head_is_read_by_its_states(tmp_path: Path) -> None:
    network, _ = read_model(save(extended([], ["h"]), tmp_path / "m.onnx"))
    np.testing.assert_array_equal(network.C, np.eye(8))
