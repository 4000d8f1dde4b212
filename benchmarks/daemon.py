"""Measure the daemon's speed and memory, from the inbox to the committed result.

`python -m benchmarks.daemon PART ...` runs only some parts: small, large, beside, latency, idle, growth.  The daemon
logs to a file in memory, so that no reader competes with it.  All spools are removed together at the end, because ext4
creates files ten times more slowly for minutes after many were removed (docs/daemon.md, Limits).
"""

from __future__ import annotations

import atexit
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.memory import peak_kib
from benchmarks.tables import machine, print_table
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterable

SMALL_FILES = 10_000
LOOP_FILES = 2_000
TURNS = 5
LARGE_QUESTIONS = 1_000_000
BESIDE_QUESTIONS = 2_000_000
BESIDE_PAUSE_S = 0.1
DROPS = 300
PAUSE_S = 0.02
STARTS = 15
IDLE_S = 10.0
ROUND_FILES = 20_000
ROUNDS = 10
FLOOD_FILES = 100_000
FOLDERS = ("in", "work", "tmp", "out", "done", "failed")
EXAMPLES = Path(__file__).parents[1] / "examples" / "questions"
TREC = Path(__file__).parents[2] / "shared" / "trec" / "train_5500.label"
PROGRAM = Path(sys.executable).with_name("spikewatchd")


def questions(count: int = 10_000) -> tuple[str, list[str]]:
    """Return the name of the source, and `count` questions of it, repeated as needed: TREC's, or else the examples."""
    if TREC.is_file():
        source = "TREC's training questions"
        lines = [line.partition(" ")[2] for line in TREC.read_text("latin-1").splitlines()]
    else:
        source = "the example questions"
        lines = [q for f in sorted(EXAMPLES.glob("*.txt")) for q in f.read_text().splitlines()]
    lines = [line for line in lines if line.strip()]
    return source, [lines[i % len(lines)] for i in range(count)]


class Spool:
    """A new spool in the temporary folder, removed when the program ends."""

    def __init__(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="spikewatch-bench-")
        atexit.register(folder.cleanup)
        self.path = Path(folder.name)
        for name in FOLDERS:
            (self.path / name).mkdir()

    def fill(self, numbers: Iterable[int], texts: list[str]) -> None:
        """Drop files of one question each, and sync them to disk."""
        for number in numbers:
            file = self.path / "in" / f"{number:06}.txt"
            file.write_text(texts[number % len(texts)] + "\n")
        os.sync()


