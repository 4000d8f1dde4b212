"""Lanes: each is a folder of questions that one model answers, and all take turns in one loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import fault_name
from ..log import events
from .service import LONGEST_NAP_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..log.logger import Log
    from ..models.follower import Loaded, ModelFollower
    from ..models.served import ServedModel
    from ..settings import Settings
    from .service import Service


OPEN_AGAIN_S: Final = 5.0
"""Pause in seconds before a lane that a fault did not let open is opened again."""


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
        follower: ModelFollower,
        log: Log,
    ) -> None:
        self.name = name
        self.model = model
        self.follower = follower
        self._make = make
        self._log = log
        self._service = None if model is None else make(model)
        self._loaded: Loaded | None = None
        self._again_s = 0.0

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
        """True when there is nothing to do and nothing will come of itself, or nothing can be done without a model."""
        if self._service is None:
            return self.follower.looks > 0 and not self.follower.pending and self._loaded is None
        return self._service.idle

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self.follower.configure(settings)
        if self._service is not None:
            self._service.configure(settings)

    def turn(self, now: float) -> bool:
        """Take the model that has been loaded, if any, and do what there is to do; say whether there was anything."""
        loaded = self.follower.take() or self._loaded
        if loaded is not None and now >= self._again_s:
            self._loaded = loaded
            self._swap(loaded, now)
        return self._service is not None and self._service.turn(now)

    def finish(self) -> None:
        """Wait for what is being made final."""
        if self._service is not None:
            self._service.finish()

    def nap_s(self, now: float) -> float:
        """How long it has nothing to do, at most."""
        return LONGEST_NAP_S if self._service is None else self._service.nap_s(now)

    def _swap(self, loaded: Loaded, now: float) -> None:
        if self._service is not None:
            self._service.swap(loaded.model)
        elif not self._open(loaded.model, now):
            return
        before, self.model, self._loaded = self.model, loaded.model, None
        self._log.info(
            events.MODEL_SWAPPED,
            **{"from": None if before is None else before.pin, "to": loaded.model.pin},
            load_ms=loaded.load_ms,
            self_test=loaded.model.self_test,
        )

    def _open(self, model: ServedModel, now: float) -> bool:
        """Begin the work; False where a fault of the machine does not let it, which is tried again."""
        try:
            self._service = self._make(model)
        except OSError as fault:
            self._again_s = now + OPEN_AGAIN_S
            self._log.error(
                events.FAULT,
                code=fault_name(fault),
                message=str(fault),
                retry_in_s=OPEN_AGAIN_S,
                model=model.pin,
            )
            return False
        return True
