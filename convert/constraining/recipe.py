"""Bring a float network onto one core by a recipe: in closed form, by distillation, or with labels as well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

from ..errors import ConvertError
from ..network.constrained import ConstrainedStages
from ..network.elman import widened
from .bidirectional import both_directions
from .closed_form import closed_form
from .response_matching import core_labels, match
from .rounding import constrain

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ..network.constrained import ConstrainedNetwork
    from ..network.elman import ElmanNetwork
    from .closed_form import ClosedForm
    from .response_matching import Matched

Recipe = Literal["closed-form", "distill", "labels"]

RECIPES: Final[tuple[Recipe, ...]] = ("closed-form", "distill", "labels")
"""Recipes by name, with ever more to learn from: nothing, the float network's answers, and true labels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Finished:
    """A network that was brought onto the core.

    Attributes
    ----------
    placed : ConstrainedNetwork
        The network on the core; its encoder is the model's.
    matched : Matched
        The core.
    constrained : ConstrainedStages
        The networks of the earlier stages.
    recipe : {"closed-form", "distill", "labels"}
        What `placed` comes from: the closed form, where a distillation to the float network's
        answers agreed worse; with `labels` it is always the distillation.
    closed_form_agreement : float
        Share of the calibration questions on which the closed form's core gives the float network's label.

    """

    placed: ConstrainedNetwork
    matched: Matched
    constrained: ConstrainedStages
    recipe: Recipe
    closed_form_agreement: float


def choose_recipe(wanted: str | None, *, labelled: bool, note: Callable[[str], None]) -> Recipe:
    """Check the recipe asked for; without one, distil where torch is installed.

    Raises
    ------
    ConvertError
        An unknown recipe, or labels asked for where the calibration questions have none.

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
) -> Finished:
    """Constrain a float network, match its responses on the simulated core and place it.

    Parameters
    ----------
    network
        The float network.
    questions
        Word ids of the calibration questions, each at least one word.
    recipe
        How.
    truth
        int64: true label of each question, for the recipe `labels`.
    seed
        Seed of everything random.
    note
        Called with one line before each step.

    Raises
    ------
    ConstraintError
        The network does not fit one core, or a bidirectional one two.

    """
    note(f"constraining in closed form on {len(questions)} calibration questions")
    logits = network.logits(questions)
    labels = logits.argmax(axis=1)
    if network.backward is None:
        closed = closed_form(network, questions)
        wide = _wide(network, closed, questions)
    else:
        closed, wide = both_directions(network, questions)
    finished = Finished(
        placed=closed.spiking,
        matched=(first := match(closed.spiking, questions, labels, closed.neurons, logits=logits)),
        constrained=ConstrainedStages(core=closed.integer, wide=wide),
        recipe="closed-form",
        closed_form_agreement=first.agreement,
    )
    if recipe == "closed-form":
        return finished
    if closed.on_grid:
        note("the network lies on the core's grid: there is nothing to distil")
        return finished
    return _distilled(network, closed, questions, finished, recipe, truth, seed, note)


def _wide(
    network: ElmanNetwork, closed: ClosedForm, questions: list[NDArray[np.int64]]
) -> ConstrainedNetwork:
    """Constrain with inputs as wide as the float network's, for the ledger's earlier stages."""
    if closed.integer.n_in == network.embedding.shape[1]:
        return closed.integer
    return constrain(
        widened(network, closed.copies), questions, max_lines=None, percentile=closed.percentile
    )


def _distilled(
    network: ElmanNetwork,
    closed: ClosedForm,
    questions: list[NDArray[np.int64]],
    finished: Finished,
    recipe: Recipe,
    truth: NDArray[np.int64] | None,
    seed: int,
    note: Callable[[str], None],
) -> Finished:
    from .distil import DistilSettings, teach  # noqa: PLC0415 - torch is an extra, and takes seconds to import

    true = truth if recipe == "labels" else None
    taught = teach(
        closed.integer, network, questions, DistilSettings(seed=seed), truth=true, note=note
    )
    matched = taught.matched
    if true is not None:
        # chosen by the labels, but stated as for the other recipes: agreement with the float network
        answered = core_labels(matched.image, taught.spiking, questions)
        agreement = (answered == network.logits(questions).argmax(axis=1)).mean()
        matched = replace(matched, agreement=float(agreement))
    elif matched.agreement < finished.matched.agreement:
        return finished
    return replace(
        finished,
        placed=taught.spiking,
        matched=matched,
        constrained=replace(finished.constrained, closed=closed.integer, core=taught.integer),
        recipe=recipe,
    )
