"""The program: its text, JSON and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from registry_support import Run, publish

from spikewatch.registry import Registry
from spikewatch.registry.program import options

if TYPE_CHECKING:
    from pathlib import Path


def test_init_makes_a_registry(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "new"
    assert run("init", "--registry", str(root)) == (0, f"{root} is a registry\n", "")
    assert root.is_dir()
    assert json.loads(run("init", "--registry", str(root), "--json").out) == {"registry": str(root)}


def test_resolve_prints_the_pin(run: Run, registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    assert run("resolve", "trec:production") == (0, f"{pin}\n", "")
    assert run("resolve", str(pin)) == (0, f"{pin}\n", "")
    assert json.loads(run("resolve", "trec:production", "--json").out) == {
        "name": "trec",
        "version": "1.0.0",
        "digest": pin.digest,
        "pin": str(pin),
    }


def test_alias_set_moves_an_alias(run: Run, registry: Registry) -> None:
    first, second = publish(registry, "1.0.0", "production"), publish(registry, "1.1.0")
    args = ("alias", "set", "trec", "production")
    result = run(*args, "trec:1.1.0", "--expect", first.digest, "--reason", "better on dev")
    assert result == (0, f"trec:production is {second}\n", "")
    assert registry.history("trec")[-1].reason == "better on dev"
    refused = run(*args, "1.0.0", "--expect", first.digest)
    assert refused == (
        2,
        "",
        f"spikewatch-registry: trec:production is {second.digest}, not {first.digest} as expected\n",
    )
    assert json.loads(run(*args, "1.0.0", "--json").out) == {
        "alias": "production",
        "name": "trec",
        "version": "1.0.0",
        "digest": first.digest,
        "pin": str(first),
    }
    assert run("alias", "set", "trec", "new", "1.0.0", "--expect", "absent").code == 0


@pytest.mark.usefixtures("clock")
def test_history_shows_a_release_and_its_rollback(run: Run, registry: Registry) -> None:
    for version in ("1.0.0", "1.1.0"):
        publish(registry, version)
        args = ("production", version, "--as", "ann", "--reason", f"try {version}")
        assert run("alias", "set", "trec", *args).code == 0
    first, second = (registry.resolve(f"trec:{version}") for version in ("1.0.0", "1.1.0"))
    args = ("rollback", "trec", "production", "--as", "bob", "--reason", "too slow")
    refused = run(*args, "--expect", first.digest)
    assert refused.code == 2
    assert run(*args, "--expect", second.digest) == (0, f"trec:production is {first} again\n", "")
    rows = [line.split("  ") for line in run("history", "trec", "production").out.splitlines()]
    found = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert found[0] == ["NO", "TIME", "WHO", "WHAT", "FROM", "TO", "WHY"]
    assert [[row[0], *row[2:]] for row in found[1:]] == [
        ["2", "ann", "alias production", "-", "1.0.0", "try 1.0.0"],
        ["4", "ann", "alias production", "1.0.0", "1.1.0", "try 1.1.0"],
        ["5", "bob", "rollback production", "1.1.0", "1.0.0", "too slow"],
    ]
    events = json.loads(run("history", "trec", "--json").out)
    assert len(events) == 5
    assert events[4]["actor"] == "bob"
    for event, pin in zip(events[1::2], (first, second), strict=True):
        at = ("history", "trec", "production", "--at", event["time"])
        assert run(*at).out == f"{pin}\n"
        assert json.loads(run(*at, "--json").out)["pin"] == str(pin)
    missing = run("history", "trec", "--at", "2026-01-01")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert run("alias", "rm", "trec", "production", "--json").code == 0
    assert run("alias", "rm", "trec", "production").code == 2
    assert run("rollback", "trec", "production", "--json").code == 0


def test_list_diff_withdraw_and_gc_print_their_results(run: Run, registry: Registry) -> None:
    first, second = publish(registry, "1.0.0", "production"), publish(registry, "1.1.0")
    out = run("list", "--where", "spiking.accuracy>0.8", "--sort", "-created").out
    assert out.splitlines()[0].endswith("DIGEST               SPIKING.ACCURACY")
    assert out.splitlines()[1].endswith("0.845")
    assert run("list", "--label", "NUM").out == "no models\n"
    assert run("diff", "trec:1.0.0", "trec:1.1.0").out == (
        f"left   {first}\nright  {second}\n\n"
        "FILE              LEFT        RIGHT\n"
        "core.safetensors  2048 bytes  2048 bytes\n"
    )
    assert json.loads(run("diff", "trec:1.0.0", "trec:1.1.0", "--json").out)["tensors"] == []
    same = run("diff", "trec:1.0.0", "trec:1.0.0").out
    assert same.endswith("\nno differences except in the manifests\n")
    assert run("withdraw", "trec", "1.0.0").code == 2
    result = run("withdraw", "trec", "1.1.0", "--reason", "licence")
    assert result == (0, f"trec:1.1.0@{second.digest} is withdrawn\n", "")
    assert json.loads(run("withdraw", "trec", "1.1.0", "--json").out)["was"] == second.digest
    assert run("gc").out == "removed 0 blobs of 0 bytes, and 0 unfinished files\n"
    plan = run("gc", "--grace", "0", "--dry-run").out
    assert plan.splitlines()[-1].startswith("would remove 3 blobs of ")
    assert f"trec: {second.digest}" in plan
    assert run("gc", "--grace", "0").out == plan.replace("would remove", "removed")
    assert json.loads(run("gc", "--json").out)[0]["model"] == "trec"
    assert run("verify", "--deep").code == 1  # a core image of random bytes


def test_verify_exits_0_when_clean_and_1_when_not(run: Run, registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    publish(registry, "1.0.0", name="area")
    folder = registry.root / "trec" / "blobs" / "sha256"
    size = sum(path.stat().st_size for path in registry.root.glob("*/blobs/sha256/*"))
    clean = f"clean: 2 models, 3 versions and aliases, 10 blobs, {size} bytes\n"
    assert run("verify") == (0, clean, "")
    assert json.loads(run("verify", "--json").out)["ok"] is True
    name = pin.digest.removeprefix("sha256:")
    (folder / name).unlink()
    result = run("verify", "trec")
    assert result.code == 1
    assert result.out.splitlines()[0] == (
        f"PROBLEM trec/blobs/sha256/{name}: blob: blob {pin.digest} is missing "
        "(breaks trec:1.0.0, trec:production)"
    )
    assert result.out.splitlines()[-1].startswith("1 problems: 1 models, 2 versions and aliases")
    assert "note: trec: 4 blobs that no version needs" in result.out
    assert run("verify", "area").code == 0
    report = json.loads(run("verify", "--json").out)
    assert report["ok"] is False
    assert report["problems"][0]["breaks"] == ["1.0.0", "production"]
    assert run("verify", "--json").code == 1


def test_repair_rebuilds_the_index(run: Run, registry: Registry) -> None:
    publish(registry, "1.0.0")
    (registry.root / "trec" / "index.json").write_bytes(b"")
    assert run("verify").code == 1
    result = run("repair", "trec")
    assert (result.code, result.out[:15]) == (0, "clean: 1 models")
    assert json.loads(run("repair", "trec", "--json").out)["ok"] is True
    next((registry.root / "trec" / "blobs" / "sha256").iterdir()).unlink()
    assert run("repair", "trec").code == 1
    (registry.root / "trec" / ".journal" / "00000001.json").unlink()
    assert run("repair", "trec").code == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resolve", "trec"], "reference 'trec': needs a version, an alias or a digest"),
        (["resolve", "qa:1.0.0"], "no model 'qa'"),
        (["show", "trec:9.9.9"], "model trec: no version '9.9.9'"),
        (["list", "qa"], "no model 'qa'"),
        (["list", "../x"], "model name '../x': must be"),
        (["verify", "qa"], "no model 'qa'"),
        (["verify", "Q"], "model name 'Q': must be"),
        (["resolve", "trec:1.0.0", "--registry", "/nowhere/at all"], "no such directory"),
        (["alias", "set", "trec", "1.0.0", "1.0.0"], "alias '1.0.0': must be"),
        (["alias", "set", "trec", "x", "1.0.0", "--reason", "a\nb"], "reason 'a\\nb': must be one"),
        (["init", "--registry", "/dev/null/x"], "creating registry /dev/null/x: Not a directory"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    run: Run, registry: Registry, args: list[str], message: str
) -> None:
    publish(registry, "1.0.0")
    result = run(*args)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("spikewatch-registry: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("args", [["nonsense"], ["list", "--nonsense"], ["resolve"], ["alias"], []])
def test_a_wrong_command_line_exits_2(run: Run, args: list[str]) -> None:
    assert run(*args).code == 2


def test_reading_commands_default_to_the_bundled_registry(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = publish(registry, "1.0.0")
    monkeypatch.delenv("SPIKEWATCH_REGISTRY")
    monkeypatch.setattr(options, "bundled", lambda: registry.root)
    assert run("resolve", "trec:1.0.0") == (0, f"{pin}\n", "")
    assert run("verify").code == 0
    message = "spikewatch-registry: name the registry to change with --registry DIR or SPIKEWATCH_REGISTRY\n"
    assert run("alias", "set", "trec", "x", "1.0.0") == (2, "", message)
    assert run("init") == (2, "", message)
    assert run("repair", "trec") == (2, "", message)


def test_the_option_overrides_the_environment(run: Run, registry: Registry, tmp_path: Path) -> None:
    publish(registry, "1.0.0")
    other = Registry.init(tmp_path / "other")
    assert run("list", "--registry", str(other.root)).out == "no models\n"


def test_the_program_starts_without_heavy_imports(registry: Registry) -> None:
    """Check that a command loads no library that would slow its start."""
    publish(registry, "1.0.0")
    code = (
        "import sys\n"
        "from spikewatch.registry.cli import main\n"
        f"sys.argv = ['x', 'resolve', 'trec:1.0.0', '--registry', {str(registry.root)!r}]\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'rich', 'numpy', 'torch', 'onnx', 'safetensors', 'tokenizers', 'structlog'}\n"
        "    print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.splitlines()[0].startswith("trec:1.0.0@sha256:")
    assert result.stdout.splitlines()[1] == "[]"


def test_the_library_imports_neither_the_command_line_library_nor_http() -> None:
    """Check the import, because it is part of the daemon's start, whose time is measured."""
    code = (
        "import sys, spikewatch.registry\n"
        "print(sorted({'typer', 'urllib3', 'structlog', 'http.server'} & set(sys.modules)))\n"
        "from spikewatch.registry import pull, push\n"
        "print('urllib3' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "[]\nTrue\n"
