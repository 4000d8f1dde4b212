"""Reload: read the configuration again, look at every model's reference at once, and report the outcome.

`SIGHUP` requests it.  The outcome is written to `reload.json` in the spool, where `spikewatchd reload` reads it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..files import durable
from ..log import events
from ..models.served import ModelSource
from ..monitoring import state_files
from ..monitoring.state_files import RELOAD_FILE
from ..settings import ABOUT, NAMES, Settings
from ..spool.shards import Shard, own
from .open_files import affordable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from ..bell import Bell
    from .lanes import Lane


class SettingsInForce:
    """The settings in force, which a reload replaces as a whole.

    Calling this returns them, with `group_files` bounded by the limit on open files (see `affordable`).

    Parameters
    ----------
    configured
        The settings at the start.

    Attributes
    ----------
    configured
        The settings as they were configured.

    """

    def __init__(self, configured: Settings) -> None:
        self.replace(configured)

    def __call__(self) -> Settings:
        """Return the settings in force."""
        return self._affordable

    def replace(self, configured: Settings) -> None:
        """Put other settings in force."""
        self.configured = configured
        self._affordable = affordable(configured)


class Reloads:
    """The reloads of one daemon.

    Parameters
    ----------
    settings
        The settings in force, which a reload replaces.
    reread
        Returns the settings as they are configured now.
    ended
        Called when a reload has ended, with or without success.
    bell
        Rung when a reload is requested.
    log
        Where `config.reloaded`, `config.fixed` and `config.failed` go.

    """

    def __init__(
        self,
        settings: SettingsInForce,
        *,
        reread: Callable[[], Settings],
        ended: Callable[[], None],
        bell: Bell,
        log: FilteringBoundLogger,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._ended = ended
        self._bell = bell
        self._log = log
        self._requested = False
        self._awaited: dict[str, int] = {}
        self._changes = ""
        self._number = 0

    def request(self) -> None:
        """Request a reload; safe in a signal handler."""
        self._requested = True
        self._bell.ring()

    def turn(self, lanes: Mapping[str, Lane]) -> None:
        """Begin a requested reload, or end one for which every lane has looked at its reference; never wait."""
        if self._awaited:
            followers = {lanes[name].follower: n for name, n in self._awaited.items()}
            # A pending model is swapped in by its lane's next turn, and the report names it: wait one turn more.
            if all(f.looks >= n and not f.pending for f, n in followers.items()):
                self._awaited = {}
                self._end(lanes)
        elif self._requested:
            self._requested = False
            self._begin(lanes)

    def _begin(self, lanes: Mapping[str, Lane]) -> None:
        try:
            wanted = self._reread()
        except SettingsError as e:
            self._log.error(events.CONFIG_FAILED, message=str(e))
            self._report(ok=False, message=str(e))
            return
        before = self._settings.configured
        settings, fixed = _allowed(before, wanted)
        changed = _differing(before, settings)
        if fixed:
            self._log.warning(
                events.CONFIG_FIXED, settings=fixed, message="these need a restart to change"
            )
        self._settings.replace(settings)
        self._log.info(events.CONFIG_RELOADED, changed=changed)
        moved = {"model", "models", "registry"} & set(changed)
        references = {"": settings.model, **settings.models}
        for name, lane in lanes.items():
            # Even if no setting changed: the alias may have moved in the registry.
            source = ModelSource(settings.registry, references[name]) if moved else None
            self._awaited[name] = lane.follower.look_now(source)
        self._changes = f"changed: {', '.join(changed) or 'nothing'}"
        if fixed:
            self._changes += f"; need a restart: {', '.join(fixed)}"

    def _end(self, lanes: Mapping[str, Lane]) -> None:
        degraded = [lane.degraded for lane in lanes.values() if lane.degraded is not None]
        pins = [lane.model.pin for lane in lanes.values() if lane.model is not None]
        message = "; ".join([self._changes, *(degraded or [f"serves {', '.join(pins)}"])])
        self._report(ok=not degraded, message=message)

    def _report(self, *, ok: bool, message: str) -> None:
        self._number += 1
        self._ended()
        document = {"number": self._number, "pid": os.getpid(), "ok": ok, "message": message}
        settings = self._settings.configured
        name = own(RELOAD_FILE, Shard.parse(settings.shard))
        # On a full disk, `spikewatchd reload` reports that no answer came; the daemon itself goes on.
        with suppress(OSError):
            folder = os.open(settings.spool, durable.FOLDER_FLAGS)
            try:
                state_files.write(folder, name, document)
            finally:
                os.close(folder)


def _differing(before: Settings, after: Settings) -> list[str]:
    return [name for name in NAMES if getattr(before, name) != getattr(after, name)]


def _allowed(before: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """Return the settings that may come into force now, and the names of those that need a restart."""
    fixed = [name for name in _differing(before, wanted) if ABOUT[name].fixed]
    values = {name: getattr(before if name in fixed else wanted, name) for name in NAMES}
    # A reload may change the reference of a lane, but neither add nor remove lanes.
    if before.models.keys() != wanted.models.keys():
        fixed.append("models")
        values["models"] = {n: wanted.models.get(n, r) for n, r in before.models.items()}
    return Settings(**values), fixed
