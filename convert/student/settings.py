"""Settings of a student's training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["StudentSettings"]

_QUESTIONS: Final = 5000
_LEAST_PASSES: Final = 8
_MOST_PASSES: Final = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentSettings:
    """Everything that determines a student besides its teacher and the questions.

    Attributes
    ----------
    versions
        Versions of the questions that the teacher answers; each pass reads one of them.
    clean
        Every so many versions, one has the questions as they are.
    share
        Share of the words that are replaced in the other versions, by words from the whole vocabulary.
    contexts, components
        Questions in which the teacher is asked about each word, and components of the features that its answers become.
    passes, rate
        Passes over 5,000 questions with 16 weight levels and 16 activity levels, and their peak learning rate; see
        `for_questions`.
    spiking_passes, spiking_rate
        Passes of the second phase, with the spikes in the loop, and their peak learning rate.
    trial_passes
        Passes of a trial, by which readout, direction and sizes are chosen.
    prefixes
        Weight of the answer to a question's beginning; the rest is the answer to all of it.
    label_share
        Share of the true labels in the targets, if there are labels.
    batch
        Questions in one step of the optimiser.
    average
        Decay of the running mean of the parameters; the mean is the result.
    word_factor
        Learning rate of the words' own corrections relative to the other parameters'.
    seed
        Seed of everything random.

    """

    versions: int = 16
    clean: int = 4
    share: float = 0.33
    contexts: int = 12
    components: int = 32
    passes: int = 48
    rate: float = 5e-3
    spiking_passes: int = 24
    spiking_rate: float = 2e-3
    trial_passes: int = 8
    prefixes: float = 0.5
    label_share: float = 0.5
    batch: int = 64
    average: float = 0.99
    word_factor: float = 2.0
    seed: int = 0

    def for_questions(self, n: int) -> StudentSettings:
        """Return the settings for `n` questions: passes in proportion to the square root of 5,000 / n.

        Few questions are read more often, up to 120 times; of many, each is read less often, but no less than 8 times,
        so that twenty times as many take about five times as long.  The passes with spikes keep their share.
        """
        share = self.spiking_passes / self.passes
        wanted = round(self.passes * (_QUESTIONS / n) ** 0.5)
        passes = min(max(wanted, _LEAST_PASSES), _MOST_PASSES)
        return replace(
            self,
            passes=passes,
            spiking_passes=round(share * passes),
            versions=min(self.versions, passes),
        )
