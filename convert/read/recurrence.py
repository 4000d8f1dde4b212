"""Find the Elman network in the expressions that a graph's logits are made of.

Every hidden state that the logits depend on, directly or through others, is a result of one application of an
activation.  The states of one application are a step, which reads one word and the step before.  In an Elman network
the steps form one chain over the words (two, if it is bidirectional), and all steps have the same W, U and b.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ModelFileError
from .affine import CONSTANT, WrongLayout, with_width
from .chains import SUPPORTED, find_chains, find_steps, units_of
from .heads import EQUAL, ONE_OF, read_head
from .states import hidden_states, reached, read_by
from .unknowns import Application, GivenState, Maximum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .activation import Activation
    from .chains import Step
    from .unknowns import Unknowns
    from .word_functions import WordFunction

    F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecurrentLayer:
    """One direction of a network, with names as in `ElmanNetwork`; C is the part of the head for this direction."""

    W: F64
    U: F64
    b: F64
    C: F64
    activation: Activation
    direction: Literal["forward", "reverse"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recurrence:
    """The network in the logits: one layer or two, the readout and the head's bias, and what the layers read of a word.

    The vector of a word is the values of `words`, one function after the other.
    """

    layers: tuple[RecurrentLayer, ...]
    readout: Literal["last", "mean", "max"]
    c: F64
    words: tuple[WordFunction, ...]


def find_recurrence(unknowns: Unknowns, logits: Any, times: NDArray[np.int64]) -> Recurrence:
    """Find the network that computes the logits of one question.

    Parameters
    ----------
    unknowns
        All unknowns of the graph.
    logits
        Sparse (classes, columns): the question's logits.
    times
        int64 (positions,): index of the word at each position of the input; -1: it belongs to another question.

    Raises
    ------
    WrongLayout
        The words of one question are not along the assumed axis.
    ModelFileError
        The logits are not those of an Elman network; the message says why.

    """
    heads = logits.tocsc()
    used = [int(c) for c in np.flatnonzero(np.diff(heads.indptr)) if c != CONSTANT]
    maxima = [c for c in used if isinstance(unknowns.owner[c], Maximum)]
    if maxima and len(maxima) != len(used):
        raise ModelFileError(f"head: reads the largest over time and other states; {ONE_OF}")
    columns = reached(unknowns, used)
    states = hidden_states(unknowns, columns)
    _check_head(unknowns, used, states, times)
    steps = find_steps(unknowns, columns, states)
    chains = find_chains(steps, times)
    readout, parts = read_head(unknowns, heads, used, chains)
    words = _functions_read(unknowns, chains, states)
    layers = tuple(
        _layer(unknowns, chain, times, C, words) for chain, C in zip(chains, parts, strict=True)
    )
    return Recurrence(
        layers=layers,
        readout=readout,
        c=heads[:, [CONSTANT]].toarray()[:, 0].astype(np.float64),
        words=words,
    )


def _check_head(
    unknowns: Unknowns, used: list[int], states: set[int], times: NDArray[np.int64]
) -> None:
    """Raise if the head reads anything other than states, or nothing depends on several words."""
    given = next((o for o in (unknowns.owner[c] for c in used) if isinstance(o, GivenState)), None)
    if given is not None:
        raise ModelFileError(f"head: reads the input {given.name!r}; {SUPPORTED}")
    words = [c for c in used if c not in states and not isinstance(unknowns.owner[c], Maximum)]
    if not words:
        return
    owner = unknowns.owner[words[0]]
    length = int(times.max()) + 1
    if length == 1:
        named = f"node {owner.node!r}: " if isinstance(owner, Application) else ""
        raise WrongLayout(
            f"{named}a sequence of one word contains no recurrence; export the model for two words or more"
        )
    if not isinstance(owner, Application):
        if not states:
            # with batch and time swapped, each word is a question of its own
            raise WrongLayout(
                f"no recurrent layer: the output depends on no hidden state; {SUPPORTED}"
            )
        raise ModelFileError(f"head: reads words; {SUPPORTED}")
    if states:
        raise ModelFileError(
            "head: reads one direction where it starts, after a single word; read its final state"
            " (PyTorch: h_n, not output[:, -1])"
        )
    raise WrongLayout(
        f"node {owner.node!r}: the head uses states that have seen only 1 of {length} words"
    )


def _functions_read(
    unknowns: Unknowns, chains: list[list[Step]], states: set[int]
) -> tuple[WordFunction, ...]:
    """Return the functions of a word that the steps read; raise if they differ between words."""
    found: dict[int, WordFunction] = {}
    of_step: list[set[int]] = []
    for chain in chains:
        for step in chain:
            read = {
                c for column in step.columns.values() for c in read_by(unknowns, column)
            } - states
            known = {c: unknowns.component(c) for c in sorted(read)}
            functions = {id(k[0]): k[0] for k in known.values() if k is not None}
            found |= functions
            of_step.append(set(functions))
        # the first function that a step does not share may be one that others have at another position
        if any(len(f) == len(of_step[0]) and f != of_step[0] for f in of_step[1:]):
            odd = next(f for f in of_step[1:] if f != of_step[0])
            node = found[next(iter(odd - of_step[0]))].node
            raise ModelFileError(
                f"node {node!r}: computes something else from its word at each position, as a position embedding does;"
                f" {SUPPORTED}"
            )
        of_step.clear()
    return tuple(found.values())


def _layer(
    unknowns: Unknowns,
    chain: list[Step],
    times: NDArray[np.int64],
    C: F64,
    words: tuple[WordFunction, ...],
) -> RecurrentLayer:
    """Read W, U and b, and check that they are equal in every step."""
    activations = {s.application.activation for s in chain}
    if len(activations) > 1:
        raise ModelFileError(
            f"node {chain[0].application.node!r}: activations differ between steps"
        )
    units = units_of(chain)
    d = sum(f.width for f in words)
    place = {u: i for i, u in enumerate(units)}
    W, U, b = np.zeros((len(units), d)), np.zeros((len(units), len(units))), np.zeros(len(units))
    known = np.zeros(len(units), dtype=bool)
    # the first step comes last: nothing precedes it, so it does not contain U
    for before, step in [*pairwise(chain), (None, chain[0])]:
        found = _parameters(unknowns, step, before, units, words)
        for u in step.columns:
            i = place[u]
            if not known[i]:
                if before is None:
                    raise ModelFileError(
                        f"node {step.application.node!r}: unit {u} is used at the first word only"
                    )
                W[i], U[i], b[i] = (part[i] for part in found)
                known[i] = True
            _check_step(step, (W[i], U[i], b[i]), [part[i] for part in found], first=before is None)
        _check_given_state(unknowns, step, units, None if before is not None else U)
    return RecurrentLayer(
        W=W,
        U=U,
        b=b,
        C=C,
        activation=activations.pop(),
        direction="reverse" if times[chain[0].position] > 0 else "forward",
    )


def _parameters(
    unknowns: Unknowns,
    step: Step,
    before: Step | None,
    units: list[int],
    words: tuple[WordFunction, ...],
) -> tuple[F64, F64, F64]:
    rows = with_width(step.application.rows, len(unknowns.owner)).tocsr()
    members = [unknowns.offset[step.columns[u]] if u in step.columns else 0 for u in units]
    taken = rows[members].tocoo()
    # a unit that no later step reads has no column in the step before
    states = (
        {}
        if before is None
        else {before.columns[u]: i for i, u in enumerate(units) if u in before.columns}
    )
    starts = np.cumsum([0, *(f.width for f in words)])
    first = {id(f): int(start) for f, start in zip(words, starts[:-1], strict=True)}
    place: dict[int, int] = {}
    for c in np.unique(taken.coords[1]).tolist():
        if c in states:
            place[c] = 1 + starts[-1] + states[c]
        elif c == CONSTANT:
            place[c] = 0
        elif (
            found := unknowns.component(c)
        ) is not None:  # otherwise `_check_given_state` has to say
            place[c] = 1 + first[id(found[0])] + found[1]
    to = np.array([place.get(c, -1) for c in taken.coords[1].tolist()], dtype=np.int64)
    dense = np.zeros((len(units), 1 + starts[-1] + len(units)))
    np.add.at(dense, (taken.coords[0][to >= 0], to[to >= 0]), taken.data[to >= 0])
    return dense[:, 1 : 1 + starts[-1]], dense[:, 1 + starts[-1] :], dense[:, 0]


def _check_given_state(unknowns: Unknowns, step: Step, units: list[int], U: F64 | None) -> None:
    """Check that an input which a step reads is the initial state: the first step (U is not None) takes U times it."""
    rows = with_width(step.application.rows, len(unknowns.owner)).tocsr()
    dense = rows[[unknowns.offset[step.columns[u]] for u in units if u in step.columns]].tocsc()
    read = [int(c) for c in np.flatnonzero(np.diff(dense.indptr))]
    given = [c for c in read if isinstance(unknowns.owner[c], GivenState)]
    if not given:
        return
    if U is not None and len(step.columns) == len(units):
        found = dense[:, given].toarray()
        limit = EQUAL * max(1.0, float(np.abs(U).max(initial=0.0)))
        if all((np.abs(found - u[:, None]).max(axis=0) <= limit).any() for u in U.T if u.any()):
            return
    owner = unknowns.owner[given[0]]
    name = owner.name if isinstance(owner, GivenState) else ""
    raise ModelFileError(
        f"node {step.application.node!r}: reads the input {name!r}, which is not its initial state; {SUPPORTED}"
    )


def _check_step(step: Step, wanted: tuple[F64, F64, Any], found: list[Any], *, first: bool) -> None:
    # relative to the largest weight, but never below EQUAL itself
    limit = EQUAL * max(1.0, *(float(np.abs(w).max(initial=0.0)) for w in wanted))
    node = step.application.node
    parts = [0, 2] if first else [0, 1, 2]
    for i in parts:
        if not (np.abs(wanted[i] - found[i]) <= limit).all():
            if first and i == 2:
                raise ModelFileError(f"node {node!r}: its initial state is not constant zero")
            if i == 2:  # W and U, which were compared before, are equal
                raise ModelFileError(
                    f"node {node!r}: its bias changes from word to word, as a position embedding makes it; {SUPPORTED}"
                )
            raise ModelFileError(
                f"node {node!r}: its weights differ from those of another step; {SUPPORTED}"
            )
