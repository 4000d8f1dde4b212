"""Keeping a local alias at an upstream alias: how edge boxes get new models.

Each turn asks upstream for a digest. When it is not the local one, the version is pulled, verified
and published here, and only then the local alias moves. Old versions stay. Whatever fails, the
alias stays where it was, and the next turn tries again.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, BadReference, NotFound, RegistryError
from ..layout.changes import ABSENT, Signature
from ..references import check_alias, check_model
from .address import Address
from .repository import Repository
from .transfer import fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from ..references import Digest
    from ..store import Registry
    from ..values import Pin
    from .transfer import Transfer

__all__ = ["Follower", "Move", "Stopped", "follow", "follow_once"]

MIN_INTERVAL_S: Final = 1.0
MAX_INTERVAL_S: Final = 86_400.0
JITTER: Final = 0.2
"""How much of the interval is left to chance, so that a fleet does not ask all at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One move of the local alias."""

    pin: Pin
    """What it means now."""
    before: Digest | None
    """What it meant; None when it is new."""
    transfer: Transfer


class Stopped(Exception):
    """The end was asked for in the middle of a turn."""


class Follower:
    """Moves a local alias to where an upstream alias is.

    Parameters
    ----------
    remote
        ``HOST/REPOSITORY:ALIAS``.
    name
        The local model; by default the last part of the repository's name.
    alias
        The local alias; by default the upstream one.
    plain_http
        Allow HTTP to other machines.
    actor, reason
        Who and why, for the journal; by default user@host, and what is followed.
    stop
        When it is set, a turn that waits for upstream ends by Stopped.

    Raises
    ------
    BadReference
        When something given is none, or names a digest: that cannot move.
    """

    def __init__(
        self,
        registry: Registry,
        remote: str,
        name: str | None = None,
        alias: str | None = None,
        *,
        plain_http: bool = False,
        actor: str | None = None,
        reason: str | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.address = Address.parse(remote, plain_http=plain_http)
        if self.address.tag is None or self.address.digest is not None:
            raise BadReference(f"remote {self.address}: to follow needs HOST/REPOSITORY:ALIAS")
        self.name = check_model(self.address.name if name is None else name)
        self.alias = check_alias(self.address.tag if alias is None else alias)
        self._tag = self.address.tag
        self._registry = registry
        self._plain_http = plain_http
        self._signature = Signature.of(
            actor, f"follows {self.address}" if reason is None else reason
        )
        self._stop = stop or threading.Event()

    @property
    def here(self) -> Digest | None:
        """What the local alias means; None when it is absent."""
        try:
            return self._registry.resolve(f"{self.name}:{self.alias}").digest
        except NotFound:
            return None

    def turn(self) -> Move | None:
        """Look once, and move the alias when upstream's has moved; None when it has not.

        Raises
        ------
        RegistryError
            When anything fails; the alias is where it was.
        Stopped
            When the end was asked for.
        """
        with Repository(self.address, plain_http=self._plain_http, pause=self._pause) as repository:
            there = repository.digest_of(self._tag)
            if there is None:
                raise NotFound(f"{self.address}: not found there")
            here = self.here
            if there == here:
                return None
            transfer = fetch(
                self._registry,
                repository,
                self.address.at(digest=there),
                self.name,
                None,
                self._signature,
            )
        pin = self._registry.set_alias(
            self.name,
            self.alias,
            there,
            expect=here or ABSENT,
            actor=self._signature.actor,
            reason=self._signature.reason,
        )
        return Move(pin=pin, before=here, transfer=transfer)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped


def follow(
    follower: Follower,
    *,
    log: FilteringBoundLogger,
    stop: threading.Event,
    interval_s: float,
    wait: Callable[[float], bool] | None = None,
) -> None:
    """Take a turn, wait, take the next, until the end is asked for.

    Parameters
    ----------
    log
        Takes one event for each move, each failure, and each return to health.
    stop
        Ends it; the same as the follower's.
    interval_s
        Mean time between turns in seconds, MIN_INTERVAL_S to MAX_INTERVAL_S.
    wait
        Waits for so many seconds and tells whether to end; by default ``stop.wait``.

    Raises
    ------
    BadInput
        When the interval is none.
    """
    if not MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S:
        raise BadInput(
            f"interval {interval_s} s: must be {MIN_INTERVAL_S:.0f} to {MAX_INTERVAL_S:.0f}"
        )
    wait = wait or stop.wait
    log = _bound(log, follower)
    log.info("follow.started", interval_s=interval_s)
    healthy = False
    while not stop.is_set():
        try:
            _turn(follower, log, healthy=healthy)
            healthy = True
        except Stopped:
            break
        except RegistryError as e:
            healthy = False
            log.warning("follow.failed", kind=type(e).__name__, error=str(e))
        if wait(interval_s * random.uniform(1 - JITTER, 1 + JITTER)):  # noqa: S311 -- jitter, no secret
            break
    log.info("follow.stopped")


def follow_once(follower: Follower, *, log: FilteringBoundLogger) -> None:
    """Take one turn, and log what it did.

    Raises
    ------
    RegistryError, Stopped
        As by `Follower.turn`.
    """
    _turn(follower, _bound(log, follower), healthy=False)


def _bound(log: FilteringBoundLogger, follower: Follower) -> FilteringBoundLogger:
    return log.bind(remote=str(follower.address), alias=f"{follower.name}:{follower.alias}")


def _turn(follower: Follower, log: FilteringBoundLogger, *, healthy: bool) -> None:
    """Take one turn, and log what is new; a turn like the healthy one before is not."""
    moved = follower.turn()
    if moved is not None:
        log.info(
            "follow.moved",
            model=str(moved.pin),
            before=moved.before,
            blobs=moved.transfer.blobs,
            size_bytes=moved.transfer.size,
        )
    elif not healthy:
        log.info("follow.current", digest=follower.here)
