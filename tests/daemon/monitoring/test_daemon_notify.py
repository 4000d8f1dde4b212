"""Messages to the service manager over a real datagram socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest
from daemon_support import Daemon, Time, until

from spikewatch.daemon.heartbeats import Heartbeats
from spikewatch.daemon.monitoring.counters import Counters
from spikewatch.daemon.monitoring.snapshot import Snapshot
from spikewatch.daemon.monitoring.spool_counts import SpoolCounter
from spikewatch.daemon.monitoring.status_writer import IDLE_S, StatusWriter
from spikewatch.daemon.monitoring.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY = {"event": "daemon.ready", "level": "info", "model": "trec:2.0.0@sha256:0", "cores": 1}


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def take(self) -> list[str]:
        """Return the datagrams received since the last call."""
        new = []
        try:
            while True:
                new.append(self._socket.recv(65536).decode())
        except BlockingIOError:
            self.heard += new
            return new

    def has_heard(self, text: str) -> bool:
        self.take()
        return any(text in message for message in self.heard)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    abstract = f"@spikewatch-test-{os.getpid()}-{tmp_path.name}"
    made = Manager(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def watched(spool: Path, manager: Manager) -> Iterator[Watched]:
    made = Watched(spool, manager)
    yield made
    made.notifier.__exit__()


class Watched:
    """A status writer whose turns a test takes."""

    def __init__(self, spool: Path, manager: Manager) -> None:
        self.time = Time()
        clock = self.time.clock()
        self.heartbeats = Heartbeats(clock.monotonic, limit_s=10.0)
        self.counters = Counters(monotonic=clock.monotonic)
        spool_counter = SpoolCounter(spool, clock.monotonic)
        self.snapshot = Snapshot(
            spool,
            counters=self.counters,
            heartbeats=self.heartbeats,
            spool_counter=spool_counter,
            clock=clock,
        )
        self.notifier = Notifier(manager.address, watchdog_s=4.0)
        self.monitor = StatusWriter(self.snapshot, self.notifier, spool, clock)
        self.spool = spool

    def turn(self, passed_s: float = 0.0) -> None:
        self.time.now += passed_s
        self.monitor.turn(self.time.now)

    def version(self) -> int:
        """Return what identifies a version of the status file: each version is a new file."""
        return (self.spool / "status.json").stat().st_ino


def test_each_message_is_one_datagram(manager: Manager) -> None:
    with Notifier(manager.address) as notifier:
        notifier.status("two\nlines")
        notifier.extend(1.5)
        notifier.ready()
        notifier.stopping()
        notifier.alive()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.reloading()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    *first, last = manager.take()
    assert first == [
        "STATUS=two lines",
        "EXTEND_TIMEOUT_USEC=1500000",
        "READY=1",
        "STOPPING=1",
        "WATCHDOG=1",
    ]
    reloading, _, usec = last.partition("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert before <= int(usec) <= after


def test_a_manager_that_does_not_listen_harms_nobody(manager: Manager) -> None:
    sent = 10_000
    with Notifier(manager.address) as notifier:
        for _ in range(sent):
            notifier.alive()
        queued = manager.take()
        assert set(queued) == {"WATCHDOG=1"}
        assert len(queued) < sent, "the queue never overflowed"
        notifier.ready()
        assert manager.take() == ["READY=1"], "a full queue must not end the notifications"
        manager.close()
        notifier.ready()
    with Notifier() as nobody:
        nobody.ready()
        assert nobody.watchdog_s is None


def test_the_environment_names_the_manager(manager: Manager) -> None:
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000"}
    with Notifier.of(env | {"WATCHDOG_PID": str(os.getpid())}) as notifier:
        assert notifier.watchdog_s == 30.0
        notifier.ready()
    assert manager.take() == ["READY=1"]
    for other in ({"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}):
        with Notifier.of(env | other) as notifier:
            assert notifier.watchdog_s is None


def test_the_watchdog_hears_from_a_daemon_only_while_every_thread_lives(
    watched: Watched, manager: Manager
) -> None:
    watched.counters(READY)
    watched.heartbeats.beat("loop")
    watched.turn()
    assert "WATCHDOG=1" in manager.take()
    with watched.heartbeats.busy("simulator"):
        watched.turn(passed_s=8.0)
        watched.heartbeats.beat("loop")
        assert "WATCHDOG=1" in manager.take()
        watched.turn(passed_s=3.0)
        told = manager.take()
        assert "WATCHDOG=1" not in told
        watched.turn(passed_s=4.0)
        assert "degraded: 0 waiting, 0 files/s; simulator: no heartbeat for 11 s" in "".join(
            told + manager.take()
        )
    watched.turn()
    assert "WATCHDOG=1" in manager.take()


def test_time_is_asked_for_while_a_start_or_a_stop_goes_on(
    watched: Watched, manager: Manager
) -> None:
    extend = "EXTEND_TIMEOUT_USEC=30000000"
    watched.turn(passed_s=1.0)
    assert extend in manager.take()
    watched.counters(READY)
    watched.turn(passed_s=1.0)
    assert extend not in manager.take()
    watched.snapshot.stopping = True
    watched.turn(passed_s=1.0)
    assert extend in manager.take()


def test_the_status_file_changes_with_the_daemon_and_else_every_ten_seconds(
    watched: Watched,
) -> None:
    watched.counters(READY)
    watched.turn()
    first = watched.version()
    watched.turn(passed_s=5.0)
    assert watched.version() == first
    (watched.spool / "in" / "a.txt").touch()
    watched.turn(passed_s=1.0)
    second = watched.version()
    assert second != first
    assert json.loads((watched.spool / "status.json").read_text())["inbox"]["files"] == 1
    watched.turn(passed_s=IDLE_S)
    assert watched.version() != second


def test_a_status_file_that_cannot_be_written_is_a_problem_until_it_can(watched: Watched) -> None:
    watched.counters(READY)
    (watched.spool / ".status.json.new").mkdir()
    watched.turn(passed_s=1.0)
    assert watched.snapshot.not_ready() == ["spool: status.json: Is a directory"]
    (watched.spool / ".status.json.new").rmdir()
    watched.turn(passed_s=IDLE_S)
    assert watched.snapshot.not_ready() == []


def test_a_real_daemon_tells_its_manager_everything(
    spool: Path, registry: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with Daemon(spool, registry) as daemon:
        until(lambda: manager.has_heard("READY=1"), "READY")
        assert daemon.events("daemon.ready")
        manager.heard.clear()
        until(lambda: manager.has_heard("WATCHDOG=1"), "a sign of life")
        until(lambda: manager.has_heard("STATUS=ready: 0 waiting, 0 files/s"), "the status")
        manager.heard.clear()
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: manager.has_heard("READY=1"), "the end of the reload")
        told = [text.partition("\n")[0] for text in manager.heard]
        assert told.index("RELOADING=1") < told.index("READY=1")
        daemon.wait_for("config.reloaded")
        assert daemon.stop(signal.SIGTERM) == 0
        assert manager.has_heard("STOPPING=1")
