"""Measure students at the limits: many subwords and classes, and documents longer than the core takes.

`subwords`: an LSTM with 30,000 subwords tells TREC's fifty fine classes apart; the subwords are those of the training
sentences and of the sources of Python's library.  `documents`: what it costs a teacher to read only the first 1,024
words of a document, where the class is that of most of its sentences, and where it is that of its last ones.

`python -m benchmarks.student_limits subwords documents`; both need TREC's questions in ../shared.
"""

from __future__ import annotations

import os
import resource
import sys
import sysconfig
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from benchmarks.convert import SHARED
from benchmarks.foreign import tokenizer, write_data
from benchmarks.sentences import trec
from benchmarks.tables import print_table
from benchmarks.teachers import write_network
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source
from spikewatch.convert.words.question_files import read_questions
from spikewatch.simcore.limits import MAX_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sentences import Corpus

_SUBWORDS: Final = 30_000
_DOCUMENTS: Final = 600
_SENTENCES: Final = (110, 220)
"""Sentences of a document, which makes 1,100 to 2,200 words."""

_ON_TOPIC: Final = 0.35
"""Share of the sentences of a document that are of its class; the others are of any."""


def subwords() -> None:
    """Print the figures of a student with many subwords and classes."""
    corpus = _fine(trec(SHARED))
    split = Tokenizer(models.BPE(unk_token="<unk>"))
    split.pre_tokenizer, split.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SUBWORDS, special_tokens=["<unk>"], show_progress=False
    )
    split.train_from_iterator(_texts(corpus), trainer)
    known = [*corpus.calibrate, *corpus.train]
    encoded = [(split.encode(text).ids, corpus.labels.index(label)) for label, text in known]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(corpus, split, folder)
        (folder / "more.txt").write_text("".join(f"{text}\n" for _, text in corpus.train))
        words = split.get_vocab_size()
        write_network("lstm", encoded, words, len(corpus.labels), folder / "model.onnx", seed=0)
        begin = sum(os.times()[:4])
        source = Source(
            model=folder / "model.onnx",
            tokenizer=folder / "tokenizer.json",
            labels=folder / "labels.json",
            calibrate=folder / "calibrate.txt",
            evaluate=folder / "held_out.tsv",
            more=(folder / "more.txt",),
        )
        evaluation = convert(source, title="benchmark", student=True).evaluation
    minutes = (sum(os.times()[:4]) - begin) / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stages = evaluation["stages"]
    row = [
        f"{words:,}",
        f"{np.mean([len(ids) for ids, _ in encoded]):.1f}",
        f"{len(corpus.labels)}",
        f"{stages['teacher']['accuracy']:.1%}",
        f"{stages['spiking']['accuracy']:.1%}",
        f"{stages['spiking']['agreement']:.1%}",
        f"{minutes:.1f}",
        f"{peak:,.0f}",
    ]
    head = [
        "subwords",
        "per sentence",
        "classes",
        "teacher",
        "spiking",
        "agreement",
        "min",
        "peak MB",
    ]
    print_table("Students, TREC's fine classes, 1,000 held-out sentences", head, [row])


def _fine(corpus: Corpus) -> Corpus:
    """Return the corpus with TREC's fine labels."""
    fine = {q.text: str(q.label) for q in read_questions(SHARED, labelled=True, fine=True)}

    def renamed(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(fine[text], text) for _, text in pairs]

    return replace(
        corpus,
        labels=sorted(set(fine.values())),
        train=renamed(corpus.train),
        calibrate=renamed(corpus.calibrate),
        held_out=renamed(corpus.held_out),
    )


def _texts(corpus: Corpus) -> Iterator[str]:
    """Yield texts to find subwords in: the training sentences often, the sources of Python's library once."""
    for _ in range(20):
        for _, text in corpus.train:
            yield text
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        yield path.read_text(errors="replace")


class _Bag(nn.Module):
    """The mean of the words' embeddings, and a layer on it: a classifier that reads documents of any length fast."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding, self.head = nn.EmbeddingBag(words, 64), nn.Linear(64, classes)

    def forward(self, documents: list[torch.Tensor]) -> torch.Tensor:
        """Return the logits of documents, [documents, classes]."""
        starts = np.cumsum([0, *map(len, documents)])[:-1]
        mean = self.embedding(torch.cat(documents), torch.from_numpy(starts))
        logits: torch.Tensor = self.head(torch.tanh(mean))
        return logits


def documents() -> None:
    """Print how often a teacher answers a document that was cut as it answers all of it."""
    corpus = trec(SHARED)
    split = tokenizer(corpus)
    rows = []
    for name in ("most sentences", "the first half", "the last quarter"):
        rng = np.random.default_rng(0)
        known = [*corpus.calibrate, *corpus.train]
        train, test = (
            [_document(pairs, corpus.labels, split, name, rng) for _ in range(_DOCUMENTS)]
            for pairs in (known, corpus.held_out)
        )
        torch.manual_seed(0)
        net = _Bag(split.get_vocab_size(), len(corpus.labels))
        _fit(net, train)
        truth = torch.tensor([label for _, label in test])
        with torch.no_grad():
            whole = net([ids for ids, _ in test]).argmax(1)
            cut = {
                "first": net([ids[:MAX_WORDS] for ids, _ in test]).argmax(1),
                "last": net([ids[-MAX_WORDS:] for ids, _ in test]).argmax(1),
            }
        row = [name, f"{(whole == truth).float().mean():.1%}"]
        for answers in cut.values():
            row += [
                f"{(answers == truth).float().mean():.1%}",
                f"{(answers == whole).float().mean():.1%}",
            ]
        rows.append(row)
    head = ["class of", "whole", "first 1,024 words", "as whole", "last 1,024 words", "as whole"]
    print_table(f"Documents of 1,100 to 2,200 words, cut, {_DOCUMENTS} held-out ones", head, rows)


def _document(
    pairs: list[tuple[str, str]],
    labels: list[str],
    split: Tokenizer,
    where: str,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, int]:
    """Return word ids of a document, and its class, which more sentences than chance have in a part of it."""
    n = int(rng.integers(*_SENTENCES))
    topic = str(rng.choice(labels))
    on_topic = [text for label, text in pairs if label == topic]
    begin, end = {
        "most sentences": (0.0, 1.0),
        "the first half": (0.0, 0.5),
        "the last quarter": (0.75, 1.0),
    }[where]
    texts = []
    for i in range(n):
        inside = begin <= i / n < end and rng.random() < _ON_TOPIC
        texts.append(
            on_topic[rng.integers(len(on_topic))] if inside else pairs[rng.integers(len(pairs))][1]
        )
    return torch.tensor(split.encode(" ".join(texts)).ids), labels.index(topic)


def _fit(net: _Bag, train: list[tuple[torch.Tensor, int]]) -> None:
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(10):
        for chosen in torch.randperm(len(train)).split(32):
            logits = net([train[i][0] for i in chosen])
            labels = torch.tensor([train[i][1] for i in chosen])
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(logits, labels))
            optimiser.step()


def main(*names: str) -> None:
    """Print the tables."""
    if not SHARED.exists():
        print("# left out: TREC's questions are not in ../shared")
        return
    for name in names or ("subwords", "documents"):
        {"subwords": subwords, "documents": documents}[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
