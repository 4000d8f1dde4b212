"""Networks behind tokenizers as their trainers write them answer as their users' own pipelines, up to the edge.

The user's own pipeline is the tokenizers library and onnxruntime, one text at a time.  docs/tokenizers.md has a table.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hostile_texts import trec_questions
from networks import elman, weights
from support import TINY_WORDS, typed
from trained_tokenizers import corpus
from user_pipeline import own_answers, own_logits
from usual_tokenizers import USUAL

from spikewatch.convert.publishing.publish import convert_and_publish
from spikewatch.convert.publishing.source import Source
from spikewatch.simcore import Classifier
from spikewatch.simcore.text.splitting import highest_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
N = 500
TWELVE = (
    "words",
    "words_in_a_frame",
    "characters",
    "bert",
    "bert_cased",
    "gpt2",
    "roberta",
    "quicktour",
    "openai_gpt",
    "sentencepiece_bpe",
    "sentencepiece_unigram",
    "unigram_of_texts",
)


def questions() -> list[str]:
    """Return TREC's questions in normal spelling if ../shared has them, or else some made from a few words."""
    found = list(dict.fromkeys(map(typed, trec_questions())))
    if found:
        return found[:N]
    rng = np.random.default_rng(2)
    words = [*TINY_WORDS[1:], *" ".join(corpus()).split(), "1987", "Wie", "naïve", "2,500", "?!"]
    return [" ".join(rng.choice(words, k)).capitalize() + "?" for k in rng.integers(3, 20, N)]


def network(rows: int, encode: Callable[[str], list[int]], texts: list[str]) -> bytes:
    """Return a network of any length that remembers what it read, and does not prefer a class."""
    w = weights(words=rows, d=12)
    w |= {"R": 2.5 * w["R"], "B": 0 * w["B"], "c": 0 * w["c"]}
    biased = elman(w, lengths=False, batch_first=True).SerializeToString()
    w["c"] = -own_logits(biased, encode, texts).mean(axis=0)
    return elman(w, lengths=False, batch_first=True).SerializeToString()


@pytest.mark.parametrize("name", TWELVE)
def test_the_published_model_answers_as_its_users_own_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    texts = questions()
    tokenizer = USUAL[name](texts)

    def encode(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text).ids
        return found

    model = network(highest_id(tokenizer) + 1, encode, texts)
    own = own_answers(model, encode, texts)
    assert max(np.bincount(own)) < 0.5 * N, "the answers must differ"
    ids = [encode(text) for text in texts]
    (tmp_path / "model.onnx").write_bytes(model)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "labels.json").write_text(json.dumps(CLASSES))
    (tmp_path / "calibrate.txt").write_text("\n".join(texts[:60]))
    records = [{"text": t, "label": CLASSES[i]} for t, i in zip(texts, own, strict=True)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, records)))
    source = Source(
        model=tmp_path / "model.onnx",
        tokenizer=tmp_path / "tokenizer.json",
        labels=tmp_path / "labels.json",
        calibrate=tmp_path / "calibrate.txt",
        evaluate=tmp_path / "texts.jsonl",
    )
    _, converted = convert_and_publish(
        source, registry=tmp_path / "registry", name=name, version="1.0.0", recipe="closed-form"
    )
    assert converted.evaluation["stages"]["float"]["accuracy"] == 1
    assert converted.evaluation["float_by_recurrence"] == 0
    assert "lookup.safetensors" in converted.files
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    edge = Classifier.load(f"{name}:1.0.0", tmp_path / "registry")
    assert edge.word_ids(texts) == ids
    labels = edge.classify(texts).label
    assert labels.tolist() == edge.answer_ids(ids).label.tolist()
    assert np.mean(labels == own) == converted.evaluation["stages"]["spiking"]["accuracy"]
