"""Publishing reads the words that the user's own code reads: special tokens, padding, ids that the network skips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from networks import elman, weights
from onnx import helper, numpy_helper
from support import TINY_WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from user_pipeline import convert_as_user, own_answers

from spikewatch.convert.errors import ConvertError, DataError
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source
from spikewatch.convert.read.reader import read_model_bytes
from spikewatch.simcore import UNKNOWN_WORD, Classifier, Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

KERAS = Path(__file__).with_name("keras")
WORDS = {word: i for i, word in enumerate(TINY_WORDS)}
RNG = np.random.default_rng(11)
TEXTS = [" ".join(RNG.choice(TINY_WORDS[2:], n)) for n in RNG.integers(1, 9, 200)]


def tokenizer(*, unknown: str = "<unk>") -> Tokenizer:
    """Return a tokenizer over TINY_WORDS that splits at blanks."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def strong() -> dict[str, Any]:
    """Return weights of a network over TINY_WORDS that remembers what it read, so that no answer is the usual one."""
    w = weights(d=12)
    return w | {"R": 2.5 * w["R"], "B": 0 * w["B"], "c": 0 * w["c"]}


def network() -> bytes:
    """Return a network that takes (batch, time) of any length."""
    return elman(strong(), lengths=False, batch_first=True).SerializeToString()


def with_lengths(operator: str, number: int) -> bytes:
    """Return a network of any length whose RNN gets as a length how many ids are not `number`."""
    model: onnx.ModelProto = elman(strong(), batch_first=True)
    graph = model.graph
    del graph.input[1]
    for name, value in {"number": np.array(number), "one": np.array([1])}.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    for at, node in enumerate(
        [
            helper.make_node(operator, ["ids", "number"], ["matches"]),
            helper.make_node("Not", ["matches"], ["words"]),
            helper.make_node("Cast", ["words"], ["ones"], to=6),
            helper.make_node("ReduceSum", ["ones", "one"], ["lengths"], keepdims=0),
        ]
    ):
        graph.node.insert(at, node)
    return model.SerializeToString()


def with_special_tokens(made: Tokenizer) -> None:
    made.post_processor = processors.TemplateProcessing(
        single="the $A of", special_tokens=[("the", WORDS["the"]), ("of", WORDS["of"])]
    )


def with_padding(made: Tokenizer) -> None:
    made.enable_padding(length=8, pad_id=1, direction="left")


def with_truncation(made: Tokenizer) -> None:
    with_special_tokens(made)
    made.enable_truncation(5)


@pytest.mark.parametrize("setting", [with_special_tokens, with_padding, with_truncation])
def test_the_float_stage_answers_as_the_users_own_pipeline(
    tmp_path: Path, setting: Callable[[Tokenizer], None]
) -> None:
    made, model = tokenizer(), network()
    plain = own_answers(model, lambda text: made.encode(text).ids, TEXTS)
    setting(made)
    own = own_answers(model, lambda text: made.encode(text).ids, TEXTS)
    assert np.mean(np.array(plain) == own) < 0.9, "the setting must matter"
    found = convert_as_user(tmp_path, model=model, tokenizer=made, texts=TEXTS, own=own, classes=6)
    assert found.right == 1
    classifier = Classifier.from_files(found.converted.files)
    assert classifier.word_ids(TEXTS[:20]) == [made.encode(text).ids for text in TEXTS[:20]]


@pytest.mark.parametrize(("side", "cut"), [("right", "right"), ("left", "left"), ("left", "right")])
def test_padding_by_the_users_own_code_is_read(tmp_path: Path, side: str, cut: str) -> None:
    made, model = tokenizer(), network()

    def padded(text: str) -> list[int]:
        ids = made.encode(text).ids
        ids = ids[:6] if cut == "right" else ids[-6:]
        padding = [2] * (6 - len(ids))
        return ids + padding if side == "right" else padding + ids

    own = own_answers(model, padded, TEXTS)
    found = convert_as_user(
        tmp_path,
        model=model,
        tokenizer=made,
        texts=TEXTS,
        own=own,
        classes=6,
        pad_to=6,
        pad_id=2,
        pad_side=side,
        truncate_side=cut,
    )
    assert found.right == 1
    lost = sum(len(text.split()) > 6 for text in TEXTS[:60])
    ends = {"left": ("first", "right", "last"), "right": ("last", "left", "first")}[cut]
    assert found.notes[1] == (
        f"{lost} of 60 questions have more than 6 words and lose their {ends[0]} ones"
        f" (--truncate-side {ends[1]}: their {ends[2]} ones)"
    )
    assert Classifier.from_files(found.converted.files).word_ids(TEXTS[:9]) == [
        padded(text) for text in TEXTS[:9]
    ]


