"""Train and export float Elman networks for the conversion benchmark, in plain PyTorch without spikewatch.

They are trained as a careful user would: with dropout, with unknown words, and with the epoch chosen that answers a
held-back tenth of the training sentences best.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

if TYPE_CHECKING:
    from benchmarks.sentences import Corpus

_EPOCHS: Final = 40
_BATCH: Final = 32
_RATE: Final = 3e-3
_DECAY: Final = 1e-2
_DROPOUT: Final = 0.2
_SEED: Final = 20_261_124
_UNKNOWN: Final = 0.05
"""Share of training words that are replaced by the unknown word."""

_SOURCES: Final = (Path(__file__), Path(__file__).with_name("sentences.py"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Architecture and exporter of a network.

    Attributes
    ----------
    activation : {"relu", "tanh"}
    readout : {"last", "mean", "max"}
    width, hidden : int
        Components of the embedding, and number of hidden units.
    exporter : {"old", "present"}
        PyTorch's exporter: `dynamo=False`, which writes an RNN node, or the default, which unrolls the words.
    both : bool
        Whether a second layer reads the words in reverse.

    """

    activation: str
    readout: str
    width: int
    hidden: int
    exporter: str = "old"
    both: bool = False

    def __str__(self) -> str:
        units = f"2 x {self.hidden}" if self.both else f"{self.hidden}"
        return f"{self.activation}, {self.readout}, {self.width}/{units}"


def _recipe(activation: str, readout: str, size: tuple[int, int]) -> Recipe:
    """Return a recipe; the exporters alternate, so that each gets half of every activation, readout and size."""
    odd = (activation == "relu") ^ (readout == "last") ^ (size[1] == 16)
    exporter = "present" if odd else "old"
    return Recipe(
        activation=activation, readout=readout, width=size[0], hidden=size[1], exporter=exporter
    )


RECIPES: Final = [
    _recipe(*parts) for parts in product(("relu", "tanh"), ("last", "mean"), ((24, 16), (64, 40)))
]


