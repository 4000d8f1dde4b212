"""Archives are read as `tarfile` reads them, but within limits; a killed import is cleaned up by the next change."""

from __future__ import annotations

import io
import os
import shutil
import signal
import tarfile
from typing import TYPE_CHECKING

import pytest
from foreign_layout import GOOD, good_files, put
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_support import CREATED, Run, fork, publish, wait

from spikewatch.registry import Registry
from spikewatch.registry.exchange import admit
from spikewatch.registry.exchange.tar_reader import TarError, TarReader

if TYPE_CHECKING:
    from pathlib import Path

MEBI = 2**20
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(form: int, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            put(archive, name, data, mtime=0.5)  # half a second: pax then has an extended header
    return buffer.getvalue()


def contents(data: bytes) -> dict[str, bytes]:
    reader = TarReader(io.BytesIO(data).read)
    return {member.name: b"".join(reader.content()) for member in reader}


names = st.lists(st.text("abcXYZ0189._-ä", min_size=1, max_size=60), min_size=1, max_size=6).map(
    "/".join
)


@settings(max_examples=60)
@given(
    members=st.dictionaries(names, st.binary(max_size=1500), max_size=6),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_tarfile_writes_is_read_alike(members: dict[str, bytes], form: int) -> None:
    data = packed(form, members)
    assert contents(data) == members
    for end in range(512, len(data) - 1024, 700):
        try:
            found = contents(data[:end])
        except TarError:
            continue
        assert list(found.items()) == list(members.items())[: len(found)]


def test_a_name_in_two_parts_is_joined() -> None:
    """As ustar stores a name of more than 100 bytes."""
    name = f"{'a' * 90}/{'b' * 90}"
    assert contents(packed(tarfile.USTAR_FORMAT, {name: b"x"})) == {name: b"x"}


@pytest.mark.parametrize("form", FORMATS)
def test_a_layout_in_each_form_of_tar_is_imported(
    edge: Registry, tmp_path: Path, form: str
) -> None:
    (tmp_path / "a.tar").write_bytes(packed(FORMATS[form], GOOD().parts()))
    (pin,) = edge.import_(tmp_path / "a.tar")
    assert edge.load(str(pin)).files == good_files("1.0.0")


def extended(kind: bytes, content: bytes) -> bytes:
    """Return an extended header."""
    member = tarfile.TarInfo("PaxHeaders/x")
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def comment(size: int) -> bytes:
    """Return a record of an extended header that says nothing, of a number of bytes."""
    start = f"{size} comment=".encode()
    return start + b"c" * (size - len(start) - 1) + b"\n"


def test_an_extended_header_of_up_to_a_mebibyte_is_read(edge: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(extended(b"x", comment(MEBI)) + GOOD().tar())
    edge.import_(tmp_path / "a.tar")


REFUSED = {
    "pax header over the limit": (
        extended(b"x", comment(MEBI + 1)),
        "an extended header of 1048577 bytes, more than the limit of 1048576",
    ),
    "global header over the limit": (
        extended(b"g", comment(MEBI + 1)),
        "an extended header of 1048577 bytes, more than the limit of 1048576",
    ),
    "long name over the limit": (
        extended(b"L", b"n" * (MEBI + 1)),
        "an extended header of 1048577 bytes, more than the limit of 1048576",
    ),
    "long link over the limit": (
        extended(b"K", b"n" * (MEBI + 1)),
        "an extended header of 1048577 bytes, more than the limit of 1048576",
    ),
    "many pax headers": (
        extended(b"x", comment(30)) * 17,
        "more than 16 extended headers before one member",
    ),
    "name of all members": (
        extended(b"g", b"15 path=abcdef\n"),
        "a header sets 'path' of all members",
    ),
    "record of no length": (extended(b"x", b"0 a=b\n"), "an extended header is damaged"),
    "record that is too long": (extended(b"x", b"99 a=b\n"), "an extended header is damaged"),
    "record without a value": (extended(b"x", b"4 a\n"), "an extended header is damaged"),
    "size that is none": (extended(b"x", b"10 size=-\n"), "has the size '-'"),
    "sparse in pax": (
        extended(b"x", b"22 GNU.sparse.major=1\n"),
        "is not a regular file of a layout",
    ),
    "another kind of member": (extended(b"V", b""), "is not a regular file of a layout"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_header_beyond_the_limits_is_refused_in_one_line(
    run: Run, registry: Registry, tmp_path: Path, case: str
) -> None:
    start, text = REFUSED[case]
    (tmp_path / "a.tar").write_bytes(start + GOOD().tar())
    result = run("import", str(tmp_path / "a.tar"))
    assert result.code == 2
    assert text in result.err
    assert result.err.count("\n") == 1
    assert list(registry.root.iterdir()) == []


def test_a_pipe_is_refused_and_not_waited_for(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    assert run("import", str(tmp_path / "a.tar")) == (
        2,
        "",
        f"spikewatch-registry: {tmp_path}/a.tar: a named pipe, expected a file\n",
    )


def killed_import(edge: Registry, archive: Path, *, where: str) -> None:
    """Kill a process that imports an archive, before one of its steps."""

    def work() -> None:
        def die(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        if where == "verified":
            setattr(admit, "_check_fits", die)  # noqa: B010 - a child of its own
        elif where == "staged":
            os.replace = die  # type: ignore[assignment]
        edge.import_(archive)

    assert wait(fork(work)) == -signal.SIGKILL


@pytest.mark.parametrize("where", ["verified", "staged"])
def test_the_next_change_removes_what_a_killed_import_left(
    registry: Registry, edge: Registry, tmp_path: Path, where: str
) -> None:
    pin = registry.publish("trec", "1.0.0", good_files("1.0.0"), created=CREATED)
    registry.export("trec", tmp_path / "a.tar")
    publish(edge, "0.9.0")
    killed_import(edge, tmp_path / "a.tar", where=where)
    assert list(edge.root.glob(".quarantine/*"))
    assert bool(list(edge.root.glob("trec/.ingest/*"))) == (where == "staged")
    edge.set_alias("trec", "production", "0.9.0")  # another change, which has nothing to do with it
    assert [path.name for path in edge.root.iterdir()] == ["trec"]
    assert not list(edge.root.glob("trec/.ingest/*"))
    assert edge.verify().notes == ()
    assert edge.import_(tmp_path / "a.tar") == [pin]


def test_a_change_leaves_alone_what_a_living_import_is_unpacking(
    registry: Registry, edge: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = registry.publish("trec", "1.0.0", good_files("1.0.0"), created=CREATED)
    registry.export("trec", tmp_path / "a.tar")
    real = admit._check_fits

    def late(*args: object) -> None:
        publish(Registry(edge.root), "0.9.0", name="other")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(admit, "_check_fits", late)
    assert edge.import_(tmp_path / "a.tar") == [pin]
    assert edge.load(str(pin)).files == registry.load(str(pin)).files


def test_what_another_machine_is_unpacking_is_left_to_its_grace(registry: Registry) -> None:
    """A network file system may not pass its locks on."""
    theirs = registry.root / ".quarantine" / "0123"
    theirs.mkdir(parents=True)
    publish(registry, "1.0.0")
    assert theirs.exists()
    shutil.rmtree(theirs)
