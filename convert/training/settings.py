"""Define the settings of a training run, and check them against the limits of the core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...simcore import limits
from ..errors import TrainingError
from ..network.constrained import MAX_FAN_IN
from ..network.place import COPIES, readout_copies

__all__ = ["TrainingSettings"]

_SPLITS: Final = ((48, 5), (39, 2))
"""Candidate numbers of hidden units, each with the readout neurons that every class must then still get.

More hidden units are more accurate, provided that each class has enough readout neurons.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """All settings that determine a trained network, together with data, vectors and seed.

    Attributes
    ----------
    n_in, n_hidden
        Numbers of input lines and hidden units; together with the readout's gate they share the core's 64 lines.
    teachers
        Kinds of the teacher models: `lstm`, `gru`, `cnn` and `linear`, any number of each.
        Without teachers the student learns from the labels alone.
    teacher_epochs, teacher_rate, teacher_word_rate
        Passes over the training questions; peak learning rates of weights and of words' own corrections.
    texts
        Number of augmented versions of the questions. The teachers answer each version once; the student
        reads one version in each pass.
    epochs, rate
        Passes and learning rate with 16 weight levels and 16 activity levels.
    spiking_epochs, spiking_rate
        Passes and learning rate of the second phase, with the spikes in the loop.
    batch
        Questions in one step of the optimiser.
    replace
        Largest share of a question's words that are replaced by random ones; the share is drawn for each
        question and version.
    vector_dropout, own_dropout
        Dropout of vector components, and of words' own corrections.
    own_from
        Words that occur at least this often in the training questions get their own correction.
    average
        Decay of the running mean of the parameters over the spiking epochs; the mean is the result.
    dev, dev_seed
        Size of the held-out dev split (0 for none), and seed of the permutation that it is the head of.

    Raises
    ------
    TrainingError
        If a setting is out of range, or the network would not fit one core.
    """

    n_in: int = 15
    n_hidden: int = 48
    teachers: tuple[str, ...] = ("gru", "linear")
    teacher_epochs: int = 12
    teacher_rate: float = 2e-3
    teacher_word_rate: float = 1e-2
    texts: int = 16
    epochs: int = 40
    rate: float = 5e-3
    spiking_epochs: int = 40
    spiking_rate: float = 1e-3
    batch: int = 64
    replace: float = 0.4
    vector_dropout: float = 0.1
    own_dropout: float = 0.1
    own_from: int = 2
    average: float = 0.995
    dev: int = 500
    dev_seed: int = 2016

    def __post_init__(self) -> None:
        for name in ("n_in", "n_hidden", "batch", "own_from", "texts"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name}: {getattr(self, name)}, must be at least 1")
        for name in ("epochs", "spiking_epochs", "teacher_epochs", "dev"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name}: {getattr(self, name)}, must be at least 0")
        for name in ("replace", "vector_dropout", "own_dropout", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"{name}: {getattr(self, name)}, expected 0 <= {name} < 1")
        for kind in self.teachers:
            if kind not in {"lstm", "gru", "cnn", "linear"}:
                raise TrainingError(f"teachers: {kind!r}, expected lstm, gru, cnn or linear")
        lines = self.n_in + self.n_hidden + 1
        if lines > MAX_FAN_IN:
            raise TrainingError(
                f"{self.n_in} input lines + {self.n_hidden} hidden units + 1 gate = {lines} lines,"
                f" limit {MAX_FAN_IN}"
            )

    @classmethod
    def for_classes(cls, classes: int) -> TrainingSettings:
        """Return the defaults, with the split of lines that the search found best for this number of classes."""
        # the most hidden units come first, so the first split that leaves enough readout neurons is the most accurate
        fitting = (h for h, least in _SPLITS if readout_copies(h, classes) >= least)
        n_hidden = next(fitting, _SPLITS[-1][0])
        return cls(n_in=MAX_FAN_IN - 1 - n_hidden, n_hidden=n_hidden)

    def check_classes(self, classes: int) -> None:
        """Check that the core has a readout neuron for each class.

        Raises
        ------
        TrainingError
            If there are fewer than two classes, or hidden units and readout need more neurons than the core has.
        """
        if classes < 2:
            raise TrainingError(f"{classes} class in the training questions, at least 2 are needed")
        if COPIES * self.n_hidden + classes > limits.NEURONS:
            raise TrainingError(
                f"{self.n_hidden} hidden units x {COPIES} copies + {classes} readout neurons ="
                f" {COPIES * self.n_hidden + classes} neurons, limit {limits.NEURONS}"
            )
