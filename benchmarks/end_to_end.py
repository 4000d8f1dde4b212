"""One file of 10,000 questions through the daemon, from the inbox to the committed result."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.tables import show
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import Classifier

QUESTIONS = 10_000
ROUNDS = 5
EXAMPLES = Path(__file__).parents[1] / "examples" / "questions"
TREC = Path(__file__).parents[2] / "shared" / "trec" / "train_5500.label"
PROGRAM = Path(sys.executable).with_name("spikewatchd")


def questions() -> tuple[str, list[str]]:
    """Take TREC's questions where they are, else the examples, over and over."""
    if TREC.is_file():
        source = "TREC's training questions"
        lines = [line.partition(" ")[2] for line in TREC.read_text("latin-1").splitlines()]
    else:
        source = "the example questions"
        lines = [q for f in sorted(EXAMPLES.glob("*.txt")) for q in f.read_text().splitlines()]
    lines = [line for line in lines if line.strip()]
    return source, [lines[i % len(lines)] for i in range(QUESTIONS)]


def through_the_daemon(texts: list[str]) -> float:
    """Answer one file; return questions per second by the log's total, from claim to commit."""
    with tempfile.TemporaryDirectory() as folder:
        spool, file = Path(folder) / "spool", Path(folder) / "many.txt"
        file.write_text("\n".join(texts) + "\n")
        subprocess.run([PROGRAM, "put", "--spool", spool, file], check=True, capture_output=True)
        run = subprocess.run(
            [PROGRAM, "run", "--spool", spool, "--once"], check=True, capture_output=True
        )
        events = [json.loads(line) for line in run.stdout.splitlines()]
        done = next(e for e in events if e["event"] == "request.done")
        assert done["questions_ok"] == len(texts)
        latency = done["latency_ms"]
        return len(texts) / (latency["total"] - latency["wait"]) * 1000


def classifier_alone(classifier: Classifier, texts: list[str]) -> float:
    """Answer the same texts in this process, one thread for the simulation; questions per second."""
    begin = time.perf_counter()
    for i in range(0, len(texts), 512):
        classifier.classify(texts[i : i + 512])
    return len(texts) / (time.perf_counter() - begin)


def main() -> None:
    """Print the table."""
    source, texts = questions()
    model = Registry(bundled()).load("trec:production")
    classifier = Classifier.from_files(model.files)
    alone, whole = [], []
    for _ in range(ROUNDS):
        alone.append(classifier_alone(classifier, texts))
        whole.append(through_the_daemon(texts))
    rows = [
        ["classifier in one process", f"{statistics.median(alone):,.0f}", f"{max(alone):,.0f}"],
        [
            "file through spikewatchd, committed",
            f"{statistics.median(whole):,.0f}",
            f"{max(whole):,.0f}",
        ],
    ]
    show(
        f"{QUESTIONS:,} questions in one file ({source})",
        ["way", "questions/s, median", "best"],
        rows,
    )
