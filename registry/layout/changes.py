"""What may change in a registry, and how a change is recorded.

Each function gives the decision that `Layout.commit` asks for: from a state to a change, to
nothing, or to a refusal. It runs under the writers' lock, and again when another process was first.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, Conflict, Corrupt, NotFound, shown
from ..formats.attachments import split_tag, tag_prefix
from ..times import timestamp
from .history import target_before
from .journal import Change, ModelState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..formats.json_documents import Descriptor
    from ..formats.manifest import Package
    from ..references import Digest
    from .layout import Layout

__all__ = [
    "ABSENT",
    "Signature",
    "attachment",
    "check_new",
    "forgotten",
    "move",
    "publication",
    "removal",
    "rollback",
    "withdrawal",
]

ABSENT: Final = "absent"
"""As the expected state of an alias: it must not exist yet."""
_MAX_TEXT: Final = 4096
_NOTHING: Final[Mapping[Digest, bytes]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Who changes something, and why; both go into the journal."""

    actor: str
    reason: str

    @classmethod
    def of(cls, actor: str | None, reason: str) -> Signature:
        """Take what the caller says, or user@host.

        Raises
        ------
        BadInput
            When a text is not printable or too long.
        """
        actor = _user() if actor is None else actor
        for what, text in (("actor", actor), ("reason", reason)):
            if len(text) > _MAX_TEXT or not text.isprintable():
                raise BadInput(
                    f"{what} {shown(text)}: must be one printable line of at most "
                    f"{_MAX_TEXT} characters"
                )
        return cls(actor=actor, reason=reason)


def _user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in a bare container
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _change(
    state: ModelState, operation: str, tag: str, target: Descriptor | None, signature: Signature
) -> Change:
    current = state.tags.get(tag)
    return Change(
        generation=state.generation + 1,
        previous=state.head,
        operation=operation,
        tag=tag,
        source=None if current is None else current.digest,
        target=target,
        time=timestamp(),
        actor=signature.actor,
        reason=signature.reason,
    )


def check_new(layout: Layout, state: ModelState, version: str, target: Descriptor) -> bool:
    """Tell whether a version is still to be published; False when it is there already.

    Raises
    ------
    Conflict
        When the version is there with another digest, or was.
    """
    current = state.tags.get(version)
    if state.withdrawn.get(version, target.digest) != target.digest:
        raise Conflict(
            f"{layout.name}:{version} was {state.withdrawn[version]} before it was withdrawn and "
            f"cannot become {target.digest}; versions are immutable"
        )
    if current is not None and current.digest != target.digest:
        raise Conflict(
            f"{layout.name}:{version} is published as {current.digest} and cannot become "
            f"{target.digest}; versions are immutable"
        )
    return current is None


def publication(
    layout: Layout,
    version: str,
    target: Descriptor,
    signature: Signature,
    blobs: Mapping[Digest, bytes] = _NOTHING,
    *,
    operation: str = "publish",
) -> Callable[[ModelState], Change | None]:
    """Decide a new version: absent so far, and all its blobs sound in the store.

    Parameters
    ----------
    blobs
        Staged before; staged again when a collector without grace took them meanwhile. It cannot
        come back between the decision and the commit.
    """

    def decide(state: ModelState) -> Change | None:
        if not check_new(layout, state, version, target):
            return None
        try:
            layout.check(target, what=f"{layout.name}:{version}")
        except Corrupt:
            if not blobs:
                raise
            layout.stage(blobs)
            layout.check(target, what=f"{layout.name}:{version}")
        return _change(state, operation, version, target, signature)

    return decide


def attachment(
    layout: Layout, kind: str, package: Package, subject: Descriptor, signature: Signature
) -> Callable[[ModelState], Change | None]:
    """Decide a new attachment of a version that is there, under the next free number."""

    def decide(state: ModelState) -> Change | None:
        if state.version_of(subject.digest) is None:
            raise NotFound(f"model {layout.name}: no version is {subject.digest}")
        prefix = tag_prefix(subject.digest, kind)
        if any(tag.startswith(prefix) for tag in state.tags.of(package.descriptor.digest)):
            return None
        taken = [
            int(tag.removeprefix(prefix))
            for tag in state.tags
            if split_tag(tag) == (subject.digest, kind)
        ]
        tag = f"{prefix}{max(taken, default=0) + 1}"
        try:
            layout.check(package.descriptor, what=f"{layout.name}:{tag}")
        except Corrupt:
            layout.stage(package.blobs)
        return _change(state, "attach", tag, package.descriptor, signature)

    return decide


def forgotten(
    tag: str, subject: Digest, signature: Signature
) -> Callable[[ModelState], Change | None]:
    """Decide that an attachment goes, unless its version is there again."""

    def decide(state: ModelState) -> Change | None:
        if tag not in state.tags or state.tags.of(subject):
            return None
        return _change(state, "gc", tag, None, signature)

    return decide


def move(
    layout: Layout,
    alias: str,
    target: Descriptor,
    expect: Digest | str | None,
    signature: Signature,
) -> Callable[[ModelState], Change | None]:
    """Decide the move of an alias: it means what was expected, and the target is sound.

    Parameters
    ----------
    expect
        The digest it must mean before, ABSENT, or None for anything.
    """

    def decide(state: ModelState) -> Change | None:
        if _expected(layout, state, alias, expect) == target.digest:
            return None
        layout.check(target, what=f"{layout.name}:{alias}")
        return _change(state, "alias", alias, target, signature)

    return decide


def _expected(layout: Layout, state: ModelState, alias: str, expect: Digest | str | None) -> str:
    """Give the digest that an alias means, or ABSENT, when it is what the caller expects."""
    current = state.tags.get(alias)
    found = ABSENT if current is None else current.digest
    if expect not in {None, found}:
        raise Conflict(f"{layout.name}:{alias} is {found}, not {expect} as expected")
    return found


def rollback(
    layout: Layout, alias: str, expect: Digest | str | None, signature: Signature
) -> Callable[[ModelState], Change]:
    """Decide that an alias means again what it meant before; the target is sound."""

    def decide(state: ModelState) -> Change:
        _expected(layout, state, alias, expect)
        target = target_before(layout, state, alias)
        layout.check(target, what=f"{layout.name}:{alias}")
        return _change(state, "rollback", alias, target, signature)

    return decide


def removal(
    layout: Layout,
    alias: str,
    expect: Digest | str | None,
    signature: Signature,
    tell: Callable[[Digest], object],
) -> Callable[[ModelState], Change]:
    """Decide that an alias goes.

    Parameters
    ----------
    tell
        Told what the alias meant.
    """

    def decide(state: ModelState) -> Change:
        _expected(layout, state, alias, expect)
        if alias not in state.tags:
            raise NotFound(f"model {layout.name}: no alias {alias!r}")
        tell(state.tags[alias].digest)
        return _change(state, "remove", alias, None, signature)

    return decide


def withdrawal(
    layout: Layout, version: str, signature: Signature
) -> Callable[[ModelState], Change | None]:
    """Decide that a version goes: no alias means it."""

    def decide(state: ModelState) -> Change | None:
        if version not in state.tags:
            if version in state.withdrawn:
                return None
            raise NotFound(f"model {layout.name}: no version {version!r}")
        aliases = state.aliases_of(state.tags[version].digest)
        if aliases:
            raise Conflict(
                f"{layout.name}:{version} is {', '.join(aliases)}; move that first, a version in "
                "use cannot be withdrawn"
            )
        return _change(state, "withdraw", version, None, signature)

    return decide
