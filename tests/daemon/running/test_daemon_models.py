"""Following an alias: models are swapped between requests, and a bad model never replaces a good one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import Daemon, Event, Time, program
from support import tiny_model_files

from spikewatch.daemon.bell import Bell
from spikewatch.daemon.errors import ServedModelError
from spikewatch.daemon.log import logger
from spikewatch.daemon.models.follower import ModelFollower
from spikewatch.daemon.models.served import ModelSource
from spikewatch.daemon.settings import Settings
from spikewatch.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALIAS = "tiny:production"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = "Who wrote Hamlet ?\n"


def spoilt(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with a wrong score in a golden question."""
    golden = json.loads(files["golden.json"])
    golden["questions"][3]["scores"][2] += 1
    return files | {"golden.json": json.dumps(golden).encode()}


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, bytes]]:
    """Return versions: two good ones, one without golden questions, one that fails its own, and one invalid model."""
    good = {f"{seed}.0.0": tiny_model_files(seed, tested=True) for seed in (1, 2)}
    return good | {
        "3.0.0": tiny_model_files(3),
        "4.0.0": spoilt(good["1.0.0"]),
        "5.0.0": good["1.0.0"] | {"labels.json": b'["one"]'},
    }


@pytest.fixture
def models(tmp_path: Path, published: dict[str, dict[str, bytes]]) -> Registry:
    """Publish them; production is 1.0.0."""
    registry = Registry.init(tmp_path / "models")
    for version, files in published.items():
        registry.publish("tiny", version, files, created=CREATED)
    registry.set_alias("tiny", "production", "1.0.0")
    return registry


@dataclass
class Followed:
    """A follower that looks when a test makes it look."""

    follower: ModelFollower
    source: ModelSource
    time: Time
    log: Path

    def look(self, passed_s: float = 0.0) -> str | None:
        """Look; return the version that was loaded, None if there is none."""
        self.time.now += passed_s
        self.follower.look(self.time.now)
        loaded = self.follower.take()
        return None if loaded is None else loaded.model.pin.split("@")[0].removeprefix("tiny:")

    def events(self) -> list[Event]:
        return [json.loads(line) for line in self.log.read_bytes().splitlines()]


@pytest.fixture
def followed(tmp_path: Path, models: Registry) -> Iterator[Followed]:
    source, time, bell = ModelSource(models.root, ALIAS), Time(), Bell()
    log = tmp_path / "follow.log"
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    settings = Settings(spool=tmp_path, retry_first_s=1, retry_last_s=4)
    follower = ModelFollower(
        source=source,
        model=source.load(),
        settings=lambda: settings,
        bell=bell,
        clock=time.clock(),
        log=logger.logger("json", fd=fd),
    )
    yield Followed(follower=follower, source=source, time=time, log=log)
    bell.close()
    os.close(fd)


def test_a_loaded_model_has_passed_its_golden_questions(models: Registry) -> None:
    assert ModelSource(models.root, "tiny:1.0.0").load().self_test == "passed"
    assert ModelSource(models.root, "tiny:3.0.0").load().self_test == "none"
    with pytest.raises(ServedModelError) as refused:
        ModelSource(models.root, "tiny:4.0.0").load()
    golden = json.loads(models.load("tiny:4.0.0").files["golden.json"])
    was = golden["questions"][3]["scores"]
    now = [*was[:2], was[2] - 1, *was[3:]]
    assert str(refused.value) == (
        f"model tiny:4.0.0: golden.json: question 3: scores is {now}, was {was} when it was published"
    )


@pytest.mark.parametrize(
    ("golden", "error"),
    [
        (b"{", "not JSON"),
        (b"[]", "expected an object of schema 1 with questions"),
        (b'{"schema": 2, "questions": [{"text": "who"}]}', "expected an object of schema 1"),
        (b'{"schema": 1, "questions": []}', "0 questions, expected 1 to 1024"),
        (b'{"schema": 1, "questions": [1]}', "question 0: expected an object with a text"),
        (b'{"schema": 1, "questions": [{"text": "who"}]}', "question 0: label is "),
    ],
)
def test_a_model_with_invalid_golden_questions_is_refused(
    models: Registry, golden: bytes, error: str
) -> None:
    files = tiny_model_files(1) | {"golden.json": golden}
    models.publish("tiny", "9.0.0", files, created=CREATED)
    with pytest.raises(ServedModelError) as refused:
        ModelSource(models.root, "tiny:9.0.0").load()
    assert str(refused.value).startswith(f"model tiny:9.0.0: golden.json: {error}")


def test_a_moved_alias_is_loaded_once(followed: Followed, models: Registry) -> None:
    assert followed.look() is None
    models.set_alias("tiny", "production", "2.0.0")
    assert followed.look() == "2.0.0"
    assert followed.look() is None
    models.set_alias("tiny", "production", "3.0.0")
    assert followed.look() == "3.0.0"
    assert [e["event"] for e in followed.events()] == ["model.loading"] * 2
    assert followed.events()[1]["from"].startswith("tiny:2.0.0@sha256:")
    assert followed.events()[1]["to"].startswith("tiny:3.0.0@sha256:")


