"""What the journal tells: who changed what, when and why; what a tag meant, and may mean again."""

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

__all__ = ["changes_until", "events", "meant_at", "recent_targets", "target_before"]


def changes_until(layout: Layout, state: ModelState) -> Iterator[Change]:
    """Read the journal from its beginning to a state that it led to.

    Raises
    ------
    Corrupt
        When it does not chain, or does not lead there.
    """
    entries = list(islice(layout.entries(0), state.generation))
    found = ModelState().replay(iter(entries), what=str(layout.journal))
    if found.head != state.head:
        raise Corrupt(f"{layout.journal}: leads to {found.head}, not to {state.head}")
    return (change for change, _ in entries)


def events(layout: Layout, tag: str | None) -> Iterator[Event]:
    """Tell every change, oldest first, of one tag or of all."""
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


def meant_at(layout: Layout, tag: str, time: datetime) -> Descriptor:
    """Find what a tag meant at a time, by the clocks of those who moved it.

    Raises
    ------
    NotFound
        When it did not exist then.
    """
    target = None
    for change in changes_until(layout, layout.state()):
        if change.tag == tag and parse_time(change.time) <= time:
            target = change.target
    if target is None:
        raise NotFound(f"model {layout.name}: no {tag!r} at {time.isoformat()}")
    return target


def target_before(layout: Layout, state: ModelState, alias: str) -> Descriptor:
    """Find what a rollback of the alias brings back; the next rollback goes one step further.

    Raises
    ------
    NotFound
        When there is no alias, or nothing before.
    Conflict
        When that version has been withdrawn.
    """
    current: Descriptor | None = None
    before: list[Descriptor] = []
    for change in changes_until(layout, state):
        if change.tag != alias:
            continue
        if change.operation == "rollback" and before:
            before.pop()
        elif current is not None:
            before.append(current)
        current = change.target
    if current is None and not before:
        raise NotFound(f"model {layout.name}: no alias {alias!r}")
    if not before:
        raise NotFound(f"{layout.name}:{alias}: has meant nothing else before, no rollback")
    target = before[-1]
    for version, digest in state.withdrawn.items():
        if digest == target.digest:
            raise Conflict(
                f"{layout.name}:{alias}: was {version}@{digest} before, which is withdrawn"
            )
    return target


def recent_targets(layout: Layout, state: ModelState, count: int) -> set[Descriptor]:
    """Give what each alias meant last: what a rollback may want."""
    targets: dict[str, list[Descriptor]] = {}
    for change in changes_until(layout, state):
        if change.target is not None and is_alias(change.tag):
            targets.setdefault(change.tag, []).append(change.target)
    return {target for each in targets.values() for target in each[-count:]}
