"""Lanes: each is a folder of questions that one model answers, and all take turns in one loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from .follow import Follower
    from .model import ServedModel
    from .service import Service
    from .settings import Settings


class Lane:
    """One model's folder of questions.

    Parameters
    ----------
    name
        The sub-folder of in/; empty for in/ itself.
    model
        What it begins with; None where that could not be loaded: then nothing is claimed until it can.
    make
        Makes the service of the lane, started.
    follower
        Gives the models to come.
    log
        Where `model.swapped` goes.

    Attributes
    ----------
    model
        What answers the next request.

    """

    def __init__(
        self,
        *,
        name: str,
        model: ServedModel | None,
        make: Callable[[ServedModel], Service],
        follower: Follower,
        log: FilteringBoundLogger,
    ) -> None:
        self.name = name
        self.model = model
        self.follower = follower
        self._make = make
        self._log = log
        self._service = None if model is None else make(model)

    @property
    def degraded(self) -> str | None:
        """Why its model's reference cannot be followed; None when all is well."""
        return self.follower.degraded

    @property
    def waiting(self) -> int:
        """Inputs in work/ that wait to be answered."""
        return 0 if self._service is None else self._service.waiting

    @property
    def idle(self) -> bool:
        """True when there is nothing to do and nothing will come of itself."""
        return self._service is None or self._service.idle

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self.follower.configure(settings)
        if self._service is not None:
            self._service.configure(settings)

    def turn(self, now: float) -> bool:
        """Take the model that has been loaded, if any, and do what there is to do; say whether there was anything."""
        self._swap()
        return self._service is not None and self._service.turn(now)

    def nap_s(self, now: float) -> float | None:
        """How long it has nothing to do; None for as long as nobody rings."""
        return None if self._service is None else self._service.nap_s(now)

    def _swap(self) -> None:
        loaded = self.follower.take()
        if loaded is None:
            return
        before, self.model = self.model, loaded.model
        if self._service is None:
            self._service = self._make(loaded.model)
        else:
            self._service.swap(loaded.model)
        self._log.info(
            events.MODEL_SWAPPED,
            **{"from": None if before is None else before.pin, "to": loaded.model.pin},
            load_ms=loaded.load_ms,
            self_test=loaded.model.self_test,
        )
