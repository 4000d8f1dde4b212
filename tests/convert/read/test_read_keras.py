"""Files that Keras exported (tests/convert/keras): SimpleRNN as Loop nodes, unrolled, masked, and on word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model
from spikewatch.convert.words.vectors import WordTable

FOLDER = Path(__file__).parents[1] / "keras"
FORMS: dict[str, dict[str, Any]] = {
    "tanh": {"activation": "Tanh", "readout": "last", "direction": "forward"},
    "relu-softmax": {"activation": "Relu"},
    "mask": {"activation": "Tanh", "readout": "last"},
    "reverse": {"direction": "reverse"},
    "mean": {"readout": "mean"},
    "max": {"readout": "max"},
    "bi": {"direction": "forward", "readout": "last"},
    "hard": {"activation": "Relu", "ceiling": 6.0},  # Keras 3 writes relu6(x + 3) / 6
    "sigmoid": {"activation": "Sigmoid"},
    "unroll": {"readout": "last"},
    "fixed": {"readout": "last"},
}


def run(name: str, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Run the unchanged file in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(FOLDER / f"{name}.onnx"), options)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: given})[0])


@pytest.mark.parametrize("form", FORMS)
def test_the_network_as_read_answers_as_the_file_does(form: str) -> None:
    network, model = read_model(FOLDER / f"{form}.onnx")
    assert {name: getattr(network, name) for name in FORMS[form]} == FORMS[form]
    assert (network.backward is not None) == (form == "bi")
    rng = np.random.default_rng(1)
    for length in [model.layout.length] if model.layout.length else [1, 2, 9]:
        questions = rng.integers(1, 21, (3, length))
        got = network.logits(list(questions))
        if form != "tanh":
            got = np.exp(got) / np.exp(got).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(got, run(form, questions.astype(np.int32)), atol=1e-5)


def test_a_network_on_word_vectors_gets_the_table_of_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    table = WordTable(
        rows=np.array([0, 2, 1, 2], dtype=np.int32),
        matrix=rng.normal(size=(3, 6)).astype(np.float32),
    )
    network, model = read_model(FOLDER / "vectors.onnx", vectors=table)
    question = np.array([3, 0, 2, 1, 1])
    got = np.exp(network.logits([question])[0])
    wanted = run("vectors", table.matrix[table.rows[question]][None])[0]
    np.testing.assert_allclose(got / got.sum(), wanted, atol=1e-5)
    np.testing.assert_allclose(model.logits([question]), network.logits([question]), atol=1e-4)


def test_a_network_on_word_vectors_needs_their_file() -> None:
    with pytest.raises(ModelFileError, match="takes word vectors; pass their file with --vectors$"):
        read_model(FOLDER / "vectors.onnx")


def test_vectors_of_another_size_are_refused() -> None:
    table = WordTable(rows=np.zeros(2, dtype=np.int32), matrix=np.zeros((1, 7), dtype=np.float32))
    message = "takes vectors of 6 components, those of --vectors have 7$"
    with pytest.raises(ModelFileError, match=message):
        read_model(FOLDER / "vectors.onnx", vectors=table)


def test_vectors_for_a_network_with_an_embedding_are_refused() -> None:
    table = WordTable(rows=np.zeros(2, dtype=np.int32), matrix=np.zeros((1, 6), dtype=np.float32))
    with pytest.raises(ModelFileError, match=r"cannot use word vectors \(--vectors\)$"):
        read_model(FOLDER / "tanh.onnx", vectors=table)


def test_an_lstm_is_refused_naming_its_node() -> None:
    with pytest.raises(ModelFileError, match=r"node 'LSTM__\d+': operator LSTM is not supported"):
        read_model(FOLDER / "lstm.onnx")
