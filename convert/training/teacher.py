"""Train the teachers: large float networks on the same questions and vectors.

Their mean answer to a question, original or augmented, is a better target for the student than the label, because
it also states the probabilities of the other classes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .corpus import batches, pack
from .linear import LinearTeacher, train_linear
from .network import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..words.vectors import WordTable
    from .corpus import Corpus
    from .inputs import TrainingInputs
    from .settings import TrainingSettings

__all__ = ["Teacher", "answers", "train_teachers"]

_HIDDEN: Final = 96
_KERNELS: Final = (1, 2, 3, 4)  # widths of the convolutions, words
_OWN_SPREAD: Final = 0.1
_INPUT_DROPOUT: Final = 0.3
_OUTPUT_DROPOUT: Final = 0.5
# Largest share of replaced words; below the student's, because the label must remain true
_REPLACE: Final = 0.2
_SMOOTHING: Final = 0.05
_LEAST: Final = 1e-9  # lower bound of probabilities before the logarithm
_AT_ONCE: Final = 250  # questions per batch of answers


class Teacher(nn.Module):
    """A bidirectional LSTM or GRU, or a convolutional network, each with a maximum over time.

    Parameters
    ----------
    kind
        `lstm`, `gru` or `cnn`.
    table, own
        See `Words`.
    membership
        See `Corpus.membership`. The teacher learns the fine labels, which carry more information, and adds
        up their probabilities to those of the classes.
    own_dropout
        Dropout of words' own corrections.
    """

    membership: torch.Tensor

    def __init__(
        self,
        kind: str,
        table: WordTable,
        own: torch.Tensor,
        membership: NDArray[np.float32],
        own_dropout: float,
    ) -> None:
        super().__init__()
        width = table.matrix.shape[1]
        self.own_dropout = own_dropout
        self.register_buffer("membership", torch.from_numpy(membership))
        self.words = Words(table, own, width, _OWN_SPREAD)
        self.recurrent: nn.LSTM | nn.GRU | None = None
        if kind == "lstm":
            self.recurrent = nn.LSTM(width, _HIDDEN, bidirectional=True)
        elif kind == "gru":
            self.recurrent = nn.GRU(width, _HIDDEN, bidirectional=True)
        else:
            self.convolutions = nn.ModuleList(
                nn.Conv1d(width, _HIDDEN, k, padding=k - 1) for k in _KERNELS
            )
        self.head = nn.Linear(4 * _HIDDEN, len(membership))

    def forward(self, ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Read packed questions (see `corpus.pack`); return log probabilities, [questions, classes]."""
        return (self.fine(ids, alive).softmax(dim=1) @ self.membership).clamp(min=_LEAST).log()

    def fine(self, ids: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        """Read packed questions; return the logits of the fine labels, [questions, fine labels]."""
        vectors, corrections = self.words(ids, self.own_dropout)
        x = functional.dropout(vectors + corrections, _INPUT_DROPOUT, self.training)
        x = x * alive[:, :, None]
        if self.recurrent is None:
            x = x.permute(1, 2, 0)
            z = torch.cat([torch.relu(c(x)).amax(dim=2) for c in self.convolutions], dim=1)
        else:
            h, _ = self.recurrent(x)
            h = h.masked_fill(
                ~alive[:, :, None], -1
            )  # below the maximum over time, as states are in -1..1
            # The last step is the first word of the question (see `corpus.pack`).
            z = torch.cat([h.amax(dim=0), h[-1]], dim=1)
        logits: torch.Tensor = self.head(functional.dropout(z, _OUTPUT_DROPOUT, self.training))
        return logits


def train_teachers(
    corpus: Corpus,
    inputs: TrainingInputs,
    own: torch.Tensor,
    settings: TrainingSettings,
    generators: Sequence[np.random.Generator],
    on_pass: Callable[[str], None],
) -> list[nn.Module]:
    """Create and train the teachers that the settings name, each with its own random generator.

    Parameters
    ----------
    corpus
        The training part.
    inputs
        Word vectors and class names.
    own
        See `Words`.
    settings
        Kinds and schedule.
    generators
        Random source of augmentation and order, one for each teacher.
    on_pass
        Called with the teacher's name after every pass.
    """
    teachers: list[nn.Module] = []
    for i, (kind, generator) in enumerate(zip(settings.teachers, generators, strict=True)):
        one_more = partial(on_pass, f"teacher {i + 1} {kind}")
        if kind == "linear":
            linear = LinearTeacher(inputs.table, inputs.focus, len(inputs.labels))
            train_linear(linear, corpus, settings.teacher_epochs, generator, one_more)
            teachers.append(linear)
        else:
            membership = corpus.membership(len(inputs.labels))
            teacher = Teacher(kind, inputs.table, own, membership, settings.own_dropout)
            _train(teacher, corpus, settings, generator, one_more)
            teachers.append(teacher)
    return teachers


def _train(
    teacher: Teacher,
    corpus: Corpus,
    settings: TrainingSettings,
    generator: np.random.Generator,
    on_pass: Callable[[], None],
) -> None:
    """Train the teacher on the fine labels, in place; call `on_pass` after every pass."""
    own = teacher.words.correction
    rest = [p for p in teacher.parameters() if p is not own]
    optimiser = torch.optim.AdamW(
        [{"params": rest}, {"params": [own]}],
        lr=settings.teacher_rate,
        weight_decay=0.01,
        fused=True,  # updates the words' corrections in one memory pass instead of five
    )
    steps = settings.teacher_epochs * math.ceil(len(corpus) / settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [settings.teacher_rate, settings.teacher_word_rate], total_steps=max(steps, 1)
    )
    labels = torch.from_numpy(corpus.fine)
    lengths = np.array([len(ids) for ids in corpus.ids])
    teacher.train()
    for _ in range(settings.teacher_epochs):
        texts = corpus.augmented(min(_REPLACE, settings.replace), generator)
        for chosen in batches(lengths, settings.batch, generator):
            logits = teacher.fine(*pack([texts[i] for i in chosen]))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=_SMOOTHING)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
        on_pass()
    teacher.eval()


@torch.no_grad()
def answers(teachers: Sequence[nn.Module], texts: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    """Return the mean of the teachers' probabilities for each text, [questions, classes]."""
    order = np.argsort([len(ids) for ids in texts], kind="stable")
    parts = []
    for start in range(0, len(order), _AT_ONCE):
        packed = pack([texts[i] for i in order[start : start + _AT_ONCE]])
        each = torch.stack([teacher(*packed).softmax(dim=1) for teacher in teachers])
        parts.append(each.mean(dim=0))
    mean = torch.cat(parts)
    back = torch.empty_like(mean)
    back[torch.from_numpy(order)] = mean
    return back
