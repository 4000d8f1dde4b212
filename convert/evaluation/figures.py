"""Compute the figures of the ledger: losses per stage, classes, responses, and the cost of a question on the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...simcore import CoreImage, Encoder, estimate
from ...simcore.program.inspection import inspect
from ..network.constrained import MAX_FAN_IN, ConstrainedNetwork, T
from ..network.hidden_spikes import run_hidden_neurons
from ..network.place import unplace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

RESPONSE_QUESTIONS: Final = 500
"""Most questions that responses are compared on, evenly spaced: some thousand steps of every unit."""


def stage_figures(
    predicted: Mapping[str, NDArray[Any]], truth: NDArray[np.int64] | None
) -> dict[str, dict[str, float | None]]:
    """Compute accuracy, agreement and loss of every stage.

    Parameters
    ----------
    predicted
        Class index of each question's answer, by stage in order; the first stage is `float`.
    truth
        The true class indices, or None if the questions have no labels.

    Returns
    -------
    dict
        For each stage: `accuracy`; `agreement` and `agreement_before`, the shares of questions answered as by the
        float stage and by the previous stage, all in 0..1; `loss`, the previous stage's accuracy minus this one's,
        in -1..1.  Figures that need labels or a previous stage are None without them.

    """
    stages: dict[str, dict[str, float | None]] = {}
    reference = next(iter(predicted.values()))
    before: NDArray[Any] | None = None
    accuracy_before: float | None = None
    for stage, answers in predicted.items():
        accuracy = None if truth is None else float((answers == truth).mean())
        loss = None
        if accuracy is not None and accuracy_before is not None:
            loss = accuracy_before - accuracy
        stages[stage] = {
            "accuracy": accuracy,
            "agreement": float((answers == reference).mean()),
            "agreement_before": None if before is None else float((answers == before).mean()),
            "loss": loss,
        }
        before, accuracy_before = answers, accuracy
    return stages


def confusion_matrix(
    truth: NDArray[np.int64], answered: NDArray[np.int32], labels: Sequence[str]
) -> dict[str, Any]:
    """Count the answers (columns; the last one counts "no answer") to the questions of each true class (rows)."""
    matrix = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    # add.at, because `matrix[...] += 1` would count a repeated pair only once
    np.add.at(matrix, (truth, np.where(answered < 0, len(labels), answered)), 1)
    return {"labels": list(labels), "matrix": matrix.tolist()}


def class_figures(confusion: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return precision, recall (None where undefined) and support (number of questions) of each class."""
    matrix = np.array(confusion["matrix"])
    found = {}
    for i, label in enumerate(confusion["labels"]):
        right, answered, support = int(matrix[i, i]), int(matrix[:, i].sum()), int(matrix[i].sum())
        found[label] = {
            "precision": right / answered if answered else None,
            "recall": right / support if support else None,
            "support": support,
        }
    return found


def core_figures(answers: Any, cores: int) -> dict[str, Any]:
    """Return the core's mean ticks, spikes, events, power and energy per question, over those that hold a word."""
    run = answers.ticks > 0  # questions without a word are not simulated
    ticks, events = answers.ticks[run], answers.synaptic_events[run]
    # Of the totals, so that power is the mean over time; a mean of the questions' powers would ignore their lengths.
    energy = estimate(cores=cores, ticks=int(ticks.sum()), synaptic_events=int(events.sum()))
    n = int(run.sum())
    spikes: Mapping[str, float] = dict(
        zip(("input", "hidden", "output"), answers.spikes[run].mean(axis=0).tolist(), strict=True)
    )
    return {
        "cores": cores,
        "words": float(answers.words[run].mean()),
        "ticks": float(ticks.mean()),
        "spikes": spikes,
        "synaptic_events": float(events.mean()),
        "power_uw": energy.power_uw,
        "energy_uj": {method: value / n for method, value in energy.energy_uj.items()},
    }


def utilisation(image: CoreImage, network: ConstrainedNetwork) -> dict[str, dict[str, int]]:
    """Return how much of each limit of the core is used: {what: {used, limit}}.

    `simcore` counts the use of the chip's own limits; the levels of weights and activities are limits of the method.
    """
    levels = len(np.unique(network.levels))
    activities = len(np.unique(network.rounded_codes()))
    gate = image.coding is not None and image.coding.gate_line >= 0
    lines = network.n_in + network.n_hidden
    if network.spread is not None:  # several cores may have the same line
        lines = int(network.spread.reads.sum())
    lines += int(gate) * image.cores
    return {
        **inspect(image).as_json()["use"],
        "lines (fan-in)": {"used": lines, "limit": MAX_FAN_IN * image.cores},
        "weight levels": {"used": levels, "limit": 16},
        "activity levels of the inputs": {"used": activities, "limit": T + 1},
    }


def responses(
    integer: ConstrainedNetwork,
    image: CoreImage,
    encoder: Encoder,
    questions: Sequence[NDArray[np.int64]],
) -> dict[str, Any] | None:
    """Compare the spike counts of the core's hidden units with the activities of the integer stage.

    Both networks run whole questions independently and are compared unit by unit after every word, like the plots
    of artificial against spiking neurons in Diehl et al. 2016.

    Parameters
    ----------
    integer
        The integer stage.
    image, encoder
        The core and its encoder.
    questions
        Word ids of each question, at least one; if there are more than RESPONSE_QUESTIONS, that many are taken
        evenly.

    Returns
    -------
    dict or None
        `questions`; `levels`: for each artificial activity 0..15 that occurs, `activity`, the number of `samples`, and
        mean (`spikes`) and standard deviation (`deviation`) of the spike count; `units`: for each hidden unit the mean
        artificial `activity`, the mean count of `spikes`, the mean absolute `error` between them, all per step, and
        their `correlation` (None if one of them is constant).  None if the core's hidden units are not those of the
        integer stage.

    """
    placed, neurons = unplace(image, encoder)
    if placed.n_hidden != integer.n_hidden or placed.direction != integer.direction:
        return None
    chosen = np.linspace(0, len(questions) - 1, min(len(questions), RESPONSE_QUESTIONS)).astype(int)
    asked = [questions[i] for i in chosen]
    # Both traces order their steps alike, so rows correspond.
    wanted = np.concatenate([a for _, _, a in integer.trace(asked)])
    got = np.concatenate([counts for _, _, counts in run_hidden_neurons(placed, neurons, asked)])
    return {
        "questions": len(asked),
        "levels": [_level(a, got[wanted == a]) for a in range(T + 1) if (wanted == a).any()],
        "units": [_unit(wanted[:, j], got[:, j]) for j in range(integer.n_hidden)],
    }


def _level(activity: int, spikes: NDArray[np.float64]) -> dict[str, float]:
    return {
        "activity": activity,
        "samples": len(spikes),
        "spikes": float(spikes.mean()),
        "deviation": float(spikes.std()),
    }


def _unit(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> dict[str, float | None]:
    spread = float(wanted.std() * got.std())
    joint = float(((wanted - wanted.mean()) * (got - got.mean())).mean())
    return {
        "activity": float(wanted.mean()),
        "spikes": float(got.mean()),
        "error": float(np.abs(got - wanted).mean()),
        "correlation": joint / spread if spread > 0 else None,
    }
