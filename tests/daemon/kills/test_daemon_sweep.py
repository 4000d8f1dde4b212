"""Kill a daemon, or make its disk fail, at every file-system call of every kind of request, one after the other."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from daemon_lives import FAULTS, Hook, Nursery, Rest, at_rest, calls_of, copy, unlike
from daemon_scene import GOOD, OTHER
from daemon_support import spool_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = 4
"""At every n-th point, the recovery is killed as well, at a random call up to LATER."""

LATER = 60

FEW, ALL = 4, 512
"""Files of a group: few, so that some are claimed while others are answered, or all, so that calls keep their order."""

SOAK = [pytest.mark.soak, pytest.mark.timeout(1800)]


def calls(
    lives: Nursery,
    scene: Path,
    folder: Path,
    *,
    reads: bool,
    group_files: int = FEW,
    **hook: int,
) -> list[str]:
    """Return the file-system calls of an undisturbed run."""
    trace = folder / "trace"
    with copied(scene, folder) as spool:
        traced = Hook(reads=reads, trace=str(trace), **hook)
        assert lives.live(spool, hook=traced, group_files=group_files) == 0
    return list(calls_of(trace))


@contextmanager
def copied(scene: Path, folder: Path) -> Iterator[Path]:
    """Yield a temporary copy of the scene."""
    spool = copy(scene, folder / "copy")
    yield spool
    shutil.rmtree(spool)


def kill_at(
    n: int,
    scene: Path,
    undisturbed: Rest,
    lives: Nursery,
    memory: Path,
    *,
    group_files: int = FEW,
    **hook: int,
) -> tuple[bool, list[str]]:
    """Kill a daemon at its n-th call, and sometimes the recovery as well.

    Returns whether there was an n-th call (threads and timers make the number vary a little), and what is wrong after
    the next run.
    """
    rng = random.Random(n)
    with copied(scene, memory) as spool:
        code = lives.live(spool, hook=Hook(kill_at=n, **hook), group_files=group_files)
        if n % SECOND == 0:
            lives.live(spool, hook=Hook(kill_at=rng.randint(1, LATER)), group_files=group_files)
        last = lives.live(spool, group_files=group_files)
        wrong = unlike(at_rest(spool), undisturbed)
    if code not in {0, -signal.SIGKILL} or last != 0:
        wrong.append(f"exit codes {code}, {last}: {lives.said()}")
    return code != 0, wrong


def sweep(points: dict[int, str], *where: Any, **hook: int) -> None:
    """Kill a daemon at each of some calls, one run per call."""
    ends = {f"killed at call {n}: {call}": kill_at(n, *where, **hook) for n, call in points.items()}
    assert not [(what, wrong) for what, (_, wrong) in ends.items() if wrong]
    assert sum(killed for killed, _ in ends.values()) > 0.9 * len(points)


def fail_at(
    n: int, fault: int, scene: Path, undisturbed: Rest, lives: Nursery, memory: Path
) -> list[str]:
    """Make some calls fail from the n-th on, as while a disk is full; return what is wrong at the end.

    Before the daemon is ready, or if syncs fail repeatedly, it may also end with one line; the next start continues.
    """
    count = random.Random(n).choice([1, 2, 5])
    with copied(scene, memory) as spool:
        hook = Hook(reads=True, fault_at=n, fault_count=count, fault=fault)
        code, said = lives.live(spool, hook=hook, group_files=FEW), lives.said()
        attempts = {e["attempt"] for e in lives.events("request.done")}
        attempts |= {e["attempts"] for e in lives.events("request.failed")}
        stopped = code == os.EX_TEMPFAIL and said.count("\n") == 1
        good = stopped and lives.live(spool) == 0 if code else attempts == {1}
        wrong = unlike(at_rest(spool), undisturbed)
    if not good:
        wrong.append(f"exit code {code}, attempts {attempts}: {said}")
    return [f"{count} x {errno.errorcode[fault]} at call {n}: {w}" for w in wrong]


def test_an_end_at_any_call_and_another_in_the_recovery_lose_and_double_nothing(
    scene: Path, undisturbed: Rest, lives: Nursery, memory: Path
) -> None:
    made = calls(lives, scene, memory, reads=False)
    assert len(made) > 80, made
    sweep(dict(enumerate(made, 1)), scene, undisturbed, lives, memory)


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=SOAK)])
def test_an_end_in_a_retry_loses_and_doubles_nothing(
    scene: Path, undisturbed: Rest, lives: Nursery, memory: Path, every: int
) -> None:
    """The first sync fails; its inputs are answered again, alone."""
    made = calls(lives, scene, memory, reads=False, group_files=ALL)
    sync = next(n for n, call in enumerate(made, 1) if call == "syncfs /tmp")
    fault = {"fault_at": sync, "fault": errno.EIO}
    made = calls(lives, scene, memory, reads=False, group_files=ALL, **fault)
    assert lives.events("request.retry")
    points = dict(list(enumerate(made, 1))[sync::every])
    sweep(points, scene, undisturbed, lives, memory, group_files=ALL, **fault)


@pytest.fixture(scope="module")
def full(memory: Path, lives: Nursery) -> Path:
    """Create a spool whose inputs may have no further link: good, bad, known and new bytes, and one in work/."""
    spool = spool_of(memory / "full")
    for name in ("full-old.txt", "full-again.txt"):
        (spool / "in" / name).write_bytes(GOOD)
    assert lives.live(spool) == 0
    (spool / "in" / "full-again.txt").write_bytes(GOOD)
    (spool / "in" / "full-old.txt").write_bytes(OTHER)
    (spool / "in" / "full-bad.txt").write_bytes(b"\xff")
    (spool / "work" / "full-claimed.txt").write_bytes(GOOD)
    return spool


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=SOAK)])
def test_an_end_at_any_move_without_links_loses_and_doubles_nothing(
    full: Path, lives: Nursery, memory: Path, every: int
) -> None:
    made = calls(lives, full, memory, reads=False)
    assert sum(call.startswith("rename") for call in made) >= 5, made
    spool = copy(full, memory / f"full-{every}")
    assert lives.live(spool, hook=Hook()) == 0
    expected = at_rest(spool)
    assert len(expected.done) == 4
    assert set(expected.failed) == {"full-bad.txt"}
    sweep(dict(list(enumerate(made, 1))[::every]), full, expected, lives, memory)


@pytest.mark.parametrize(("every", "faults"), [(4, 1), pytest.param(1, len(FAULTS), marks=SOAK)])
def test_a_fault_at_any_call_loses_nothing_and_counts_against_nobody(
    scene: Path, undisturbed: Rest, lives: Nursery, memory: Path, every: int, faults: int
) -> None:
    made = calls(lives, scene, memory, reads=True)
    assert len(made) > 150, made
    wrong = []
    for n in range(1, len(made) + 1, every):
        for i in range(faults):
            fault = FAULTS[(n // every + i) % len(FAULTS)]
            told = fail_at(n, fault, scene, undisturbed, lives, memory)
            wrong += [f"{made[n - 1]}: {line}" for line in told]
    assert not wrong, "\n".join(wrong)
