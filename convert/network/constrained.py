"""The constrained network: 16 weight levels, 16 activity levels, at most 64 lines; numbers, not yet spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ...simcore import Encoder
from ...simcore.tensors import Field, pack, unpack
from ..errors import ConstraintError
from .elman import reduce_over_time, time_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from .elman import ElmanNetwork, Head
    from .spread import Spread

T: Final = 15
"""Ticks in a step, which is also the highest activity: a line spikes at most once a tick, so 16 levels, 0..15.

It is also the chip's longest axonal delay: a recurrent spike can arrive at the same tick of the next step, no later."""

LEVEL_MIN: Final = -8
LEVEL_MAX: Final = 7
"""Weight levels: 4-bit two's complement, the subset sums of (-8, 4, 2, 1)."""

FIELDS: Final = {
    "projection": Field(dtype="float64", shape=("components", "lines")),
    "origin": Field(dtype="float64", shape=("lines",)),
    "levels": Field(dtype="int8", shape=("hidden units", "fan-in")),
    "scale": Field(dtype="float64", shape=("hidden units",)),
    "bias": Field(dtype="float64", shape=("hidden units",)),
    "initial": Field(dtype="float64", shape=("hidden units",)),
    "readout_levels": Field(dtype="int8", shape=("classes", "hidden units")),
    "readout_scale": Field(dtype="float64", shape=("classes",)),
    "readout_bias": Field(dtype="float64", shape=("classes",)),
    "backward": Field(dtype="int32", shape=(2,), optional=True),
}
"""The arrays of a constrained network as they are stored."""

OPPOSITE: Final[dict[str, Literal["forward", "reverse"]]] = {
    "forward": "reverse",
    "reverse": "forward",
}

MAX_FAN_IN: Final = 64
"""Lines of a core: 256 axons, four to a line (one of each type)."""

CONSTRAINED_FILE: Final = "constrained.safetensors"
"""File of a published model that holds its constrained networks."""

