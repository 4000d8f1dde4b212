"""Calls on many names do for each name what one call would do, and return a result for each."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest
from daemon_support import content

from spikewatch.daemon.files import _calls, durable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD = os.fsdecode(b"\xff name\n")
"""A name that is not UTF-8."""


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Return descriptors of the folders a and b."""
    fds = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fds.append(os.open(tmp_path / name, durable.FOLDER_FLAGS))
    yield fds[0], fds[1]
    for fd in fds:
        os.close(fd)


def test_looks_say_what_is_there_and_who_writes(tmp_path: Path, folders: tuple[int, int]) -> None:
    a, _ = folders
    (tmp_path / "a" / "closed").write_bytes(b"12345")
    (tmp_path / "a" / "link").symlink_to("closed")
    os.mkfifo(tmp_path / "a" / "pipe")
    with (tmp_path / "a" / ODD).open("wb"):
        names = ["closed", ODD, "link", "pipe", "none"]
        closed, open_, link, pipe, none = _calls.look_all(a, names, leases=True)
    facts = (tmp_path / "a" / "closed").stat()
    assert closed == (0, facts.st_mode, 5, facts.st_mtime_ns, facts.st_ctime_ns, 0, 0)
    assert open_[0] == 0
    assert open_[5:] == (0, errno.EAGAIN)
    assert stat.S_ISLNK(link[1])
    assert stat.S_ISFIFO(pipe[1])
    assert link[5:] == pipe[5:] == (0, 0)  # only regular files are opened
    assert none[0] == errno.ENOENT
    assert durable.missing(a, names) == [False, False, False, False, True]


def test_links_overwrite_nothing_and_follow_nothing(
    tmp_path: Path, folders: tuple[int, int]
) -> None:
    a, b = folders
    (tmp_path / "a" / ODD).write_text("odd")
    (tmp_path / "a" / "one").write_text("one")
    (tmp_path / "a" / "link").symlink_to("one")
    (tmp_path / "b" / "two").write_text("two")
    old, new = [ODD, "one", "link", "none"], [ODD, "two", "link", "none"]
    assert _calls.link_all(a, old, b, new) == [0, errno.EEXIST, 0, errno.ENOENT]
    assert (tmp_path / "b" / ODD).read_text() == "odd"
    assert (tmp_path / "b" / "two").read_text() == "two"
    assert (tmp_path / "b" / "link").is_symlink()
    with pytest.raises(ValueError, match="2 files and 1 names"):
        _calls.link_all(a, ["one", "two"], b, ["one"])
    with pytest.raises(ValueError, match="null"):
        _calls.link_all(a, ["one\0"], b, ["one"])


def test_nameless_files_get_their_names_later(tmp_path: Path, folders: tuple[int, int]) -> None:
    a, _ = folders
    contents = [b"", b"one\0two", b"x" * 100_000]
    fds = _calls.new_files(a, contents)
    if fds == [-errno.EOPNOTSUPP]:
        pytest.skip("this file system has no nameless files")
    assert list((tmp_path / "a").iterdir()) == []
    names = ["empty", ODD, "large"]
    assert _calls.link_open_all(fds, a, names) == [0, 0, 0]
    assert _calls.link_open_all(fds[:1], a, [ODD]) == [errno.EEXIST]
    _calls.close_all(fds)
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    assert [(tmp_path / "a" / name).read_bytes() for name in names] == contents
    assert _calls.new_files(-1, contents) == [-errno.EBADF]
    with pytest.raises(TypeError):
        _calls.new_files(a, ["text"])  # type: ignore[list-item]


def test_only_names_of_one_file_are_removed(tmp_path: Path, folders: tuple[int, int]) -> None:
    a, b = folders
    for name in ("same", "other", "alone"):
        (tmp_path / "a" / name).write_text(name)
    os.link(tmp_path / "a" / "same", tmp_path / "b" / "same")
    (tmp_path / "b" / "other").write_text("another")
    assert _calls.unlink_twins(a, b, ["same", "other", "alone", "none"]) == [0, 0, 0, 0]
    assert content(tmp_path / "a") == {"alone", "other"}
    (tmp_path / "a" / "folder").mkdir()
    assert _calls.unlink_all(a, ["alone", "none", "folder"]) == [0, 0, errno.EISDIR]
    with pytest.raises(IsADirectoryError, match="folder"):
        durable.unlink_all(a, ["other", "folder"])
    assert content(tmp_path / "a") == {"folder"}


def test_only_small_regular_files_are_read(tmp_path: Path, folders: tuple[int, int]) -> None:
    a, _ = folders
    contents = {"empty": b"", ODD: b"one\0two", "just": b"x" * 10, "large": b"x" * 11}
    for name, data in contents.items():
        (tmp_path / "a" / name).write_bytes(data)
    (tmp_path / "a" / "link").symlink_to("just")
    os.mkfifo(tmp_path / "a" / "pipe")
    read = _calls.read_all(a, [*contents, "link", "pipe", "none"], 10)
    assert read == [b"", b"one\0two", b"x" * 10, None, None, None, None]
