"""Filter and sort the versions of a list by label, figure and date."""

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

__all__ = ["FigureCondition", "Selection", "figure"]

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
    """Return the number at a dotted path in `eval.json`, looked up in its stages first; None without one.

    Parameters
    ----------
    document
        The parsed `eval.json`, of any form.
    path
        Keys joined by dots: `spiking.accuracy` finds `stages.spiking.accuracy`, `energy.uj` finds `energy.uj`.

    """
    stages = document.get("stages") if isinstance(document, dict) else None
    for start in (stages, document):
        value: Any = start
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureCondition:
    """A comparison of a figure with a number, such as `spiking.accuracy>=0.85`.

    Attributes
    ----------
    path
        Dotted path of the figure in `eval.json`.
    compare
        A key of `_COMPARE`.
    value
        The number on the right.

    """

    path: str
    compare: str
    value: float

    @classmethod
    def parse(cls, text: str) -> FigureCondition:
        """Parse a condition.

        Raises
        ------
        BadInput
            The text is not a condition.

        """
        match = _CONDITION.fullmatch(text.strip())
        try:
            path, compare, number = match.groups() if match else ("", "", "")
            return cls(path=path, compare=compare, value=float(number))
        except ValueError:
            raise BadInput(
                f"condition {shown(text)}: must be a figure, one of >= <= > < = != and a number, "
                "such as spiking.accuracy>=0.85"
            ) from None

    def holds(self, entry: Entry) -> bool:
        """Return whether the version has the figure and the comparison is true."""
        found = entry.figures.get(self.path)
        return found is not None and _COMPARE[self.compare](found, self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The choice and the order of the versions in a list.

    Attributes
    ----------
    labels
        Class names that the model must have, all of them.
    where
        Conditions on figures that must be true, all of them.
    since, until
        Earliest and latest time of creation, both inclusive; None for no limit.
    order
        Sort by `version`, `created` or the dotted path of a figure.
    descending
        Whether to put the largest first.

    """

    labels: tuple[str, ...] = ()
    where: tuple[FigureCondition, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    order: str = "version"
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
        """Parse a selection from texts.

        Parameters
        ----------
        labels
            Class names.
        where
            Conditions, see `FigureCondition.parse`.
        since, until
            Times or days, see `parse_time`; a day given as `until` means its end.
        sort
            `version`, `created` or a figure; with a leading `-`, the largest first.

        Raises
        ------
        BadInput
            A condition or a time is malformed.

        """
        return cls(
            labels=tuple(labels),
            where=tuple(FigureCondition.parse(text) for text in where),
            since=None if since is None else parse_time(since),
            until=None if until is None else parse_time(until, end_of_day=True),
            order=sort.removeprefix("-"),
            descending=sort.startswith("-"),
        )

    @property
    def figures(self) -> tuple[str, ...]:
        """The dotted paths of the figures that filtering and sorting need; no path twice."""
        paths = [condition.path for condition in self.where]
        return tuple(dict.fromkeys(paths + ([] if self.order in _ORDERS else [self.order])))

    def _matches(self, entry: Entry, labels: Iterable[str]) -> bool:
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
        """Return the entries that match, in the requested order.

        Entries without the value that is sorted by come last.

        Parameters
        ----------
        entries
            Versions, in the order of SemVer within each model.
        labels
            Class names by digest of the version; absent if the model has none.

        """
        kept = [each for each in entries if self._matches(each, labels.get(each.digest, ()))]
        if self.order == "version":
            return kept[::-1] if self.descending else kept

        def key(entry: Entry) -> Any:
            return entry.created if self.order == "created" else entry.figures.get(self.order)

        known = [entry for entry in kept if key(entry) is not None]
        known.sort(key=key, reverse=self.descending)
        return known + [entry for entry in kept if key(entry) is None]
