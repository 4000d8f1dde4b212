"""Which versions a list shows, and in which order: by label, figure and date."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, shown
from ..times import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from ..references import Digest
    from ..values import Entry

__all__ = ["Condition", "Selection", "figure"]

_CONDITION: Final = re.compile(r"([^<>=!\s]+)\s*(>=|<=|==|!=|=|>|<)\s*(\S+)")
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_ORDERS: Final = ("version", "created")


def figure(document: object, path: str) -> float | None:
    """Find a number in ``eval.json``: first below its stages, then anywhere, by a dotted path."""
    stages = document.get("stages") if isinstance(document, dict) else None
    for start in (stages, document):
        value: Any = start
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A figure compared with a number, as ``spiking.accuracy>=0.85``."""

    path: str
    compare: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises
        ------
        BadInput
            When it is none.
        """
        match = _CONDITION.fullmatch(text.strip())
        try:
            path, compare, number = match.groups() if match else ("", "", "")
            return cls(path=path, compare=compare, value=float(number))
        except ValueError:
            raise BadInput(
                f"condition {shown(text)}: must be a figure, one of >= <= > < = != and a number, "
                "as spiking.accuracy>=0.85"
            ) from None

    def holds(self, entry: Entry) -> bool:
        """Tell whether the version has the figure and it compares as asked."""
        found = entry.figures.get(self.path)
        return found is not None and _COMPARE[self.compare](found, self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What a list shows."""

    labels: tuple[str, ...] = ()
    """Each must be among the model's classes."""
    where: tuple[Condition, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    order: str = "version"
    """``version``, ``created`` or a figure."""
    descending: bool = False

    @classmethod
    def of(
        cls,
        *,
        labels: Iterable[str],
        where: Iterable[str],
        since: str | None,
        until: str | None,
        sort: str,
    ) -> Selection:
        """Read what a caller asks for; ``sort`` begins with ``-`` for the largest first.

        Raises
        ------
        BadInput
            When a condition or a time is none.
        """
        return cls(
            labels=tuple(labels),
            where=tuple(Condition.parse(text) for text in where),
            since=None if since is None else parse_time(since),
            until=None if until is None else parse_time(until, end_of_day=True),
            order=sort.removeprefix("-"),
            descending=sort.startswith("-"),
        )

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that are needed to choose and to sort."""
        paths = [condition.path for condition in self.where]
        return tuple(dict.fromkeys(paths + ([] if self.order in _ORDERS else [self.order])))

    def _takes(self, entry: Entry, labels: Iterable[str]) -> bool:
        if not set(self.labels) <= set(labels):
            return False
        if (self.since or self.until) and entry.created is None:
            return False
        time = None if entry.created is None else parse_time(entry.created)
        return (
            all(condition.holds(entry) for condition in self.where)
            and (time is None or self.since is None or self.since <= time)
            and (time is None or self.until is None or time <= self.until)
        )

    def choose(self, entries: list[Entry], labels: Mapping[Digest, tuple[str, ...]]) -> list[Entry]:
        """Keep what is asked for, in the order asked for; where the figure is absent come last."""
        kept = [each for each in entries if self._takes(each, labels.get(each.digest, ()))]
        if self.order == "version":
            return kept[::-1] if self.descending else kept

        def key(entry: Entry) -> Any:
            return entry.created if self.order == "created" else entry.figures.get(self.order)

        known = [entry for entry in kept if key(entry) is not None]
        known.sort(key=key, reverse=self.descending)
        return known + [entry for entry in kept if key(entry) is None]
