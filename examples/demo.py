"""Answer the example questions with a running daemon; `make demo` runs this.

The demo starts `spikewatchd run` with the bundled model on a new spool, adds the files of `examples/questions/` with
`spikewatchd put`, waits for the results, and shows answers, one line of the log and the power figures.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).parent / "questions"
PROGRAM = Path(sys.executable).with_name("spikewatchd")
DEADLINE_S = 60
SHOWN = 4  # answers printed per file


def main() -> int:
    """Run the demo; return exit code 1 if a question was not answered or the daemon failed."""
    with tempfile.TemporaryDirectory(prefix="spikewatch-demo-") as folder:
        spool = Path(folder) / "spool"
        log_file = Path(folder) / "log.jsonl"
        show(f"$ spikewatchd run --spool {spool} > log.jsonl &")
        with log_file.open("wb") as log:
            daemon = subprocess.Popen([PROGRAM, "run", "--spool", spool], stdout=log)
        try:
            wait_for(daemon, lambda: events(log_file, "daemon.ready"))
            files = sorted(QUESTIONS.glob("*.txt"))
            show(f"$ spikewatchd put --spool {spool} examples/questions/*.txt")
            subprocess.run([PROGRAM, "put", "--spool", spool, *files], check=True)
            wait_for(daemon, lambda: len(events(log_file, "request.done")) == len(files))
        finally:
            daemon.terminate()
            code = daemon.wait(timeout=DEADLINE_S)
        answers = {f.name: read_lines(spool / "out" / f"{f.name}.jsonl") for f in files}
        show_answers(answers)
        show_log(events(log_file, "request.done"))
        show(f"\nSIGTERM: the daemon finished its work and ended with exit code {code}.")
        unanswered = [a for rows in answers.values() for a in rows if a["status"] != "ok"]
        return 1 if code or unanswered else 0


def wait_for(daemon: subprocess.Popen[bytes], condition: Any) -> None:
    """Poll until the condition holds.

    Raises
    ------
    SystemExit
        If the daemon has ended, or after DEADLINE_S seconds.
    """
    until = time.monotonic() + DEADLINE_S
    while not condition():
        if daemon.poll() is not None or time.monotonic() > until:
            raise SystemExit(
                f"demo: the daemon did not finish within {DEADLINE_S} s, or it ended (exit code {daemon.poll()})"
            )
        time.sleep(0.02)


def events(log: Path, name: str) -> list[dict[str, Any]]:
    """Return all events of one name in the log, ignoring a last line that is still being written."""
    lines = log.read_bytes().split(b"\n")[:-1]
    return [event for event in map(json.loads, lines) if event["event"] == name]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def show_answers(answers: dict[str, list[dict[str, Any]]]) -> None:
    """Print some answers of each file, and how many of all agree with the labels of the examples."""
    with (QUESTIONS / "labelled.tsv").open(newline="") as file:
        truth = {
            text: label for label, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    for name, rows in answers.items():
        show(f"\nout/{name}.jsonl")
        for row in rows[:SHOWN]:
            spikes = sum(row["spikes"].values())
            show(
                f"  {row['label']:<5} {row['text']:<66.66} {spikes:>6} spikes {row['energy_uj']['paper']:.2f} uJ"
            )
    every = [row for rows in answers.values() for row in rows]
    right = sum(row["label"] == truth.get(row["text"]) for row in every)
    show(
        f"\n{len(every)} questions answered, {right} as labelled in examples/questions/labelled.tsv."
    )


def show_log(done: list[dict[str, Any]]) -> None:
    """Print one line of the log in full, and the power figures of all files."""
    show("\nOne line of the log:")
    show(json.dumps(done[-1], indent=2))
    energy = {m: sum(e["energy_uj"][m] for e in done) for m in done[0]["energy_uj"]}
    questions = sum(e["questions"] for e in done)
    seconds = sum(e["ticks"] for e in done) / 1000
    show("\nEstimates for the chip (one TrueNorth core), not measurements of this machine:")
    for method, total in energy.items():
        show(f"  {method:<16} {total / seconds:6.2f} uW   {total / questions:5.2f} uJ a question")


def show(text: str) -> None:
    """Print one line."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
