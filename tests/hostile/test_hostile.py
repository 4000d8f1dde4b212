"""Each hostile input, dropped beside good ones, costs itself alone, and a restart in the middle changes nothing."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import ANSWERED, GOOD, WAITS, Hostile, corpus
from daemon_support import Daemon, content, spool_of, until

from spikewatch.daemon.spool.names import printable

GOODS = 50
MOST_MB = 200.0
LATEST_S = 10.0
OPTIONS = (
    "--http=127.0.0.1:0", "--empty-grace-s=0.2", "--unknown-suffix-wait-s=0.2", "--scan-s=0.1",
)  # fmt: skip


class Guarded:
    """A daemon that can be killed and started again, with its peak memory and its health."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self._turns = 0
        self._start()

    def _start(self) -> None:
        self.daemon = Daemon(self.spool, None, *OPTIONS).ready()
        self._where = until(self._served, "the address in status.json")

    def _served(self) -> str | None:
        if not (self.spool / "status.json").exists():
            return None
        status = json.loads((self.spool / "status.json").read_bytes())
        return status["http"] if status["pid"] == self.daemon.process.pid else None

    def restart(self) -> None:
        """Kill the daemon and start another one."""
        self.close()
        self._start()

    def close(self) -> None:
        self.daemon.__exit__()

    def healthy(self) -> bool:
        """Return whether `/livez` answers with 200."""
        with urllib.request.urlopen(f"http://{self._where}/livez", timeout=10) as answer:
            return int(answer.status) == 200

    def peak_mb(self) -> float:
        """Return the peak of the resident memory since it was asked for last."""
        folder = Path("/proc") / str(self.daemon.process.pid)
        found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
        (folder / "clear_refs").write_text("5")
        assert found is not None
        return int(found[1]) / 1024

    def drop(self, hostile: Hostile, stack: ExitStack) -> list[str]:
        """Drop an input and then the good files; return the names of these."""
        inbox, hidden = self.spool / "in", self.spool / "tmp" / "put-test"
        if hostile.whole:
            hostile.make(hidden, stack)
            hidden.rename(inbox / hostile.name)
        else:
            hostile.make(inbox / hostile.name, stack)
        self._turns += 1
        goods = [f"good-{self._turns}-{i}.txt" for i in range(GOODS)]
        for name in goods:
            hidden.write_bytes(GOOD)
            hidden.rename(inbox / name)
        return goods

    def answered(self, names: list[str]) -> bool:
        """Return whether all these files are answered."""
        return {f"{name}.summary.json" for name in names} <= content(self.spool / "out")

    def end(self, name: str) -> str | None:
        """Return how an input ended; None: not yet."""
        if os.path.lexists(self.spool / "failed" / name):
            reports = [
                json.loads(p.read_bytes()) for p in (self.spool / "failed").glob("*.error.json")
            ]
            return str(next(r["code"] for r in reports if r["file"] == printable(name)))
        return ANSWERED if (self.spool / "done" / name).exists() else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one hostile input did: how it ended, the good files' time and its own in seconds, and memory."""

    name: str
    end: str
    goods_s: float
    own_s: float
    peak_mb: float


def attack(guarded: Guarded, hostile: Hostile, *, restart: bool) -> Row:
    """Drop an input beside good ones, and check what it costs."""
    with ExitStack() as stack:
        guarded.peak_mb()
        begin = time.monotonic()
        goods = guarded.drop(hostile, stack)
        if restart:
            until(lambda: guarded.answered(goods[:1]), "the first good file", patience_s=60)
            guarded.restart()
        until(
            lambda: guarded.answered(goods),
            f"the good files beside {hostile.name!r}",
            patience_s=60,
        )
        goods_s = time.monotonic() - begin
        assert guarded.healthy()
        if hostile.ends == WAITS:
            assert os.path.lexists(guarded.spool / "in" / hostile.name)
            end = WAITS
        else:
            end = until(
                lambda: guarded.end(hostile.name), f"the end of {hostile.name!r}", patience_s=120
            )
        own_s = time.monotonic() - begin
        assert guarded.daemon.alive
        assert guarded.healthy()
        return Row(
            name=hostile.name, end=end, goods_s=goods_s, own_s=own_s, peak_mb=guarded.peak_mb()
        )


def attack_all(spool: Path, inputs: list[Hostile], *, restart: bool) -> list[Row]:
    """Drop inputs on one daemon, one after another."""
    guarded = Guarded(spool_of(spool))
    try:
        return [attack(guarded, hostile, restart=restart) for hostile in inputs]
    finally:
        guarded.close()


@pytest.mark.parametrize("kind", corpus())
def test_a_hostile_input_costs_itself_alone(tmp_path: Path, kind: str) -> None:
    inputs = corpus()[kind]
    rows = attack_all(tmp_path / "spool", inputs, restart=False)
    assert {r.name: r.end for r in rows} == {h.name: h.ends for h in inputs}
    assert {r.name: r.peak_mb for r in rows if r.peak_mb > MOST_MB} == {}


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("restart", [False, True], ids=["undisturbed", "killed"])
def test_every_hostile_input_beside_good_ones(tmp_path: Path, *, restart: bool) -> None:
    """Print the table of benchmarks/RESULTS.md."""
    inputs = [hostile for group in corpus().values() for hostile in group]
    rows = attack_all(tmp_path / "spool", inputs, restart=restart)
    for row in sorted(rows, key=lambda r: -r.goods_s):
        print(  # noqa: T201 - the figures of the soak
            f"| {printable(row.name)[:40]} | {row.end} | {row.goods_s:.2f} | {row.own_s:.2f} | {row.peak_mb:.0f} |"
        )
    assert {r.name: r.end for r in rows} == {h.name: h.ends for h in inputs}
    assert {r.name: r.peak_mb for r in rows if r.peak_mb > MOST_MB} == {}
    assert {r.name: r.goods_s for r in rows if r.goods_s > LATEST_S} == {}
