"""Health, status and metrics over HTTP, of a real daemon and of one with simulated problems."""

from __future__ import annotations

import json
import socket
import socketserver
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from daemon_support import MODEL, Bench, Daemon, Time, program, until
from prometheus_client.parser import text_string_to_metric_families as parse

from spikewatch.daemon.errors import DaemonError
from spikewatch.daemon.heartbeats import Heartbeats
from spikewatch.daemon.monitoring import http_endpoint
from spikewatch.daemon.monitoring.counters import Counters
from spikewatch.daemon.monitoring.http_endpoint import Endpoint, address
from spikewatch.daemon.monitoring.snapshot import Snapshot
from spikewatch.daemon.monitoring.spool_counts import SpoolCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

ODD_ACCEPT = [
    "application/openmetrics-text; version=x",
    "application/openmetrics-text;version=1.0.0\x80",
    "application/openmetrics-text; version=1.0.0\r\n folded: yes",
    "application/openmetrics-text; version=; q=;;,,",
    "text/plain; version=\xb2",
    ';;;===,"',
    "a" * 60_000,
]

READY = {"event": "daemon.ready", "level": "info", "model": "trec:2.0.0@sha256:0", "cores": 1}


def get(where: str, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{where}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


class Ill:
    """A snapshot with simulated problems, and the address at which it is served."""

    def __init__(self, spool: Path) -> None:
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
        self.where = ""

    def hear(self, event: str, **fields: object) -> None:
        self.counters({"event": event, "level": "error", **fields})

    def get(self, path: str) -> tuple[int, str]:
        return get(self.where, path)


@pytest.fixture
def ill(spool: Path) -> Iterator[Ill]:
    made = Ill(spool)
    made.counters(READY)
    with Endpoint(made.snapshot, "127.0.0.1", 0) as served:
        made.where = served.address
        yield made


def test_a_daemon_says_how_it_is_from_start_to_end(spool: Path, registry: Path) -> None:
    with Daemon(spool, registry, "--http", "127.0.0.1:0") as daemon:
        status_file = spool / "status.json"
        daemon.wait_for("daemon.start")  # shows an error if the daemon ends instead
        until(status_file.exists, "the status file")
        where = json.loads(status_file.read_text())["http"]
        daemon.ready()
        assert get(where, "/livez") == get(where, "/readyz") == (200, "ok\n")
        (spool / "in" / "a.txt").write_text("Who wrote Hamlet ?\n")
        done = daemon.wait_for("request.done")
        code, page = get(where, "/metrics")
        samples = {(s.name, *s.labels.values()): s.value for f in parse(page) for s in f.samples}
        assert (code, samples["spikewatch_files_total", "done"]) == (200, 1)
        assert samples["spikewatch_spikes_total", "hidden"] == done["spikes"]["hidden"]
        assert samples["process_resident_memory_bytes",] < 150e6
        code, text = get(where, "/status")
        status = json.loads(text)
        assert (code, status["state"], status["pid"]) == (200, "ready", daemon.process.pid)
        assert status["questions"] == {"ok": 1, "failed": 0}
        assert status["models"][""].startswith(MODEL)
        assert daemon.stop() == 0
        last = json.loads(status_file.read_text())
        assert (last["state"], last["files"]["done"]) == ("stopped", 1)


def test_other_paths_and_methods_are_refused(ill: Ill) -> None:
    assert ill.get("/") == (404, "not found: /livez, /readyz, /status, /metrics\n")
    assert ill.get("/livez?verbose")[0] == 200
    assert get(ill.where, "/livez", "HEAD") == (200, "")
    assert get(ill.where, "/livez", "POST")[0] == 501


def test_a_thread_without_signs_of_life_is_not_live(ill: Ill) -> None:
    ill.heartbeats.beat("loop")
    with ill.heartbeats.busy("simulator"):
        ill.time.now += 10.0
        assert ill.get("/livez")[0] == 200
        ill.heartbeats.beat("loop")
        ill.time.now += 5.0
        assert ill.get("/livez") == (503, "simulator: no heartbeat for 15 s\n")
        assert ill.get("/readyz")[0] == 503
    assert ill.get("/livez") == (200, "ok\n")
    ill.time.now += 6.0
    assert ill.get("/livez") == (503, "loop: no heartbeat for 11 s\n")


def test_each_trouble_makes_the_daemon_unready_until_it_is_over(ill: Ill) -> None:
    room = {"free_bytes": 1, "free_inodes": 2}
    ill.hear("disk.low", **room)
    assert ill.get("/readyz") == (503, "disk: 1 bytes and 2 inodes are free\n")
    ill.hear("disk.ok", **room)
    ill.hear("out.full", results=7, max_out_files=7)
    assert ill.get("/readyz") == (503, "out: 7 results are waiting\n")
    assert "spikewatch_out_full 1.0\n" in ill.get("/metrics")[1]
    ill.hear("out.ok", results=6, max_out_files=7)
    assert "spikewatch_out_full 0.0\n" in ill.get("/metrics")[1]
    ill.hear("watch.failed", code="no_events", message="none")
    assert ill.get("/readyz") == (503, "watch: no_events: none\n")
    ill.hear("watch.restarted", reason="r")
    ill.hear("daemon.fault", code="EIO", message="broken", retry_in_s=8.0)
    ill.time.now += 8.5
    assert ill.get("/readyz") == (503, "fault: EIO: broken\n")
    ill.time.now += 1.0
    assert ill.get("/readyz") == (200, "ok\n")
    ill.snapshot.write_fault = "status.json: Read-only file system"
    assert ill.get("/readyz") == (503, "spool: status.json: Read-only file system\n")
    assert ill.get("/livez") == (200, "ok\n")


def test_the_trouble_of_one_lane_is_not_over_when_that_of_another_is(ill: Ill) -> None:
    for lane in ({}, {"lane": "fine"}):
        ill.hear("watch.failed", code="no_events", message="none", **lane)
    ill.hear("watch.restarted", reason="r")
    assert ill.get("/readyz") == (503, "watch of lane fine: no_events: none\n")
    ill.hear("watch.restarted", reason="r", lane="fine")
    assert ill.get("/readyz") == (200, "ok\n")


def test_a_loop_that_scans_seldom_or_pauses_is_alive(
    make_bench: Callable[..., AbstractContextManager[Bench]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError(5, "Input/output error")

    hour = {"scan_s": 3600.0, "retry_first_s": 3600.0, "retry_last_s": 3600.0}
    with make_bench(**hour) as hand:
        seconds = int(hand.settings().stall_s) * 2
        for _ in range(seconds):
            hand.turn(passed_s=1.0)
        assert hand.heartbeats.hanging() == []
        with monkeypatch.context() as patch:
            patch.setattr(hand.watcher, "take", broken)
            hand.turn()
        assert [e["retry_in_s"] for e in hand.events("daemon.fault")] == [3600.0]
        for _ in range(seconds):
            hand.turn(passed_s=1.0)
        assert hand.heartbeats.hanging() == []


def test_a_spool_that_is_gone_makes_the_daemon_unready(ill: Ill, spool: Path) -> None:
    (spool / "work").rename(spool / "gone")
    ill.snapshot.refresh()
    assert ill.get("/readyz") == (503, f"spool: {spool / 'work'}: No such file or directory\n")
    (spool / "gone").rename(spool / "work")
    ill.snapshot.refresh()
    assert ill.get("/readyz") == (200, "ok\n")


def test_before_and_after_its_work_the_daemon_is_live_and_not_ready(spool: Path) -> None:
    young = Ill(spool)
    assert young.snapshot.not_ready() == ["model: not loaded yet"]
    young.counters(READY)
    young.snapshot.stopping = True
    assert young.snapshot.not_ready() == ["stopping: nothing is claimed"]
    assert young.snapshot.hanging() == []


def test_clients_that_dawdle_keep_nobody_from_being_answered(
    ill: Ill, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, port = ill.where.rpartition(":")
    monkeypatch.setattr(http_endpoint, "TIMEOUT_S", 0.2)
    dawdlers = [
        socket.create_connection((host, int(port))) for _ in range(http_endpoint.MAX_CLIENTS + 4)
    ]
    try:
        for dawdler in dawdlers:
            dawdler.settimeout(10)
            assert dawdler.recv(1) == b"", "left, or turned away at once"
        assert ill.get("/livez") == (200, "ok\n")
    finally:
        for dawdler in dawdlers:
            dawdler.close()


def test_a_client_that_asks_byte_by_byte_gets_no_more_time(
    ill: Ill, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, port = ill.where.rpartition(":")
    monkeypatch.setattr(http_endpoint, "TIMEOUT_S", 0.2)
    with socket.create_connection((host, int(port)), timeout=0.01) as client:

        def left() -> bool:
            try:
                client.sendall(b"x")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        until(left, "the end of the connection")


def test_clients_for_which_there_is_no_thread_take_no_room(
    ill: Ill, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, port = ill.where.rpartition(":")
    with monkeypatch.context() as broken:
        broken.setattr(socketserver.ThreadingMixIn, "process_request", _no_thread)
        for _ in range(http_endpoint.MAX_CLIENTS + 1):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                assert client.recv(1) == b""
    assert ill.get("/livez") == (200, "ok\n")


def _no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_no_name_is_looked_up_to_serve(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getfqdn", asked.append)
    with Endpoint(Ill(spool).snapshot, "127.0.0.1", 0):
        assert asked == []


def test_a_request_without_end_is_cut(ill: Ill) -> None:
    host, _, port = ill.where.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"GET /" + b"x" * 70_000 + b" HTTP/1.0\r\n\r\n")
        assert b" 414 " in client.recv(100)
    assert ill.get("/livez") == (200, "ok\n")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("127.8.8.8:1", ("127.8.8.8", 1)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("[::1]:0", ("::1", 0)),
    ],
)
def test_loopback_addresses_are_taken(text: str, where: tuple[str, int]) -> None:
    assert address(text, public=False) == where


@pytest.mark.parametrize("text", ["0.0.0.0:9464", "192.0.2.1:80", "[::]:9464"])
def test_other_addresses_need_to_be_allowed(text: str) -> None:
    with pytest.raises(DaemonError) as refused:
        address(text, public=False)
    assert str(refused.value) == (
        f"http {text!r}: other machines could reach it; allow that with --http-public"
    )
    assert address(text, public=True)[1] > 0


@pytest.mark.parametrize(
    "text",
    ["9464", "127.0.0.1", "host:1", "127.0.0.1:x", "127.0.0.1:65536", ":1", "::1", "[::1]:-1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(DaemonError) as refused:
        address(text, public=True)
    assert str(refused.value) == (
        f"http {text!r}: expected ADDRESS:PORT, like 127.0.0.1:9464 or [::1]:9464"
    )


def test_an_address_in_use_is_one_line_and_exit_code_2(
    spool: Path, registry: Path, ill: Ill
) -> None:
    where = ("--spool", spool, "--registry", registry, "--model", MODEL)
    done = program("run", "--once", *where, "--http", ill.where)
    assert (done.returncode, done.stderr) == (
        2,
        f"spikewatchd: http {ill.where}: Address already in use\n",
    )


@pytest.mark.parametrize("accept", ODD_ACCEPT)
def test_a_malformed_accept_header_gets_the_plain_page(ill: Ill, accept: str) -> None:
    host, _, port = ill.where.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        head = f"GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n"
        client.sendall(head.encode("latin-1"))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b"\r\nContent-Type: text/plain" in answer
    assert b"folded" not in answer
    assert b"spikewatch_" in answer


def test_a_well_formed_accept_header_gets_its_format(ill: Ill) -> None:
    wanted = {
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": "1.0.0",
        "application/openmetrics-text; version=x, text/plain;version=0.0.4": "0.0.4",
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6": "1.0.0; charset=utf-8; escaping=allow-utf-8",
    }
    for accept, version in wanted.items():
        request = urllib.request.Request(f"http://{ill.where}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
            assert f"version={version}" in answer.headers["Content-Type"]
