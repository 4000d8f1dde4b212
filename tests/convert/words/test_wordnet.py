from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from spikewatch.convert.errors import DataError
from spikewatch.convert.training import TrainingSettings, train
from spikewatch.convert.words.wordnet import COMPONENTS, FILES, read_wordnet

if TYPE_CHECKING:
    from pathlib import Path

LICENCE = "  1 This software and database is being provided to you, the LICENSEE\n"
NOUNS = {
    "00000001": ("03", "entity", []),
    "00000002": ("05", "animal", ["00000001"]),
    "00000003": ("05", "fish", ["00000002"]),
    "00000004": ("13", "food", ["00000001"]),
    "00000005": ("05", "trout", ["00000003"]),
    "00000006": ("13", "trout", ["00000004"]),
    "00000007": ("15", "u.s.", ["00000001"]),
    "00000008": ("05", "mouse", ["00000002"]),
}


Nouns = dict[str, tuple[str, str, list[str]]]


def write_dictionary(folder: Path, nouns: Nouns) -> Path:
    """Write noun synsets (offset: lexicographer file, word, hypernyms) in the format of wndb(5WN)."""
    for name in FILES:
        (folder / name).write_text("" if name.endswith(".exc") else LICENCE)
    data = [
        f"{offset} {file} n 01 {word} 0 {len(above) + 1:03} "
        + "".join(f"@ {one} n 0000 " for one in above)
        + "~ 00000001 n 0000 | a gloss; with @ 99999999 in it\n"
        for offset, (file, word, above) in nouns.items()
    ]
    (folder / "data.noun").write_text(LICENCE + "".join(data))
    index = [
        f"{word} n {len(offsets)} 1 @ {len(offsets)} 0 {' '.join(offsets)}  \n"
        for word in dict.fromkeys(word for _, word, _ in nouns.values())
        for offsets in [[o for o, (_, w, _) in nouns.items() if w == word]]
    ]
    (folder / "index.noun").write_text(LICENCE + "".join(index))
    (folder / "noun.exc").write_text("mice mouse\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dictionary(tmp_path, NOUNS)


class TestDescribe:
    def test_weighs_hypernyms_by_the_senses_below_them(self, folder: Path) -> None:
        found = read_wordnet(folder).describe("trout")

        assert found["noun"] == 1
        assert found["noun 00000001"] == pytest.approx(1)  # every sense is an entity
        assert found["noun 00000002"] == pytest.approx(2 / 3)  # the first sense is an animal
        assert found["noun 00000004"] == pytest.approx(1 / 3)
        assert found["noun file 13"] == pytest.approx(1 / 3)

    @pytest.mark.parametrize(
        ("word", "base"), [("mice", "mouse"), ("trouts", "trout"), ("u.s", "u.s.")]
    )
    def test_finds_base_forms(self, folder: Path, word: str, base: str) -> None:
        wordnet = read_wordnet(folder)

        assert wordnet.describe(word) == wordnet.describe(base) != {}

    def test_is_empty_for_other_words(self, folder: Path) -> None:
        assert read_wordnet(folder).describe("xylograph") == {}


class TestFeatures:
    WORDS = ("animal", "fish", "trout", "food", "who", "mouse")

    def test_are_zero_for_absent_words_and_similar_for_similar_words(self, folder: Path) -> None:
        features = read_wordnet(folder).features(self.WORDS)

        assert features.dtype == np.float32
        assert features.shape[1] <= COMPONENTS
        assert not features[self.WORDS.index("who")].any()
        assert features.std() == pytest.approx(1, rel=1e-4)
        fish, mouse, food = (features[self.WORDS.index(w)] for w in ("fish", "mouse", "food"))
        assert np.linalg.norm(fish - mouse) < np.linalg.norm(fish - food)

    def test_keep_the_angles_of_all_the_shares(self, folder: Path) -> None:
        """With few features, no component is dropped, so the projection is a rotation."""
        wordnet = read_wordnet(folder)
        features = wordnet.features(self.WORDS).astype(np.float64)
        held = [wordnet.describe(w) for w in self.WORDS]
        names = sorted({n for f in held for n in f if sum(n in g for g in held) >= 2})
        dense = np.array([[f.get(n, 0.0) for n in names] for f in held])
        dense *= dense.mean(axis=0) ** -0.25

        ratio = (features**2).sum() / (dense**2).sum()
        np.testing.assert_allclose(features @ features.T, ratio * dense @ dense.T, atol=1e-4)

    def test_have_no_components_if_no_word_is_known(self, folder: Path) -> None:
        assert read_wordnet(folder).features(["who", "what"]).shape == (2, 0)


class TestRefuses:
    def test_a_folder_without_its_files(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"index\.noun: No such file"):
            read_wordnet(tmp_path)

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("index.noun", "trout n many 1 @ 1 0 00000005"),
            ("index.noun", "trout n 9 0 1 0 00000005"),
            ("data.noun", "00000009 05 n 01 salmon 0 004 @ 00000003 n 0000"),
            ("data.noun", "00000009"),
            ("noun.exc", "geese"),
        ],
    )
    def test_a_malformed_line(self, folder: Path, name: str, line: str) -> None:
        path = folder / name
        path.write_text(f"{path.read_text()}{line}\n")
        number = len(path.read_text().splitlines())

        with pytest.raises(DataError, match=rf"{name}:{number}: not in WordNet's format"):
            read_wordnet(folder)

    def test_a_sense_without_a_synset(self, folder: Path) -> None:
        path = folder / "index.noun"
        path.write_text(f"{path.read_text()}salmon n 1 0 1 0 00000077\n")

        with pytest.raises(DataError, match=r"data\.noun: synset 00000077 is missing"):
            read_wordnet(folder)


