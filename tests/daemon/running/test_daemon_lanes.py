"""Lanes: several models in one daemon, each with its own sub-folders."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MODEL, Daemon, content, program, records, until
from support import tiny_model_files

from spikewatch.daemon.errors import SettingsError
from spikewatch.daemon.settings import Settings
from spikewatch.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "Who wrote Hamlet ?\n"
NUMBER_QUESTIONS = "How many is the moon ?\n" * 3


@pytest.fixture
def models(tmp_path: Path) -> Registry:
    """Publish two models."""
    registry = Registry.init(tmp_path / "models")
    for name, seed in (("tiny", 1), ("other", 2)):
        files = tiny_model_files(seed, tested=True)
        registry.publish(name, "1.0.0", files, created=None, alias="production")
    return registry


def drop(spool: Path, lane: str, name: str, text: str = GOOD) -> None:
    hidden = spool / "tmp" / "put-test"
    hidden.write_text(text)
    hidden.rename(spool / "in" / lane / name)


def status_of(spool: Path) -> dict[str, Any]:
    """Read the daemon's status."""
    document: dict[str, Any] = json.loads((spool / "status.json").read_bytes())
    return document


def lane_of(event: dict[str, object]) -> object:
    return event.get("lane", "")


def test_each_lane_is_answered_by_its_model_in_folders_of_its_own(
    spool: Path, models: Registry
) -> None:
    serve = ("--serve", "other=other:production", "--serve", "again=tiny:1.0.0")
    with Daemon(spool, models.root, *serve).ready() as daemon:
        for lane in ("other", "again"):
            opened = daemon.wait_for("model.swapped", lane=lane)
            assert (opened["from"], opened["self_test"]) == (None, "passed")
        for lane in ("", "other", "again"):
            drop(spool, lane, "a.txt")  # the same name everywhere
        until(lambda: len(daemon.events("request.done")) == 3, "three answers")
        (spool / "in" / "other" / "b.txt").write_bytes(b"\xff")
        daemon.wait_for("request.failed", lane="other", file="b.txt")
        (spool / "in" / "nobody").mkdir()
        assert daemon.wait_for("request.ignored")["file"] == "nobody"
        status = json.loads(program("status", "--spool", spool, "--json").stdout)
        assert daemon.stop() == 0
        ignored = daemon.events("request.ignored")
        done = {lane_of(e): e["model"].split(":")[0] for e in daemon.events("request.done")}
    assert done == {"": "tiny", "other": "other", "again": "tiny"}
    assert [e["file"] for e in ignored] == ["nobody"]
    for lane, model in done.items():
        summary = json.loads((spool / "out" / lane / "a.txt.summary.json").read_bytes())
        assert summary["model"].split(":")[0] == model
        assert (spool / "done" / lane / "a.txt").read_text() == GOOD
    assert records(spool / "out" / "a.txt.jsonl") == records(
        spool / "out" / "again" / "a.txt.jsonl"
    )
    assert records(spool / "out" / "a.txt.jsonl") != records(
        spool / "out" / "other" / "a.txt.jsonl"
    )
    assert content(spool / "failed" / "other") == {"b.txt", "b.txt.error.json"}
    assert {lane: f["done"]["files"] for lane, f in status["lanes"].items()} == {"again": 1, "other": 1}  # fmt: skip
    assert (status["folders"]["done"]["files"], status["lanes"]["other"]["failed"]["files"]) == (
        1,
        1,
    )


def test_a_lane_whose_model_cannot_be_loaded_is_reported_and_the_others_work(
    spool: Path, models: Registry
) -> None:
    serve = ("--serve", "late=late:production", "--model-poll-s", "0.02")
    with Daemon(spool, models.root, *serve).ready() as daemon:
        failed = daemon.wait_for("model.failed", lane="late")
        assert failed["model"] is None
        assert "late" in failed["message"]
        drop(spool, "late", "a.txt")
        drop(spool, "", "b.txt")
        daemon.wait_for("request.done", file="b.txt")
        assert content(spool / "in" / "late") == {"a.txt"}
        until((spool / "status.json").exists, "the status")
        until(lambda: status_of(spool)["inbox"]["files"] == 1, "the status that counts it")
        assert status_of(spool)["state"] == "degraded"
        assert status_of(spool)["problems"] == [f"model late: {failed['message']}"]
        files = tiny_model_files(2, tested=True)
        models.publish("late", "1.0.0", files, created=None, alias="production")
        assert daemon.wait_for("request.done", lane="late")["file"] == "a.txt"
        assert daemon.stop() == 0