def test_a_loaded_model_that_was_not_taken_is_replaced_by_a_newer_one(
    followed: Followed, models: Registry
) -> None:
    models.set_alias("tiny", "production", "2.0.0")
    followed.follower.look(0)
    models.set_alias("tiny", "production", "1.0.0")
    assert followed.look() == "1.0.0"
    assert followed.look() is None


@pytest.mark.parametrize("version", ["4.0.0", "5.0.0"])
def test_a_bad_model_is_logged_once_and_tried_again_with_growing_pauses(
    followed: Followed, models: Registry, version: str
) -> None:
    models.set_alias("tiny", "production", version)
    tries = []
    load = followed.source.load
    followed.source.load = lambda pin=None: tries.append(followed.time.now) or load(pin)  # type: ignore[method-assign,func-returns-value]
    for _ in range(48):
        assert followed.look(passed_s=0.25) is None
        assert followed.follower.degraded is not None
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    (failed,) = [e for e in followed.events() if e["event"] == "model.failed"]
    assert failed["model"].startswith("tiny:1.0.0@")
    assert failed["to"].startswith(f"tiny:{version}@")
    assert failed["message"] == followed.follower.degraded
    models.set_alias("tiny", "production", "2.0.0")  # another model is tried at once
    assert followed.look() == "2.0.0"
    assert followed.follower.degraded is None


def test_a_bad_model_that_was_repaired_is_loaded(followed: Followed, models: Registry) -> None:
    files = models.load("tiny:2.0.0").files
    models.set_alias("tiny", "production", "2.0.0")
    (blob,) = [p for p in models.root.rglob("*") if p.is_file() and p.read_bytes() == files["golden.json"]]  # fmt: skip
    blob.write_bytes(b"{}")
    assert followed.look() is None
    assert "blob" in str(followed.follower.degraded)
    models.publish("tiny", "2.0.0", files, created=CREATED)
    assert followed.look(passed_s=0.5) is None
    assert followed.look(passed_s=0.5) == "2.0.0"
    assert followed.follower.degraded is None


def test_without_registry_or_alias_the_served_model_stays(
    followed: Followed, models: Registry
) -> None:
    away = models.root.with_name("away")
    models.root.rename(away)
    for _ in range(5):
        assert followed.look(passed_s=2) is None
    assert followed.follower.degraded is not None
    away.rename(models.root)
    assert followed.look() is None
    assert followed.follower.degraded is None
    models.remove_alias("tiny", "production")
    assert followed.look() is None
    assert str(followed.follower.degraded).endswith("no alias 'production'")
    models.set_alias("tiny", "production", "1.0.0")
    assert followed.look() is None
    assert [e["event"] for e in followed.events()] == ["model.failed", "model.current"] * 2


def test_an_unexpected_error_does_not_end_the_follower(
    followed: Followed, models: Registry
) -> None:
    models.set_alias("tiny", "production", "2.0.0")
    load = followed.source.load

    def out_of_memory(_: object = None) -> Any:
        raise MemoryError("out of memory")

    followed.source.load = out_of_memory  # type: ignore[method-assign]
    assert followed.look() is None
    assert followed.follower.degraded == "MemoryError: out of memory"
    followed.source.load = load  # type: ignore[method-assign]
    assert followed.look(passed_s=1) == "2.0.0"


def daemon_of(spool: Path, models: Registry, *options: str) -> Daemon:
    return Daemon(spool, models.root, "--model", ALIAS, "--model-poll-s", "0.02", *options)


def drop(spool: Path, name: str, text: str = GOOD) -> None:
    hidden = spool / "tmp" / "put-test"
    hidden.write_text(text)
    hidden.rename(spool / "in" / name)


def test_a_running_daemon_follows_its_alias_and_every_result_names_its_model(
    spool: Path, models: Registry
) -> None:
    with daemon_of(spool, models).ready() as daemon:
        assert daemon.events("daemon.ready")[0]["self_test"] == "passed"
        drop(spool, "a.txt")
        assert daemon.wait_for("request.done", file="a.txt")["model"].startswith("tiny:1.0.0@")
        models.set_alias("tiny", "production", "2.0.0")
        swapped = daemon.wait_for("model.swapped")
        assert swapped["from"].startswith("tiny:1.0.0@")
        assert swapped["to"].startswith("tiny:2.0.0@")
        assert swapped["self_test"] == "passed"
        assert swapped["load_ms"] > 0
        drop(spool, "b.txt")
        assert daemon.wait_for("request.done", file="b.txt")["model"] == swapped["to"]
        models.set_alias("tiny", "production", "4.0.0")
        assert daemon.wait_for("model.failed")["model"] == swapped["to"]
        drop(spool, "c.txt")
        assert daemon.wait_for("request.done", file="c.txt")["model"] == swapped["to"]
        assert daemon.stop() == 0
    for version, name in (("1.0.0", "a.txt"), ("2.0.0", "b.txt"), ("2.0.0", "c.txt")):
        summary = json.loads((spool / "out" / f"{name}.summary.json").read_bytes())
        assert summary["model"].startswith(f"tiny:{version}@")


def test_a_daemon_starts_only_with_a_model_that_passes(spool: Path, models: Registry) -> None:
    done = program("run", "--once", "--spool", spool, "--registry", models.root, "--model", "tiny:4.0.0")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("spikewatchd: model tiny:4.0.0: golden.json: question 3: ")
    assert len(done.stderr.splitlines()) == 1
