"""Supply small but real models and networks to several tests."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from spikewatch.convert.constraining.response_matching import hidden_neurons, readout_neurons
from spikewatch.convert.network.constrained import ConstrainedNetwork
from spikewatch.convert.network.place import place
from spikewatch.simcore import Classifier, golden

if TYPE_CHECKING:
    from spikewatch.simcore import CoreImage

TINY_WORDS = (
    "<unk>", "who", "what", "where", "when", "how", "many", "is", "the", "of", "in", "a", "did",
    "wrote", "hamlet", "capital", "france", "far", "moon", "stand", "for",
)  # fmt: skip
TINY_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


def typed(text: str) -> str:
    """Return TREC's spaced tokens in normal spelling."""
    text = re.sub(r"`` ?| ?''|(?<= )` ", '"', text)
    text = re.sub(r" (n't|'(?:s|re|ve|ll|d|m|t)\b)", r"\1", text)
    text = re.sub(r"(\w) '(\w)", r"\1'\2", text)
    text = re.sub(r" ' ", "' ", text)
    text = re.sub(r"(\d) , (\d{3})\b", r"\1,\2", text)
    return re.sub(r" ([?!.,;:])", r"\1", text)


def tiny_network(
    seed: int = 0, *, n_in: int = 6, n_hidden: int = 8, classes: int = 6
) -> ConstrainedNetwork:
    """Return a constrained network over TINY_WORDS with random weights."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 16, (len(TINY_WORDS), n_in)).astype(np.float64)
    return ConstrainedNetwork(
        projection=np.eye(n_in),
        origin=np.zeros(n_in),
        codes=codes,
        rows=np.arange(len(TINY_WORDS), dtype=np.int32),
        levels=rng.integers(-8, 8, (n_hidden, n_in + n_hidden)).astype(np.int8),
        scale=rng.uniform(0.05, 0.12, n_hidden),
        bias=rng.uniform(-3, 8, n_hidden),
        initial=np.zeros(n_hidden),
        readout_levels=rng.integers(-7, 9, (classes, n_hidden)).astype(np.int8),
        readout_scale=rng.uniform(0.05, 0.1, classes),
        readout_bias=rng.uniform(-1, 1, classes),
        direction="reverse",
    )


def tiny_image(network: ConstrainedNetwork) -> CoreImage:
    """Return the core image of a network with closed-form neurons."""
    return place(network, hidden_neurons(network), readout_neurons(network, 0.0, 20.0))


def tiny_model_files(seed: int = 0, *, tested: bool = False) -> dict[str, bytes]:
    """Return the four files of a small model over TINY_WORDS, with golden questions if `tested`."""
    network = tiny_network(seed)
    files = {
        "core.safetensors": tiny_image(network).to_bytes(),
        "encoder.safetensors": network.encoder().to_bytes(),
        "tokenizer.json": tiny_tokenizer(),
        "labels.json": json.dumps(list(TINY_LABELS)).encode(),
    }
    if tested:
        texts = [f"{word} is the capital of france ?" for word in TINY_WORDS[1:6]]
        files[golden.FILE] = golden.make(Classifier.from_files(files), texts)
    return files


def tiny_tokenizer() -> bytes:
    """Return a tokenizer.json over TINY_WORDS: lower case, split at blanks and punctuation."""
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(TINY_WORDS)}, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "removed") for pattern in (" ", "?", "!", ".", ",")]
    )
    return tokenizer.to_str().encode()