def test_an_open_input_of_a_killed_daemons_lane_is_answered_by_the_next_daemon(
    spool: Path, models: Registry
) -> None:
    serve = ("--serve", "other=other:production")
    with Daemon(spool, models.root, *serve).ready() as daemon:
        daemon.wait_for("model.swapped")
        drop(spool, "other", "a.txt", GOOD * 40_000)
        until(lambda: content(spool / "work" / "other"), "the claim")
        daemon.stop(signal.SIGKILL)
    with Daemon(spool, models.root, *serve, "--once") as daemon:
        assert daemon.end() == (0, "")
        assert daemon.events("request.recovered")[0]["lane"] == "other"
        assert len(daemon.events("request.done", lane="other")) == 1
    assert len(records(spool / "out" / "other" / "a.txt.jsonl")) == 40_000
    assert content(spool / "tmp") == {"other"}
    assert content(spool / "tmp" / "other") == content(spool / "work" / "other") == set()


def test_once_waits_for_the_lanes_and_fails_where_one_cannot_be_opened(
    spool: Path, models: Registry
) -> None:
    with Daemon(spool, models.root, "--once", "--serve", "other=other:1.0.0") as daemon:
        assert daemon.end() == (0, "")
    drop(spool, "other", "a.txt")
    with Daemon(spool, models.root, "--once", "--serve", "other=other:1.0.0") as daemon:
        assert daemon.end() == (0, "")
    assert content(spool / "done" / "other") == {"a.txt"}
    drop(spool, "", "b.txt")
    with Daemon(spool, models.root, "--once", "--serve", "other=none:1.0.0") as daemon:
        code, error = daemon.end()
    assert code == 2
    assert error.startswith("spikewatchd: lane other: model none:1.0.0: ")
    assert content(spool / "done") == {"b.txt", "other"}


def test_put_accepts_only_a_lane_that_a_daemon_has_created(
    spool: Path, models: Registry, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(GOOD)
    put = ("put", "--spool", spool, tmp_path / "a.txt", "--lane", "other")
    done = program(*put)
    assert (done.returncode, done.stderr) == (
        2,
        f"spikewatchd: spool {spool}: no lane 'other'; a daemon creates it (--serve NAME=REFERENCE)\n",
    )
    with Daemon(spool, models.root, "--once", "--serve", "other=other:1.0.0") as daemon:
        assert daemon.end() == (0, "")
    assert program(*put).returncode == 0
    assert content(spool / "in" / "other") == {"a.txt"}


def test_a_reload_changes_the_model_of_a_lane_but_adds_no_lane(
    spool: Path, models: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "test.toml"
    file.write_text('[models]\nother = "other:1.0.0"\n')
    with Daemon(spool, models.root, "--config", str(file)).ready() as daemon:
        daemon.wait_for("model.swapped", lane="other")
        file.write_text('[models]\nother = "tiny:1.0.0"\nnew = "tiny:1.0.0"\n')
        done = program("reload", "--spool", spool)
        assert done.returncode == 0, done.stderr
        assert "changed: models; need a restart: models; serves tiny:" in done.stdout
        assert daemon.events("model.swapped")[-1]["to"].startswith("tiny:1.0.0@")
        assert not (spool / "in" / "new").exists()
        assert daemon.stop() == 0


def test_check_loads_the_model_of_every_lane(spool: Path, models: Registry) -> None:
    where = ("check", "--spool", spool, "--registry", models.root, "--model", MODEL, "--json")
    done = program(*where, "--serve", "good=other:production", "--serve", "bad=other:2.0.0")
    assert done.returncode == 1
    found = {f["what"]: f["ok"] for f in json.loads(done.stdout)["findings"]}
    assert {what: ok for what, ok in found.items() if "lane" in what or what == "model"} == {
        "model": True,
        "lane good": True,
        "lane bad": False,
    }


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a.txt", "a b", "ä", "a" * 65])
def test_a_lane_that_is_not_a_plain_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings(spool=tmp_path, models={name: "tiny:1.0.0"})
    assert str(refused.value).startswith(f"models: {name!r}, expected up to 64 letters")
