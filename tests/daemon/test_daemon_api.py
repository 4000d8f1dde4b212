"""The Python API: drop a file, run a daemon once, read the results."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MODEL, content, spool_of

import spikewatch.daemon
from spikewatch.daemon import (
    NoAnswer,
    PutError,
    ResultError,
    ResultRecord,
    Settings,
    SettingsError,
    SpoolError,
    put,
    read_results,
    serve,
)
from spikewatch.daemon.log import logger

if TYPE_CHECKING:
    from pathlib import Path

OK = {
    "id": 1,
    "text": "who ?",
    "label": "HUM",
    "scores": {"HUM": 3, "NUM": 0},
    "spikes": {"input": 1, "hidden": 2, "output": 3},
    "synaptic_events": 10,
    "ticks": 4,
    "energy_uj": {"paper": 0.5, "static_marginal": 0.25},
    "status": "ok",
}
NULLS = dict.fromkeys(("label", "scores", "spikes", "synaptic_events", "ticks", "energy_uj"))
BAD: dict[str, Any] = {
    "id": "a",
    "text": None,
    **NULLS,
    "status": "error",
    "error": {"code": "bad_json", "message": "it is not JSON"},
}


def run_once(spool: str, registry: Path) -> None:
    settings = Settings(spool=spool, registry=registry, model=MODEL, once=True, log_level="error")  # type: ignore[arg-type] # a str is converted
    serve(settings)


def test_serve_needs_nothing_but_settings(
    tmp_path: Path, registry: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spool = tmp_path / "spool"
    (tmp_path / "a.txt").write_text("Who wrote Hamlet ?\n")
    put(spool, tmp_path / "a.txt", create=True)
    serve(Settings(spool=spool, registry=registry, model=MODEL, once=True))
    logged = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    events = [event["event"] for event in logged]
    assert events == ["daemon.start", "daemon.ready", "request.done", "daemon.stop"]
    assert json.loads((spool / "status.json").read_bytes())["files"]["done"] == 1


def test_serve_refuses_a_log_without_the_counters_that_observe_it(tmp_path: Path) -> None:
    settings = Settings(spool=tmp_path / "spool", once=True)
    with pytest.raises(ValueError, match="serve: give both log and counters, or neither"):
        serve(settings, logger.logger("json"))
    assert not settings.spool.exists()


def test_a_file_is_dropped_answered_and_read_back(tmp_path: Path, registry: Path) -> None:
    spool = str(tmp_path / "spool")
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "who wrote hamlet ?", "id": "q1"}\n{"text": "?"}\n{}\n')
    assert put(spool, str(source), create=True) == "a.jsonl"
    run_once(spool, registry)
    answered, wordless, textless = read_results(f"{spool}/out/a.jsonl.jsonl")

    assert (answered.id, answered.text, answered.status) == ("q1", "who wrote hamlet ?", "ok")
    assert answered.error is None
    assert answered.scores is not None
    assert answered.scores[answered.label or ""] == max(answered.scores.values())
    assert answered.spikes is not None
    assert list(answered.spikes) == ["input", "hidden", "output"]
    assert list(answered.energy_uj or ()) == ["paper", "static_marginal"]
    assert answered.ticks
    assert answered.synaptic_events
    assert wordless == ResultRecord(
        id=2,
        text="?",
        status="error",
        error=NoAnswer(code="no_words", message="the text holds no word"),
    )
    assert (textless.id, textless.text, textless.label) == (3, None, None)
    assert textless.error is not None
    assert textless.error.code == "no_text"


def test_records_have_the_fields_of_their_lines(tmp_path: Path) -> None:
    result = tmp_path / "r.jsonl"
    result.write_text(f"{json.dumps(OK)}\n{json.dumps(BAD | {'later': 1})}\n")
    one, two = read_results(result)
    assert {name: getattr(one, name) for name in OK} == OK
    assert (two.id, two.label, two.error) == ("a", None, NoAnswer(**BAD["error"]))
    with pytest.raises(FrozenInstanceError):
        one.label = "NUM"  # type: ignore[misc]
    assert repr(one).startswith("ResultRecord(id=1, text='who ?', status='ok', label='HUM'")


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ('{"id": 1', "not JSON: Expecting ',' delimiter: line 2 column 1 (char 9)"),
        ("[1]", "expected an object"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        (json.dumps(OK | {"status": "fine"}), "status: 'fine', expected 'ok' or 'error'"),
        (json.dumps(OK | {"id": None}), "id: None, expected int or str"),
        (json.dumps(OK | {"id": True}), "id: True, expected int or str"),
        (json.dumps(OK | {"text": 1}), "text: 1, expected str or null"),
        (json.dumps(OK | {"label": None}), "label: None, expected str"),
        (json.dumps(OK | {"ticks": 1.5}), "ticks: 1.5, expected int"),
        (json.dumps(OK | {"scores": {"HUM": "3"}}), "HUM: '3', expected int"),
        (json.dumps(OK | {"energy_uj": {"paper": 1}}), "paper: 1, expected float"),
        (json.dumps(BAD | {"label": "HUM"}), "an answer with status 'error'"),
        (json.dumps(BAD | {"error": None}), "error: None, expected dict"),
        (json.dumps(BAD | {"error": {"code": "c"}}), "message: None, expected str"),
        (
            json.dumps({k: v for k, v in OK.items() if k != "text"}),
            "text: None, expected str or null",
        ),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damaged: str, reason: str) -> None:
    result = tmp_path / "r.jsonl"
    result.write_text(f"{json.dumps(OK)}\n{damaged}\n")
    records = read_results(result)
    assert next(records).id == 1
    with pytest.raises(ResultError) as error:
        next(records)
    assert str(error.value).startswith(f"{result}: line 2: {reason}")


def test_bytes_that_are_not_utf8_are_a_damaged_line(tmp_path: Path) -> None:
    result = tmp_path / "r.jsonl"
    result.write_bytes(b"\xff\n")
    with pytest.raises(ResultError, match="line 1: 'utf-8' codec can't decode"):
        list(read_results(result))


def test_a_missing_result_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResultError) as error:
        list(read_results(tmp_path / "none.jsonl"))
    assert str(error.value) == f"{tmp_path / 'none.jsonl'}: No such file or directory"


def test_put_refuses_a_lane_that_no_daemon_made_and_a_name_that_waits(tmp_path: Path) -> None:
    spool, file = spool_of(tmp_path / "spool"), tmp_path / "a.txt"
    file.write_text("who ?\n")
    with pytest.raises(PutError) as error:
        put(spool, file, lane="french")
    assert str(error.value) == (
        f"spool {spool}: no lane 'french'; a daemon creates it (--serve NAME=REFERENCE)"
    )
    assert put(spool, file, done_marker=True) == "a.txt"
    assert content(spool / "in") == {"a.txt", "a.txt.done"}
    with pytest.raises(PutError) as error:
        put(spool, file)
    assert (
        str(error.value) == f"{file}: a.txt is already waiting in {spool / 'in'}; rename the file"
    )
    assert content(spool / "tmp") == set()


def test_serve_refuses_a_path_in_place_of_settings() -> None:
    with pytest.raises(
        TypeError,
        match=r"^settings: expected Settings, got 'spool'; pass Settings\(spool=\.\.\.\)$",
    ):
        serve("spool")  # type: ignore[arg-type]


def test_put_into_a_file_says_that_it_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("who\n")
    (tmp_path / "spool").touch()
    with pytest.raises(SpoolError, match="^spool .*/spool: spool: Not a directory$"):
        put(tmp_path / "spool", tmp_path / "a.txt")


def test_settings_take_paths_as_strings_but_not_empty_ones(tmp_path: Path) -> None:
    assert Settings(spool=str(tmp_path)).spool == tmp_path  # type: ignore[arg-type]
    assert Settings(spool=tmp_path, registry="models").registry is not None  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="spool: '', expected a path"):
        Settings(spool="")  # type: ignore[arg-type]


def test_settings_show_what_differs_from_the_defaults(tmp_path: Path) -> None:
    settings = Settings(spool=tmp_path, once=True, scan_s=1.0)
    assert repr(settings) == f"Settings(spool={tmp_path!r}, once=True)"


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(spikewatch.daemon.__all__) <= set(dir(spikewatch.daemon))
    for name in spikewatch.daemon.__all__:
        assert getattr(spikewatch.daemon, name).__module__.startswith("spikewatch.daemon")
    with pytest.raises(AttributeError, match="has no attribute 'put_all'"):
        spikewatch.daemon.put_all  # noqa: B018


def test_the_import_loads_neither_simulator_nor_log() -> None:
    script = (
        "import sys, spikewatch.daemon\n"
        "heavy = {'numpy', 'structlog', 'watchdog', 'prometheus_client', 'typer', 'spikewatch.simcore'}\n"
        "print(heavy & set(sys.modules))\n"
        "from spikewatch.daemon import put, read_results\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\nset()\n"
