from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spikewatch.convert.training import TrainingSettings
from spikewatch.convert.training.corpus import pack
from spikewatch.convert.training.focus import Focus
from spikewatch.convert.training.inputs import read_inputs
from spikewatch.convert.training.network import own_words
from spikewatch.convert.training.teacher import Teacher, answers, train_teachers

if TYPE_CHECKING:
    from spikewatch.convert.training.inputs import TrainingInputs

NO_NOUNS = {"live", "won"}
THINGS = {
    "HUM:ind": ("poet", "king", "actor", "singer", "painter"),
    "HUM:gr": ("team", "band", "company", "party", "army"),
    "LOC:city": ("city", "town", "capital", "village", "suburb"),
    "LOC:other": ("lake", "river", "island", "mountain", "desert"),
}
PLACES = ("spain", "peru", "chad", "cuba", "fiji", "iran")


@pytest.mark.parametrize(
    ("text", "focus"),
    [
        ("what is the oldest city in spain", "city"),
        ("what river city did he live in", "city"),
        ("in what city is it", "city"),
        ("what poet won", "poet"),  # a word that is not a noun ends the run
        ("what kind of dog is it", "dog"),
        ("what is the name of the dog", "dog"),
        ("what is spain 's capital", "capital"),
        ("name a city", "city"),
        ("who was the poet of spain", "poet"),
        ("how many cities are there", "cities"),
        ("dog", "dog"),
        ("who is it", None),
        ("the dog is who", None),
    ],
)
def test_the_focus_ends_the_first_run_of_nouns_after_the_question_word(
    text: str, focus: str | None
) -> None:
    words = text.split()
    finder = Focus(words, np.array([word not in NO_NOUNS for word in words]))

    place = finder.find([words.index(word) for word in words])

    assert (words[place] if place >= 0 else None) == focus


def test_the_focus_of_packed_questions_is_given_by_row() -> None:
    words = ["what", "is", "the", "poet", "of", "a", "city"]
    finder = Focus(words, np.ones(len(words), dtype=np.bool_))
    long, short, none = (np.array(ids) for ids in ([0, 1, 2, 3, 4, 5, 6], [0, 6], [0, 1]))
    ids, alive = pack([long, short, none])

    places = finder.places(ids, alive).tolist()

    assert [int(ids[place, i]) for i, place in enumerate(places[:2])] == [3, 6]
    assert places[2] == -1


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> TrainingInputs:
    """Return questions about things and places; things of the same fine label have similar vectors."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(8)
    vectors = {word: rng.normal(size=12) for word in ("what", "is", "the", "in", *PLACES)}
    for things in THINGS.values():
        centre = 2 * rng.normal(size=12)
        vectors |= {thing: centre + 0.3 * rng.normal(size=12) for thing in things}
    rows = [f"{word} {' '.join(f'{x:.3f}' for x in v)}" for word, v in vectors.items()]
    (folder / "words.vec").write_text("\n".join([f"{len(rows)} 12", *rows]))
    lines = [
        f"{label} What is the {place} {thing} in {elsewhere} ?"
        for label, things in THINGS.items()
        for thing in things
        for place in PLACES
        for elsewhere in PLACES[:3]
    ]
    (folder / "questions.label").write_text("\n".join(lines))
    return read_inputs(folder / "questions.label", folder / "words.vec", None, fine=False)


def taught(inputs: TrainingInputs, kind: str, epochs: int) -> tuple[torch.nn.Module, float]:
    """Train a teacher without the last thing of each fine label; return it and its accuracy on those things."""
    new = {things[-1] for things in THINGS.values()}
    held_out = [bool(new & set(q.text.split())) for q in inputs.corpus.questions]
    train = inputs.corpus.take(np.flatnonzero(~np.array(held_out)).tolist())
    dev = inputs.corpus.take(np.flatnonzero(held_out).tolist())
    own = own_words(train.word_counts(len(inputs.table.rows)), 2)
    settings = TrainingSettings(teachers=(kind,), teacher_epochs=epochs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        (teacher,) = train_teachers(
            train, inputs, own, settings, [np.random.default_rng(1)], lambda _: None
        )
    right = answers([teacher], dev.ids).argmax(dim=1).numpy() == dev.labels
    return teacher, float(right.mean())


def test_a_linear_teacher_generalises_to_unseen_things_by_their_vectors(
    inputs: TrainingInputs,
) -> None:
    _, accuracy = taught(inputs, "linear", 20)

    assert accuracy >= 0.9


def test_a_recurrent_teacher_learns_fine_labels_and_answers_with_classes(
    inputs: TrainingInputs,
) -> None:
    teacher, accuracy = taught(inputs, "gru", 6)
    assert isinstance(teacher, Teacher)
    packed = pack(inputs.corpus.ids)

    with torch.no_grad():
        fine = teacher.fine(*packed).softmax(dim=1)
        classes = teacher(*packed).exp()

    assert accuracy >= 0.9
    assert (fine.argmax(dim=1).numpy() == inputs.corpus.fine).mean() >= 0.9
    assert inputs.labels == ("HUM", "LOC")
    # HUM:gr, HUM:ind, LOC:city, LOC:other
    summed = torch.stack([fine[:, :2].sum(dim=1), fine[:, 2:].sum(dim=1)], dim=1)
    torch.testing.assert_close(classes, summed)
