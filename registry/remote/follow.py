"""Keep a local alias equal to an upstream alias, so that edge boxes get new models.

Each turn requests the digest of the upstream alias. If it differs from the local one, the version is pulled, verified
and published here, and only then does the local alias move. Old versions stay. After any failure the alias stays where
it was, and the next turn tries again.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import BadInput, BadReference, NotFound, RegistryError
from ..layout.changes import ABSENT, Attribution
from ..references import check_alias, check_model
from .address import Address
from .repository import Repository
from .transfer import fetch, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from ..references import Digest
    from ..store import Registry
    from ..values import Pin
    from .transfer import Transfer

__all__ = ["AliasFollower", "Move", "Stopped", "follow", "follow_once"]

MIN_INTERVAL_S: Final = 1.0
MAX_INTERVAL_S: Final = 86_400.0
JITTER: Final = 0.2
"""Random part of the interval, plus or minus, so that the boxes of a fleet do not all send requests at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One move of the local alias.

    Attributes
    ----------
    pin
        What the alias points to now.
    before
        Digest that it pointed to before; None if the alias is new.
    transfer
        What was pulled.

    """

    pin: Pin
    before: Digest | None
    transfer: Transfer


class Stopped(Exception):
    """The follower was stopped during a turn."""


class AliasFollower:
    """Moves a local alias to the version that an upstream alias points to.

    Parameters
    ----------
    registry
        The local registry.
    remote
        `HOST/REPOSITORY:ALIAS`.
    name
        Name of the local model; by default the last part of the repository's name.
    alias
        The local alias; by default the upstream one.
    plain_http
        Whether HTTP without encryption to other machines is allowed.
    actor, reason
        Who and why, for the journal; by default user@host, and the remote.
    stop
        If set, a turn that waits for upstream ends with Stopped.

    Raises
    ------
    BadReference
        An argument is invalid, or the remote has no alias, or has a digest, which could never move.

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
            raise BadReference(f"remote {self.address}: following needs HOST/REPOSITORY:ALIAS")
        self.name = check_model(self.address.name if name is None else name)
        self.alias = check_alias(self.address.tag if alias is None else alias)
        self._tag = self.address.tag
        self._registry = registry
        self._plain_http = plain_http
        self._attribution = Attribution.of(
            actor, f"follows {self.address}" if reason is None else reason
        )
        self._stop = stop or threading.Event()

    @property
    def here(self) -> Digest | None:
        """Digest that the local alias points to; None if it does not exist."""
        try:
            return self._registry.resolve(f"{self.name}:{self.alias}").digest
        except NotFound:
            return None

    def turn(self) -> Move | None:
        """Look at the upstream alias once, and move the local one if they differ; return None if they do not.

        Raises
        ------
        RegistryError
            Anything failed; the alias is where it was.
        Stopped
            `stop` was set while the turn waited for upstream.

        """
        with Repository(self.address, plain_http=self._plain_http, pause=self._pause) as repository:
            there = repository.digest_of(self._tag)
            if there is None:
                raise NotFound(f"{self.address}: not found there")
            here = self.here
            if there == here:
                return None
            # By digest, not by tag: the upstream alias may move again in the meantime.
            transfer = fetch(
                opened(self._registry),
                repository,
                self.address.at(digest=there),
                self.name,
                None,
                self._attribution,
            )
        # `expect`: if somebody moved the local alias during the pull, this is refused, and the next turn looks again.
        pin = self._registry.set_alias(
            self.name,
            self.alias,
            there,
            expect=here or ABSENT,
            actor=self._attribution.actor,
            reason=self._attribution.reason,
        )
        return Move(pin=pin, before=here, transfer=transfer)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped


def follow(
    follower: AliasFollower,
    *,
    log: FilteringBoundLogger,
    stop: threading.Event,
    interval_s: float,
    wait: Callable[[float], bool] | None = None,
) -> None:
    """Compare the alias with upstream again and again until `stop` is set, and pull what is new.

    Parameters
    ----------
    follower
        Takes the turns.
    log
        Gets one event for each move, each failure, and the first success after a failure.
    stop
        Ends the loop; the follower must have the same event.
    interval_s
        Mean time between turns in seconds, `MIN_INTERVAL_S` to `MAX_INTERVAL_S`.
    wait
        Waits for a number of seconds and returns whether to end: a seam for tests. By default `stop.wait`.

    Raises
    ------
    BadInput
        The interval is out of range.

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


def follow_once(follower: AliasFollower, *, log: FilteringBoundLogger) -> None:
    """Compare the alias with upstream once, pull what is new, and log the result.

    Raises
    ------
    RegistryError, Stopped
        As for `AliasFollower.turn`.

    """
    _turn(follower, _bound(log, follower), healthy=False)


def _bound(log: FilteringBoundLogger, follower: AliasFollower) -> FilteringBoundLogger:
    return log.bind(remote=str(follower.address), alias=f"{follower.name}:{follower.alias}")


def _turn(follower: AliasFollower, log: FilteringBoundLogger, *, healthy: bool) -> None:
    """Run one turn and log its result; log nothing if the alias did not move and the previous turn succeeded, too."""
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
