"""The changes that can be made to a model, each as a decision for `Layout.commit`.

A decision is a function of the model's state. It returns the change to commit, or None if there is nothing to do, or
raises to refuse. `Layout.commit` calls it under the writers' lock, and again if another process committed first.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, Conflict, NotFound, shown
from ..formats.attachments import split_tag, tag_prefix
from ..times import timestamp
from .find import find
from .history import target_before
from .journal import Change, ModelState

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..formats.json_documents import Descriptor
    from ..references import Digest, Reference
    from .layout import Layout

__all__ = [
    "ABSENT",
    "Attribution",
    "attachment",
    "check_new",
    "detachment",
    "move",
    "publication",
    "removal",
    "rollback",
    "withdrawal",
]

ABSENT: Final = "absent"
"""As `expect`: the alias must not exist yet."""

_MAX_TEXT: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """Who makes a change, and why, for the journal."""

    actor: str
    reason: str

    @classmethod
    def of(cls, actor: str | None, reason: str) -> Attribution:
        """Return the attribution; the actor defaults to user@host.

        Raises
        ------
        BadInput
            A text is not one printable line, or is longer than 4096 characters.

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
    except (KeyError, OSError):  # a container may run under a user id that has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _change(
    state: ModelState, operation: str, tag: str, target: Descriptor | None, attribution: Attribution
) -> Change:
    """Return the journal entry that follows a state and points a tag to a target."""
    current = state.tags.get(tag)
    return Change(
        generation=state.generation + 1,
        previous=state.head,
        operation=operation,
        tag=tag,
        source=None if current is None else current.digest,
        target=target,
        time=timestamp(),
        actor=attribution.actor,
        reason=attribution.reason,
    )


def check_new(name: str, state: ModelState, version: str, digest: Digest) -> bool:
    """Return whether a version is new; False if it is already published with this digest.

    Raises
    ------
    Conflict
        The version is published with another digest, or was before it was withdrawn.

    """
    current = state.tags.get(version)
    if state.withdrawn.get(version, digest) != digest:
        raise Conflict(
            f"{name}:{version} was {state.withdrawn[version]} before it was withdrawn and "
            f"cannot become {digest}; versions are immutable"
        )
    if current is not None and current.digest != digest:
        raise Conflict(
            f"{name}:{version} is published as {current.digest} and cannot become "
            f"{digest}; versions are immutable"
        )
    return current is None


def publication(
    name: str,
    version: str,
    target: Descriptor,
    attribution: Attribution,
    *,
    operation: str = "publish",
) -> Callable[[ModelState], Change | None]:
    """Return the decision that adds a version, unless it is already published with the same digest.

    Parameters
    ----------
    name, version
        Model and version.
    target
        The version's manifest.
    attribution
        Who and why.
    operation
        `publish`, `import` or `pull`, for the journal.

    """

    def decide(state: ModelState) -> Change | None:
        if not check_new(name, state, version, target.digest):
            return None
        return _change(state, operation, version, target, attribution)

    return decide


def attachment(
    name: str, kind: str, target: Descriptor, subject: Descriptor, attribution: Attribution
) -> Callable[[ModelState], Change | None]:
    """Return the decision that adds an attachment to a version, under the number after the highest one.

    Parameters
    ----------
    name
        Name of the model.
    kind
        `eval` or `sig`.
    target, subject
        Manifests of the attachment and of the version.
    attribution
        Who and why.

    """

    def decide(state: ModelState) -> Change | None:
        if state.version_of(subject.digest) is None:
            raise NotFound(f"model {name}: no version is {subject.digest}")
        prefix = tag_prefix(subject.digest, kind)
        if any(tag.startswith(prefix) for tag in state.tags.of(target.digest)):
            return None
        taken = [
            int(tag.removeprefix(prefix))
            for tag in state.tags
            if split_tag(tag) == (subject.digest, kind)
        ]
        return _change(state, "attach", f"{prefix}{max(taken, default=0) + 1}", target, attribution)

    return decide


def detachment(
    tag: str, subject: Digest, attribution: Attribution
) -> Callable[[ModelState], Change | None]:
    """Return the decision that removes an attachment, unless its version exists again."""

    def decide(state: ModelState) -> Change | None:
        if tag not in state.tags or state.tags.of(subject):
            return None
        return _change(state, "gc", tag, None, attribution)

    return decide


def move(
    layout: Layout,
    alias: str,
    reference: Reference,
    expect: Digest | str | None,
    attribution: Attribution,
) -> Callable[[ModelState], Change | None]:
    """Return the decision that points an alias to a version, all of whose blobs are intact.

    Parameters
    ----------
    layout
        The model.
    alias
        Created if it does not exist.
    reference
        What the alias will point to.
    expect
        The digest that the alias must point to before, ABSENT, or None for any.
    attribution
        Who and why.

    """

    def decide(state: ModelState) -> Change | None:
        target = find(layout, state, reference)
        if _check_expected(layout.name, state, alias, expect) == target.digest:
            return None
        layout.check(target, what=f"{layout.name}:{alias}")
        return _change(state, "alias", alias, target, attribution)

    return decide


def _check_expected(
    name: str, state: ModelState, alias: str, expect: Digest | str | None
) -> Digest | str:
    """Return the digest that an alias points to, or ABSENT; raise Conflict if it is not the expected one."""
    current = state.tags.get(alias)
    found = ABSENT if current is None else current.digest
    if expect not in {None, found}:
        raise Conflict(f"{name}:{alias} is {found}, not {expect} as expected")
    return found


def rollback(
    layout: Layout, alias: str, expect: Digest | str | None, attribution: Attribution
) -> Callable[[ModelState], Change]:
    """Return the decision that points an alias back to its previous version, all of whose blobs are intact."""

    def decide(state: ModelState) -> Change:
        _check_expected(layout.name, state, alias, expect)
        target = target_before(layout, state, alias)
        layout.check(target, what=f"{layout.name}:{alias}")
        return _change(state, "rollback", alias, target, attribution)

    return decide


def removal(
    name: str,
    alias: str,
    expect: Digest | str | None,
    attribution: Attribution,
    on_removal: Callable[[Digest], object],
) -> Callable[[ModelState], Change]:
    """Return the decision that removes an alias.

    Parameters
    ----------
    name, alias
        Model and alias.
    expect
        As for `move`.
    attribution
        Who and why.
    on_removal
        Called with the digest that the alias pointed to; again if the decision is made again.

    """

    def decide(state: ModelState) -> Change:
        _check_expected(name, state, alias, expect)
        if alias not in state.tags:
            raise NotFound(f"model {name}: no alias {alias!r}")
        on_removal(state.tags[alias].digest)
        return _change(state, "remove", alias, None, attribution)

    return decide


def withdrawal(
    name: str, version: str, attribution: Attribution
) -> Callable[[ModelState], Change | None]:
    """Return the decision that withdraws a version to which no alias points, unless it is withdrawn already."""

    def decide(state: ModelState) -> Change | None:
        if version not in state.tags:
            if version in state.withdrawn:
                return None
            raise NotFound(f"model {name}: no version {version!r}")
        aliases = state.aliases_of(state.tags[version].digest)
        if aliases:
            raise Conflict(
                f"{name}:{version} cannot be withdrawn while aliases point to it: {', '.join(aliases)}"
            )
        return _change(state, "withdraw", version, None, attribution)

    return decide
