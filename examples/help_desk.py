"""Questions of a help desk, and the steps from a network to answers, which the examples beside this file share.

The questions are made by rule, so that nothing must be downloaded; `--data` takes your own.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

PROGRAMS: Final = Path(sys.executable).parent
STARTS: Final = {
    "PRICE": ("how much is", "what do you charge for", "is there a discount on", "can I afford"),
    "PLACE": ("where do I find", "in which hall is", "who in this town sells", "which floor has"),
    "TIME": ("when can I get", "how long must I wait for", "what day do you send", "by when is"),
    "REPAIR": ("can you mend", "who repairs", "how do I clean", "what is wrong with"),
}
THINGS: Final = ("bike", "lamp", "phone", "chair", "coat", "clock", "radio", "printer", "kettle")
KINDS: Final = (
    "the red",
    "a new",
    "my old",
    "the small",
    "a good",
    "this broken",
    "her",
    "one more",
)
ENDS: Final = ("", " please", " today", " here", " for my sister", " before the weekend")
HELD_OUT: Final = 200


class Question(NamedTuple):
    """A question and its class."""

    label: str
    text: str


class Task(NamedTuple):
    """What a network is to learn: training questions, held-out ones, class names and the words' numbers."""

    training: list[Question]
    held_out: list[Question]
    labels: list[str]
    tokenizer: Tokenizer

    def ids(self, text: str) -> list[int]:
        """Return the word ids of a text."""
        return list(self.tokenizer.encode(text).ids)


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return the command line that the examples have in common."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--data", type=Path, help="labelled questions of yours: label, TAB, text")
    made.add_argument(
        "--questions", type=int, default=2000, help="questions to make if there is no --data"
    )
    made.add_argument("--epochs", type=int, default=20, help="passes of the network's own training")
    made.add_argument("--out", type=Path, default=Path(name), help="folder for all files")
    return made


def task(given: argparse.Namespace) -> Task:
    """Return questions, split into training and held-out ones, and a tokenizer of the training's words."""
    draw = random.Random(1)  # noqa: S311 - seeded, not secret
    if given.data is None:
        found = [_made(draw) for _ in range(given.questions + HELD_OUT)]
    else:
        with given.data.open(newline="") as file:
            found = [
                Question(*row) for row in csv.reader(file, "excel-tab", quoting=csv.QUOTE_NONE)
            ]
    draw.shuffle(found)
    held_out, training = found[:HELD_OUT], found[HELD_OUT:]
    split = pre_tokenizers.Whitespace()
    words = {word for q in training for word, _ in split.pre_tokenize_str(q.text.lower())}
    numbers = {word: i for i, word in enumerate(["<pad>", "<unk>", *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))  # noqa: S106 - a word
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    return Task(training, held_out, sorted({q.label for q in training}), tokenizer)


def _made(draw: random.Random) -> Question:
    label = draw.choice(list(STARTS))
    start, kind = draw.choice(STARTS[label]), draw.choice(KINDS)
    return Question(label, f"{start} {kind} {draw.choice(THINGS)}{draw.choice(ENDS)}?")


def publish_and_ask(given: Task, out: Path, name: str, *more: str) -> int:
    """Publish `model.onnx` of a folder, and answer the held-out questions by a daemon.

    `more` are further options of `spikewatch-convert publish`. The result is the exit code of the first program that
    fails, or 0.
    """
    given.tokenizer.save(str(out / "tokenizer.json"))
    (out / "labels.json").write_text(json.dumps(given.labels))
    (out / "asked.txt").write_text("".join(f"{q.text}\n" for q in given.training))
    (out / "held_out.tsv").write_text("".join(f"{q.label}\t{q.text}\n" for q in given.held_out))
    texts = out / "held_out.txt"
    texts.write_text("".join(f"{q.text}\n" for q in given.held_out))
    publish = ["publish", out / "model.onnx", "--tokenizer", out / "tokenizer.json"]
    publish += ["--labels", out / "labels.json", "--calibrate", out / "asked.txt"]
    publish += ["--evaluate", out / "held_out.tsv", "--registry", out / "models"]
    publish += ["--name", name, "--version", "1.0.0", "--alias", "production", *more]
    serve = ["run", "--spool", out / "spool", "--registry", out / "models", "--once"]
    try:
        run("spikewatch-convert", *publish)
        run("spikewatchd", "put", "--create", "--spool", out / "spool", texts)
        run("spikewatchd", *serve, "--model", f"{name}:production", quiet=True)
    except subprocess.CalledProcessError as e:
        return int(e.returncode)
    lines = (out / "spool" / "out" / "held_out.txt.jsonl").read_text().splitlines()
    answers = [json.loads(line)["label"] for line in lines]
    right = sum(a == q.label for a, q in zip(answers, given.held_out, strict=True))
    show(f"The core answered {right} of {len(answers)} held-out questions as they are labelled.")
    return 0


def run(program: str, *arguments: str | Path, quiet: bool = False) -> None:
    """Print a command and run it."""
    show(f"$ {shlex.join([program, *map(str, arguments)])}")
    output = subprocess.DEVNULL if quiet else None
    subprocess.run([PROGRAMS / program, *arguments], check=True, stdout=output)


def show(text: str) -> None:
    """Print one line and flush it, because the programs write to the same terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
