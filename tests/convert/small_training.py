"""Supply settings of a training that takes seconds, and an untrained network of that size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from spikewatch.convert.training import TrainingSettings
from spikewatch.convert.training.network import ElmanNet, own_words
from spikewatch.convert.words.vectors import WordTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = TrainingSettings(
    n_in=5,
    n_hidden=7,
    teachers=("cnn", "gru", "linear"),
    teacher_epochs=4,
    texts=6,
    epochs=25,
    spiking_epochs=10,
    batch=16,
    replace=0.1,
    rate=1e-2,
    spiking_rate=3e-3,
    dev=60,
)


def small_net(seed: int = 0, settings: TrainingSettings = SMALL) -> ElmanNet:
    """Return an untrained network over 30 words, with biases and scales as large as trained ones."""
    rng = np.random.default_rng(seed)
    table = WordTable(
        rows=rng.integers(0, 20, 30).astype(np.int32),
        matrix=rng.normal(size=(20, 8)).astype(np.float32),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ElmanNet(table, own_words(rng.integers(0, 4, 30), 2), 4, settings)
        with torch.no_grad():
            net.bias += 0.3 * torch.randn(settings.n_hidden)
            net.log_scale += 0.4 * torch.randn(settings.n_hidden, 1)
            net.head_bias += torch.randn(4)
    net.bound()
    return net.eval()


def random_questions(seed: int, count: int, words: int = 30) -> list[NDArray[np.int64]]:
    """Return questions of 1 to 11 random word ids."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, words, rng.integers(1, 12)) for _ in range(count)]
