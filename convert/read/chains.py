"""Find the chains of hidden states in an Elman network: one step for each word of a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import ModelFileError
from .affine import WrongLayout
from .unknowns import Application, GivenState, Maximum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .unknowns import Unknowns

SUPPORTED: Final = "supported is one Elman layer, in one direction or both, and a linear head"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Step:
    """The units of one application that the logits of a question depend on.

    Attributes
    ----------
    application : Application
    columns : dict
        Column of each unit.
    position : int
        Position of the word that the step reads, in the flattened input.
    before : int
        Key of the step before; -1: it is the first.

    """

    application: Application
    columns: dict[int, int]
    position: int
    before: int


def find_steps(unknowns: Unknowns, reached: set[int], states: set[int]) -> dict[int, Step]:
    """Group the hidden states by application; return each step by the first column of its application."""
    columns: dict[int, dict[int, int]] = {}
    applications: dict[int, Application] = {}
    for column in sorted(reached & states):
        owner = unknowns.owner[column]
        if isinstance(owner, Application):
            applications[owner.first] = owner
            unit = unknowns.offset[column] % owner.width
            columns.setdefault(owner.first, {})[unit] = column
    if not columns:
        raise ModelFileError(
            f"no recurrent layer: the output depends on no hidden state; {SUPPORTED}"
        )
    read = {key: _reads(unknowns, applications[key], columns[key], states) for key in columns}
    for key, (_, before) in read.items():
        _check_before(applications, key, before)
    steps = {}
    for key, (positions, before) in read.items():
        node = applications[key].node
        if not positions:
            raise ModelFileError(
                f"node {node!r}: reads hidden states but no word: layers between the states and the head are"
                f" not supported; {SUPPORTED}"
            )
        if len(positions) > 1:
            raise ModelFileError(
                f"node {node!r}: reads {len(positions)} words at once; {SUPPORTED}"
            )
        steps[key] = Step(
            application=applications[key],
            columns=columns[key],
            position=positions.pop(),
            before=before.pop() if before else -1,
        )
    return steps


def _reads(
    unknowns: Unknowns, application: Application, columns: dict[int, int], states: set[int]
) -> tuple[set[int], set[int]]:
    """Return the positions of the words, and the keys of the applications, that a step reads."""
    positions, before = set(), set()
    rows = application.rows
    for column in columns.values():
        unit = unknowns.offset[column]
        for read in rows.indices[rows.indptr[unit] : rows.indptr[unit + 1]].tolist():
            owner = unknowns.owner[read]
            if isinstance(owner, Maximum):
                raise ModelFileError(
                    f"node {application.node!r}: is between the largest states and the head; {SUPPORTED}"
                )
            if isinstance(owner, Application) and read in states:
                before.add(owner.first)
            elif owner is not None and not isinstance(owner, GivenState):
                positions.add(unknowns.position[read])
    return positions, before


def _check_before(applications: dict[int, Application], key: int, before: set[int]) -> None:
    if len(before) < 2:
        return
    node = applications[key].node
    others = sorted({applications[b].node for b in before} - {node})
    named = f" (among them node {others[0]!r})" if others else ""
    raise ModelFileError(
        f"node {node!r}: reads hidden states of more than one step{named}:"
        f" several layers, skips and attention are not supported; {SUPPORTED}"
    )


def find_chains(steps: dict[int, Step], times: NDArray[np.int64]) -> list[list[Step]]:
    """Follow steps back from those that no other step reads; return the chains, from first step to last."""
    followed = {s.before for s in steps.values()}  # the steps that another step reads
    chains = []
    for key, step in steps.items():
        if key in followed:
            continue
        chain = [step]
        while chain[-1].before != -1:
            chain.append(steps[chain[-1].before])
        chains.append(chain[::-1])
    node = chains[0][0].application.node
    if any(times[s.position] < 0 for chain in chains for s in chain):
        raise WrongLayout(f"node {node!r}: the words of a question are not along the assumed axis")
    length = int(times.max()) + 1
    if sum(map(len, chains)) != len(steps) or len(chains) > 2:
        # a chain for each word: these are the questions of a batch, along the other axis
        kind = WrongLayout if len(chains) == length else ModelFileError
        raise kind(f"node {node!r}: {len(chains)} chains of hidden states; {SUPPORTED}")
    # Each chain must read every word once, in the order of the text or in reverse.
    for chain in chains:
        order = [int(times[s.position]) for s in chain]
        if order not in (list(range(length)), list(range(length))[::-1]):
            raise WrongLayout(
                f"node {chain[-1].application.node!r}: the head uses states that have"
                f" seen only {len(order)} of {length} words"
            )
    directions = [times[c[0].position] > times[c[-1].position] for c in chains]
    if len(chains) == 2 and directions[0] == directions[1]:
        raise ModelFileError(f"node {node!r}: two layers in the same direction; {SUPPORTED}")
    return sorted(chains, key=lambda c: bool(times[c[0].position] > times[c[-1].position]))


def units_of(chain: list[Step]) -> list[int]:
    """Return the units of a chain, in their order."""
    return sorted({u for s in chain for u in s.columns})
