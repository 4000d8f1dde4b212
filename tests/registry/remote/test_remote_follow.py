"""Follow an upstream alias, through failures and hostile content."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from registry_support import CREATED, snapshot
from remote_support import FakeRegistry, hang_up, model_files, publish, sha256

from spikewatch.registry import BadInput, BadReference, Conflict, Corrupt, NotFound, Registry, cli
from spikewatch.registry.remote import AliasFollower, follow, push, transport

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BACKOFF_S", 0.0)


def release(registry: Registry, upstream: FakeRegistry, version: str) -> str:
    """Publish a version, push it upstream and point upstream's production at it."""
    pin = publish(registry, version, "production")
    push(registry, "trec:production", upstream.remote())
    return pin.digest


def test_the_local_alias_follows_the_upstream_alias(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    follower = AliasFollower(edge, upstream.remote(":production"), actor="box 7")
    first = release(registry, upstream, "1.0.0")
    moved = follower.turn()
    assert moved is not None
    assert (moved.pin.digest, moved.before, moved.transfer.blobs) == (first, None, 4)
    second = release(registry, upstream, "1.1.0")
    moved = follower.turn()
    assert moved is not None
    assert (moved.pin.digest, moved.before, moved.transfer.blobs) == (second, first, 2)
    assert edge.load("trec:production").files == model_files("1.1.0")
    assert edge.load("trec:1.0.0").files == model_files("1.0.0")  # the old one is kept
    assert edge.verify().ok
    last = edge.history("trec")[-1]
    assert (last.operation, last.tag, last.source) == ("alias", "production", first)
    assert (last.actor, last.reason) == ("box 7", f"follows {upstream.remote(':production')}")
    # A rollback upstream is a move like any other.
    registry.set_alias("trec", "production", "1.0.0")
    push(registry, "trec:production", upstream.remote())
    assert follower.turn() is not None
    assert edge.resolve("trec:production").digest == first


def test_checking_an_alias_that_has_not_moved_is_one_head_request(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    release(registry, upstream, "1.0.0")
    follower = AliasFollower(edge, upstream.remote(":production"))
    follower.turn()
    before = snapshot(edge.root)
    upstream.state.requests.clear()
    assert follower.turn() is None
    assert [request.method for request in upstream.state.requests] == ["HEAD"]
    assert snapshot(edge.root) == before


def test_the_local_names_can_differ(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    digest = release(registry, upstream, "1.0.0")
    AliasFollower(edge, upstream.remote(":production"), "questions", "live").turn()
    assert edge.resolve("questions:live").digest == digest


def worse(state: Any) -> None:
    digest = sha256(model_files("1.1.0")["core.safetensors"])
    state.blobs[digest] = b"x" * len(state.blobs[digest])


def no_model(state: Any) -> None:
    state.manifests["production"] = state.manifests[sha256(b"{}")] = b"{}"


def unpublished(state: Any) -> None:
    del state.manifests["production"]


@pytest.mark.parametrize(
    ("spoil", "kind"), [(worse, Corrupt), (no_model, Corrupt), (unpublished, NotFound)]
)
def test_nothing_changes_when_upstream_serves_something_bad(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    spoil: Callable[[Any], None],
    kind: type[Exception],
) -> None:
    first = release(registry, upstream, "1.0.0")
    follower = AliasFollower(edge, upstream.remote(":production"))
    follower.turn()
    release(registry, upstream, "1.1.0")
    spoil(upstream.state)
    before = snapshot(edge.root)
    with pytest.raises(kind):
        follower.turn()
    assert snapshot(edge.root) == before
    assert edge.resolve("trec:production").digest == first


def test_a_version_that_upstream_changed_is_a_conflict(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    release(registry, upstream, "1.0.0")
    follower = AliasFollower(edge, upstream.remote(":production"))
    follower.turn()
    before = snapshot(edge.root)
    forger = Registry.init(edge.root.with_name("forger"))
    forger.publish("trec", "1.0.0", model_files("forged"), created=CREATED, alias="production")
    upstream.state.manifests.clear()
    push(forger, "trec:production", upstream.remote())
    with pytest.raises(Conflict, match="versions are immutable"):
        follower.turn()
    assert snapshot(edge.root) == before


@pytest.mark.parametrize(
    ("tag", "alias"), [("", None), ("@sha256:" + 64 * "0", None), (":1.0.0", None), (":x", "1.0")]
)
def test_following_anything_but_an_alias_is_refused(
    edge: Registry, upstream: FakeRegistry, tag: str, alias: str | None
) -> None:
    with pytest.raises(BadReference):
        AliasFollower(edge, upstream.remote(tag), None, alias)


def test_the_loop_logs_changes_and_survives_failures(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    first = release(registry, upstream, "1.0.0")
    stop = threading.Event()
    waits: list[float] = []
    # What happens between two checks; after the last, stop.
    script = iter(
        [
            lambda: None,
            lambda: upstream.fail("HEAD", "/manifests/", hang_up, times=transport.ATTEMPTS),
            lambda: None,
            lambda: None,
            lambda: release(registry, upstream, "1.1.0"),
        ]
    )

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        step = next(script, stop.set)
        step()
        return stop.is_set()

    follower = AliasFollower(edge, upstream.remote(":production"), stop=stop)
    with structlog.testing.capture_logs() as events:
        follow(follower, log=structlog.get_logger(), stop=stop, interval_s=100, wait=wait)
    assert [event["event"] for event in events] == [
        "follow.started",
        "follow.moved",
        "follow.failed",
        "follow.current",
        "follow.moved",
        "follow.stopped",
    ]
    moved, failed, current, again = events[1:5]
    assert moved["model"] == f"trec:1.0.0@{first}"
    assert (failed["kind"], failed["log_level"]) == ("RemoteError", "warning")
    assert "(5 attempts)" in failed["error"]
    assert current["digest"] == again["before"] == first
    assert {event["alias"] for event in events} == {"trec:production"}
    assert len(waits) == 6
    assert all(80 <= seconds <= 120 for seconds in waits)
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize("interval", [0.0, -1.0, 1e9, float("nan")])
def test_an_interval_out_of_range_is_refused(
    edge: Registry, upstream: FakeRegistry, interval: float
) -> None:
    follower = AliasFollower(edge, upstream.remote(":production"))
    with pytest.raises(BadInput, match="interval .* must be 1 to 86400"):
        follow(
            follower,
            log=structlog.get_logger(),
            stop=threading.Event(),
            interval_s=interval,
        )


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", f"from {cli.__name__} import main; main()", *arguments]


def test_the_program_follows_until_sigterm(
    registry: Registry, edge: Registry, upstream: FakeRegistry
) -> None:
    digest = release(registry, upstream, "1.0.0")
    arguments = ["pull", "--follow", upstream.remote(":production"), "trec:live"]
    with subprocess.Popen(
        program(*arguments, "--registry", str(edge.root), "--interval", "3600"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines = iter(process.stdout or [])
        started, moved = json.loads(next(lines)), json.loads(next(lines))
        process.send_signal(signal.SIGTERM)
        stopped = json.loads(next(lines))
    assert process.returncode == 0
    assert [each["event"] for each in (started, moved, stopped)] == [
        "follow.started",
        "follow.moved",
        "follow.stopped",
    ]
    assert moved["model"] == f"trec:1.0.0@{digest}"
    assert set(moved) == {
        *("timestamp", "level", "event", "remote", "alias", "model", "before"),
        *("blobs", "size_bytes"),
    }
    assert edge.resolve("trec:live").digest == digest


def test_the_program_checks_once(
    registry: Registry,
    edge: Registry,
    upstream: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        root = ("--registry", str(edge.root))
        monkeypatch.setattr(sys, "argv", ["spikewatch-registry", "pull", *arguments, *root])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return (caught.value.code, *capsys.readouterr())

    release(registry, upstream, "1.0.0")
    check = ("--follow", "--once", upstream.remote(":production"))
    for event in ("follow.moved", "follow.current"):
        code, out, err = run(*check)
        assert (code, json.loads(out)["event"], err) == (0, event, "")
    unpublished(upstream.state)
    code, out, err = run(*check)
    assert (code, out) == (2, "")
    assert err == f"spikewatch-registry: {upstream.remote(':production')}: not found there\n"
    assert run("--once", upstream.remote(":production"))[0] == 2
