"""Train one layer of a transformer in PyTorch, export it to ONNX, and put an imitation of it on a core.

    python examples/small_transformer.py --out transformer

Needs the extra `train`, and onnxscript for PyTorch's present exporter: the older one would bind attention to the number
of words of its example.
"""

from __future__ import annotations

import sys

import help_desk
import torch
from pytorch_lstm import export, train
from torch import nn

LONGEST = 64  # words


class Classifier(nn.Module):
    """Embeddings of words and places, a transformer's layer, the mean of its values, a linear layer."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(words, 32), nn.Embedding(LONGEST, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of questions, (batch, classes)."""
        x = self.word(ids) + self.place(torch.arange(ids.shape[1]))
        return self.head(self.layer(x).mean(1))


def main() -> int:
    """Train, export, publish and answer; return the exit code."""
    given = help_desk.parser(__doc__, "transformer").parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    task = help_desk.task(given)
    torch.manual_seed(1)
    network = Classifier(task.tokenizer.get_vocab_size(), len(task.labels))
    train(network, task, given.epochs)
    export(network, given.out / "model.onnx", "present")
    return help_desk.publish_and_ask(task, given.out, "transformer")


if __name__ == "__main__":
    sys.exit(main())
