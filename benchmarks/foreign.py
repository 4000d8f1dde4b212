"""Float Elman networks for the conversion benchmark: trained by plain PyTorch that knows nothing of spikewatch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

if TYPE_CHECKING:
    from benchmarks.sentences import Corpus

_EPOCHS: Final = 40
_BATCH: Final = 32
_RATE: Final = 5e-3
_SOURCES: Final = (Path(__file__), Path(__file__).with_name("sentences.py"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What a foreign network is.

    Attributes
    ----------
    activation : {"relu", "tanh"}
    readout : {"last", "mean"}
    width, hidden : int
        Components of the embedding, and hidden units.

    """

    activation: str
    readout: str
    width: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.activation}, {self.readout}, {self.width}/{self.hidden}"


RECIPES: Final = [
    Recipe(activation=activation, readout=readout, width=width, hidden=hidden)
    for activation in ("relu", "tanh")
    for readout in ("last", "mean")
    for width, hidden in ((24, 16), (64, 40))
]


class Net(nn.Module):
    """Embedding, Elman layer, linear head."""

    def __init__(self, words: int, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.readout = recipe.readout
        self.embedding = nn.Embedding(words, recipe.width)
        self.rnn = nn.RNN(recipe.width, recipe.hidden, nonlinearity=recipe.activation)
        self.head = nn.Linear(recipe.hidden, classes)
        nn.init.orthogonal_(self.rnn.weight_hh_l0)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Read padded ids [time, batch]; return logits [batch, classes]."""
        packed = pack_padded_sequence(self.embedding(ids), lengths, enforce_sorted=False)
        states, last = self.rnn(packed)
        if self.readout == "last":
            return self.head(last[0])
        padded, _ = nn.utils.rnn.pad_packed_sequence(states)
        return self.head(padded.sum(dim=0) / lengths[:, None])


class Whole(nn.Module):
    """The same network on sentences of one length, as many users export it."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Read ids [time, batch]; return logits [batch, classes]."""
        states, last = self.net.rnn(self.net.embedding(ids))
        return self.net.head(last[0] if self.net.readout == "last" else states.mean(dim=0))


def tokenizer(corpus: Corpus) -> Tokenizer:
    """Make a word-level tokenizer of the words of the training sentences that stand there twice."""
    split = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    lower = normalizers.Lowercase()
    counts: dict[str, int] = {}
    for _, text in corpus.train:
        for word, _ in split.pre_tokenize_str(lower.normalize_str(text)):
            counts[word] = counts.get(word, 0) + 1
    words = ["<unk>", *sorted(word for word, n in counts.items() if n > 1)]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer = lower, split
    return made


def trained(corpus: Corpus, recipe: Recipe, cache: Path, seed: int = 1) -> Path:
    """Train a network and export it, or take it from the cache; return the folder of the model's files."""
    what = hashlib.sha256(b"".join(s.read_bytes() for s in _SOURCES)).hexdigest()[:12]
    folder = cache / f"{what}-{corpus.name}-{recipe.activation}-{recipe.readout}-{recipe.hidden}"
    if (folder / "model.onnx").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("calibrate", "held_out"):
        lines = [f"{label}\t{text}\n" for label, text in getattr(corpus, name)]
        (folder / f"{name}.tsv").write_text("".join(lines))
    texts = "".join(f"{text}\n" for _, text in corpus.calibrate)
    (folder / "calibrate.txt").write_text(texts)
    (folder / "labels.json").write_text(json.dumps(corpus.labels))
    words = tokenizer(corpus)
    words.save(str(folder / "tokenizer.json"))
    net = _fit(corpus, words, recipe, seed)
    example = torch.ones(7, 1, dtype=torch.int64)
    torch.onnx.export(
        Whole(net),
        (example,),
        str(folder / "part.onnx"),
        dynamo=False,
        input_names=["ids"],
        output_names=["logits"],
        dynamic_axes={"ids": {0: "time", 1: "batch"}, "logits": {0: "batch"}},
    )
    torch.save(net.state_dict(), folder / "state.pt")
    (folder / "part.onnx").rename(folder / "model.onnx")
    return folder


def _fit(corpus: Corpus, words: Tokenizer, recipe: Recipe, seed: int) -> Net:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Net(words.get_vocab_size(), len(corpus.labels), recipe)
    ids = [e.ids for e in words.encode_batch([text for _, text in corpus.train])]
    labels = np.array([corpus.labels.index(label) for label, _ in corpus.train])
    spoken = [i for i, question in enumerate(ids) if question]
    optimiser = torch.optim.Adam(net.parameters(), lr=_RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    for _ in range(_EPOCHS):
        order = rng.permutation(spoken)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            lengths = torch.tensor([len(ids[i]) for i in chosen])
            table = nn.utils.rnn.pad_sequence([torch.tensor(ids[i]) for i in chosen])
            # a rare word of a new sentence is unknown: the network must have met the unknown word
            table[torch.rand(table.shape) < 0.02] = 0
            loss = nn.functional.cross_entropy(net(table, lengths), torch.tensor(labels[chosen]))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
        schedule.step()
    return net.eval()
