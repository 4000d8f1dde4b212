"""Train an LSTM in PyTorch, export it to ONNX, and put an imitation of it on a core.

    python examples/pytorch_lstm.py --out lstm

Needs the extra `train`; the present exporter of PyTorch (`--exporter present`) also needs onnxscript.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import help_desk
import torch
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

    from help_desk import Task


class Classifier(nn.Module):
    """Two directions of an LSTM, the largest value of each unit, a linear layer."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 32)
        self.lstm = nn.LSTM(32, 64, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of questions, (batch, classes)."""
        states, _ = self.lstm(self.embedding(ids))
        return self.head(states.amax(1))


def train(network: nn.Module, task: Task, epochs: int) -> None:
    """Train a network on questions, in batches of equal length."""
    by_length: dict[int, list[tuple[list[int], int]]] = {}
    for label, text in task.training:
        ids = task.ids(text)
        by_length.setdefault(len(ids), []).append((ids, task.labels.index(label)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for group in by_length.values():
            for start in range(0, len(group), 64):
                ids, labels = map(torch.tensor, zip(*group[start : start + 64], strict=True))
                loss = nn.functional.cross_entropy(network(ids), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def export(network: nn.Module, path: Path, exporter: str) -> None:
    """Export a network for questions of any length; the number of words must be a free axis."""
    example = torch.ones(2, 7, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations in PyTorch itself
        if exporter == "present":
            free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}
            torch.onnx.export(
                network.eval(), (example,), path, dynamo=True, dynamic_shapes=[free], verbose=False
            )
        else:
            torch.onnx.export(
                network.eval(),
                (example,),
                str(path),
                dynamo=False,
                input_names=["ids"],
                output_names=["logits"],
                dynamic_axes={"ids": {0: "batch", 1: "time"}},
            )


def main() -> int:
    """Train, export, publish and answer; return the exit code."""
    parser = help_desk.parser(__doc__, "lstm")
    parser.add_argument("--exporter", choices=("older", "present"), default="older")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    task = help_desk.task(given)
    torch.manual_seed(1)
    network = Classifier(task.tokenizer.get_vocab_size(), len(task.labels))
    train(network, task, given.epochs)
    export(network, given.out / "model.onnx", given.exporter)
    return help_desk.publish_and_ask(task, given.out, "lstm")


if __name__ == "__main__":
    sys.exit(main())
