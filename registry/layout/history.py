"""Look up the past in the journal: who changed what, when and why, and what a tag pointed to at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ..errors import Conflict, Corrupt, NotFound
from ..references import is_alias, is_version
from ..times import parse_time
from ..values import Event
from .journal import ModelState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ..formats.json_documents import Descriptor
    from ..references import Digest
    from .journal import Change
    from .layout import Layout

__all__ = ["changes_until", "events", "recent_targets", "target_at", "target_before"]


def changes_until(layout: Layout, state: ModelState) -> Iterator[Change]:
    """Return the changes that led to a state, oldest first.

    Raises
    ------
    Corrupt
        The journal's hash chain is broken, or the journal leads to another state.

    """
    entries = list(islice(layout.entries(0), state.generation))
    found = ModelState().replay(iter(entries), what=str(layout.journal))
    if found.head != state.head:
        raise Corrupt(f"{layout.journal}: its last entry is {found.head}, expected {state.head}")
    return (change for change, _ in entries)


def events(layout: Layout, tag: str | None) -> Iterator[Event]:
    """Yield the changes of one tag, or of all, oldest first.

    Raises
    ------
    Corrupt
        As for `changes_until`.

    """
    versions: dict[Digest, str] = {}
    for change in changes_until(layout, layout.state()):
        target = None if change.target is None else change.target.digest
        if target is not None and is_version(change.tag):
            versions[target] = change.tag
        if tag in {None, change.tag}:
            yield Event(
                generation=change.generation,
                time=change.time,
                actor=change.actor,
                operation=change.operation,
                tag=change.tag,
                source=change.source,
                source_version=versions.get(change.source) if change.source else None,
                target=target,
                target_version=versions.get(target) if target else None,
                reason=change.reason,
            )


def target_at(layout: Layout, state: ModelState, tag: str, time: datetime) -> Descriptor:
    """Return the manifest that a tag pointed to at a time.

    Parameters
    ----------
    layout, state
        The model, and the state to which its journal is read.
    tag
        A version or an alias.
    time
        With a time zone. It is compared with the times in the journal, which come from the clocks of the writers.

    Raises
    ------
    NotFound
        The tag did not exist at that time.
    Corrupt
        As for `changes_until`.

    """
    target = None
    for change in changes_until(layout, state):
        # No early exit: the clocks of two writers may differ, so the times in the journal need not increase.
        if change.tag == tag and parse_time(change.time) <= time:
            target = change.target
    if target is None:
        raise NotFound(f"model {layout.name}: no {tag!r} at {time.isoformat()}")
    return target


def target_before(layout: Layout, state: ModelState, alias: str) -> Descriptor:
    """Return the manifest that a rollback of an alias points it back to.

    The second of two rollbacks goes one step further back; it does not undo the first.

    Raises
    ------
    NotFound
        The alias does not exist, or pointed to nothing else before.
    Conflict
        That version has been withdrawn.
    Corrupt
        As for `changes_until`.

    """
    current: Descriptor | None = None
    before: list[Descriptor] = []
    for change in changes_until(layout, state):
        if change.tag != alias:
            continue
        if change.operation == "rollback" and before:
            # The target it restored; the version rolled back from is not a step to return to.
            before.pop()
        elif current is not None:
            before.append(current)
        current = change.target
    if current is None and not before:
        raise NotFound(f"model {layout.name}: no alias {alias!r}")
    if not before:
        raise NotFound(f"{layout.name}:{alias}: has no earlier version to roll back to")
    target = before[-1]
    for version, digest in state.withdrawn.items():
        if digest == target.digest:
            raise Conflict(
                f"{layout.name}:{alias}: was {version}@{digest} before, which is withdrawn"
            )
    return target


def recent_targets(layout: Layout, state: ModelState, count: int) -> set[Descriptor]:
    """Return the last `count` targets of each alias: those that a rollback may restore.

    Raises
    ------
    Corrupt
        As for `changes_until`.

    """
    targets: dict[str, list[Descriptor]] = {}
    for change in changes_until(layout, state):
        if change.target is not None and is_alias(change.tag):
            targets.setdefault(change.tag, []).append(change.target)
    return {target for each in targets.values() for target in each[-count:]}