_FORMAT: Final = "constrained"
_VERSION: Final = 1
_LENGTHS: Final = {
    "components": 65_536,
    "lines": 65_536,
    "hidden units": 256,
    "fan-in": 131_072,
    "classes": 256,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConstrainedNetwork:
    """An Elman network in units of activity.

    A step computes  a_t = clip(floor(s (q_in x_t + q_rec a_{t-1}) + B + 1/2), 0, 15)  from the code x_t of word t; the
    answer is the argmax of  s_c (q_out r) + B_c,  where r is each unit's activity after the last word, or the mean or
    the largest of its activities after all words.

    Attributes
    ----------
    projection, origin : float64 (d, n_in) and (n_in,)
        Word vector x to code: x @ projection + origin.
    codes : float64 (rows, n_in)
        The codes of all distinct word vectors before rounding, 0..15; the encoder holds them rounded.
    rows : int32 (words,)
        Row of `codes` of each word id.
    levels : int8 (n_hidden, n_in + n_hidden)
        q_in and q_rec side by side, -8..7.
    scale, bias : float64 (n_hidden,)
        s and B.
    initial : float64 (n_hidden,)
        Activity that represents the float network's initial state, zero.
    readout_levels : int8 (classes, n_hidden)
        q_out, -7..8 (the readout's codebook is negated, see place.py).
    readout_scale, readout_bias : float64 (classes,)
        s_c and B_c.
    direction : {"forward", "reverse"}
        Order of reading.
    readout : {"last", "mean", "max"}
        r above; "max" is possible only if the host computes the head.
    head : {"core", "host"}
        Where the answer is computed: by neurons of the core, or by the host from the hidden units' spikes.
    backward_lines, backward_units : int
        In a bidirectional network, how many input lines and hidden units, the last ones, belong to the second
        direction.  In each step they read the word from the other end, and no line of one direction reaches a unit of
        the other.
    spread : Spread or None
        Cores that the hidden units are spread over; None: the network takes one core, or one for each direction.

    """

    projection: NDArray[np.float64]
    origin: NDArray[np.float64]
    codes: NDArray[np.float64]
    rows: NDArray[np.int32]
    levels: NDArray[np.int8]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    initial: NDArray[np.float64]
    readout_levels: NDArray[np.int8]
    readout_scale: NDArray[np.float64]
    readout_bias: NDArray[np.float64]
    direction: Literal["forward", "reverse"]
    readout: Literal["last", "mean", "max"] = "last"
    head: Head = "core"
    backward_lines: int = 0
    backward_units: int = 0
    spread: Spread | None = None

    @property
    def n_in(self) -> int:
        """Number of input lines."""
        return int(self.codes.shape[1])

    @property
    def n_hidden(self) -> int:
        """Number of hidden units."""
        return len(self.scale)

    @property
    def classes(self) -> int:
        """Number of classes of the readout."""
        return len(self.readout_scale)

    def rounded_codes(self) -> NDArray[np.uint8]:
        """Round the codes to activities, uint8 (rows, n_in)."""
        # half goes up, as in `trace`; np.round would round half to even
        return np.clip(np.floor(self.codes + 0.5), 0, T).astype(np.uint8)

    def encoder(self) -> Encoder:
        """Return the encoder that turns word ids into codes for the core."""
        # many words share a code, which the core image stores once
        codes, row = np.unique(self.rounded_codes(), axis=0, return_inverse=True)
        return Encoder(codes=codes, rows=row.reshape(-1).astype(np.int32)[self.rows]).validate()

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_tensors` needs, by name; codes and rows follow from the float network."""
        names = [name for name, field in FIELDS.items() if not field.optional]
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in names}
        if self.backward_lines:
            tensors["backward"] = np.array([self.backward_lines, self.backward_units], np.int32)
        return tensors

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, NDArray[Any]], network: ElmanNetwork
    ) -> ConstrainedNetwork:
        """Rebuild a constrained network from its tensors and the float network that it came from."""
        codes = network.embedding @ tensors["projection"] + tensors["origin"]
        arrays = dict(tensors)
        lines, units = arrays.pop("backward", np.zeros(2)).tolist()
        return cls(
            **arrays,
            backward_lines=int(lines),
            backward_units=int(units),
            codes=codes,
            rows=network.rows,
            direction=network.direction,
            readout=network.placed_readout,
            head=network.head,
            spread=network.spread,
        )

    def hidden(
        self, questions: list[NDArray[np.int64]], *, rounded: bool = True
    ) -> NDArray[np.float64]:
        """Run questions; return the activities that are read out, r, float64 (n, n_hidden).

        Parameters
        ----------
        questions
            Word ids of each question, at least one.
        rounded
            True: activities at 16 levels (the integer model); False: only the weights are constrained.

        """
        states = ((alive, after) for alive, _, after in self.trace(questions, rounded=rounded))
        return reduce_over_time(
            states, np.array([len(q) for q in questions]), self.n_hidden, self.readout
        )

    def trace(
        self, questions: list[NDArray[np.int64]], *, rounded: bool = True
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]]:
        """Run questions step by step (see `hidden`).

        Yields
        ------
        alive : intp (m,)
            The questions that have a word in this step.
        before, after : float64 (m, n_hidden)
            Each hidden unit's pre-activation, in units of activity, and its activity.

        """
        codes = self.rounded_codes().astype(np.float64) if rounded else np.clip(self.codes, 0, T)
        W, U = np.split(self.levels.astype(np.float64) * self.scale[:, None], [self.n_in], axis=1)
        a = np.repeat(self.initial[None], len(questions), axis=0)
        for code, alive in self.input_steps(codes, questions):
            pre = code @ W.T + a[alive] @ U.T + self.bias
            # half is rounded up, as on the core, where a membrane potential starts at half a threshold
            a[alive] = np.clip(np.floor(pre + 0.5) if rounded else pre, 0, T)
            yield alive, pre, a[alive]

    def input_steps(
        self, codes: NDArray[Any], questions: list[NDArray[np.int64]]
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.intp]]]:
        """Yield for each step the rows of `codes` (rows, n_in) that are read, and the questions with a word in it."""
        back = self.backward_lines
        ends = time_steps(questions, OPPOSITE[self.direction] if back else self.direction)
        for (ids, alive), (others, _) in zip(
            time_steps(questions, self.direction), ends, strict=True
        ):
            code = codes[self.rows[ids]]
            if back:
                code[:, -back:] = codes[self.rows[others], -back:]
            yield code, alive

    def directions(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which direction, 0 or 1, each input line and hidden unit belongs to, intp (n_in,) and (n_hidden,)."""
        lines = np.arange(self.n_in) >= self.n_in - self.backward_lines
        units = np.arange(self.n_hidden) >= self.n_hidden - self.backward_units
        return lines.astype(np.intp), units.astype(np.intp)

    def connected(self) -> NDArray[np.bool_]:
        """Return which weights exist, bool (n_hidden, n_in + n_hidden).

        There are none from one direction to the other, and none from lines that a unit's core does not have.
        """
        if self.spread is not None:
            return self.spread.connected()
        lines, units = self.directions()
        return np.asarray(units[:, None] == np.concatenate([lines, units])[None])

    def logits(
        self, questions: list[NDArray[np.int64]], *, rounded: bool = True
    ) -> NDArray[np.float64]:
        """Run questions (see `hidden`); return the logits, float64 (n, classes)."""
        a = self.hidden(questions, rounded=rounded)
        return self.read_out(a)

    def read_out(self, a: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logits (n, classes) of the activities that are read out (n, n_hidden)."""
        return a @ self.readout_levels.T * self.readout_scale + self.readout_bias


def join_directions(
    forward: ConstrainedNetwork, backward: ConstrainedNetwork
) -> ConstrainedNetwork:
    """Join the hidden layers of two directions in one network without a readout (no classes)."""
    parts = (forward, backward)
    n_in, n_hidden = (sum(getattr(p, n) for p in parts) for n in ("n_in", "n_hidden"))
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts], axis=-1)
        for name in ("projection", "origin", "codes", "scale", "bias", "initial")
    }
    network = replace(
        forward,
        **arrays,
        levels=np.zeros((n_hidden, n_in + n_hidden), dtype=np.int8),
        readout_levels=np.zeros((0, n_hidden), dtype=np.int8),
        readout_scale=np.zeros(0),
        readout_bias=np.zeros(0),
        backward_lines=backward.n_in,
        backward_units=backward.n_hidden,
    )
    # weights between the directions stay zero
    network.levels[network.connected()] = np.concatenate([p.levels.reshape(-1) for p in parts])
    return network


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConstrainedStages:
    """The constrained networks of a model, one for each stage between the float network and the spikes.

    Attributes
    ----------
    wide : ConstrainedNetwork
        Stages `weights` and `activities`: its inputs are as wide as the float network's.
    core : ConstrainedNetwork
        Stage `integer`: the integer model that the core comes from; the same object as `wide` if that fits a core.
    closed : ConstrainedNetwork or None
        Stage `fan-in`: the closed form within the core's lines, if `core` was distilled from it; None: it is `core`.

    """

    wide: ConstrainedNetwork
    core: ConstrainedNetwork
    closed: ConstrainedNetwork | None = None

    def to_bytes(self) -> bytes:
        """Serialise the networks as one safetensors file; a network that is equal to another is stored once."""
        networks = self._different()
        tensors = {
            f"{part}.{name}": array
            for part, network in networks.items()
            for name, array in network.tensors().items()
        }
        metadata = {"format": _FORMAT, "version": _VERSION, "parts": len(networks)}
        return pack(tensors, metadata)

    def _different(self) -> dict[str, ConstrainedNetwork]:
        networks = {"core": self.core}
        if self.closed is not None:
            networks["closed"] = self.closed
        if self.wide is not self.core and self.wide is not self.closed:
            networks["wide"] = self.wide
        return networks

    @classmethod
    def from_bytes(cls, data: bytes, network: ElmanNetwork) -> ConstrainedStages:
        """Read the bytes that `to_bytes` wrote; `network` is the float network that they came from.

        Raises
        ------
        ConstraintError
            The bytes are not a file of constrained networks.

        """
        # `unpack` needs all fields in advance, so the header, at the start of the file, is searched for the parts
        parts = [p for p in ("core", "closed", "wide") if f'"{p}.scale"'.encode() in data[:65_536]]
        fields = {f"{p}.{n}": _prefixed(p, f) for p in parts for n, f in FIELDS.items()}
        lengths = {f"{p}.{n}": v for p in parts for n, v in _LENGTHS.items()}
        tensors, _ = unpack(
            data,
            what=CONSTRAINED_FILE,
            format_name=_FORMAT,
            version=_VERSION,
            fields=fields,
            limits=lengths,
            error=ConstraintError,
        )
        if "core" not in parts:
            raise ConstraintError(f"{CONSTRAINED_FILE}: tensor core.scale is missing")
        networks = {
            p: ConstrainedNetwork.from_tensors(
                {n: tensors[f"{p}.{n}"] for n in FIELDS if f"{p}.{n}" in tensors}, network
            )
            for p in parts
        }
        core, closed = networks["core"], networks.get("closed")
        return cls(core=core, closed=closed, wide=networks.get("wide", closed or core))


def _prefixed(part: str, field: Field) -> Field:
    """Name the lengths of a part's arrays after the part, so that parts may differ in size."""
    shape = tuple(f"{part}.{n}" if isinstance(n, str) else n for n in field.shape)
    return replace(field, shape=shape)
