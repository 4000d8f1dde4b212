"""Bring a float network onto a core by a recipe: in closed form, by distillation, or by distillation with labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

from ..errors import ConvertError
from ..network.constrained import ConstrainedStages
from ..network.elman import repeat_units
from ..progress import OnProgress, silent
from .bidirectional import constrain_both_directions
from .closed_form import closed_form
from .response_matching import answer_on_core, match_responses
from .rounding import constrain

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ..network.constrained import ConstrainedNetwork
    from ..network.elman import ElmanNetwork
    from .closed_form import ClosedForm
    from .response_matching import MatchedCore

Recipe = Literal["closed-form", "distill", "labels"]

RECIPES: Final[tuple[Recipe, ...]] = ("closed-form", "distill", "labels")
"""The recipes: without training; trained on the float network's answers; and on the true labels as well."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlacedNetwork:
    """A network on its core, and the networks of the stages before.

    Attributes
    ----------
    network : ConstrainedNetwork
        The network on the core; its codes are the model's encoder.
    matched : MatchedCore
        The core.
    constrained : ConstrainedStages
        The networks of the stages before the spikes.
    recipe : {"closed-form", "distill", "labels"}
        Origin of `network`.  With `distill` it is the closed form if that agreed better with the float network; with
        `labels` it is always the distilled network.
    closed_form_agreement : float
        Share of the questions on which the closed form's core gives the float network's label, 0..1: of the
        calibration questions, with `distill` of changed versions of them as well.

    """

    network: ConstrainedNetwork
    matched: MatchedCore
    constrained: ConstrainedStages
    recipe: Recipe
    closed_form_agreement: float


def choose_recipe(wanted: str | None, *, labelled: bool, note: Callable[[str], None]) -> Recipe:
    """Return the recipe of this name; for None, `distill` if torch is installed, otherwise `closed-form`.

    Parameters
    ----------
    wanted
        Name of the recipe, or None.
    labelled
        Whether all calibration questions have labels.
    note
        Called with one line if torch is not installed.

    Raises
    ------
    ConvertError
        The recipe is unknown, it is `labels` and the calibration questions have none, or it needs torch, which is not
        installed.

    """
    if wanted is None:
        if find_spec("torch") is not None:
            return "distill"
        note(
            "torch is not installed: constraining in closed form alone"
            " (pip install 'spikewatch[train]' to distil as well)"
        )
        return "closed-form"
    recipe = check_recipe(wanted)
    if recipe == "labels" and not labelled:
        raise ConvertError("recipe 'labels': the calibration questions have no labels")
    if recipe != "closed-form" and find_spec("torch") is None:
        raise ConvertError(
            f"recipe {recipe!r}: torch is not installed: pip install 'spikewatch[train]', or take closed-form"
        )
    return recipe


def check_recipe(wanted: str) -> Recipe:
    """Return the recipe of this name.

    Raises
    ------
    ConvertError
        There is no such recipe.

    """
    for recipe in RECIPES:
        if recipe == wanted:
            return recipe
    raise ConvertError(f"recipe {wanted!r}: expected {', '.join(RECIPES)}")


def bring_to_core(
    network: ElmanNetwork,
    questions: list[NDArray[np.int64]],
    recipe: Recipe,
    *,
    truth: NDArray[np.int64] | None = None,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
    progress: OnProgress = silent,
) -> PlacedNetwork:
    """Constrain a float network, match its responses on the simulated core and place it.

    Parameters
    ----------
    network
        The float network.
    questions
        Word ids of the calibration questions, each at least one word.
    recipe
        What the constrained network is made from.
    truth
        int64 (questions,): true label of each question, for the recipe `labels`.
    seed
        Seed of everything random.
    note
        Called with one line before each step.
    progress
        Called after every pass of a distillation.

    Raises
    ------
    ConstraintError
        The network does not fit one core, or each direction one.

    """
    note(f"constraining in closed form on {len(questions)} calibration questions")
    logits = network.logits(questions)
    labels = logits.argmax(axis=1)
    if network.backward is None:
        closed = closed_form(network, questions, roomy=recipe == "distill")
        wide = _wide(network, closed, questions)
    else:
        closed, wide = constrain_both_directions(network, questions)
    judges = questions
    if recipe == "distill" and not closed.on_grid:
        judges = _judges(network, questions, seed)
        logits = network.logits(judges)
        labels = logits.argmax(axis=1)
    matched = match_responses(closed.spiking, judges, labels, closed.neurons, logits=logits)
    in_closed_form = PlacedNetwork(
        network=closed.spiking,
        matched=matched,
        constrained=ConstrainedStages(core=closed.integer, wide=wide),
        recipe="closed-form",
        closed_form_agreement=matched.agreement,
    )
    if recipe == "closed-form":
        return in_closed_form
    if closed.on_grid:
        note("the network is on the core's grid already: there is nothing to distil")
        return in_closed_form
    return _distilled(
        network, closed, questions, judges, in_closed_form, recipe, truth, seed, note, progress
    )


def _judges(
    network: ElmanNetwork, questions: list[NDArray[np.int64]], seed: int
) -> list[NDArray[np.int64]]:
    """Return the questions that judge the cores of a distillation."""
    from .distil import DistilSettings, judging_questions  # noqa: PLC0415 - as in `_distilled`

    return judging_questions(questions, len(network.rows), DistilSettings(seed=seed))


def _wide(
    network: ElmanNetwork, closed: ClosedForm, questions: list[NDArray[np.int64]]
) -> ConstrainedNetwork:
    """Constrain with inputs as wide as the float network's, for the stages before the fan-in limit."""
    if closed.integer.n_in == network.embedding.shape[1]:  # nothing was projected
        return closed.integer
    return constrain(
        repeat_units(network, closed.copies),
        questions,
        max_lines=None,
        percentile=closed.percentile,
    )


def _distilled(
    network: ElmanNetwork,
    closed: ClosedForm,
    questions: list[NDArray[np.int64]],
    judges: list[NDArray[np.int64]],
    in_closed_form: PlacedNetwork,
    recipe: Recipe,
    truth: NDArray[np.int64] | None,
    seed: int,
    note: Callable[[str], None],
    progress: OnProgress,
) -> PlacedNetwork:
    """Distil from the closed form; return the distilled network, or the closed form if that agrees better."""
    from .distil import DistilSettings, distil  # noqa: PLC0415 - torch is an extra, and takes seconds to import

    true = truth if recipe == "labels" else None
    distilled = distil(
        closed.integer,
        network,
        questions,
        DistilSettings(seed=seed) if true is None else DistilSettings.with_labels(seed),
        judges=judges,
        truth=true,
        note=note,
        progress=progress,
    )
    matched = distilled.matched
    if true is not None:
        # The labels chose this core, but `agreement` means agreement with the float network in every recipe.
        answered = answer_on_core(matched.image, distilled.spiking, questions)
        agreement = (answered == network.logits(questions).argmax(axis=1)).mean()
        matched = replace(matched, agreement=float(agreement))
    elif matched.agreement < in_closed_form.matched.agreement:
        return in_closed_form
    return replace(
        in_closed_form,
        network=distilled.spiking,
        matched=matched,
        constrained=replace(
            in_closed_form.constrained, closed=closed.integer, core=distilled.integer
        ),
        recipe=recipe,
    )
