"""The published tokenizer cuts where the network cuts, and pads where the network reads the padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from networks import elman, weights
from onnx import TensorProto, helper, numpy_helper
from support import TINY_WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spikewatch.convert.errors import ConvertError
from spikewatch.convert.publishing.fitted_tokenizer import fitted_tokenizer, with_cut
from spikewatch.convert.read import Cut
from spikewatch.convert.read.reader import read_model_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikewatch.convert.read import FloatModel

WORDS = {word: i for i, word in enumerate(TINY_WORDS)}
RNG = np.random.default_rng(5)
TEXTS = [" ".join(RNG.choice(TINY_WORDS[1:], n)) for n in RNG.integers(1, 12, 40)]
FIRST, LAST = Cut(5, "right"), Cut(5, "left")


def tokenizer(*settings: Callable[[Tokenizer], None]) -> bytes:
    """Return a tokenizer.json over TINY_WORDS that splits at blanks."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    for setting in settings:
        setting(made)
    return made.to_str().encode()


def specials(single: str, segment: str = "") -> Callable[[Tokenizer], None]:
    """Return what adds the words "for" or "stand" to a text as special tokens."""
    single = " ".join(part + segment for part in single.split())

    def setting(made: Tokenizer) -> None:
        made.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(word, WORDS[word]) for word in ("for", "stand")]
        )

    return setting


def padding(**options: Any) -> Callable[[Tokenizer], None]:
    return lambda made: made.enable_padding(**options)


def cutting(length: int, **options: Any) -> Callable[[Tokenizer], None]:
    return lambda made: made.enable_truncation(length, **options)


@pytest.mark.parametrize(
    ("settings", "cut"),
    [
        ((), FIRST),
        ((), LAST),
        ((specials("for $A"),), FIRST),
        ((specials("$A stand"),), LAST),
        ((padding(length=9),), FIRST),
        ((padding(length=9, direction="left"),), LAST),
        ((padding(length=9), cutting(9)), FIRST),
        ((padding(length=9, pad_to_multiple_of=4), cutting(9)), FIRST),
        ((padding(pad_to_multiple_of=5),), FIRST),
        ((padding(length=9), cutting(3, direction="left")), FIRST),
        ((cutting(3),), LAST),
        ((specials("for $A stand"), cutting(4)), LAST),
    ],
)
def test_a_cut_of_the_network_becomes_one_of_the_tokenizer(
    settings: tuple[Callable[[Tokenizer], None], ...], cut: Cut
) -> None:
    given = tokenizer(*settings)
    whole = Tokenizer.from_str(given.decode())
    cut_there = with_cut(given, cut, TEXTS[:3])
    assert with_cut(cut_there, cut, TEXTS) == cut_there
    made = Tokenizer.from_str(cut_there.decode())
    for text in [*TEXTS, ""]:
        wanted = cut.apply(np.array(whole.encode(text).ids, dtype=np.int64)).tolist()
        assert made.encode(text).ids == wanted


@pytest.mark.parametrize(
    ("settings", "cut"),
    [
        ((specials("for $A stand"),), FIRST),
        ((specials("for $A"),), LAST),
        ((padding(length=9, direction="left"),), FIRST),
        ((padding(length=9),), LAST),
        ((padding(pad_to_multiple_of=4),), FIRST),
        ((cutting(9, direction="left"),), FIRST),
    ],
)
def test_a_cut_that_no_tokenizer_can_make_is_refused(
    settings: tuple[Callable[[Tokenizer], None], ...], cut: Cut
) -> None:
    end = {"right": "first", "left": "last"}[cut.side]
    with pytest.raises(ConvertError) as error:
        with_cut(tokenizer(*settings), cut, TEXTS)
    assert str(error.value) == (
        f"the network reads the {end} 5 words of a question only, and no tokenizer.json can cut so behind its special"
        " tokens, padding and truncation; train the network with a tokenizer that cuts instead:"
        f' tokenizer.enable_truncation(5, direction="{cut.side}")'
    )


