"""The classifier as a library: loading, class names, misuse, and what its values look like."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sim_support import tiny_lookup
from support import (
    TINY_LABELS,
    tiny_model_files,
)

from spikewatch.registry import Registry
from spikewatch.simcore import (
    MAX_WORDS,
    NO_WORDS,
    TOO_LONG,
    Classifier,
    Encoder,
    InputError,
    ModelError,
)
from spikewatch.simcore.text.splitting import read_splitter

if TYPE_CHECKING:
    from collections.abc import Callable


def test_names_refuse_labels_in_place_of_answers(classifier: Classifier) -> None:
    answers = classifier.classify(["who"])
    with pytest.raises(
        InputError,
        match="^answers: ndarray, expected the Answers that classify returned$",
    ):
        classifier.names(answers.label)  # type: ignore[arg-type]


def test_names_are_none_where_nothing_was_simulated(classifier: Classifier) -> None:
    answers = classifier.classify(["", "who " * (MAX_WORDS + 1), "Who wrote Hamlet?"])
    assert answers.label[:2].tolist() == [NO_WORDS, TOO_LONG]
    assert classifier.names(answers) == [None, None, classifier.labels[answers.label[2]]]


TEXTS = ["Who wrote Hamlet?", "what is the capital of france", "", "How far is the Moon?", "?!"]


@pytest.mark.parametrize("method", ["classify", "word_ids"])
def test_one_text_instead_of_a_list_is_refused(classifier: Classifier, method: str) -> None:
    """Its characters would otherwise be answered one by one."""
    with pytest.raises(
        InputError, match=r"^texts: expected a list of texts, got one str; pass \[text\]$"
    ):
        getattr(classifier, method)("Who wrote Hamlet?")


@pytest.mark.parametrize("method", ["classify", "word_ids"])
def test_a_number_instead_of_a_list_is_refused(classifier: Classifier, method: str) -> None:
    with pytest.raises(InputError, match=r"^texts: int, expected a list of texts$"):
        getattr(classifier, method)(5)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([1, 2], "question 0: int, expected a sequence of word ids"),
        ([[1], 2], "question 1: int, expected a sequence of word ids"),
        (["who"], "question 0: str, expected a sequence of word ids"),
        ("who", "question 0: str, expected a sequence of word ids"),
    ],
)
def test_word_ids_that_are_not_in_questions_are_refused(
    classifier: Classifier, questions: Any, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        classifier.answer_ids(questions)


class TestLoad:
    """`Classifier.load` reads a model through the registry's entry point."""

    @pytest.mark.parametrize("path", [str, Path])
    def test_a_registry_is_named_by_str_or_path(
        self, classifier: Classifier, tmp_path: Path, path: Callable[[Path], str | Path]
    ) -> None:
        created = datetime(2026, 1, 1, tzinfo=UTC)
        store = Registry.init(tmp_path / "models")
        store.publish("tiny", "1.0.0", tiny_model_files(), created=created, alias="production")
        loaded = Classifier.load("tiny:production", path(tmp_path / "models"))
        assert loaded.names(loaded.classify(TEXTS)) == classifier.names(classifier.classify(TEXTS))

    def test_without_a_registry_the_bundled_one_is_used(self) -> None:
        classifier = Classifier.load("trec:production")
        answers = classifier.classify(["Who wrote Hamlet?", "How far is the moon?", ""])
        assert classifier.names(answers) == ["HUM", "NUM", None]

    def test_a_model_that_is_not_there_is_an_input_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="^trec:9.9.9: no registry has this model: .*9.9.9"):
            Classifier.load("trec:9.9.9")
        with pytest.raises(InputError, match="^trec:1.0.0: no registry has this model: .*nowhere"):
            Classifier.load("trec:1.0.0", tmp_path / "nowhere")

    def test_a_model_without_one_of_the_files_is_a_model_error(self, tmp_path: Path) -> None:
        files = tiny_model_files()
        del files["labels.json"]
        store = Registry.init(tmp_path / "models")
        store.publish("odd", "1.0.0", files, created=datetime(2026, 1, 1, tzinfo=UTC))
        with pytest.raises(ModelError, match="^odd:1.0.0: the model has no file labels.json$"):
            Classifier.load("odd:1.0.0", tmp_path / "models")

    def test_without_any_registry_installed_the_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
        with pytest.raises(InputError) as caught:
            Classifier.load("trec:production")
        assert str(caught.value) == (
            "trec:production: no model registry is installed (no entry point in the group"
            " spikewatch.models); install spikewatch, which brings one"
        )


def test_the_main_classes_say_in_one_line_what_they_hold() -> None:
    files = tiny_model_files()
    assert repr(Classifier.from_files(files)) == (
        f"<Classifier: 6 classes ({', '.join(TINY_LABELS)}), 21 words, 1 core>"
    )
    assert repr(Encoder.from_bytes(files["encoder.safetensors"])) == (
        "<Encoder: 21 words, 21 codes of 6 lines>"
    )
    assert repr(read_splitter(files)) == "<LibrarySplitter: word ids 0..20>"
    by_lookup = read_splitter(files | {"lookup.safetensors": tiny_lookup().to_bytes()})
    assert repr(by_lookup) == "<LookupSplitter: 21 words, word ids 0..20>"
