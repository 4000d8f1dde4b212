"""Search for the best split of the core's lines between inputs and hidden units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..errors import TrainingError
from ..network.constrained import MAX_FAN_IN
from ..network.place import readout_copies
from .corpus import split
from .held_out import train_and_evaluate

if TYPE_CHECKING:
    from ..progress import OnProgress
    from .corpus import Corpus
    from .inputs import TrainingInputs
    from .settings import TrainingSettings

__all__ = ["best_split"]

_HIDDEN: Final = (32, 40, 48, 54)
_INNER: Final = 5  # every trial evaluates on a fifth of the training questions
_SEED: Final = 2017


def best_split(
    inputs: TrainingInputs,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    progress: OnProgress,
) -> tuple[TrainingSettings, dict[str, Any]]:
    """Choose the split of lines between inputs and hidden units whose core answers best.

    Each trial is a complete training on four fifths of the questions, placed on a simulated core that answers
    the last fifth. Of equally good splits, the one with fewer hidden units wins, because it leaves more neurons
    for the readout.

    Parameters
    ----------
    inputs
        The parsed files of the run.
    corpus
        The training part; held-out questions take no part in the search.
    settings
        All other settings.
    seed, progress
        See `run.train_on`.

    Returns
    -------
    settings
        The settings with the best split.
    facts
        Rule and trials, for `training.json`.

    Raises
    ------
    TrainingError
        If no split leaves a readout neuron for each class, or there are too few questions.
    """
    classes = len(inputs.labels)
    sizes = [n for n in _HIDDEN if readout_copies(n, classes) >= 1]
    if not sizes:
        raise TrainingError(
            f"{classes} classes: no number of hidden units that the search tries leaves a readout neuron for each class"
        )
    inner = split(corpus, len(corpus) // _INNER, _SEED)
    trials: list[dict[str, Any]] = []
    for n, hidden in enumerate(sizes):
        tried = replace(settings, n_in=MAX_FAN_IN - 1 - hidden, n_hidden=hidden)

        def shown(*, stage: str, done: int, total: int, n: int = n) -> None:
            progress(
                stage=f"trial {n + 1}, {stage}", done=n * total + done, total=len(sizes) * total
            )

        found = train_and_evaluate(
            inputs, inner, tried, seed=seed, rule="inner split of a search", progress=shown
        )
        trials.append({"n_in": tried.n_in, "n_hidden": hidden, "spiking": found.stages["spiking"]})
    # max() returns the first of equal trials, which has the fewest hidden units.
    best = max(trials, key=lambda trial: trial["spiking"])
    facts = {
        "rule": (
            f"numpy PCG64({_SEED}).permutation of the training questions; the first"
            f" {len(inner.dev)} were answered by cores of networks trained on the others"
        ),
        "trials": trials,
    }
    return replace(settings, n_in=best["n_in"], n_hidden=best["n_hidden"]), facts
