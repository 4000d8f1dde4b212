"""Settings of a training run, and the limits of the core that they must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...simcore import limits
from ..errors import TrainingError
from ..network.constrained import MAX_FAN_IN
from ..network.place import COPIES, readout_copies

__all__ = ["TrainingSettings"]

_SPLITS: Final = ((48, 5), (39, 2))
"""Hidden units, and the readout neurons that each class must then have left.

More hidden units answer better, as long as the classes have neurons enough to count with.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """Everything that decides a trained network beside the data, the vectors and the seed.

    Attributes
    ----------
    n_in, n_hidden
        Input lines and hidden units; with the readout's gate they share the core's 64 lines.
    teachers
        Kinds of the models that teach: `lstm`, `gru`, `cnn` and `linear`, any number of each.
        With none the student learns from the labels alone.
    teacher_epochs, teacher_rate, teacher_word_rate
        Passes over the training questions, peak learning rates of weights and of own vectors.
    texts
        Versions of the questions, with words replaced, that the teachers answer once; the student reads
        one of them in every pass.
    epochs, rate
        Passes and learning rate with 16 weight levels and 16 activity levels.
    spiking_epochs, spiking_rate
        Passes and learning rate after that, with the spikes in the loop.
    batch
        Questions in one step of the optimiser.
    replace
        Highest share of a question's words that are replaced by random ones; the share is drawn anew
        for every question and pass.
    vector_dropout, own_dropout
        Share of vector components, and of words' own corrections, that are left out.
    own_from
        A word that occurs this often in the training questions gets a code of its own.
    average
        Decay of the running mean of the weights over the spiking epochs; the mean is the result.
    dev, dev_seed
        Size of the held-out dev split, 0 for none, and the seed of the permutation that it is the head of.

    Raises
    ------
    TrainingError
        A setting is out of range, or the network would not fit one core.
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
                raise TrainingError(f"{name}: {getattr(self, name)}, at least 1 is needed")
        for name in ("epochs", "spiking_epochs", "teacher_epochs", "dev"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{name}: {getattr(self, name)}, at least 0 is needed")
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
        """Take the defaults, with lines and neurons split as the search found best for so many classes.

        Parameters
        ----------
        classes
            Outputs.
        """
        fitting = (h for h, least in _SPLITS if readout_copies(h, classes) >= least)
        n_hidden = next(fitting, _SPLITS[-1][0])
        return cls(n_in=MAX_FAN_IN - 1 - n_hidden, n_hidden=n_hidden)

    def check_classes(self, classes: int) -> None:
        """Refuse a number of classes for which the core has no neurons left.

        Raises
        ------
        TrainingError
            Hidden units and readout need more neurons than the core has.
        """
        if classes < 2:
            raise TrainingError(f"{classes} class in the training questions, at least 2 are needed")
        if COPIES * self.n_hidden + classes > limits.NEURONS:
            raise TrainingError(
                f"{self.n_hidden} hidden units x {COPIES} copies + {classes} readout neurons ="
                f" {COPIES * self.n_hidden + classes} neurons, limit {limits.NEURONS}"
            )