def test_a_trained_network_answers_for_words_that_only_wordnet_distinguishes(
    tmp_path: Path,
) -> None:
    """All nouns share one vector, and the last four of each kind are in no training question."""
    kinds = {"fish": "00000003", "food": "00000004"}
    nouns = {o: NOUNS[o] for o in ("00000001", "00000002", "00000003", "00000004")}
    words = {kind: [f"{kind}{letter}" for letter in "abcdefghijklmnop"] for kind in kinds}
    for kind, above in kinds.items():
        for word in words[kind]:
            nouns[f"{len(nouns) + 1:08}"] = (nouns[above][0], word, [above])
    wordnet = write_dictionary(tmp_path, nouns)
    vectors = [*(f"{w} 1 0" for kind in kinds for w in words[kind]), "what 0 1", "is 1 1", "a 0 0"]
    (tmp_path / "words.vec").write_text("\n".join([f"{len(vectors)} 2", *vectors]))
    lines = [f"{kind}\tWhat is a {w}?" for kind in kinds for w in words[kind][:-4]] * 6
    (tmp_path / "questions.tsv").write_text("\n".join(lines))
    settings = TrainingSettings(
        n_in=4, n_hidden=6, teachers=("gru",), teacher_epochs=6, texts=2, replace=0.0,
        epochs=30, rate=1e-2, spiking_epochs=5, batch=16, dev=0,
    )  # fmt: skip

    train(
        tmp_path / "questions.tsv",
        tmp_path / "words.vec",
        tmp_path / "out",
        wordnet=wordnet,
        settings=settings,
    )

    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    session = InferenceSession(tmp_path / "out" / "model.onnx")
    for kind in kinds:
        for word in words[kind][-4:]:
            ids = np.array(tokenizer.encode(f"What is a {word}?").ids, dtype=np.int64)[:, None]
            feeds = {"ids": ids, "lengths": np.array([len(ids)], dtype=np.int32)}
            (logits,) = session.run(None, feeds)
            assert labels[np.asarray(logits).argmax()] == kind, word
    assert "sha256" in json.loads((tmp_path / "out" / "training.json").read_text())["wordnet"]
