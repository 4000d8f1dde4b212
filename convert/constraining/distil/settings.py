"""Settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["DistilSettings"]

_QUESTIONS: Final = 1500
"""Most questions that get all passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilSettings:
    """Everything that determines a distilled network besides the float network, the start and the questions.

    Attributes
    ----------
    epochs, least_epochs, longer_epochs, rate
        Passes over the calibration questions for the integer model, with 16 weight levels and 16 activity levels
        (of more than 1,500 questions fewer, see `passes`, but no fewer than `least_epochs`), those of `longer`, and
        their peak learning rate.
    spiking_epochs, spiking_rate
        Passes of each following round with the spikes in the loop, and their peak learning rate.
    spiking_rounds, longer_rounds, least_gain, enough, near
        Most rounds, and those of `longer`.  Another one follows while the last one raised the share of judging
        questions that the core answers as wanted by at least `least_gain`, that share is below `enough`, and it is
        below the integer model's by more than `near`.
    behind
        Share of the judging questions by which the core may be behind its integer model; if it is further behind,
        the distillation is repeated with the `longer` settings.
    floor
        Lowest potential of the spiking student's hidden neurons, in thresholds: below 0 a neuron remembers part of
        its inhibition, and the order of a step's spikes matters less.
    batch
        Questions in one step of the optimiser.
    replaced, share
        Share of the questions that are changed in a pass, and of their words that are replaced.  The teacher answers
        any sentence, so a changed question is as good as a new one.
    code_factor, spiking_code_factor
        Learning rate of the encoder's projection relative to the other parameters'.
    every
        Weight of the answers after every word, relative to the answer after the last word.
    average
        Decay of the running mean of the parameters; the mean is the result.
    label_share
        Share of the true labels in the targets, if there are labels.
    seed
        Seed of everything random.

    """

    epochs: int = 96
    least_epochs: int = 48
    longer_epochs: int = 144
    rate: float = 5e-3
    spiking_epochs: int = 48
    spiking_rate: float = 2e-3
    spiking_rounds: int = 3
    longer_rounds: int = 4
    least_gain: float = 0.005
    enough: float = 0.99
    near: float = 0.005
    behind: float = 0.02
    floor: float = -0.5
    batch: int = 64
    replaced: float = 1.0
    share: float = 0.3
    code_factor: float = 0.5
    spiking_code_factor: float = 0.3
    every: float = 2.0
    average: float = 0.98
    label_share: float = 0.5
    seed: int = 0

    @classmethod
    def with_labels(cls, seed: int) -> DistilSettings:
        """Return the settings of the recipe `labels`: labels are soon learned by heart, so it has fewer passes."""
        return cls(epochs=48, rate=3e-3, code_factor=0.1, every=1.0, near=-1.0, seed=seed)

    def passes(self, questions: int) -> int:
        """Return the passes over so many questions for the integer model: of more questions, fewer passes do."""
        enough = round(self.epochs * min(1.0, _QUESTIONS / questions))
        return max(enough, min(self.least_epochs, self.epochs))

    def longer(self) -> DistilSettings:
        """Return the settings for a network that did not learn enough with these; they take about five CPU minutes.

        Such a network must first learn the unchanged questions, so fewer of them are changed: with 144 passes, the
        integer model of 40 tanh units on generated sentences (the benchmark's development network) agrees with the
        float network on 94.7 % of held-out sentences if half of the questions are changed, and on 91.0 % if all are.
        For the same reason its words' codes and its answers to beginnings learn more slowly: with the rates of the
        other settings, the core of such a network lost 3.0 points on held-out sentences, with these 1.6.
        """
        return replace(
            self,
            epochs=self.longer_epochs,
            least_epochs=self.longer_epochs,
            spiking_epochs=2 * self.spiking_epochs,
            spiking_rate=2 * self.spiking_rate,
            spiking_rounds=self.longer_rounds,
            replaced=self.replaced / 2,
            rate=min(self.rate, 3e-3),
            code_factor=min(self.code_factor, 0.1),
            every=min(self.every, 1.0),
        )
