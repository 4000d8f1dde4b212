"""Kill a writer, or fill its disk, at every point of its work, and check what is left.

Killing a process says nothing about a power failure, because data that the kernel has not yet written survives. For
that case, a test checks the order of the calls: write, fsync, rename or link, fsync of the directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from registry_support import FAILED, fork, model_files, publish, snapshot, wait
from scenarios import fault_lock, fault_none, kill_publishers

from spikewatch.registry import Conflict, Corrupt, Registry, StorageError

CALLS = ("open", "write", "fsync", "link", "rename", "replace", "mkdir", "unlink", "utime")
DIED = 42

Hook = Callable[[str, tuple[Any, ...], Callable[..., Any]], Any]


@contextmanager
def calls_to(hook: Hook) -> Iterator[None]:
    """Pass every call that changes the disk to the hook instead of the operating system."""
    real = {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real[name](*args, **kwargs)
            return hook(name, args, lambda *new: real[name](*(new or args), **kwargs))

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrap(name))
        yield
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def dying_at(number: int, *, half: bool) -> Hook:
    """Return a hook that ends the process before the n-th call, or in the middle of the n-th write."""
    seen = 0

    def hook(name: str, args: tuple[Any, ...], call: Callable[..., Any]) -> Any:
        nonlocal seen
        seen += not half or name == "write"
        if seen == number:
            if half:
                call(args[0], args[1][: len(args[1]) // 2])
            os._exit(DIED)
        return call()

    return hook


def release(root: Path) -> None:
    """Publish a version and move production to it: the work to interrupt."""
    publish(Registry(root), "1.1.0", "production")


def prepare(root: Path, *, fresh: bool) -> None:
    registry = Registry.init(root)
    if not fresh:
        publish(registry, "1.0.0", "production")


@pytest.mark.parametrize("half", [False, True], ids=["before", "half-written"])
@pytest.mark.parametrize("fresh", [True, False], ids=["first", "second"])
def test_a_crash_at_any_call_leaves_a_clean_store(memory: Path, fresh: bool, half: bool) -> None:
    prepare(memory / "start", fresh=fresh)
    old = {} if fresh else {"1.0.0": "1.0.0", "production": "1.0.0"}
    outcomes = []
    for number in range(1, 1000):
        root = memory / str(number)
        shutil.copytree(memory / "start", root)

        def die(root: Path = root, number: int = number) -> None:
            with calls_to(dying_at(number, half=half)):
                release(root)

        code = wait(fork(die))
        assert code in {0, DIED}
        registry = Registry(root)
        report = registry.verify()
        assert report.ok, (number, report.problems)
        tags = {entry.tag: str(entry.version) for entry in registry.list()}
        assert tags in (
            old,
            old | {"1.1.0": "1.1.0"},
            {**old, "1.1.0": "1.1.0", "production": "1.1.0"},
        )
        for tag, version in tags.items():
            assert registry.load(f"trec:{tag}").files == model_files(version)
        outcomes.append(tags)
        release(root)  # repeating the interrupted work succeeds
        publish(registry, "1.2.0")
        report = registry.verify()
        assert report.ok
        assert not any("behind" in note for note in report.notes)
        assert registry.resolve("trec:production").version == "1.1.0"
        if code == 0:
            break
        shutil.rmtree(root)
    # All three states were seen, in order: nothing, the version, the version with the alias.
    assert number > (7 if half else 30)
    sizes = [len(tags) for tags in outcomes]
    assert sizes == sorted(sizes)
    assert len(set(map(str, outcomes))) == 3


def fails(hook: Hook, root: Path, text: str) -> bool:
    """Return whether `release` fails under the hook; check that the error is one line with the given text."""
    try:
        with calls_to(hook):
            release(root)
    except StorageError as e:
        assert text in str(e)
        assert "\n" not in str(e)
        return True
    return False


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_at_any_call_changes_nothing_and_leaves_nothing(
    memory: Path, error: int
) -> None:
    prepare(memory / "start", fresh=False)
    refused = 0
    for number in range(1, 1000):
        root = memory / str(number)
        shutil.copytree(memory / "start", root)
        before = snapshot(root)
        seen = 0

        fired = False

        def fail(
            name: str, args: tuple[Any, ...], call: Callable[..., Any], number: int = number
        ) -> Any:
            nonlocal seen, fired
            seen += name not in {"unlink", "utime"}  # these need no space
            if seen == number and not fired:
                fired = True
                if name == "write":
                    call(args[0], args[1][: len(args[1]) // 2])
                raise OSError(error, os.strerror(error))
            return call()

        if not fails(fail, root, os.strerror(error)):
            assert not fired
            break
        refused += 1
        report = Registry(root).verify()
        assert report.ok
        assert not list((root / "trec" / ".ingest").iterdir())
        after = snapshot(root)
        assert {name for name in before if after[name] != before[name]} <= {"trec/index.json"}
        release(root)
        assert Registry(root).resolve("trec:production").version == "1.1.0"
        shutil.rmtree(root)
    assert refused > 30


def test_short_writes_are_continued(registry: Registry) -> None:
    def dribble(name: str, args: tuple[Any, ...], call: Callable[..., Any]) -> Any:
        return call(args[0], args[1][:7]) if name == "write" else call()

    with calls_to(dribble):
        publish(registry, "1.0.0", "production")
    assert registry.verify().ok
    assert registry.load("trec:production").files == model_files("1.0.0")


def test_everything_is_durable_before_what_depends_on_it(registry: Registry) -> None:
    """Record the calls: no file is named before its fsync, nothing is committed before its blobs are synced."""
    publish(registry, "1.0.0")
    events: list[tuple[str, str]] = []

    def place(path: Any) -> str:
        return str(path).removeprefix(f"{registry.root}/trec").lstrip("/") or "."

    def follow(name: str, args: tuple[Any, ...], call: Callable[..., Any]) -> Any:
        if name in {"write", "fsync"}:
            events.append((name, place(Path(f"/proc/self/fd/{args[0]}").readlink())))
        elif name in {"link", "rename", "replace"}:
            events.append((name, f"{place(args[0])} {place(args[1])}"))
        return call()

    with calls_to(follow):
        publish(registry, "1.1.0")

    def after(start: int, event: tuple[str, str]) -> int:
        return events.index(event, start)

    commits = [i for i, (name, _) in enumerate(events) if name == "link"]
    assert len(commits) == 1
    swap = next(j for j, e in enumerate(events) if e[1].endswith(" index.json"))
    for i, (name, what) in enumerate(events):
        if name in {"replace", "link"}:
            source, target = what.split()
            assert events[:i].index(("fsync", source)) > events[:i].index(("write", source))
            # The index needs no directory fsync: with the journal, an older index is enough.
            if target != "index.json":
                synced = after(i, ("fsync", target.rpartition("/")[0]))
                assert synced < (swap if name == "link" else commits[0])
    assert next(e for e in reversed(events) if e[0] != "unlink")[1].endswith(" index.json")


@pytest.mark.parametrize("fault", [fault_none, fault_lock])
def test_killed_publishers_lose_nothing_that_was_acknowledged(
    memory: Path, fault: Callable[[], None]
) -> None:
    """Kill processes that publish and move an alias, at random moments."""
    assert kill_publishers(memory, Registry.init(memory / "models"), fault, turns=6) >= 24


def test_the_lock_of_a_killed_writer_is_released(registry: Registry) -> None:
    publish(registry, "1.0.0")

    def hold() -> None:
        lock = os.open(registry.root / "trec" / ".journal" / "lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGKILL)

    assert wait(fork(hold)) == -signal.SIGKILL
    pin = publish(registry, "1.1.0")  # would wait for the lock until the test's timeout
    assert registry.resolve("trec:1.1.0") == pin


def test_a_conflict_found_under_the_lock_changes_nothing(registry: Registry) -> None:
    """Let another process publish the version between the first check and the lock."""
    others = Registry(registry.root)

    def late(*_: object) -> None:
        patch.undo()
        others.publish("trec", "1.0.0", model_files("theirs"), created=None)

    publish(registry, "0.9.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        with pytest.raises(Conflict):
            publish(registry, "1.0.0")
    assert registry.load("trec:1.0.0").files == model_files("theirs")
    assert registry.verify().ok


def test_publishing_works_on_a_file_system_without_locks(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    publish(registry, "1.0.0", "production")
    assert registry.verify().ok


def test_a_link_that_succeeded_but_reports_an_error_is_a_success(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imitate NFS: it repeats a request whose reply was lost, and reports the failure of the repetition."""
    real = os.link

    def twice(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        real(*args, **kwargs)

    monkeypatch.setattr(os, "link", twice)
    pin = publish(registry, "1.0.0")
    assert registry.resolve("trec:1.0.0") == pin
    assert len(list((registry.root / "trec" / ".journal").glob("*.json"))) == 1


def test_writers_refuse_to_skip_an_unreadable_journal_entry(registry: Registry) -> None:
    publish(registry, "1.0.0")
    blocked = registry.root / "trec" / ".journal" / "00000002.json"
    blocked.symlink_to("/nowhere")
    before = snapshot(registry.root / "trec" / "blobs")
    with pytest.raises(Corrupt, match=r"00000002\.json: is a symbolic link, not a regular file$"):
        publish(registry, "1.1.0")
    assert snapshot(registry.root / "trec" / "blobs") == before


def test_a_failing_child_process_is_noticed() -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    assert wait(fork(fail)) == FAILED