def fixed(length: int) -> bytes:
    """Return a network that was exported for one length."""
    model = elman(strong(), lengths=False, batch_first=True)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = length
    return model.SerializeToString()


def test_questions_of_a_length_that_the_file_does_not_take_are_reported(tmp_path: Path) -> None:
    made = tokenizer()
    own = own_answers(network(), lambda text: made.encode(text).ids, TEXTS)
    found = convert_as_user(
        tmp_path, model=fixed(4), tokenizer=made, texts=TEXTS, own=own, classes=6
    )
    others = sum(len(text.split()) != 4 for text in TEXTS[:60])
    assert (
        "warning: the file itself answers questions of 4 words only; others are answered by the recurrence as read:"
        f" {others} of 60 calibration questions; if your code fills questions up to 4 words, use --pad-to 4"
    ) in found.notes
    own = own_answers(fixed(4), lambda text: (made.encode(text).ids + [1] * 4)[:4], TEXTS)
    found = convert_as_user(
        tmp_path,
        model=fixed(4),
        tokenizer=made,
        texts=TEXTS,
        own=own,
        classes=6,
        pad_to=4,
        pad_id=1,
    )
    assert found.right == 1
    assert not [note for note in found.notes if note.startswith("warning")]


SKIPS = (KERAS / "mask.onnx").read_bytes()


