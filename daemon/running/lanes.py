"""Lanes: each is a folder of questions that one model answers; all take turns in one loop."""

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
    from .service import Service


OPEN_AGAIN_S: Final = 5.0
"""Pause in seconds before a lane that a fault kept from opening is opened again."""


class Lane:
    """One folder of questions and the model that answers it.

    Parameters
    ----------
    model
        The first model; None if it could not be loaded: then nothing is claimed until one is.
    make
        Returns the lane's service, started.
    follower
        Loads the models to come.
    log
        Where `model.swapped` goes.

    Attributes
    ----------
    model
        The model that answers the next request.

    """

    def __init__(
        self,
        *,
        model: ServedModel | None,
        make: Callable[[ServedModel], Service],
        follower: ModelFollower,
        log: Log,
    ) -> None:
        self.model = model
        self.follower = follower
        self._make = make
        self._log = log
        self._service = None if model is None else make(model)
        self._loaded: Loaded | None = None
        self._again_s = 0.0

    @property
    def degraded(self) -> str | None:
        """Why its model's reference cannot be followed; None if it can."""
        return self.follower.degraded

    @property
    def waiting(self) -> int:
        """Number of inputs in work/ that wait to be tried (again)."""
        return 0 if self._service is None else self._service.waiting

    @property
    def idle(self) -> bool:
        """True when there is nothing to do until a producer drops a file, or no model to do it with."""
        if self._service is None:
            return self.follower.looks > 0 and not self.follower.pending and self._loaded is None
        return self._service.idle

    def turn(self, now: float) -> bool:
        """Swap to the model that has been loaded, if any, and work; return whether there was anything to do."""
        loaded = self.follower.take() or self._loaded
        if loaded is not None and now >= self._again_s:
            # Kept until the swap: the lane may fail to open, and is then opened again.
            self._loaded = loaded
            self._swap(loaded, now)
        return self._service is not None and self._service.turn(now)

    def finish(self) -> None:
        """Finish claimed inputs while there is time."""
        if self._service is not None:
            self._service.finish()

    def nap_s(self, now: float) -> float:
        """Return how many seconds the loop may sleep if there was nothing to do."""
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
        """Make the service; return False, to try again later, after a fault of the machine."""
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
