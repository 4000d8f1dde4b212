"""`put`: a list arrives whole or not at all, standard input, and spools that do not exist."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from daemon_support import content, program, spool_of

from spikewatch.daemon import PutError, put
from spikewatch.daemon.files import durable
from spikewatch.daemon.producer import Drop, put_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = "Who wrote Hamlet ?\n"
WRONG_NAME = (
    "the name must end in .txt, .jsonl, .ndjson, .json, .csv, .tsv, .label and not begin with a dot;"
    " rename the file, or use --name"
)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write three questions files."""
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    for path in paths:
        path.write_text(f"{path.name} ?\n")
    return paths


def put_with_input(*arguments: str | Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "put", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=30)


def test_a_list_is_dropped_in_its_order(spool: Path, files: list[Path]) -> None:
    done = program("put", "--spool", spool, *reversed(files))
    assert (done.returncode, done.stdout) == (0, "c.txt\nb.txt\na.txt\n")
    assert {p.name: p.read_text() for p in (spool / "in").iterdir()} == {
        p.name: p.read_text() for p in files
    }
    assert content(spool / "tmp") == set()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("none.txt", "{bad}: No such file or directory"),
        ("c.pdf", "{bad}: " + WRONG_NAME),
        ("~$q.csv", "{bad}: " + WRONG_NAME),
        ("folder.txt", "{bad}: Is a directory"),
        ("pipe.txt", "{bad}: a named pipe; give its content as standard input (- with --name)"),
        ("other/a.txt", "{a}: 2 files are called a.txt; rename one"),
        ("waits.txt", "{bad}: waits.txt is already waiting in {inbox}; rename the file"),
    ],
)  # fmt: skip
def test_a_list_with_one_bad_file_is_not_dropped_at_all(
    spool: Path, files: list[Path], tmp_path: Path, bad: str, message: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    for name in ("c.pdf", "~$q.csv", "other/a.txt", "waits.txt"):
        (tmp_path / name).write_text(GOOD)
    (spool / "in" / "waits.txt").write_text(GOOD)
    done = program("put", "--spool", spool, *files, tmp_path / bad)
    expected = message.format(bad=tmp_path / bad, a=files[0], inbox=spool / "in")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"spikewatchd: {expected}; none of the 4 files was dropped\n"
    assert content(spool / "in") == {"waits.txt"}
    assert content(spool / "tmp") == set()


def test_many_files_need_few_descriptors(spool: Path, tmp_path: Path) -> None:
    for i in range(300):
        (tmp_path / f"{i}.txt").write_text(GOOD)
    command = 'ulimit -n 100 && exec "$0" -m spikewatch.daemon.cli put --spool "$@"'
    paths = sorted(tmp_path.glob("*.txt"))
    arguments = [sys.executable, str(spool), *map(str, paths)]
    done = subprocess.run(["sh", "-c", command, *arguments], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert content(spool / "in") == {path.name for path in paths}


@pytest.fixture
def at_link(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Return a function that makes something happen just before a name appears in in/."""

    def arrange(name: str, happens: Callable[[], None]) -> None:
        real = durable.link

        def link(source: int, old: str, target: int, new: str) -> None:
            if new == name:
                happens()
            real(source, old, target, new)

        monkeypatch.setattr(durable, "link", link)

    return arrange


def test_files_are_taken_back_when_another_producer_takes_a_name(
    spool: Path, files: list[Path], at_link: Callable[..., None]
) -> None:
    at_link("c.txt", lambda: (spool / "in" / "c.txt").write_text("theirs"))
    with pytest.raises(PutError) as error:
        put_all(spool, [Drop.of(path) for path in files])
    assert str(error.value) == (
        f"{files[2]}: c.txt is already waiting in {spool / 'in'}; rename the file; "
        "none of the 3 files was dropped"
    )
    assert error.value.dropped == ()
    assert content(spool / "in") == {"c.txt"}
    assert (spool / "in" / "c.txt").read_text() == "theirs"
    assert content(spool / "tmp") == set()


def test_files_that_the_daemon_has_claimed_meanwhile_are_listed(
    spool: Path, files: list[Path], at_link: Callable[..., None]
) -> None:
    def claim_and_fail() -> None:
        os.link(spool / "in" / "a.txt", spool / "work" / "a.txt")  # as the daemon claims
        (spool / "in" / "a.txt").unlink()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    at_link("c.txt", claim_and_fail)
    with pytest.raises(PutError) as error:
        put_all(spool, [Drop.of(path) for path in files])
    assert str(error.value) == (
        f"spool {spool}: {files[2]}: No space left on device; the daemon has already claimed a.txt and will answer "
        "that; the other 2 of 3 files were not dropped"
    )
    assert error.value.dropped == ("a.txt",)
    assert content(spool / "in") == set()
    assert content(spool / "work") == {"a.txt"}
    assert content(spool / "tmp") == set()


def test_an_interrupted_list_is_taken_back(
    spool: Path, files: list[Path], at_link: Callable[..., None]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    at_link("b.txt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        put_all(spool, [Drop.of(path) for path in files])
    assert content(spool / "in") == content(spool / "tmp") == set()


def test_markers_come_after_all_files(
    spool: Path, files: list[Path], at_link: Callable[..., None]
) -> None:
    at_link("c.txt", lambda: (spool / "in" / "c.txt").write_text("theirs"))
    with pytest.raises(PutError):
        put_all(spool, [Drop.of(path) for path in files], done_marker=True)
    assert content(spool / "in") == {"c.txt"}
    (spool / "in" / "c.txt").unlink()
    put_all(spool, [Drop.of(path) for path in files[:2]], done_marker=True)
    assert content(spool / "in") == {"a.txt", "a.txt.done", "b.txt", "b.txt.done"}


def test_standard_input_is_dropped_under_a_given_name(spool: Path, files: list[Path]) -> None:
    data = GOOD.encode() * 100_000
    done = put_with_input("--spool", spool, files[0], "-", "--name", "s.txt", data=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a.txt\ns.txt\n", b"")
    assert (spool / "in" / "s.txt").read_bytes() == data
    assert (spool / "in" / "a.txt").read_text() == "a.txt ?\n"


def test_a_single_file_can_get_another_name(spool: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(GOOD)
    done = program("put", "--spool", spool, "--name", "notes.txt", tmp_path / "notes.md")
    assert (done.returncode, done.stdout) == (0, "notes.txt\n")
    assert put(spool, io.BytesIO(b"who ?\n"), name="memory.txt") == "memory.txt"
    assert (spool / "in" / "memory.txt").read_bytes() == b"who ?\n"
    with pytest.raises(PutError, match="has no name: give one"):
        put(spool, io.BytesIO(b"who ?\n"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "standard input, or an open file, has no name: give one (--name questions.txt)"),
        (["-", "-", "--name", "a.txt"], "-: standard input was given 2 times, expected once"),
        (["a.txt", "b.txt", "--name", "c.txt"], "--name c.txt: 2 files, expected one, or - among them"),
        (["-", "--name", "../a.txt"], "../a.txt: expected a file name without folders, of at most 255 bytes"),
        (["-", "--name", "a.exe"], "a.exe: " + WRONG_NAME),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(spool: Path, arguments: list[str], message: str) -> None:
    done = put_with_input("--spool", spool, *arguments, data=GOOD.encode())
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"spikewatchd: {message}\n"
    assert content(spool / "in") == content(spool / "tmp") == set()


def test_a_mistyped_path_does_not_become_a_spool(tmp_path: Path, files: list[Path]) -> None:
    typo = tmp_path / "spoool"
    done = program("put", "--spool", typo, files[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"spikewatchd: spool {typo}: it does not exist; check the path, or create a spool there (put --create)\n"
    )
    checked = program("check", "--spool", typo)
    assert f"ok   folders: {typo}: it does not exist; run creates it" in checked.stdout
    assert not typo.exists()
    half = tmp_path / "half"
    (half / "in").mkdir(parents=True)
    with pytest.raises(PutError, match=r"half: work/ is missing; check the path"):
        put(half, files[0])
    assert (
        f"ok   folders: {half}: work, tmp, out, done, failed missing; run creates it"
        in program("check", "--spool", half).stdout
    )
    assert content(half) == {"in"}
    nowhere = program("check", "--spool", files[0] / "spool")
    assert nowhere.returncode == 1
    assert (
        f"FAIL folders: {files[0] / 'spool'}: it does not exist; run cannot create it: "
        f"{files[0]} is not a writable folder" in nowhere.stdout
    )


def test_create_makes_a_spool_only_for_files_that_can_be_dropped(
    tmp_path: Path, files: list[Path]
) -> None:
    new = tmp_path / "new"
    assert program("put", "--create", "--spool", new, tmp_path / "none.txt").returncode == 2
    assert not new.exists()
    assert program("put", "--create", "--spool", new, *files).returncode == 0
    assert content(new / "in") == {path.name for path in files}
    assert program("put", "--spool", spool_of(new), files[0]).returncode == 2  # it waits already