def masked(*, heeded: bool) -> FloatModel:
    """Return a network that keeps its state where a mask, (batch, time), is 0; or one that ignores the mask."""
    w = weights(d=12)
    model = elman(w | {"B": 0 * w["B"]}, activation="Relu", lengths=False, batch_first=True)
    graph = model.graph
    axes: list[int | str] = ["batch", "time"]
    graph.input.append(helper.make_tensor_value_info("mask", TensorProto.INT64, axes))
    if heeded:  # as Keras does, but with the identity: U = I and no input keep a ReLU's state
        n = w["R"].shape[2]
        identity = np.eye(n, dtype=np.float32)[None]
        for tensor in graph.initializer:
            if tensor.name == "R":
                tensor.CopyFrom(numpy_helper.from_array(identity, "R"))
        graph.initializer.append(numpy_helper.from_array(np.array([2]), "two"))
        at = next(i for i, node in enumerate(graph.node) if node.op_type == "RNN")
        graph.node[at].input[0] = "marked"
        for node in (
            helper.make_node("Mul", ["x", "factor"], ["marked"]),
            helper.make_node("Unsqueeze", ["turned", "two"], ["factor"]),
            helper.make_node("Cast", ["by_time"], ["turned"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["mask"], ["by_time"], perm=[1, 0]),
        ):
            graph.node.insert(at, node)
    return read_model_bytes(model.SerializeToString(), what="masked")[1]


def with_lengths() -> FloatModel:
    """Return a network that takes lengths and packs its questions: it reads the first words of each."""
    model = elman(weights(d=12), batch_first=True)
    return read_model_bytes(model.SerializeToString(), what="packed")[1]


def answer(model: FloatModel, ids: list[int], mask: list[int]) -> np.ndarray[Any, Any]:
    """Return the file's own logits for padded ids and their mask, as a user computes them."""
    session = onnxruntime.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    feed = {"ids": np.array([ids]), "mask": np.array([mask])}
    return np.asarray(session.run(["logits"], feed)[0][0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_that_the_mask_hides_is_published_no_more(side: str) -> None:
    model, notes = masked(heeded=True), []
    given = tokenizer(padding(length=9, pad_id=3, direction=side))
    made = Tokenizer.from_str(fitted_tokenizer(given, TEXTS, model, notes.append).decode())
    assert made.padding is None
    assert notes == [
        "the model takes lengths or a mask and ignores the padding, so tokenizer.json is published without it"
    ]
    whole = Tokenizer.from_str(given.decode()).encode("who is in france")
    wanted = answer(model, whole.ids, whole.attention_mask)
    asked = [np.array(made.encode("who is in france").ids)]
    np.testing.assert_allclose(model.network.logits(asked)[0], wanted, atol=1e-4)


def test_padding_is_words_to_a_model_that_ignores_its_mask() -> None:
    model, notes = masked(heeded=False), []
    given = tokenizer(padding(length=9, pad_id=3))
    assert fitted_tokenizer(given, TEXTS, model, notes.append) == given
    assert not notes
    whole = Tokenizer.from_str(given.decode()).encode("who is in france")
    wanted = answer(model, whole.ids, whole.attention_mask)
    np.testing.assert_allclose(model.network.logits([np.array(whole.ids)])[0], wanted, atol=1e-4)


def test_padding_that_lengths_do_not_hide_is_refused() -> None:
    given = tokenizer(padding(length=9, pad_id=3, direction="left"))
    message = (
        r"^tokenizer\.json: pads on the left with id 3, and the model reads that padding in spite of its lengths or"
        r" mask, which is not supported$"
    )
    with pytest.raises(ConvertError, match=message):
        fitted_tokenizer(given, TEXTS, with_lengths(), print)
    given = tokenizer(padding(length=9, pad_id=3))
    made = Tokenizer.from_str(fitted_tokenizer(given, TEXTS, with_lengths(), print).decode())
    assert made.padding is None


def test_padding_that_the_mask_makes_something_else_than_words_is_refused() -> None:
    model = elman(weights(d=12), lengths=False, batch_first=True)
    graph = model.graph
    axes: list[int | str] = ["batch", "time"]
    graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, axes))
    graph.initializer.append(numpy_helper.from_array(np.array([2]), "two"))
    at = next(i for i, node in enumerate(graph.node) if node.op_type == "RNN")
    graph.node[at].input[0] = (
        "marked"  # the vectors of padding are 0, but the network steps over them
    )
    for node in (
        helper.make_node("Mul", ["x", "factor"], ["marked"]),
        helper.make_node("Unsqueeze", ["by_time", "two"], ["factor"]),
        helper.make_node("Transpose", ["mask"], ["by_time"], perm=[1, 0]),
    ):
        graph.node.insert(at, node)
    found = read_model_bytes(model.SerializeToString(), what="marked")[1]
    given = tokenizer(padding(length=9, pad_id=3))
    with pytest.raises(ConvertError, match=r"reads that padding in spite of its lengths or mask"):
        fitted_tokenizer(given, TEXTS, found, print)
    assert fitted_tokenizer(tokenizer(), TEXTS, found, print) == tokenizer()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_to_the_longest_of_a_batch_is_none_for_a_question_alone(side: str) -> None:
    given = tokenizer(padding(pad_id=3, direction=side))
    assert fitted_tokenizer(given, TEXTS, with_lengths(), print) == given


def test_padding_to_the_longest_of_a_batch_gets_a_warning_if_the_network_reads_it() -> None:
    notes: list[str] = []
    given = tokenizer(padding(pad_id=3))
    assert fitted_tokenizer(given, TEXTS, masked(heeded=False), notes.append) == given
    assert notes == [
        "warning: tokenizer.json pads questions to the longest of their batch, and the network reads that padding as"
        " words (id 3); here every question is answered as if alone, without padding"
    ]
    assert fitted_tokenizer(given, TEXTS, with_lengths(), notes.append) == given
    assert len(notes) == 1


def test_segments_that_the_model_reads_are_refused_unless_they_are_0() -> None:
    model = elman(weights(), lengths=False)
    graph = model.graph
    table = np.random.default_rng(5).normal(size=(2, 6)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(table, "types"))
    graph.node[0].output[0] = "word"
    graph.node.insert(1, helper.make_node("Gather", ["types", "token_type_ids"], ["type"]))
    graph.node.insert(2, helper.make_node("Add", ["word", "type"], ["x"]))
    axes: list[int | str] = ["time", "batch"]
    graph.input.append(helper.make_tensor_value_info("token_type_ids", TensorProto.INT64, axes))
    typed = read_model_bytes(model.SerializeToString(), what="typed")[1]
    given = tokenizer(specials("for $A"))
    assert fitted_tokenizer(given, TEXTS, typed, print) == given
    other = tokenizer(specials("for $A", ":1"))
    message = r"^tokenizer\.json: gives words the segment 1, and the model reads segments \('token_type_ids'\);"
    with pytest.raises(ConvertError, match=message):
        fitted_tokenizer(other, ["", *TEXTS], typed, print)
    assert fitted_tokenizer(other, TEXTS, masked(heeded=False), print) == other
