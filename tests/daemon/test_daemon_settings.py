"""The sources of settings, and the values that are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemon_support import MODEL, program
from typer.testing import CliRunner

from spikewatch.daemon.cli import app
from spikewatch.daemon.configuration import Configuration
from spikewatch.daemon.errors import SettingsError
from spikewatch.daemon.settings import ABOUT, DEFAULTS, NAMES, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "packaging" / "spikewatchd.toml"


@pytest.fixture
def shown(spool: Path, registry: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs `check --json` with a file, variables and options and returns the settings."""

    def run(
        text: str = "", env: dict[str, str] | None = None, flags: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        file = spool / "test.toml"
        base = f"spool = {json.dumps(str(spool))}\nregistry = {json.dumps(str(registry))}\n"
        file.write_text(f"{base}model = '{MODEL}'\n{text}")
        done = CliRunner().invoke(
            app, ["check", "--json", "--config", str(file), *flags], env=env or {}
        )
        assert done.exit_code == 0, done.output
        settings: dict[str, Any] = json.loads(done.output)["settings"]
        return settings

    return run


OTHER: dict[str, Any] = {
    "durability": "file",
    "shard": "2/3",
    "encoding": "cp1252",
    "text_field": "question",
    "id_field": "key",
    "models": {"a": MODEL, "b": MODEL},
    "http": "[::1]:9464",
    "retry_first_s": 0.125,
}


def other(name: str) -> Any:
    """Return a value other than the default of a setting."""
    default = DEFAULTS.get(name)
    if name in OTHER:
        return OTHER[name]
    if ABOUT[name].choices:
        return ABOUT[name].choices[0]
    return not default if isinstance(default, bool) else default * 2


def test_every_setting_can_be_given_by_flag_variable_and_file(
    shown: Callable[..., dict[str, Any]],
) -> None:
    names = [name for name in NAMES if name not in {"spool", "registry", "model", "log_file"}]
    values = {name: other(name) for name in names}
    models = values.pop("models")
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
    env = {f"SPIKEWATCHD_{n.upper()}": json.dumps(v).strip('"') for n, v in values.items()}
    flags = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        flags += [flag] if value is True else [f"{flag}={value}"]
    values["models"] = models
    text += "\n[models]\n" + "\n".join(f"{k} = {v!r}" for k, v in models.items())
    env["SPIKEWATCHD_MODELS"] = " ".join(f"{k}={v}" for k, v in models.items())
    flags += [part for k, v in models.items() for part in ("--serve", f"{k}={v}")]
    for origin, settings in {
        "file": shown(text),
        "env": shown(env=env),
        "flag": shown(flags=tuple(flags)),
    }.items():
        assert {n: settings[n] for n in names} == {
            n: {"value": values[n], "from": origin} for n in names
        }
    assert shown()["scan_s"] == {"value": 1.0, "from": "default"}


def test_flags_come_before_variables_before_the_file(
    shown: Callable[..., dict[str, Any]],
) -> None:
    file, env = "scan_s = 3\nonce = true\n", {"SPIKEWATCHD_SCAN_S": "4"}
    assert shown(file, env)["scan_s"] == {"value": 4.0, "from": "env"}
    both = shown(file, env, ("--scan-s", "5", "--no-once"))
    assert both["scan_s"] == {"value": 5.0, "from": "flag"}
    assert both["once"] == {"value": False, "from": "flag"}
    same_as_default = shown(file, env, ("--scan-s", "1"))
    assert same_as_default["scan_s"] == {"value": 1.0, "from": "flag"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("scan = 1", "scan: no such setting; expected one of spool, registry, model, "),
        ('"a\\nb" = 1', "a%0Ab: no such setting; expected one of spool, registry, model, "),
        ("scan_s = '1'", "scan_s: '1', expected a number"),
        ("scan_s = true", "scan_s: True, expected a number"),
        ("scan_s = nan", "scan_s: nan, expected at least 0.01"),
        ("scan_s = inf", "scan_s: inf, expected at most 3600"),
        (f"scan_s = {10**400}", f"scan_s: {10**400}, expected at most 3600"),
        ("scan_s = 0", "scan_s: 0.0, expected at least 0.01"),
        ("group_files = 1.5", "group_files: 1.5, expected a whole number"),
        ("group_files = 5000", "group_files: 5000, expected at most 4096"),
        ("once = 1", "once: 1, expected true or false"),
        ("model = 1", "model: 1, expected a string"),
        ("registry = ''", "registry: '', expected a path"),
        ("log_format = 'xml'", "log_format: 'xml', expected one of json, console, auto"),
        ("durability = 'none'", "durability: 'none', expected one of strict, file, process"),
        ("durability = 1", "durability: 1, expected one of strict, file, process"),
        ("shard = '3/2'", "shard: '3/2', expected I/N with 1 <= I <= N <= 64"),
        ("shard = '0/2'", "shard: '0/2', expected I/N with 1 <= I <= N <= 64"),
        ("shard = '1/65'", "shard: '1/65', expected I/N with 1 <= I <= N <= 64"),
        ("models = 'a=b'", "models: 'a=b', expected a table of names and references"),
        ("[models]\na = 1", "models: {'a': 1}, expected a table of names and references"),
        ("[models]\n'a.b' = 'x:1.0.0'", "models: 'a.b', expected up to 64 letters, "),
        ("scan_s = 1\nscan_s = 2", "not TOML: Cannot overwrite a value (at end of document)"),
        ("scan_s =", "not TOML: Invalid value (at end of document)"),
        (
            b"\xff",
            "not TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        ("[scan_s]\na = 1", "scan_s: {'a': 1}, expected a number"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_key_value_and_limit(
    tmp_path: Path, text: str | bytes, error: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SettingsError) as refused:
        Configuration(file=file, given={"spool": tmp_path}, origins={"spool": "flag"}).load()
    assert str(refused.value).startswith(f"{file}: {error}")
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_is_not_there_a_bad_flag_and_no_spool_are_one_line_and_exit_code_2(
    tmp_path: Path,
) -> None:
    gone = tmp_path / "gone.toml"
    done = program("check", "--config", gone)
    expected = f"spikewatchd: {gone}: No such file or directory\n"
    assert (done.returncode, done.stderr) == (2, expected)
    done = program("run", "--spool", tmp_path / "s", "--max-attempts", "0")
    assert (done.returncode, done.stderr) == (
        2,
        "spikewatchd: max_attempts: 0, expected at least 1\n",
    )
    assert not (tmp_path / "s").exists()
    for flag in ("--spool", "--registry", "--log-file"):
        done = program("check", "--spool", tmp_path / "s", flag, "")
        name = flag[2:].replace("-", "_")
        assert (done.returncode, done.stderr) == (2, f"spikewatchd: {name}: '', expected a path\n")
    done = program("put", tmp_path / "a.txt")
    assert done.returncode == 2
    assert done.stderr == (
        "spikewatchd: no spool given: use --spool DIR, SPIKEWATCHD_SPOOL, or spool in --config\n"
    )


def test_pauses_that_shrink_are_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings(spool=Path("x"), retry_first_s=2, retry_last_s=1)
    assert str(refused.value) == "retry_first_s: 2, expected at most 1 (retry_last_s)"


def test_the_example_file_holds_every_setting_at_its_default() -> None:
    effective = Configuration(file=EXAMPLE).load()
    values = {name: getattr(effective.settings, name) for name in DEFAULTS}
    assert values == DEFAULTS
    stated = re.findall(r"^(?:# )?\[?(\w+)(?:\]$| = )", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert sorted(set(stated) - {"french"}) == sorted(NAMES)


def test_the_documentation_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs/daemon.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    stated = {name: (default, note.endswith("(at start). ")) for name, default, note in rows}
    for name in NAMES:
        default = DEFAULTS.get(name)
        shown = "-" if default is None else f"`{json.dumps(default)}`"
        assert stated.get(name) == (shown, ABOUT[name].fixed), name
