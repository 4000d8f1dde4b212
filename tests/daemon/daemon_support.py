"""What the daemon's tests share: daemons in real processes, services driven turn by turn, and an oracle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jsonschema_rs
from support import TINY_WORDS

from spikewatch.daemon.clock import Clock
from spikewatch.daemon.context import Context
from spikewatch.daemon.heartbeats import Heartbeats
from spikewatch.daemon.intake.watch_guard import CANARY
from spikewatch.daemon.log import logger
from spikewatch.daemon.models.served import ModelSource, ServedModel
from spikewatch.daemon.running.reloading import SettingsInForce
from spikewatch.daemon.running.service import Service
from spikewatch.daemon.settings import Settings
from spikewatch.daemon.spool.commit import Committer
from spikewatch.daemon.spool.folder import BALLAST, Spool

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from spikewatch.simcore import Answers

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "log.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)
PATIENCE_S = 30.0
MODEL = "tiny:1.0.0"
Event = dict[str, Any]

MANY_CHANGES = (
    "link_all",
    "link_open_all",
    "unlink_all",
    "unlink_twins",
    "new_files",
    "writeback_errors",
)
"""Functions of `_calls` that change the file system, or report a failed change."""


def check_log(log: Path) -> None:
    """Check every whole line of a log against the schema; a test that starts a daemon calls this at its end."""
    for line in log.read_bytes().rpartition(b"\n")[0].splitlines():
        event = json.loads(line)
        if not VALIDATOR.is_valid(event):
            one = SCHEMA | {"oneOf": [{"$ref": f"#/$defs/{event['event']}"}]}
            faults = jsonschema_rs.Draft202012Validator(one).iter_errors(event)
            raise AssertionError(f"{[fault.message for fault in faults]}: {line!r}")


def until(
    condition: Callable[[], Any],
    what: str,
    *,
    patience_s: float = PATIENCE_S,
    every_s: float = 0.005,
) -> Any:
    """Poll until a condition holds; fail with `what` when it never does."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience_s} s in vain for: {what}")
        time.sleep(every_s)
    return value


def spool_of(path: Path) -> Path:
    """Make an empty spool."""
    Spool.make(path).close()
    return path


def ask(rng: random.Random) -> str:
    """Return a random question of words that the tiny model knows."""
    return " ".join(rng.choices(TINY_WORDS[1:], k=rng.randint(1, 12))) + " ?"


def records(result: Path) -> list[Event]:
    return [json.loads(line) for line in result.read_bytes().splitlines()]


def content(folder: Path) -> set[str]:
    """Return the names in a folder except the ballast, which is there whenever the disk has space."""
    return {path.name for path in folder.iterdir()} - {BALLAST}