class Net(nn.Module):
    """Embedding, Elman layer, linear head."""

    def __init__(self, words: int, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.readout = recipe.readout
        self.embedding = nn.Embedding(words, recipe.width)
        self.rnn = nn.RNN(
            recipe.width,
            recipe.hidden,
            nonlinearity=recipe.activation,
            batch_first=True,
            bidirectional=recipe.both,
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(recipe.hidden * (1 + recipe.both), classes)
        # Small embeddings and an identity recurrence (Le et al. 2015): without them, 16 units read after the last
        # word forget the first words and lose 20 points.
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.eye_(self.rnn.weight_hh_l0)
        if recipe.both:
            nn.init.eye_(self.rnn.weight_hh_l0_reverse)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Read padded ids [batch, time]; return logits [batch, classes]."""
        words = self.dropout(self.embedding(ids))
        packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
        states, last = self.rnn(packed)
        read = torch.cat(list(last), dim=1)
        if self.readout == "mean":
            padded, _ = pad_packed_sequence(states, batch_first=True)
            read = padded.sum(dim=1) / lengths[:, None]
        elif self.readout == "max":
            padded, _ = pad_packed_sequence(states, batch_first=True, padding_value=-torch.inf)
            read = padded.amax(dim=1)
        return self.head(self.dropout(read))


class Whole(nn.Module):
    """The same network for unpadded sentences, the form that many users export."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Read ids [batch, time]; return logits [batch, classes]."""
        states, last = self.net.rnn(self.net.embedding(ids))
        if self.net.readout == "last":
            return self.net.head(torch.cat(list(last), dim=1))
        read = states.mean(dim=1) if self.net.readout == "mean" else states.amax(dim=1)
        return self.net.head(read)


def tokenizer(corpus: Corpus) -> Tokenizer:
    """Return a word-level tokenizer over all words that occur at least twice in the training sentences."""
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


def trained(corpus: Corpus, recipe: Recipe, cache: Path) -> Path:
    """Train and export a network, unless the cache has it; return the folder with the model's files."""
    what = hashlib.sha256(b"".join(s.read_bytes() for s in _SOURCES)).hexdigest()[:12]
    held_out = hashlib.sha256(repr(corpus.held_out).encode()).hexdigest()[:6]
    name = f"{recipe.activation}-{recipe.readout}-{recipe.hidden}-{recipe.exporter}"
    name += "-both" if recipe.both else ""
    folder = cache / f"{what}-{corpus.name}-{held_out}-{name}"
    if not (folder / "model.onnx").exists():
        words = tokenizer(corpus)
        net = _fit(corpus, words, recipe)
        write_data(corpus, words, folder)
        export(Whole(net), folder / "part.onnx", recipe.exporter)
        (folder / "part.onnx").rename(folder / "model.onnx")
    return folder


def write_data(corpus: Corpus, words: Tokenizer, folder: Path) -> None:
    """Write the other inputs of a conversion: tokenizer, labels, calibration and held-out sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    words.save(str(folder / "tokenizer.json"))
    (folder / "labels.json").write_text(json.dumps(corpus.labels))
    texts = "".join(f"{text}\n" for _, text in corpus.calibrate)
    (folder / "calibrate.txt").write_text(texts)
    for name in ("calibrate", "held_out"):
        lines = [f"{label}\t{text}\n" for label, text in getattr(corpus, name)]
        (folder / f"{name}.tsv").write_text("".join(lines))


def export(network: nn.Module, path: Path, exporter: str) -> None:
    """Export a network with input ids [batch, time] by one of PyTorch's two exporters."""
    example = torch.ones(2, 12, dtype=torch.int64)  # the present exporter unrolls these 12 words
    options: dict[str, Any] = {
        "dynamo": False,
        "input_names": ["ids"],
        "dynamic_axes": {"ids": {0: "batch", 1: "time"}},
    }
    if exporter == "present":
        options = {
            "dynamo": True,
            "verbose": False,
            "dynamic_shapes": [{0: torch.export.Dim("batch")}],
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations and tracing
        torch.onnx.export(network.eval(), (example,), str(path), **options)


def _fit(corpus: Corpus, words: Tokenizer, recipe: Recipe) -> Net:
    """Train; return the network of the epoch that answers the held-back sentences best."""
    torch.manual_seed(_SEED)
    net = Net(words.get_vocab_size(), len(corpus.labels), recipe)
    ids, labels = _split(corpus, words)
    apart = len(ids) // 10
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    best, most = net.state_dict(), -1.0
    for _ in range(_EPOCHS):
        net.train()
        for chosen in (apart + torch.randperm(len(ids) - apart)).split(_BATCH):
            table, lengths = _padded([ids[i] for i in chosen])
            # rare words of new sentences are unknown, so the network must have seen the unknown word
            table = torch.where(torch.rand(table.shape) < _UNKNOWN, 0, table)
            loss = nn.functional.cross_entropy(net(table, lengths), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            answers = net(*_padded(ids[:apart])).argmax(dim=1)
        right = float((answers == labels[:apart]).float().mean())
        if right > most:
            best, most = {name: value.clone() for name, value in net.state_dict().items()}, right
    net.load_state_dict(best)
    return net.eval()


def _split(corpus: Corpus, words: Tokenizer) -> tuple[list[torch.Tensor], torch.Tensor]:
    split = words.encode_batch([text for _, text in corpus.train])
    spoken = [i for i, encoding in enumerate(split) if encoding.ids]
    labels = torch.tensor([corpus.labels.index(corpus.train[i][0]) for i in spoken])
    return [torch.tensor(split[i].ids) for i in spoken], labels


def _padded(questions: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return pad_sequence(questions, batch_first=True), torch.tensor([len(q) for q in questions])