class Daemon:
    """A running `spikewatchd`; `ready_s` is the time from the start of the process to `daemon.ready`."""

    def __init__(self, spool: Path, *flags: str) -> None:
        self._log = os.memfd_create("log")
        self._read = 0
        self._done = 0
        begin = time.monotonic()
        command = [str(PROGRAM), "run", "--spool", str(spool), "--log-format", "json", *flags]
        self._process = subprocess.Popen(command, stdout=self._log)
        while b'"daemon.ready"' not in os.pread(self._log, 1 << 16, 0):
            if self._process.poll() is not None:
                raise RuntimeError(f"spikewatchd ended with {self._process.returncode}")
            time.sleep(0.002)
        self.ready_s = time.monotonic() - begin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._log)

    def wait_for(self, files: int) -> None:
        """Wait until `files` files are answered.

        Raises
        ------
        RuntimeError
            If a file failed, or the daemon ended.
        """
        while self._done < files:
            time.sleep(0.02)
            if self._process.poll() is not None:
                raise RuntimeError(f"spikewatchd ended with {self._process.returncode}")
            data = os.pread(self._log, 1 << 28, self._read)
            data = data[: data.rfind(b"\n") + 1]
            self._read += len(data)
            self._done += data.count(b'"event":"request.done"')
            if b'"event":"request.failed"' in data:
                raise RuntimeError("a file failed")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of one name logged so far."""
        lines = os.pread(self._log, 1 << 30, 0).splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def busy_s(self) -> float:
        """Return the seconds from `daemon.ready` to the last answer, by the log's timestamps."""
        ready, *_ = self.events("daemon.ready")
        last = self.events("request.done")[-1]
        begin, end = (datetime.fromisoformat(e["timestamp"]) for e in (ready, last))
        return (end - begin).total_seconds()

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mb(self) -> float:
        """Peak resident memory so far, in MB."""
        return peak_kib(self._process.pid) * 1024 / 1e6

    @property
    def resident_mb(self) -> float:
        """Current resident memory, in MB."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def plain_loop(spool: Path, classifier: Classifier) -> float:
    """Claim, classify, sync and move one file after the other, as a script would; return files per second."""
    fds = {name: os.open(spool / name, os.O_RDONLY) for name in FOLDERS}
    names = sorted(path.name for path in (spool / "in").iterdir())
    begin = time.perf_counter()
    for name in names:
        work, draft = spool / "work" / name, spool / "tmp" / name
        (spool / "in" / name).rename(work)
        texts = [line for line in work.read_text().split("\n") if line]
        with draft.open("w") as file:
            for text in texts:
                answers = classifier.classify([text])
                (label,) = classifier.names(answers)
                file.write(json.dumps({"text": text, "label": label}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(spool / "out" / name)
        os.fsync(fds["out"])
        work.rename(spool / "done" / name)
        os.fsync(fds["done"])
    seconds = time.perf_counter() - begin
    for fd in fds.values():
        os.close(fd)
    return len(names) / seconds


def small() -> None:
    """Print the rates for small files: medians of rounds in which the variants take turns."""
    _, texts = questions()
    classifier = Classifier.from_files(Registry(bundled()).load("trec:production").files)
    loop = "plain Python loop, two folders and the result synced"
    rates: dict[str, list[float]] = {}
    peaks: dict[str, list[float]] = {}
    for _ in range(TURNS):
        spool = Spool()
        spool.fill(range(LOOP_FILES), texts)
        rates.setdefault(loop, []).append(plain_loop(spool.path, classifier))
        for level in ("strict", "file", "process"):
            spool = Spool()
            spool.fill(range(SMALL_FILES), texts)
            with Daemon(spool.path, "--durability", level) as daemon:
                daemon.wait_for(SMALL_FILES)
                way = f"spikewatchd, {level}"
                rates.setdefault(way, []).append(SMALL_FILES / daemon.busy_s())
                peaks.setdefault(way, []).append(daemon.peak_mb)
    median = {way: statistics.median(found) for way, found in rates.items()}
    print_table(
        f"{SMALL_FILES:,} files of one question, all there before the start; {TURNS} rounds",
        ["way", "files/s, median", "least", "most", "x loop", "peak MB"],
        [
            [
                way,
                *(f"{rate:,.0f}" for rate in (median[way], min(found), max(found))),
                f"{median[way] / median[loop]:.1f}",
                f"{max(peaks[way]):.0f}" if way in peaks else "",
            ]
            for way, found in rates.items()
        ],
    )


def large() -> None:
    """Print the rate for one large file."""
    source, texts = questions(LARGE_QUESTIONS)
    spool = Spool()
    (spool.path / "in" / "large.txt").write_text("\n".join(texts) + "\n")
    os.sync()
    with Daemon(spool.path) as daemon:
        daemon.wait_for(1)
        event, *_ = daemon.events("request.done")
        ms, cpu_s, mb = event["latency_ms"], daemon.cpu_s, daemon.peak_mb
    if event["questions_ok"] != LARGE_QUESTIONS:
        raise RuntimeError(f"{event['questions_ok']} of {LARGE_QUESTIONS} answered")
    seconds = (ms["total"] - ms["wait"]) * 1e-3
    stages = [f"{ms[stage] * 1e-3:.1f}" for stage in ("read", "simulate", "write")]
    print_table(
        f"One file of {LARGE_QUESTIONS:,} questions ({source}), strict",
        [
            "questions/s",
            "s, claim to commit",
            "reading",
            "simulating",
            "writing",
            "CPU s",
            "peak MB",
        ],
        [
            [
                f"{LARGE_QUESTIONS / seconds:,.0f}",
                f"{seconds:.1f}",
                *stages,
                f"{cpu_s:.1f}",
                f"{mb:.0f}",
            ]
        ],
    )


def beside() -> None:
    """Print how small files fare beside a large one, and what they cost it."""
    source, texts = questions(BESIDE_QUESTIONS)
    content = "\n".join(texts) + "\n"

    def claimed(spool: Spool) -> None:
        (spool.path / "tmp" / "put-large.txt").write_text(content)
        os.sync()
        (spool.path / "tmp" / "put-large.txt").rename(spool.path / "in" / "large.txt")
        while not (spool.path / "work" / "large.txt").exists():
            time.sleep(0.001)

    def rate(daemon: Daemon) -> float:
        event = next(e for e in daemon.events("request.done") if e["file"] == "large.txt")
        ms = event["latency_ms"]
        return float(BESIDE_QUESTIONS / ((ms["total"] - ms["wait"]) * 1e-3))

    spool = Spool()
    with Daemon(spool.path) as daemon:
        idle_ms = [drop_ms(spool.path, i, texts[i], BESIDE_PAUSE_S) for i in range(DROPS)]
        claimed(spool)
        daemon.wait_for(DROPS + 1)
        alone = rate(daemon)
    spool, beside_ms = Spool(), []
    with Daemon(spool.path) as daemon:
        claimed(spool)
        while (spool.path / "work" / "large.txt").exists():
            i = len(beside_ms)
            beside_ms.append(drop_ms(spool.path, i, texts[i], BESIDE_PAUSE_S))
        daemon.wait_for(len(beside_ms) + 1)
        together, mb = rate(daemon), daemon.peak_mb
    rows = [
        ["alone", *(f"{ms:.1f}" for ms in tails(idle_ms)), f"{alone:,.0f}", ""],
        ["together", *(f"{ms:.1f}" for ms in tails(beside_ms)), f"{together:,.0f}", f"{mb:.0f}"],
    ]
    print_table(
        f"Small files ({len(beside_ms)}) beside one of {BESIDE_QUESTIONS:,} questions ({source}), strict",
        ["", "small file to its result, ms, p50", "p99", "large file, questions/s", "peak MB"],
        rows,
    )


def latency() -> None:
    """Print the latency of one file at a time, from its rename into in/ to the appearance of its result."""
    _, texts = questions(DROPS)
    rows = []
    for level in ("strict", "file", "process"):
        spool = Spool()
        with Daemon(spool.path, "--durability", level) as daemon:
            seen_ms = [drop_ms(spool.path, i, text) for i, text in enumerate(texts)]
            daemon.wait_for(DROPS)
            own_ms = [e["latency_ms"]["total"] for e in daemon.events("request.done")]
            mb = daemon.peak_mb
        rows.append(
            [level, *(f"{ms:.2f}" for ms in (*tails(seen_ms), *tails(own_ms))), f"{mb:.0f}"]
        )
    print_table(
        f"{DROPS} files of one question, one at a time into an idle daemon",
        [
            "durability",
            "to the result, ms, p50",
            "p99",
            "all durable (log), ms, p50",
            "p99",
            "peak MB",
        ],
        rows,
    )


def drop_ms(spool: Path, number: int, text: str, pause_s: float = PAUSE_S) -> float:
    """Drop a file; return the milliseconds until its result appears."""
    time.sleep(pause_s)
    name = f"{number:06}.txt"
    draft, result = spool / "tmp" / f"put-{name}", str(spool / "out" / f"{name}.jsonl")
    draft.write_text(text + "\n")
    begin = time.perf_counter()
    draft.rename(spool / "in" / name)
    while not os.path.exists(result):  # noqa: PTH110 - faster than pathlib, in a polling loop
        time.sleep(0.0001)
    return (time.perf_counter() - begin) * 1e3


def tails(values: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=100)[98]


def idle() -> None:
    """Print start-up time, CPU share and memory of an idle daemon."""
    ready_s = []
    for _ in range(STARTS):
        with Daemon(Spool().path) as daemon:
            ready_s.append(daemon.ready_s)
    with Daemon(Spool().path) as daemon:
        time.sleep(1.0)
        begin = daemon.cpu_s
        time.sleep(IDLE_S)
        share = (daemon.cpu_s - begin) / IDLE_S
        row = [f"{share:.2%}", f"{daemon.resident_mb:.0f}"]
    starts = statistics.median(ready_s), min(ready_s), max(ready_s)
    print_table(
        f"An empty daemon; {STARTS} starts",
        ["start to ready, s, median", "least", "most", "CPU", "resident MB"],
        [[*(f"{seconds:.2f}" for seconds in starts), *row]],
    )


def growth() -> None:
    """Print the memory of one daemon after each round of files, and after a flood of files."""
    _, texts = questions()
    rows, done = [], 0
    spool = Spool()
    with Daemon(spool.path, "--durability", "process") as daemon:
        for files in (*[ROUND_FILES] * ROUNDS, FLOOD_FILES):
            spool.fill(range(done, done + files), texts)
            while any((spool.path / "in").iterdir()) or any((spool.path / "work").iterdir()):
                time.sleep(0.1)
            done += files
            mb = f"{daemon.resident_mb:.1f}", f"{daemon.peak_mb:.1f}"
            rows.append([f"{files:,}", f"{done:,}", *mb])
    print_table(
        "Memory of one daemon, files dropped as fast as they can be",
        ["files dropped", "files answered", "resident MB", "peak MB"],
        rows,
    )


PARTS = {each.__name__: each for each in (small, large, beside, latency, idle, growth)}


def main(*parts: str) -> None:
    """Print the tables."""
    for part in parts or PARTS:
        PARTS[part]()
        sys.stdout.flush()


if __name__ == "__main__":
    print(f"Measured on {machine()}.")
    main(*sys.argv[1:])