class Daemon:
    """A real `spikewatchd run`; its log goes to a file."""

    def __init__(
        self, spool: Path, registry: Path | None, *options: str, log: str = "test.log"
    ) -> None:
        self.spool = spool
        self.log = spool / log
        self._skip = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "spikewatch.daemon.cli", "run", "--spool", str(spool)]
        if registry is not None:
            command += ["--registry", str(registry), "--model", MODEL]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--log-format", "json", *options], stdout=out, stderr=subprocess.PIPE
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        check_log(self.log)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def events(self, name: str | None = None, **fields: object) -> list[Event]:
        """Return the events so far that have this name and these fields."""
        with self.log.open("rb") as log:
            log.seek(self._skip)
            whole = log.read().rpartition(b"\n")[0]
        found = map(json.loads, whole.splitlines())
        return [
            e
            for e in found
            if name in {None, e["event"]} and all(e.get(k) == v for k, v in fields.items())
        ]

    def wait_for(self, name: str, **fields: object) -> Event:
        def found() -> list[Event]:
            assert self.alive or self.events(name, **fields), self.end()
            return self.events(name, **fields)

        first: Event = until(found, f"{name} {fields}")[0]
        return first

    def ready(self) -> Self:
        self.wait_for("daemon.ready")
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and standard error."""
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err.decode()


def program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `spikewatchd` to its end."""
    command = [sys.executable, "-m", "spikewatch.daemon.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


class Hand:
    """A watcher whose events a test adds to `seen` by hand."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.lost = False
        self.alive = True
        self.starts = 0
        self.fault: OSError | None = None
        self.hears_canaries = True

    def start(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.starts += 1

    def stop(self) -> None:
        pass

    def take(self) -> tuple[set[str], bool]:
        seen, lost, self.seen, self.lost = self.seen, self.lost, set(), False
        return (seen | {CANARY} if self.hears_canaries else seen), lost


@dataclass
class Time:
    """A clock that a test sets; wall time is real, because it is compared with file times, or ahead of it."""

    now: float = 1000.0
    ahead_s: float = 0.0
    over: bool = False
    """Whether the time to finish open work is over."""

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, wall=lambda: time.time() + self.ahead_s)


class Watched:
    """A real classifier that records its calls and can be made to fail."""

    def __init__(self, model: ServedModel) -> None:
        self.inner = model.classifier
        self.labels, self.cores = model.classifier.labels, model.classifier.cores
        self.calls: list[list[str]] = []
        self.trap: Callable[[Sequence[str]], None] = lambda _: None

    def classify(self, texts: Sequence[str]) -> Answers:
        self.calls.append(list(texts))
        self.trap(texts)
        return self.inner.classify(texts)


@dataclass
class Bench:
    """A service that a test drives turn by turn."""

    path: Path
    service: Service
    classifier: Watched
    time: Time
    watcher: Hand
    log: Path
    settings: SettingsInForce = field(repr=False)
    heartbeats: Heartbeats

    def drop(self, name: str, data: bytes | str) -> None:
        """Make a whole file appear at one instant, as a good producer does."""
        hidden = self.path / "tmp" / "put-test"
        hidden.write_bytes(data.encode() if isinstance(data, str) else data)
        hidden.rename(self.path / "in" / name)
        self.watcher.seen.add(name)

    def turn(self, passed_s: float = 0.0) -> bool:
        self.time.now += passed_s
        return self.service.turn(self.time.now)

    def run(self) -> None:
        """Run turns, half a second apart, until there is nothing left to do."""
        for _ in range(1000):
            self.turn(passed_s=0.5)
            if self.service.idle and not self.watcher.seen:
                return
        raise AssertionError("the service never became idle")

    def events(self, name: str | None = None) -> list[Event]:
        found = map(json.loads, self.log.read_bytes().splitlines())
        return [e for e in found if name in {None, e["event"]}]

    def out(self, name: str) -> list[Event]:
        return records(self.path / "out" / name)


@contextmanager
def bench(
    path: Path, registry: Path, *, start: bool = True, watcher: Hand | None = None, **options: Any
) -> Iterator[Bench]:
    """Start a service on a spool; leaving the block is like the end of its process."""
    settings = Settings(spool=path, registry=registry, model=MODEL, **options)
    model = ModelSource(settings.registry, settings.model).load()
    classifier = Watched(model)
    log = path.with_suffix(".log")
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    in_force = SettingsInForce(settings)
    time_, watcher = Time(), watcher or Hand()
    try:
        with Spool.make(path, settings.durability) as spool:
            spool.lock()
            context = Context(
                spool=spool,
                committer=Committer(spool),
                settings=in_force,
                clock=time_.clock(),
                log=logger.logger("json", fd=fd, run_id="test"),
                heartbeats=Heartbeats(time_.clock().monotonic, limit_s=settings.stall_s),
            )
            service = Service(
                context,
                model=ServedModel(classifier=classifier, pin=model.pin),
                watcher=watcher,
                hurry=lambda: time_.over,
            )
            try:
                if start:
                    service.start()
                yield Bench(
                    path=path,
                    service=service,
                    classifier=classifier,
                    time=time_,
                    watcher=watcher,
                    log=log,
                    settings=in_force,
                    heartbeats=context.heartbeats,
                )
            finally:
                service.close()
    finally:
        os.close(fd)
        check_log(log)


def check_oracle(spool: Path, dropped: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Check that every dropped input is in done/, with exactly one result, the right one.

    Parameters
    ----------
    spool
        At rest.
    dropped
        Inputs by name.
    expected
        Results by input name, from an undisturbed run.

    """
    left = {f: content(spool / f) for f in ("in", "work", "tmp", "failed")}
    assert left == {"in": set(), "work": set(), "tmp": set(), "failed": set()}
    assert {n: (spool / "done" / n).read_bytes() for n in content(spool / "done")} == dropped
    results = {f"{n}.jsonl" for n in dropped} | {f"{n}.summary.json" for n in dropped}
    assert content(spool / "out") == results
    for name in dropped:
        assert (spool / "out" / f"{name}.jsonl").read_bytes() == expected[name], name


def failed(hand: Bench, name: str) -> dict[str, object]:
    """Read the report on a failed input."""
    assert name in content(hand.path / "failed")
    report: dict[str, object] = json.loads(
        (hand.path / "failed" / f"{name}.error.json").read_text()
    )
    return report
