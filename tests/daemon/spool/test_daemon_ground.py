"""What a spool requires: other file systems, folders and files are refused in one line, or used with fewer features."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from daemon_lives import Hook, Nursery
from daemon_support import MODEL, Daemon, content, program, records

from spikewatch.daemon.files import mounts
from spikewatch.daemon.files.mounts import Mount, mount_of

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "Who wrote Hamlet ?\n"
NOBODY = 65534


def refusal(spool: Path, lives: Nursery, **options: object) -> str:
    """Start a daemon that must end with one line and exit code 2; return the line."""
    assert lives.live(spool, **options) == 2, lives.said()
    (line,) = lives.said().splitlines()
    return line


@pytest.mark.parametrize("folder", ["in", "work", "tmp", "out", "done", "failed"])
def test_a_folder_that_is_a_symbolic_link_is_refused(
    spool: Path, lives: Nursery, tmp_path: Path, folder: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (spool / folder).rename(elsewhere)
    (spool / folder).symlink_to(elsewhere)
    assert refusal(spool, lives) == (
        f"spikewatchd: spool {spool}: {folder} is a symbolic link; expected a folder or file of its own"
    )
    assert content(elsewhere) == set()


def test_a_lock_that_is_a_symbolic_link_is_refused_and_its_target_stays(
    spool: Path, lives: Nursery, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (spool / "lock").symlink_to(precious)
    assert "lock is a symbolic link" in refusal(spool, lives)
    assert precious.read_text() == "mine"


def test_the_spool_itself_may_be_reached_by_a_symbolic_link(
    spool: Path, lives: Nursery, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(spool)
    (spool / "in" / "a.txt").write_text(GOOD)
    assert lives.live(tmp_path / "link") == 0
    assert content(spool / "done") == {"a.txt"}


def test_new_folders_are_closed_to_others(lives: Nursery, tmp_path: Path) -> None:
    assert lives.live(tmp_path / "new") == 0
    folders = [tmp_path / "new", *(p for p in (tmp_path / "new").iterdir() if p.is_dir())]
    assert len(folders) == 7
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o750}


def test_only_the_inbox_may_be_writable_by_everybody(spool: Path, lives: Nursery) -> None:
    (spool / "in").chmod(0o1777)
    assert lives.live(spool) == 0
    (spool / "out").chmod(0o777)
    assert refusal(spool, lives) == (
        f"spikewatchd: spool {spool}: out/ is world-writable (mode 0777); run chmod o-w out"
    )
    (spool / "out").chmod(0o750)
    spool.chmod(0o777)
    assert refusal(spool, lives) == (
        f"spikewatchd: spool {spool}: ./ is world-writable (mode 0777); run chmod o-w ."
    )


def test_a_file_system_without_hard_links_is_refused(spool: Path, lives: Nursery) -> None:
    """On vfat, `link` fails with EPERM; here the hook makes it fail."""
    trace = spool.parent / "trace"
    assert lives.live(spool, hook=Hook(trace=str(trace))) == 0
    calls = [line.split()[1] for line in trace.read_text().splitlines()]
    hook = Hook(fault_at=1 + calls.index("linkat"), fault=errno.EPERM)
    assert refusal(spool, lives, hook=hook).endswith("has no hard links; use another file system")


@pytest.mark.parametrize(
    ("kind", "network"),
    [("nfs4", True), ("cifs", True), ("9p", True), ("fuse.sshfs", True), ("fuse", True),
     ("ext4", False), ("tmpfs", False), ("fuseblk", False), ("overlay", False), ("unknown", False)],
)  # fmt: skip
def test_network_file_systems_are_told_by_their_kind(kind: str, network: bool) -> None:
    assert Mount(number=1, kind=kind).network is network


def test_the_kind_of_a_mount_is_what_the_kernel_says(tmp_path: Path, memory: Path) -> None:
    for path in (tmp_path, memory):
        kind = subprocess.run(
            ["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True
        ).stdout.strip()
        fd = os.open(path, os.O_RDONLY)
        assert mount_of(fd).kind in {kind, *kind.split("/"), "ext4" if "ext" in kind else ""}
        os.close(fd)


def test_a_network_file_system_is_refused_or_worked_on_by_scanning(
    spool: Path, registry: Path
) -> None:
    """The test declares the local disk a network file system by extending the table of kinds."""
    fd = os.open(spool, os.O_RDONLY)
    kind = mount_of(fd).kind
    os.close(fd)
    script = (
        "import sys; from spikewatch.daemon import cli; from spikewatch.daemon.files import mounts\n"
        f"mounts.NETWORK = mounts.NETWORK | {{{kind!r}}}\n"
        "cli.main()"
    )
    command = [sys.executable, "-c", script, "run", "--once", "--spool", str(spool)]
    command += ["--registry", str(registry), "--model", MODEL]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"spikewatchd: spool {spool}: it is on {kind}, which may lack file events, leases and syncs; "
        "use a local disk, or --network-fs to scan it\n",
    )
    assert kind not in mounts.NETWORK
    (spool / "in" / "a.txt").write_text(GOOD)
    taken = subprocess.run([*command, "--network-fs"], capture_output=True, check=False)
    assert taken.returncode == 0
    assert content(spool / "done") == {"a.txt"}


def test_without_events_and_leases_files_are_found_and_must_settle(
    spool: Path, lives: Nursery
) -> None:
    lives.start(spool, network_fs=True, scan_s=0.05, settle_s=0.3)
    lives.wait_for("daemon.ready")
    path = spool / "in" / "slow.txt"
    for line in range(20):  # it grows: it never stays unchanged for long enough
        with path.open("a") as writer:
            writer.write(f"{GOOD}")
        assert not lives.events("request.done"), line
    lives.wait_for("request.done", file="slow.txt", questions=20)


def test_with_markers_only_marked_files_are_claimed_and_the_markers_go_with_them(
    spool: Path, lives: Nursery
) -> None:
    inbox = spool / "in"
    for name in ("early.txt", "unmarked.txt"):
        (inbox / name).write_text(GOOD)
    (inbox / "early.txt.done").touch()
    (inbox / "orphan.txt.done").touch()
    lives.start(spool, done_marker=True)
    lives.wait_for("request.done", file="early.txt")
    with (inbox / "late.txt").open("w") as writer:
        writer.write(GOOD)
        writer.flush()
    (inbox / "late.txt.done").touch()
    lives.wait_for("request.done", file="late.txt")
    assert content(inbox) == {"unmarked.txt", "orphan.txt.done"}
    (inbox / "empty.txt").touch()
    (inbox / "empty.txt.done").touch()
    assert lives.wait_for("request.failed", file="empty.txt")["code"] == "empty"
    put = spool.parent / "put.txt"
    put.write_text(GOOD)
    done = program("put", "--spool", spool, "--done-marker", put)
    assert done.returncode == 0
    lives.wait_for("request.done", file="put.txt")
    assert content(spool / "work") == set()


def test_an_end_between_marker_and_input_is_made_good(spool: Path, lives: Nursery) -> None:
    """A marker that stayed would declare the next file of that name complete."""
    (spool / "in" / "a.txt").write_text(GOOD)
    (spool / "in" / "a.txt.done").touch()
    os.link(spool / "in" / "a.txt", spool / "work" / "a.txt")
    assert lives.live(spool, done_marker=True) == 0
    assert content(spool / "in") == content(spool / "work") == set()
    assert content(spool / "done") == {"a.txt"}


WRITER = (
    "import mmap, os, sys\n"
    "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
    "os.truncate(fd, 19)\n"
    "view = mmap.mmap(fd, 19)\n"
    "os.close(fd)\n"
    "print(flush=True)\n"
    "sys.stdin.readline()\n"
    "view[:] = b'Who wrote Hamlet ?\\n'\n"
)


def test_a_file_that_is_only_mapped_is_still_being_written(spool: Path, lives: Nursery) -> None:
    """The producer's descriptor is closed, but the kernel still knows the writer."""
    command = [sys.executable, "-c", WRITER, str(spool / "in" / "mapped.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        lives.start(spool, scan_s=0.05)
        (spool / "in" / "other.txt").write_text(GOOD)
        lives.wait_for("request.done", file="other.txt")
        assert "mapped.txt" in content(spool / "in")
        writer.communicate(b"\n")
    lives.wait_for("request.done", file="mapped.txt")
    assert records(spool / "out" / "mapped.txt.jsonl")[0]["text"] == GOOD.strip()


def test_a_link_to_a_file_that_is_written_elsewhere_waits(
    spool: Path, lives: Nursery, tmp_path: Path
) -> None:
    lives.start(spool, scan_s=0.05)
    lives.wait_for("daemon.ready")
    with (tmp_path / "log.txt").open("w") as writer:
        writer.write(GOOD)
        writer.flush()
        os.link(tmp_path / "log.txt", spool / "in" / "linked.txt")
        (spool / "in" / "other.txt").write_text(GOOD)
        lives.wait_for("request.done", file="other.txt")
        assert "linked.txt" in content(spool / "in")
    lives.wait_for("request.done", file="linked.txt")


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="files of others need root and setpriv"
)
def test_files_of_others_are_claimed_and_unreadable_ones_put_aside(
    spool: Path, registry: Path, tmp_path: Path
) -> None:
    """Without leases and, if the kernel protects hard links, by a rename instead of a link."""
    for name, mode in (("theirs.txt", 0o644), ("secret.txt", 0o600)):
        path = spool / "in" / name
        path.write_text(GOOD)
        path.chmod(mode)
        shutil.chown(path, NOBODY, NOBODY)
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    with Nursery(registry, tmp_path / "powerless.log", prefix=powerless) as lives:
        pid = lives.start(spool, settle_s=0.05)
        lives.wait_for("request.done", file="theirs.txt")
        assert lives.wait_for("request.failed", file="secret.txt")["code"] == "unreadable"
        os.kill(pid, signal.SIGTERM)
        assert lives.exit_code() == 0
    assert content(spool / "in") == content(spool / "work") == set()
    assert content(spool / "done") == {"theirs.txt"}


def test_a_spool_that_is_replaced_ends_the_daemon_for_another_start(
    spool: Path, registry: Path
) -> None:
    with Daemon(spool, registry, "--scan-s", "0.05").ready() as daemon:
        spool.rename(spool.with_name("old"))
        daemon.log = spool.with_name("old") / "test.log"
        daemon.wait_for("watch.failed")
        assert daemon.alive
        for folder in ("work", "in", "tmp", "out", "done", "failed"):
            (spool / folder).mkdir(parents=True)
        code, said = daemon.end()
        assert (code, said) == (
            os.EX_TEMPFAIL,
            f"spikewatchd: spool {spool}: another spool has taken its place; start again\n",
        )
