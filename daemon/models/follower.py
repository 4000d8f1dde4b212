"""Follow a model's reference: when it begins to point to another model, load that one.

All of this happens in a thread of its own, so that the loop never waits for the registry's disk, for loading or for
the golden questions.  The loop takes a loaded model between two turns.  After any failure, the daemon goes on with the
model that it serves.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..backoff import Backoff
from ..errors import DaemonError
from ..log import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from ...registry import Pin
    from ..bell import Bell
    from ..clock import Clock
    from ..settings import Settings
    from .served import ModelSource, ServedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A loaded model, and how long loading and testing it took (milliseconds)."""

    model: ServedModel
    load_ms: float


class ModelFollower:
    """Follows one reference: loads each model that it begins to point to.

    Parameters
    ----------
    source
        The registry and the reference.
    model
        The model that is served at the beginning; None while there is none.
    settings
        Returns the settings in force; `model_poll_s` and the retry pauses are used.
    bell
        Rung after every look.
    clock
        Time.
    log
        Where `model.loading`, `model.failed` and `model.current` go.

    Attributes
    ----------
    degraded
        Why the reference could not be followed at the last look; None if it could.
    looks
        How many looks have ended.

    """

    def __init__(
        self,
        *,
        source: ModelSource,
        model: ServedModel | None,
        settings: Callable[[], Settings],
        bell: Bell,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._source = source
        self._newest = None if model is None else model.pin
        self._settings = settings
        self._bell = bell
        self._clock = clock
        self._log = log
        # The loop and this object's thread share attributes without a lock: each is only ever assigned whole.
        self._loaded: Loaded | None = None
        self._logged: set[str] = set()
        self._refused: str | None = None
        self._pause_s = 0.0
        self._again_s = 0.0
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._wake = threading.Event()
        self._ended = False
        self._begun = 0
        self.degraded: str | None = None
        self.looks = 0

    def start(self) -> None:
        """Begin to look, every `model_poll_s` seconds."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; a model that is being loaded is loaded to its end and dropped."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def look_now(self, source: ModelSource | None = None) -> int:
        """Make the thread look now; return the value that `looks` will have reached when that look has ended.

        Parameters
        ----------
        source
            What to follow from now on; None for no change.

        """
        if source is not None:
            self._source = source
        self._again_s = 0.0
        # Not `looks + 1`: a look that is under way may have read the old source.
        wanted = self._begun + 1
        self._wake.set()
        return wanted

    @property
    def pending(self) -> bool:
        """True while a loaded model waits to be taken."""
        return self._loaded is not None

    def take(self) -> Loaded | None:
        """Return the model that was loaded since the last call; None if there is none."""
        loaded, self._loaded = self._loaded, None
        return loaded

    def look(self, now: float) -> None:
        """Resolve the reference once, and load its model unless it is the one that was loaded last.

        Parameters
        ----------
        now
            Monotonic time in seconds.

        """
        self._begun += 1
        try:
            pin = self._source.resolve()
            if str(pin) == self._newest:
                self._note_current()
            # A refused model is tried again after a pause: it may have been repaired.
            elif str(pin) != self._refused or now >= self._again_s:
                self._load(pin, now)
        except DaemonError as e:
            # No back-off: to resolve again at the next poll costs next to nothing.
            self._note_failure(str(e), None)
        finally:
            self.looks += 1

    def _run(self) -> None:
        while not self._ended:
            # Without a model to serve, the first look is not delayed.
            if self.looks or self._newest is not None:
                self._wake.wait(self._pause())
            # Cleared before the look, so that a request during it causes another one.
            self._wake.clear()
            if not self._ended:
                self.look(self._clock.monotonic())
                self._bell.ring()

    def _pause(self) -> float:
        """Return the seconds until the next look: a refused model may be due before the next poll."""
        poll_s = self._settings().model_poll_s
        if self._refused is None:
            return poll_s
        return min(poll_s, max(self._again_s - self._clock.monotonic(), 0.0))

    def _load(self, pin: Pin, now: float) -> None:
        begin = self._clock.monotonic()
        if str(pin) != self._refused:
            self._log.info(events.MODEL_LOADING, **{"from": self._newest, "to": str(pin)})
        try:
            model = self._source.load(pin)
        except Exception as e:  # noqa: BLE001 - no fault of a bad model may end this thread
            backoff = Backoff.of(self._settings())
            self._pause_s = backoff.after(self._pause_s if str(pin) == self._refused else 0.0)
            self._refused, self._again_s = str(pin), now + self._pause_s
            self._note_failure(_message(e), str(pin))
            return
        self._newest = model.pin
        load_ms = round((self._clock.monotonic() - begin) * 1e3, 3)
        self._loaded = Loaded(model=model, load_ms=load_ms)
        self._forget_failures()

    def _note_current(self) -> None:
        if self.degraded is not None:
            self._log.info(events.MODEL_CURRENT, model=self._newest)
        self._forget_failures()

    def _forget_failures(self) -> None:
        self.degraded = self._refused = None
        self._logged.clear()

    def _note_failure(self, cause: str, refused: str | None) -> None:
        """Set `degraded`, and log the cause once until the reference can be followed again."""
        self.degraded = cause
        if cause in self._logged:
            return
        self._logged.add(cause)
        self._log.error(events.MODEL_FAILED, model=self._newest, to=refused, message=cause)


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, DaemonError) else f"{type(error).__name__}: {error}"