def keras_tokenizer(specials: dict[str, int], *, unknown: str = "<unk>") -> Tokenizer:
    """Return a tokenizer for `mask.onnx`, which skips id 0: words w0, w1, ... have the ids that are left."""
    rows = read_model_bytes(SKIPS, what="mask")[0].rows
    free = sorted(set(range(len(rows))) - set(specials.values()))
    words = specials | {f"w{i}": i for i in free}
    made = Tokenizer(models.WordLevel(words, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def classes(model: bytes) -> int:
    return read_model_bytes(model, what="model")[0].classes


def keras_texts(*more: str) -> list[str]:
    rng = np.random.default_rng(4)
    words = [*(f"w{i}" for i in range(2, 12)), *more]
    return [" ".join(rng.choice(words, n)) + " w5" for n in rng.integers(1, 8, 200)]


def test_a_word_whose_id_the_network_skips_is_dropped_as_the_network_does(tmp_path: Path) -> None:
    made = keras_tokenizer({"<unk>": 0})
    texts = keras_texts("unseen", "unheard")
    own = own_answers(SKIPS, lambda text: made.encode(text).ids, texts)
    found = convert_as_user(
        tmp_path, model=SKIPS, tokenizer=made, texts=texts, own=own, classes=classes(SKIPS)
    )
    assert found.right == 1
    count = sum(text.count("un") for text in texts[:60])
    assert found.notes[1] == f"as the model does, words are skipped: '<unk>' (id 0, {count} times)"
    assert Encoder.from_bytes(found.converted.files["encoder.safetensors"]).skipped == (0,)
    classifier = Classifier.from_files(found.converted.files)
    assert classifier.word_ids(["w3 unseen w4", "unseen"]) == [[3, 4], []]
    stages = found.converted.evaluation["stages"]
    assert stages["weights"]["agreement"] > 0.8


def test_padding_that_the_network_skips_is_published_no_more(tmp_path: Path) -> None:
    made = keras_tokenizer({"<pad>": 0, "<unk>": 1})
    made.enable_padding(length=12, pad_id=0, pad_token="<pad>", direction="left")
    texts = keras_texts()
    own = own_answers(SKIPS, lambda text: made.encode(text).ids, texts)
    found = convert_as_user(
        tmp_path, model=SKIPS, tokenizer=made, texts=texts, own=own, classes=classes(SKIPS)
    )
    assert found.right == 1
    note = "the model skips the padding (id 0), so tokenizer.json is published without it"
    assert found.notes[1] == note
    published = Tokenizer.from_str(found.converted.files["tokenizer.json"].decode())
    assert published.padding is None
    assert "lookup.safetensors" in found.converted.files


def test_a_network_that_takes_padding_at_the_end_only_gets_no_such_word(tmp_path: Path) -> None:
    made, model = tokenizer(), with_lengths("Equal", 0)
    made.enable_padding(length=9, pad_id=0)
    own = own_answers(model, lambda text: made.encode(text).ids, TEXTS)
    unknown = r"^tokenizer\.json: '<unk>' has id 0, which the model takes for padding at the end"
    with pytest.raises(ConvertError, match=unknown):
        convert_as_user(tmp_path, model=model, tokenizer=made, texts=TEXTS, own=own, classes=6)
    made = tokenizer(unknown="for")
    made.enable_padding(length=9, pad_id=0)
    found = convert_as_user(tmp_path, model=model, tokenizer=made, texts=TEXTS, own=own, classes=6)
    assert found.right == 1
    classifier = Classifier.from_files(found.converted.files)
    assert classifier.word_ids(["who is"]) == [[1, 7]]
    assert classifier.classify(["who <unk> is", "who"]).label[0] == UNKNOWN_WORD
    made.enable_padding(length=9, pad_id=0, direction="left")
    with pytest.raises(ConvertError, match=r"^tokenizer\.json: pads on the left with id 0, which"):
        convert_as_user(tmp_path, model=model, tokenizer=made, texts=TEXTS, own=own, classes=6)


def test_questions_with_unknown_words_are_left_out(tmp_path: Path) -> None:
    made, texts = tokenizer(unknown="<nothing>"), [*TEXTS[:60], *TEXTS]
    own = own_answers(network(), lambda text: made.encode(text).ids, texts)
    texts[5:8] = ["who is zebra"] * 3
    found = convert_as_user(
        tmp_path, model=network(), tokenizer=made, texts=texts, own=own, classes=6
    )
    assert found.notes[1] == (
        "3 of 60 calibration questions are left out, and such a question gets no answer: the tokenizer cannot split"
        ' "who is zebra": WordLevel error: Missing [UNK] token from the vocabulary'
    )
    assert found.converted.evaluation["calibration"]["questions"] == 57
    assert found.converted.evaluation["without_words"] == 3
    assert found.right == 1 - 3 / len(texts)
    answers = Classifier.from_files(found.converted.files).classify(["zebra", "who"])
    assert answers.label[0] == UNKNOWN_WORD
    assert answers.label[1] >= 0
    texts[2:50] = ["zebra"] * 48
    with pytest.raises(DataError, match=r"txt: 12 questions with words, at least 16 needed$"):
        convert_as_user(tmp_path, model=network(), tokenizer=made, texts=texts, own=own, classes=6)


def test_questions_longer_than_a_core_answers_are_left_out(tmp_path: Path) -> None:
    made, texts = tokenizer(), list(TEXTS)
    own = own_answers(network(), lambda text: made.encode(text).ids, texts)
    texts[5:8] = ["who " * 1025] * 3
    found = convert_as_user(
        tmp_path, model=network(), tokenizer=made, texts=texts, own=own, classes=6
    )
    assert (
        "3 of 60 questions are left out, and such a question gets no answer: 1025 words, limit 1024"
        in found.notes
    )
    assert found.converted.evaluation["calibration"]["questions"] == 57
    (tmp_path / "long.txt").write_text("\n".join(["who " * 1025] * 20))
    files = {"model": "model.onnx", "tokenizer": "tokenizer.json", "labels": "labels.json"}
    paths = {k: tmp_path / v for k, v in files.items()}
    source = Source(**paths, calibrate=tmp_path / "calibrate.txt", evaluate=tmp_path / "long.txt")
    with pytest.raises(
        DataError, match=r"^questions: each of the 20 with words has more than 1024"
    ):
        convert(source, title="own", recipe="closed-form")
    with pytest.raises(DataError, match=r"txt: 0 questions with words, at least 16 needed$"):
        convert_as_user(
            tmp_path,
            model=network(),
            tokenizer=made,
            texts=["who " * 1025] * len(own),
            own=own,
            classes=6,
        )


def test_a_tokenizer_that_splits_no_question_is_refused_with_the_reason(tmp_path: Path) -> None:
    made, model = tokenizer(), network()
    own = own_answers(model, lambda text: made.encode(text).ids, TEXTS)
    made.enable_truncation(1, strategy="only_second")
    with pytest.raises(
        DataError,
        match=r"splits none of the questions: Truncation error: Second sequence not provided$",
    ):
        convert_as_user(
            tmp_path,
            model=model,
            tokenizer=made,
            texts=[text + " who is" for text in TEXTS],
            own=own,
            classes=6,
        )


def test_padding_that_the_embedding_or_the_core_has_no_place_for_is_refused(tmp_path: Path) -> None:
    own = [0, 1] * 100
    for padding, message in (
        ({"length": 4, "pad_id": 21}, r"pads with id 21, but the embedding has rows 0\.\.20$"),
        ({"length": 1025}, "pads to 1025 words, limit 1024, and the model reads the padding$"),
    ):
        made = tokenizer()
        made.enable_padding(**padding)
        with pytest.raises(ConvertError, match=rf"^tokenizer\.json: {message}"):
            convert_as_user(
                tmp_path, model=network(), tokenizer=made, texts=TEXTS, own=own, classes=6
            )


def test_a_few_words_beyond_the_embedding_cost_their_questions_only(tmp_path: Path) -> None:
    made = tokenizer()
    made.add_tokens(["extra", "more"])
    texts = [f"{text} extra" if i % 8 == 0 else text for i, text in enumerate(TEXTS)]
    model = network()
    # the file itself fails on the texts with it, so no answer is right for them
    own = own_answers(model, lambda text: made.encode(text.replace(" extra", "")).ids, texts)
    found = convert_as_user(tmp_path, model=model, tokenizer=made, texts=texts, own=own, classes=6)
    assert found.right == 175 / 200
    (line,) = (n for n in found.notes if "has id 21" in n)
    assert "'extra' has id 21, but the embedding has rows 0..20" in line
    assert line.endswith("8 of 60 calibration questions")
    classifier = Classifier.from_files(found.converted.files)
    answered = classifier.classify(["what extra", texts[1], "more"]).label
    assert (answered == UNKNOWN_WORD).tolist() == [True, False, True]


def test_an_unknown_token_beyond_the_embedding_is_refused(tmp_path: Path) -> None:
    made = tokenizer(unknown="[UNK]")
    made.add_special_tokens(["[UNK]"])
    with pytest.raises(ConvertError, match=r"word id 21, but the embedding has rows 0\.\.20"):
        convert_as_user(
            tmp_path, model=network(), tokenizer=made, texts=TEXTS, own=[0, 1] * 100, classes=6
        )


def test_a_network_that_takes_any_id_reads_every_word_of_the_tokenizer(tmp_path: Path) -> None:
    w = weights(d=12, words=16)
    model = elman(
        w | {"R": 2.5 * w["R"], "B": 0 * w["B"], "c": 0 * w["c"]}, lengths=False, batch_first=True
    )
    for node in model.graph.node:
        node.input[:] = ["folded" if name == "ids" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array(16), "rows"))
    model.graph.node.insert(0, helper.make_node("Mod", ["ids", "rows"], ["folded"]))
    made, data = tokenizer(), model.SerializeToString()
    own = own_answers(data, lambda text: made.encode(text).ids, TEXTS)
    found = convert_as_user(tmp_path, model=data, tokenizer=made, texts=TEXTS, own=own, classes=6)
    assert found.right == 1
    assert not [note for note in found.notes if "beyond" in note or "has id" in note]
    again = Classifier.from_files(found.converted.files)
    assert (again.classify([TINY_WORDS[20]]).label >= 0).all()
