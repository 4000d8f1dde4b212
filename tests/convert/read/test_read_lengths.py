"""Files that do not do what their axes declare: what they do at each length is found by asking onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from networks import elman, save, weights
from onnx import TensorProto, helper, numpy_helper

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from pathlib import Path

MOST = np.iinfo(np.int64).max


def cut(first: int, last: int) -> onnx.ModelProto:
    """Return a network that takes the mean over the words from `first` up to `last` of every question."""
    model = elman(weights(), lengths=False)
    graph = model.graph
    graph.node[1].output[:] = ["Y"]
    graph.node.insert(2, helper.make_node("ReduceMean", ["Y"], ["mean"], axes=[0], keepdims=0))
    graph.node[3].input[0] = "mean"
    for name, value in {"first": first, "last": last, "axis0": 0}.items():
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    graph.node[0].input[1] = "kept"
    graph.node.insert(0, helper.make_node("Slice", ["ids", "first", "last", "axis0"], ["kept"]))
    return model


def unrolled(words: int, *, mean: bool = False) -> onnx.ModelProto:
    """Return a network with separate nodes for each of some words, whose file declares a free length."""
    w = weights()
    n = w["R"].shape[2]
    arrays = {
        "embedding": w["embedding"],
        "W": np.ascontiguousarray(w["W"][0].T),
        "U": np.ascontiguousarray(w["R"][0].T),
        "b": w["B"][0, :n] + w["B"][0, n:],
        "C": np.ascontiguousarray(w["C"].T),
    }
    nodes = []
    states = []
    for t in range(words):
        arrays[f"t{t}"] = np.array(t)
        nodes += [
            helper.make_node("Gather", ["ids", f"t{t}"], [f"id{t}"], axis=1),
            helper.make_node("Gather", ["embedding", f"id{t}"], [f"x{t}"]),
            helper.make_node("MatMul", [f"x{t}", "W"], [f"wx{t}"]),
            helper.make_node("Add", [f"wx{t}", "b"], [f"pre{t}" if t == 0 else f"wxb{t}"]),
        ]
        if t:
            nodes += [
                helper.make_node("MatMul", [f"h{t - 1}", "U"], [f"uh{t}"]),
                helper.make_node("Add", [f"wxb{t}", f"uh{t}"], [f"pre{t}"]),
            ]
        nodes.append(helper.make_node("Tanh", [f"pre{t}"], [f"h{t}"]))
        states.append(f"h{t}")
    read = states[-1]
    if (
        mean
    ):  # divided by the number of words that the question has, not of those that were unrolled
        arrays["one"] = np.array(1)
        nodes += [
            helper.make_node("Sum", states, ["total"]),
            helper.make_node("Shape", ["ids"], ["shape"]),
            helper.make_node("Gather", ["shape", "one"], ["count"]),
            helper.make_node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["total", "number"], ["average"]),
        ]
        read = "average"
    nodes.append(helper.make_node("MatMul", [read, "C"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "unrolled",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", w["C"].shape[0]])],
        [numpy_helper.from_array(a, name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("words", [5, 19, 31])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_cut_in_the_model_is_found_with_its_length_and_side(
    tmp_path: Path, words: int, side: str
) -> None:
    model = cut(0, words) if side == "right" else cut(-words, MOST)
    network, float_model = read_model(save(model, tmp_path / "m.onnx"))
    found = float_model.layout.cut
    assert found == (words, side)
    question = np.random.default_rng(0).integers(0, 21, 60)
    np.testing.assert_allclose(
        float_model.run([question]), network.logits([found.apply(question)]), atol=1e-4
    )


@pytest.mark.parametrize("words", [100, 256, 512])
def test_a_cut_far_beyond_the_longest_question_is_found(tmp_path: Path, words: int) -> None:
    _, float_model = read_model(save(cut(0, words), tmp_path / "m.onnx"), longest=10)
    assert float_model.layout.cut == (words, "right")


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("words", [3, 7, 11])
def test_a_file_that_holds_some_steps_answers_questions_of_that_many_words_only(
    tmp_path: Path, words: int, mean: bool
) -> None:
    network, float_model = read_model(save(unrolled(words, mean=mean), tmp_path / "m.onnx"))
    assert float_model.layout.length == words
    questions = [np.arange(n) for n in (2, words, words + 4)]
    assert [float_model.can_run(q) for q in questions] == [False, True, False]
    np.testing.assert_allclose(float_model.logits(questions), network.logits(questions), atol=1e-4)
    assert float_model.limit(questions) == (
        f"the file itself answers questions of {words} words only; others are answered by the recurrence as read:"
        " 2 of 3 calibration questions"
    )


def test_a_file_that_holds_one_step_and_fails_on_more_is_refused(tmp_path: Path) -> None:
    """Keras 3.15 on torch writes such files."""
    model = unrolled(1)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis1"))
    model.graph.node[0].CopyFrom(helper.make_node("Squeeze", ["ids", "axis1"], ["id0"]))
    message = (
        r"m\.onnx: declares a free length, but onnxruntime does not run it on questions of 4 words: [^\n]*"
        r"a sequence of one word contains no recurrence; export the model for two words or more$"
    )
    with pytest.raises(ModelFileError, match=message):
        read_model(save(model, tmp_path / "m.onnx"))


def test_a_cut_that_the_last_state_hardly_shows_is_found(tmp_path: Path) -> None:
    """The state forgets, so that some lengths beyond the cut come out within the allowed difference."""
    model = elman(weights(), lengths=False)
    graph = model.graph
    for name, value in {"first": -16, "last": MOST, "axis0": 0}.items():
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    graph.node[0].input[1] = "kept"
    graph.node.insert(0, helper.make_node("Slice", ["ids", "first", "last", "axis0"], ["kept"]))
    _, float_model = read_model(save(model, tmp_path / "m.onnx"))
    assert float_model.layout.cut == (16, "left")


def test_a_mean_over_no_word_is_refused(tmp_path: Path) -> None:
    """A first word that is cut off leaves none, where the words are taken for questions."""
    with pytest.raises(ModelFileError, match=r"^[^\n]*m\.onnx: (node|output) [^\n]*$"):
        read_model(save(cut(1, MOST), tmp_path / "m.onnx"))


def test_a_network_that_multiplies_rounding_errors_is_proved_all_the_same(tmp_path: Path) -> None:
    """Over fifty words, the states of large recurrent weights differ between single and double precision."""
    w = weights()
    w["R"] = (8 * w["R"]).astype(np.float32)
    _, float_model = read_model(save(elman(w), tmp_path / "m.onnx"), longest=60)
    assert float_model.layout.cut is None


def test_states_beyond_single_precision_are_not_compared(tmp_path: Path) -> None:
    w = weights()
    w["R"] = (4 * np.abs(w["R"])).astype(np.float32)
    _, float_model = read_model(save(elman(w, activation="Relu"), tmp_path / "m.onnx"), longest=60)
    assert float_model.layout.length is None
