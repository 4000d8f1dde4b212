"""Files that are not what their names promise: pipes, locks of odd bytes, links, and paths with NUL."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest
from daemon_support import MODEL, content, program

from spikewatch.daemon.batch.stores import expand
from spikewatch.daemon.errors import SettingsError
from spikewatch.daemon.settings import Settings
from spikewatch.daemon.spool.folder import Spool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("key", ["spool", "registry", "log_file"])
def test_a_path_with_nul_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f'{key} = "a\\u0000b"\n')
    done = program("check", "--config", file)
    assert (done.returncode, done.stderr) == (
        2,
        f"spikewatchd: {file}: {key}: 'a\\x00b' with a NUL, expected a path\n",
    )
    with pytest.raises(SettingsError, match="with a NUL, expected a path"):
        Settings(**{"spool": "spool", key: "a\0b"})


PIPES = [
    ("run", "--config", "pipe"),
    ("check", "--config", "pipe"),
    ("put", "--spool", "spool", "pipe"),
    ("put", "--spool", "spool", "--config", "pipe", "q.txt"),
]


@pytest.mark.parametrize("command", PIPES, ids=" ".join)
def test_a_pipe_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "pipe").symlink_to("pipe.txt")
    done = program(*command, *(("--name", "a.txt") if "put" in command else ()))
    assert done.returncode == 2
    assert done.stderr.startswith("spikewatchd: pipe: a named pipe")
    assert done.stderr.count("\n") == 1


def test_a_configuration_from_a_shells_pipe_is_read(spool: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as file:
        file.write(f'spool = "{spool}"\nscan_s = 7')
    os.dup2(read, 0)
    done = program("check", "--config", "/dev/stdin")
    os.close(read)
    assert "scan_s = 7.0  (file)" in done.stdout


ODD = [b"\xb2\xb3", "²".encode(), b"-1", b"0", b"9" * 20, b"", b"\0" * 20, b"1\n2", b"1 "]
ODD_SHARDS = [b"shards ", b"shards 0", b"shards \xc2\xb2", b"shards 99999999999999", b"shards -1"]


@pytest.mark.parametrize("lock", ODD + ODD_SHARDS)
def test_a_lock_of_odd_bytes_is_one_of_an_unknown_process(spool: Path, lock: bytes) -> None:
    (spool / "lock").write_bytes(lock)
    with (spool / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = program("status", "--spool", spool)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(
            "daemon: process unknown\n" if lock != b"1 " else "daemon: process 1\n"
        )
        if lock != b"1 ":
            done = program("reload", "--spool", spool)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        done = program("run", "--spool", spool)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "in use by process" in done.stderr


def test_a_lock_that_is_a_pipe_is_not_waited_for(spool: Path) -> None:
    os.mkfifo(spool / "lock")
    (spool / "status.json").unlink(missing_ok=True)
    os.mkfifo(spool / "status.json")
    for command in ("status", "check", "reload", "run"):
        done = program(command, "--spool", spool)
        assert done.returncode in {0, 1, 2}, done.stderr
        assert done.stderr.count("\n") <= 1


@pytest.mark.parametrize("where", ["done", "failed"])
def test_a_link_to_an_answered_input_is_answered_even_after_a_kill(
    spool: Path, registry: Path, where: str
) -> None:
    """The process was killed after it had claimed the link, before it had answered it."""
    (spool / where / "a.txt").write_text("Who wrote Hamlet ?\n")
    os.link(spool / where / "a.txt", spool / "in" / "a.txt")
    with Spool.make(spool) as opened:
        opened.claim(["a.txt"])
        opened.release(["a.txt"])
    assert content(spool / "in") == set()
    done = program("run", "--once", "--spool", spool, "--registry", registry, "--model", MODEL)
    assert done.returncode == 0
    assert "a.txt.jsonl" in content(spool / "out")
    assert content(spool / "done") == {"a.txt"}


def test_a_glob_finds_links_to_files_and_those_that_lead_nowhere(tmp_path: Path) -> None:
    """A link is read as it is where it is named; the last has its reason when it is read."""
    inbox = tmp_path / "in"
    (inbox / "folder").mkdir(parents=True)
    (tmp_path / "a.txt").touch()
    (inbox / "b.txt").touch()
    for name, target in (("a", "../a"), ("none", "none"), ("folder", "folder"), ("self", "self")):
        (inbox / f"{name}.link.txt").symlink_to(f"{target}.txt" if name != "folder" else target)
    found = [url.rpartition("/")[2] for url in expand([f"{inbox}/*.txt"])]
    assert found == ["a.link.txt", "b.txt", "none.link.txt", "self.link.txt"]
    assert expand([f"{inbox}/a.link.txt"]) == [f"file://{inbox}/a.link.txt"]


def test_an_input_with_further_links_is_claimed(spool: Path, registry: Path) -> None:
    (spool / "kept.txt").write_text("Who wrote Hamlet ?\n")
    for name in ("a.txt", "b.txt"):
        os.link(spool / "kept.txt", spool / "in" / name)
    done = program("run", "--once", "--spool", spool, "--registry", registry, "--model", MODEL)
    assert done.returncode == 0
    assert content(spool / "done") == {"a.txt", "b.txt"}
    assert (spool / "kept.txt").exists()
