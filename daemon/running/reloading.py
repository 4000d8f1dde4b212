"""Reload: read the configuration anew and look at every model's reference at once, and say how that went.

`SIGHUP` asks for it.  The outcome is written to `reload.json` in the spool, for `spikewatchd reload` to read.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from ..bell import Bell
    from .lanes import Lane


class Reloads:
    """The reloads of one daemon.

    Parameters
    ----------
    settings
        What is in force at the start.
    reread
        Gives the settings as they are configured now.
    ended
        Called when a reload is over, however it went.
    lanes
        By name.
    bell
        Rung when a reload is asked for.
    log
        Where `config.reloaded`, `config.fixed` and `config.failed` go.

    Attributes
    ----------
    settings
        What is in force.

    """

    def __init__(
        self,
        settings: Settings,
        *,
        reread: Callable[[], Settings],
        ended: Callable[[], None],
        lanes: Mapping[str, Lane],
        bell: Bell,
        log: FilteringBoundLogger,
    ) -> None:
        self.settings = settings
        self._reread = reread
        self._ended = ended
        self._lanes = lanes
        self._bell = bell
        self._log = log
        self._asked = False
        self._awaited: dict[str, int] = {}
        self._said = ""
        self._number = 0

    def ask(self) -> None:
        """Ask for one; safe in a signal handler."""
        self._asked = True
        self._bell.ring()

    def turn(self) -> None:
        """Begin the reload that was asked for, or end the one whose looks are over; never waits."""
        if self._awaited:
            followers = {self._lanes[name].follower: n for name, n in self._awaited.items()}
            if all(f.looks >= n and not f.pending for f, n in followers.items()):
                self._awaited = {}
                self._end()
        elif self._asked:
            self._asked = False
            self._begin()

    def _begin(self) -> None:
        try:
            settings = self._reread()
        except SettingsError as e:
            self._log.error(events.CONFIG_FAILED, message=str(e))
            self._outcome(ok=False, message=str(e))
            return
        settings, fixed = _allowed(self.settings, settings)
        changed = _differing(self.settings, settings)
        if fixed:
            self._log.warning(
                events.CONFIG_FIXED, settings=fixed, message="these need a restart to change"
            )
        self.settings = settings
        self._log.info(events.CONFIG_RELOADED, changed=changed)
        moved = {"model", "models", "registry"} & set(changed)
        references = {"": settings.model, **settings.models}
        for name, lane in self._lanes.items():
            lane.configure(settings)
            source = ModelSource(settings.registry, references[name]) if moved else None
            self._awaited[name] = lane.follower.ask(source)
        told = f"changed: {', '.join(changed) or 'nothing'}"
        self._said = told + (f"; need a restart: {', '.join(fixed)}" if fixed else "")

    def _end(self) -> None:
        bad = [lane.degraded for lane in self._lanes.values() if lane.degraded is not None]
        pins = [lane.model.pin for lane in self._lanes.values() if lane.model is not None]
        message = "; ".join([self._said, *(bad or [f"serves {', '.join(pins)}"])])
        self._outcome(ok=not bad, message=message)

    def _outcome(self, *, ok: bool, message: str) -> None:
        self._number += 1
        self._ended()
        document = {"number": self._number, "pid": os.getpid(), "ok": ok, "message": message}
        name = own(RELOAD_FILE, Shard.parse(self.settings.shard))
        with suppress(OSError):  # a full disk: whoever waits for it is told that there is no answer
            folder = os.open(self.settings.spool, durable.FOLDER_FLAGS)
            try:
                state_files.write(folder, name, document)
            finally:
                os.close(folder)


def _differing(before: Settings, after: Settings) -> list[str]:
    return [name for name in NAMES if getattr(before, name) != getattr(after, name)]


def _allowed(before: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """Give the settings that may come into force now, and the names of those that must wait for a restart."""
    fixed = [name for name in _differing(before, wanted) if ABOUT[name].fixed]
    values = {name: getattr(before if name in fixed else wanted, name) for name in NAMES}
    # A lane may get another reference, but none comes or goes.
    if before.models.keys() != wanted.models.keys():
        fixed.append("models")
        values["models"] = {n: wanted.models.get(n, r) for n, r in before.models.items()}
    return Settings(**values), fixed
