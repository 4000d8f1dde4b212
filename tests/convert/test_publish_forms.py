"""Files of other forms are published as what they are: several outputs, one logit, a cut, a length that they hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from networks import elman, save, weights
from onnx import helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from publishing import published, source
from support import TINY_LABELS, TINY_WORDS
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from spikewatch import registry
from spikewatch.convert import evaluate
from spikewatch.convert.errors import ConvertError

if TYPE_CHECKING:
    from pathlib import Path

    from spikewatch.convert import Source


def small(classes: int = len(TINY_LABELS)) -> onnx.ModelProto:
    return elman(weights(d=12, classes=classes), activation="Relu", lengths=False)


def cut(words: int) -> onnx.ModelProto:
    """Return a network that reads the first words of a question only."""
    model = small()
    graph = model.graph
    for name, value in {"first": 0, "last": words, "axis0": 0}.items():
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    graph.node[0].input[1] = "kept"
    graph.node.insert(0, helper.make_node("Slice", ["ids", "first", "last", "axis0"], ["kept"]))
    return model


def published_files(folder: Path) -> dict[str, bytes]:
    return dict(registry.Registry(folder / "registry").load("tiny:1.0.0").files)


def publishes_and_evaluates_alike(folder: Path, made: Source, notes: list[str]) -> None:
    """Publish, then assert that evaluating the registry's files alone reads the same network."""
    data = folder / "held-out.tsv"
    _, converted = published(folder, replace(made, evaluate=data), note=notes.append)
    figures = evaluate("tiny:1.0.0", data, registry=folder / "registry")
    assert figures["stages"] == converted.evaluation["stages"]
    assert figures["stages"]["weights"]["agreement"] > 0.8


def test_the_output_that_was_asked_for_is_published_and_read_again(folder: Path) -> None:
    model = small()
    other = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(other, "other"))
    model.graph.node.append(helper.make_node("Gemm", ["h", "other"], ["scores"]))
    model.graph.output.append(
        helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", 6])
    )
    save(model, folder / "model.onnx")
    made = replace(source(folder), output="scores")
    publishes_and_evaluates_alike(folder, made, [])
    kept = onnx.load_model_from_string(published_files(folder)["model.onnx"])
    assert [o.name for o in kept.graph.output] == ["scores"]


def test_one_logit_is_published_with_two_labels(folder: Path) -> None:
    save(small(classes=1), folder / "model.onnx")
    (folder / "labels.json").write_text(json.dumps(TINY_LABELS[:2]))
    lines = (folder / "held-out.tsv").read_text().splitlines()
    lines = [f"{TINY_LABELS[i % 2]}\t{x.partition(chr(9))[2]}" for i, x in enumerate(lines)]
    (folder / "held-out.tsv").write_text("\n".join(lines) + "\n")
    publishes_and_evaluates_alike(folder, source(folder), [])


def test_a_cut_in_the_network_is_published_as_a_truncation_of_the_tokenizer(folder: Path) -> None:
    save(cut(5), folder / "model.onnx")
    notes: list[str] = []
    publishes_and_evaluates_alike(folder, source(folder), notes)
    line = "the network reads the first 5 words of a question only; tokenizer.json cuts there"
    assert line in notes
    tokenizer = Tokenizer.from_buffer(published_files(folder)["tokenizer.json"])
    assert len(tokenizer.encode(" ".join(TINY_WORDS[1:] * 3)).ids) == 5


def test_a_cut_that_special_tokens_would_escape_is_refused(folder: Path) -> None:
    save(cut(5), folder / "model.onnx")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    word = TINY_WORDS[1]
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {word}", special_tokens=[(word, tokenizer.token_to_id(word))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    message = (
        r"^the network reads the first 5 words of a question only, and no tokenizer\.json can cut so behind its special"
        r" tokens, padding and truncation; train the network with a tokenizer that cuts instead:"
        r' tokenizer\.enable_truncation\(5, direction="right"\)$'
    )
    with pytest.raises(ConvertError, match=message):
        published(folder)
    assert not (folder / "registry").exists()


def test_a_file_of_one_length_says_how_many_questions_it_does_not_answer(folder: Path) -> None:
    model = small()
    axes = [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [4, "batch"])]
    del model.graph.input[:]
    model.graph.input.extend(axes)
    save(model, folder / "model.onnx")
    lines = (folder / "calibrate.txt").read_text().splitlines()
    others = sum(len(x.split()) != 4 for x in lines)
    notes: list[str] = []
    published(folder, note=notes.append)
    line = (
        "warning: the file itself answers questions of 4 words only; others are answered by the recurrence as read:"
        f" {others} of {len(lines)} calibration questions; if your code fills questions up to 4 words, use --pad-to 4"
    )
    assert line in notes


def test_a_sum_over_time_is_published_and_read_again(folder: Path) -> None:
    model = small()
    graph = model.graph
    rnn = next(n for n in graph.node if n.op_type == "RNN")
    rnn.output[0], rnn.output[1] = "states", ""
    nodes = [n for n in graph.node if n.op_type != "Squeeze"]
    graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "both"))
    pooled = helper.make_node("ReduceSum", ["states", "both"], ["h"], keepdims=0)
    nodes.insert(nodes.index(rnn) + 1, pooled)
    made = helper.make_graph(nodes, "sum", graph.input, graph.output, graph.initializer)
    options = {"opset_imports": model.opset_import, "ir_version": 8}
    save(helper.make_model(made, **options), folder / "model.onnx")
    publishes_and_evaluates_alike(folder, source(folder), [])


def test_half_precision_is_published_as_it_is_and_a_line_says_so(folder: Path) -> None:
    save(convert_float_to_float16(small()), folder / "model.onnx")
    notes: list[str] = []
    publishes_and_evaluates_alike(folder, source(folder), notes)
    assert "the file computes in float16, and so does the stage float;" in " ".join(notes)
    assert published_files(folder)["model.onnx"] == (folder / "model.onnx").read_bytes()
