"""Networks that cannot teach a student are refused in one line, which says what they are."""

from __future__ import annotations

import io
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from networks import elman, weights
from onnx import TensorProto, helper
from teachers import CLASSES, WORDS, Network, exported, questions, tokenizer
from torch import nn

from spikewatch.convert.errors import ConvertError, ProofError
from spikewatch.convert.publishing.publish import convert_and_publish
from spikewatch.convert.publishing.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Transformer(nn.Module):
    """A layer of causal attention; `tail` makes of its values after every word what the network returns."""

    def __init__(self, outputs: int, tail: Callable[[Any], Any] = lambda z: z) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.embedding, self.query = nn.Embedding(len(WORDS), 16), nn.Linear(16, 48)
        self.inner, self.head, self.tail = nn.Linear(16, 16), nn.Linear(16, outputs), tail

    def forward(self, ids: torch.Tensor) -> Any:
        x = self.embedding(ids)
        query, key, value = self.query(x).chunk(3, dim=-1)
        later = torch.ones(ids.shape[1], ids.shape[1]).triu(1) * -1e9
        x = x + (query @ key.transpose(1, 2) / 4 + later).softmax(-1) @ value
        return self.tail(self.head(x + torch.relu(self.inner(x))))


class Images(nn.Module):
    """A CNN on pictures of three colours."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.convolution(x)).amax((2, 3)))


class Vectors(nn.Module):
    """An LSTM on features of each moment, such as word vectors or sound."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(16, 8, batch_first=True), nn.Linear(8, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Table(nn.Module):
    """An MLP on columns of a table, which have the shape of word ids."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, len(CLASSES)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers((x.float() - 3) / 2)


def of_inputs(network: nn.Module, given: torch.Tensor) -> bytes:
    """Return a network that takes something else than word ids as ONNX, with its axes 0 and 1 free."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (given,),
            file,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
    return file.getvalue()


def texts() -> bytes:
    """Return a network that looks words up by their texts."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["x"],
            ["ids"],
            domain="ai.onnx.ml",
            keys_strings=["who", "where"],
            values_int64s=[1, 2],
            default_int64=0,
        ),
        helper.make_node("Gather", ["rows", "ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors"], ["logits"], axes=[1], keepdims=0),
    ]
    rows = np.random.default_rng(0).normal(size=(3, len(CLASSES))).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "texts",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["batch", "time"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])],
        [onnx.numpy_helper.from_array(rows, "rows")],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString())


def unlike_its_recurrence() -> bytes:
    """Return an Elman network that takes the state at the end of the batch for a question's last."""
    model = elman(weights(words=len(WORDS), classes=len(CLASSES)))
    model.graph.node[1].output[0] = "states"
    taken = helper.make_node("Gather", ["states", "end"], ["at_end"], axis=0)
    model.graph.node.insert(2, taken)
    model.graph.node[3].input[0] = "at_end"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(-1), "end"))
    return bytes(model.SerializeToString())


def source(folder: Path, model: bytes) -> Source:
    """Write a model file and everything to publish it with."""
    (folder / "model.onnx").write_bytes(model)
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "labels.json").write_text(json.dumps(CLASSES))
    (folder / "calibrate.txt").write_text("\n".join(text for _, text in questions(120, 2)))
    names = ("model.onnx", "tokenizer.json", "labels.json", "calibrate.txt")
    return Source(**{name.partition(".")[0]: folder / name for name in names})


@pytest.mark.parametrize("student", [None, True])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(
            exported(Transformer(len(WORDS))), r"predicts the next word \(generation\); ", id="gpt"
        ),
        pytest.param(
            exported(Transformer(len(WORDS), lambda z: z[:, -1])),
            r"predicts the next word \(generation\); ",
            id="gpt that returns the last word only",
        ),
        pytest.param(
            exported(Transformer(len(CLASSES))),
            r"labels every word of a question \(sequence labelling\); ",
            id="token classifier",
        ),
        pytest.param(
            exported(Transformer(16)), r"has 16 values for every word; ", id="hidden states"
        ),
        pytest.param(
            exported(Transformer(24, lambda z: nn.functional.normalize(z.mean(1), dim=-1))),
            r"none has a value for each of the 3 labels$",
            id="sentence embedding",
        ),
        pytest.param(
            of_inputs(Images(), torch.ones(2, 3, 16, 16)),
            r"inputs 'x' \(float32 batch x 3 x 16 x 16\): expected word ids",
            id="images",
        ),
        pytest.param(
            of_inputs(Vectors(), torch.ones(2, 9, 16)),
            r"inputs 'x' \(float32 batch x 9 x 16\): expected word ids",
            id="vectors",
        ),
        pytest.param(
            of_inputs(Table(), torch.ones(2, 9)),
            r"input 'x': takes features \(float32\), not word ids: operator \w+ weighs them$",
            id="columns of floats",
        ),
        pytest.param(
            of_inputs(Table(), torch.ones(2, 9, dtype=torch.int64)),
            r"input 'x': takes features \(int64\), not word ids: operator \w+ weighs them$",
            id="columns of whole numbers",
        ),
        pytest.param(texts(), r"input 'x': takes texts, not word ids; ", id="texts"),
    ],
)
def test_a_network_of_another_purpose_is_refused_in_one_line(
    tmp_path: Path, model: bytes, message: str, student: bool | None
) -> None:
    with pytest.raises(ConvertError, match=message) as refused:
        convert_and_publish(
            source(tmp_path, model), "x", "1.0.0", registry=tmp_path / "no", student=student
        )
    assert str(refused.value).startswith(f"{tmp_path / 'model.onnx'}: ")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "no").exists()


def test_ids_that_are_declared_as_floats_and_cast_are_word_ids(tmp_path: Path) -> None:
    """Keras declares them so."""

    class Cast(Network):
        def forward(self, ids: torch.Tensor) -> Any:
            return super().forward(ids.long())

    with pytest.raises(ConvertError, match=r"takes questions of 9 words only"):
        convert_and_publish(
            source(tmp_path, of_inputs(Cast("lstm"), torch.ones(2, 9))),
            "x",
            "1.0.0",
            registry=tmp_path / "no",
        )


def test_a_file_that_contradicts_its_reading_teaches_only_if_forced(tmp_path: Path) -> None:
    class Reached(Exception):
        pass

    def note(line: str) -> None:
        if line.startswith("asking the teacher"):
            raise Reached

    made = source(tmp_path, unlike_its_recurrence())
    with pytest.raises(
        ProofError, match=r"model\.onnx: the network as read differs from onnxruntime by [^\n]*$"
    ):
        convert_and_publish(made, "x", "1.0.0", registry=tmp_path / "no", note=note)
    with pytest.raises(Reached):
        convert_and_publish(made, "x", "1.0.0", registry=tmp_path / "no", student=True, note=note)


def test_a_teacher_that_the_registry_does_not_take_is_refused_before_it_teaches(
    tmp_path: Path,
) -> None:
    """The nodes of a graph must be in order for ONNX, but not for onnxruntime."""
    model = onnx.load_from_string(exported(Network("lstm")))
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    made = source(tmp_path, model.SerializeToString())
    with pytest.raises(
        ConvertError, match=r"student: teacher\.onnx: not an ONNX model: [^\n]*--keep-teacher$"
    ):
        convert_and_publish(made, "x", "1.0.0", registry=tmp_path / "no", keep_teacher=True)
