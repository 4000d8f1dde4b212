"""Check training on a small language: the files that it writes, and the input that it refuses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
import torch
from small_training import SMALL
from tokenizers import Tokenizer

from spikewatch.convert.errors import DataError, TrainingError
from spikewatch.convert.training import FILES, TrainingSettings, cross_validate, train
from spikewatch.convert.words.question_files import read_questions

if TYPE_CHECKING:
    from pathlib import Path


class TestTrain:
    def test_learns_a_small_language(self, trained: Path) -> None:
        accuracy = json.loads((trained / "training.json").read_text())["dev_accuracy"]

        assert accuracy["teachers"] >= 0.9
        assert accuracy["float"] >= 0.9
        assert accuracy["integer"] >= 0.9
        assert accuracy["spiking"] >= 0.9

    def test_writes_a_model_that_answers_raw_text(self, trained: Path) -> None:
        tokenizer = Tokenizer.from_file(str(trained / "tokenizer.json"))
        labels = json.loads((trained / "labels.json").read_text())
        session = onnxruntime.InferenceSession(trained / "model.onnx")

        def answer(text: str) -> str:
            ids = np.array(tokenizer.encode(text).ids, dtype=np.int64)[:, None]
            feeds = {"ids": ids, "lengths": np.array([len(ids)], dtype=np.int32)}
            (logits,) = session.run(None, feeds)
            return str(labels[np.asarray(logits).argmax()])

        assert answer("Who wrote the book and the song?") == "HUM"
        assert answer("where is the OPERA and the moon") == "LOC"
        assert answer("How many are the cat and the dog and the ship ?") == "NUM"

    def test_records_what_reproduces_the_model(
        self, trained: Path, data: Path, vectors: Path
    ) -> None:
        text = (trained / "training.json").read_text()
        record = json.loads(text)

        assert record["data"]["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
        assert record["vectors"]["sha256"] == hashlib.sha256(vectors.read_bytes()).hexdigest()
        assert record["seed"] == 3
        assert record["settings"]["n_hidden"] == SMALL.n_hidden
        assert record["split"]["dev"] == SMALL.dev
        assert sum(record["classes"]["dev"].values()) == SMALL.dev
        assert sum(record["classes"]["train"].values()) == record["data"]["questions"]
        assert str(data.parent) not in text
        assert str(vectors.parent) not in text

    def test_writes_the_parts_of_the_split_as_question_files(
        self, trained: Path, data: Path
    ) -> None:
        dev = read_questions(trained / "dev.tsv", labelled=True)
        training = read_questions(trained / "calibration.tsv", labelled=True)
        everything = read_questions(data, labelled=True)

        assert len(dev) == SMALL.dev
        assert not {q.text for q in dev} & {q.text for q in training}
        assert {q.text for q in dev} | {q.text for q in training} == {q.text for q in everything}

    def test_gives_the_same_files_for_the_same_seed(
        self, trained: Path, data: Path, vectors: Path, tmp_path: Path
    ) -> None:
        train(data, vectors, tmp_path / "same", seed=3, settings=SMALL)
        train(data, vectors, tmp_path / "other", seed=4, settings=SMALL)

        def read(folder: Path) -> dict[str, bytes]:
            return {name: (folder / name).read_bytes() for name in FILES[:3]}

        assert read(tmp_path / "same") == read(trained)
        assert read(tmp_path / "other")["model.onnx"] != read(trained)["model.onnx"]

    def test_searches_the_split_of_the_lines_on_its_training_part(
        self, data: Path, vectors: Path, tmp_path: Path
    ) -> None:
        settings = replace(SMALL, teachers=(), epochs=3, spiking_epochs=1)
        calls: list[tuple[int, int]] = []

        train(
            data,
            vectors,
            tmp_path,
            settings=settings,
            search=True,
            progress=lambda **of: calls.append((of["done"], of["total"])),
        )

        record = json.loads((tmp_path / "training.json").read_text())
        trials = record["search"]["trials"]
        best = max(trials, key=lambda trial: trial["spiking"])
        assert [t["n_hidden"] for t in trials] == [32, 40, 48, 54]
        assert all(t["n_in"] + t["n_hidden"] == 63 for t in trials)
        assert record["settings"] | best == record["settings"] | {"spiking": best["spiking"]}
        assert calls == [*[(n, 16) for n in range(1, 17)], *[(n, 4) for n in range(1, 5)]]
        assert "the first 48 were answered" in record["search"]["rule"]
        assert record["selection"].startswith("inputs and hidden units by the search")

    def test_works_without_teachers_and_reports_progress(
        self, data: Path, vectors: Path, tmp_path: Path
    ) -> None:
        settings = TrainingSettings(
            n_in=4, n_hidden=5, teachers=(), epochs=2, spiking_epochs=1, dev=60
        )
        calls: list[tuple[str, int, int]] = []

        report = train(
            data,
            vectors,
            tmp_path,
            settings=settings,
            progress=lambda *, stage, done, total: calls.append((stage, done, total)),
        )

        assert calls == [("network", 1, 3), ("network", 2, 3), ("network", 3, 3)]
        assert set(report.accuracies) == {"float", "integer", "spiking"}
        assert f"{tmp_path}: 3 classes, {report.questions} questions" in str(report)

    def test_leaves_the_random_state_and_threads_of_its_caller_alone(
        self, data: Path, vectors: Path, tmp_path: Path
    ) -> None:
        settings = TrainingSettings(teachers=(), epochs=0, spiking_epochs=0, dev=60)
        before, threads = torch.get_rng_state(), torch.get_num_threads()

        train(data, vectors, tmp_path, settings=settings)

        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads


class TestTrainRefuses:
    def test_too_few_questions(self, data: Path, vectors: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError) as caught:
            train(data, vectors, tmp_path / "out", settings=TrainingSettings(dev=200))

        message = "300 questions with words, at least 400 needed for a dev split of 200"
        assert str(caught.value) == message
        assert not (tmp_path / "out").exists()

    def test_one_class(self, vectors: Path, tmp_path: Path) -> None:
        data = tmp_path / "q.tsv"
        data.write_text("HUM\tWho wrote the book?\n" * 10)

        with pytest.raises(TrainingError) as caught:
            train(data, vectors, tmp_path, settings=TrainingSettings(dev=2))

        message = "1 class in the training questions, at least 2 are needed"
        assert str(caught.value) == message

    def test_a_class_that_only_the_dev_split_has(self, vectors: Path, tmp_path: Path) -> None:
        data = tmp_path / "q.tsv"
        # Each class has only one word sequence, so a class in the dev split is missing from the training part.
        data.write_text("HUM\tWho wrote?\n" * 30 + "LOC\tWhere is?\n" * 30)

        with pytest.raises(TrainingError, match="the training part has no question of class HUM"):
            train(data, vectors, tmp_path, settings=TrainingSettings(dev=20))

    def test_files_that_are_absent(self, data: Path, vectors: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="absent.vec: No such file"):
            train(data, tmp_path / "absent.vec", tmp_path)
        with pytest.raises(DataError, match="absent.tsv: No such file"):
            train(tmp_path / "absent.tsv", vectors, tmp_path)

    def test_a_folder_that_cannot_be_made_before_it_reads_anything(
        self, data: Path, tmp_path: Path
    ) -> None:
        for run in (train, cross_validate):
            with pytest.raises(TrainingError) as caught:
                run(tmp_path / "absent.tsv", tmp_path / "absent.vec", data / "new" / "out")

            assert str(caught.value) == f"{data / 'new' / 'out'}: {data} is not a folder"

    def test_a_file_that_is_no_validation_before_it_reads_anything(self, tmp_path: Path) -> None:
        wrong = tmp_path / "cross-validation.json"
        wrong.write_text("[]")
        with pytest.raises(TrainingError) as caught:
            train(tmp_path / "absent.tsv", tmp_path / "absent.vec", tmp_path, validation=wrong)

        assert str(caught.value) == f"{wrong}: not the summary of a cross-validation"

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            (
                {"n_in": 30, "n_hidden": 40},
                "30 input lines + 40 hidden units + 1 gate = 71 lines, limit 64",
            ),
            ({"n_hidden": 0}, "n_hidden: 0, must be at least 1"),
            ({"epochs": -1}, "epochs: -1, must be at least 0"),
            ({"replace": 1.0}, "replace: 1.0, expected 0 <= replace < 1"),
            ({"teachers": ("bert",)}, "teachers: 'bert', expected lstm, gru, cnn or linear"),
        ],
    )
    def test_settings_out_of_range(self, setting: dict[str, object], message: str) -> None:
        with pytest.raises(TrainingError) as caught:
            TrainingSettings(**setting)  # type: ignore[arg-type] # deliberately wrong

        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("classes", "n_in", "n_hidden"), [(2, 15, 48), (12, 15, 48), (13, 24, 39), (50, 24, 39)]
    )
    def test_but_not_a_number_of_classes_that_fits(
        self, classes: int, n_in: int, n_hidden: int
    ) -> None:
        settings = TrainingSettings.for_classes(classes)

        settings.check_classes(classes)
        assert (settings.n_in, settings.n_hidden) == (n_in, n_hidden)

    def test_more_classes_than_free_neurons(self) -> None:
        with pytest.raises(TrainingError) as caught:
            TrainingSettings(n_in=15, n_hidden=48).check_classes(65)

        message = "48 hidden units x 4 copies + 65 readout neurons = 257 neurons, limit 256"
        assert str(caught.value) == message

    def test_a_negative_seed(self, data: Path, vectors: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"^seed: -1, expected 0\.\.9223372036854775807$"):
            train(data, vectors, tmp_path, seed=-1)
