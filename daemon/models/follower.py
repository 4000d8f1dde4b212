"""Keep an eye on what a model's reference means, and load it when it comes to mean another model.

All of it happens in a thread of its own, so that nothing waits for it: the registry's disk, loading, the golden
questions.  What was loaded waits to be taken by the loop, between two turns.  Whatever goes wrong, the model that is
served stays.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..backoff import Backoff
from ..errors import DaemonError
from ..log import events

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from ...registry import Pin
    from ..bell import Bell
    from ..clock import Clock
    from ..settings import Settings
    from .served import ModelSource, ServedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A model that waits to be taken, and how long it took to load and test it (milliseconds)."""

    model: ServedModel
    load_ms: float


class ModelFollower:
    """Follows one reference.

    Parameters
    ----------
    source
        The registry and the reference.
    model
        What is served at the beginning; None while nothing is.
    settings
        `model_poll_s`, `retry_first_s` and `retry_last_s`.
    bell
        Rung after every look.
    clock
        Time.
    log
        Where `model.loading`, `model.failed` and `model.current` go.

    Attributes
    ----------
    degraded
        Why the reference could not be followed at the last look; None when all is well.
    looks
        How many looks are over.

    """

    def __init__(
        self,
        *,
        source: ModelSource,
        model: ServedModel | None,
        settings: Settings,
        bell: Bell,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._source = source
        self._newest = None if model is None else model.pin
        self._ready: Loaded | None = None
        self._bell = bell
        self._clock = clock
        self._log = log
        self._told: set[str] = set()
        self._refused: str | None = None
        self._pause_s = 0.0
        self._again_s = 0.0
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._wake = threading.Event()
        self._ended = False
        self.degraded: str | None = None
        self.looks = 0
        self._begun = 0
        self.configure(settings)

    def start(self) -> None:
        """Begin to look, every `model_poll_s` seconds."""
        self._thread.start()

    def close(self) -> None:
        """End; a model that is being loaded is loaded to its end and forgotten."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def configure(self, settings: Settings) -> None:
        """Take other settings."""
        self._poll_s = settings.model_poll_s
        self._pauses = Backoff(first_s=settings.retry_first_s, last_s=settings.retry_last_s)

    def ask(self, source: ModelSource | None = None) -> int:
        """Have it look at once, whatever it was waiting for; give the number of looks after which that has been done.

        Parameters
        ----------
        source
            To be followed from now on, when it is another one.

        """
        if source is not None:
            self._source = source
        self._again_s = 0.0
        asked = self._begun + 1  # a look that is under way may have begun too early to count
        self._wake.set()
        return asked

    @property
    def pending(self) -> bool:
        """True while a loaded model waits to be taken."""
        return self._ready is not None

    def take(self) -> Loaded | None:
        """Give the model that was loaded since the last call, if any."""
        loaded, self._ready = self._ready, None
        return loaded

    def look(self, now: float) -> None:
        """Look once.

        Parameters
        ----------
        now
            Monotonic time in seconds.

        """
        self._begun += 1
        try:
            pin = self._source.resolve()
            if str(pin) == self._newest:
                self._well()
            elif str(pin) != self._refused or now >= self._again_s:
                self._load(pin, now)
        except DaemonError as e:
            self._fail(str(e), None)  # looked at again with the next poll: that costs nothing
        finally:
            self.looks += 1

    def _run(self) -> None:
        while not self._ended:
            # Where nothing is served yet, there is no time to lose.
            if self.looks or self._newest is not None:
                self._wake.wait(self._poll_s)
            self._wake.clear()
            if not self._ended:
                self.look(self._clock.monotonic())
                self._bell.ring()

    def _load(self, pin: Pin, now: float) -> None:
        begin = self._clock.monotonic()
        if str(pin) != self._refused:
            self._log.info(events.MODEL_LOADING, **{"from": self._newest, "to": str(pin)})
        try:
            model = self._source.load(pin)
        except Exception as e:  # noqa: BLE001 - whatever a bad model can do wrong must not end the following
            self._pause_s = self._pauses.after(self._pause_s if str(pin) == self._refused else 0.0)
            self._refused, self._again_s = str(pin), now + self._pause_s
            self._fail(_told(e), str(pin))
            return
        self._newest = model.pin
        self._ready = Loaded(model=model, load_ms=round((self._clock.monotonic() - begin) * 1e3, 3))
        self._forget()

    def _well(self) -> None:
        if self.degraded is not None:
            self._log.info(events.MODEL_CURRENT, model=self._newest)
        self._forget()

    def _forget(self) -> None:
        self.degraded = self._refused = None
        self._told.clear()

    def _fail(self, cause: str, refused: str | None) -> None:
        """Note a failure; each cause is told once until all is well again."""
        self.degraded = cause
        if cause in self._told:
            return
        self._told.add(cause)
        self._log.error(events.MODEL_FAILED, model=self._newest, to=refused, message=cause)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, DaemonError) else f"{type(error).__name__}: {error}"
