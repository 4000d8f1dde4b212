"""Train a core for the fifty classes of TREC's fine labels, publish it, and answer some questions with the daemon.

    python examples/fifty_classes.py train_5500.label en_core_web_md.vec.gz --wordnet /usr/share/wordnet

The script runs the programs that a user would run, and prints each command. `docs/training.md` has the accuracy of
such networks.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
MODEL = "trec-fine"
QUESTIONS = """\
Who wrote Hamlet?
What is the capital of Australia?
How far is the moon from the earth?
What does NASA stand for?
What fish lives longest?
"""


def main() -> int:
    """Train, publish and answer questions; return the exit code of the first program that fails, or 0."""
    options = read_options()
    out = options.out
    train = ["train", "--data", options.data, "--vectors", options.vectors]
    if options.wordnet:
        train += ["--wordnet", options.wordnet]
    publish = ["publish", out / "model.onnx", "--tokenizer", out / "tokenizer.json"]
    publish += ["--labels", out / "labels.json", "--training", out / "training.json"]
    publish += ["--calibrate", out / "calibration.tsv", "--recipe", "closed-form"]
    publish += ["--registry", options.registry, "--name", MODEL, "--version", options.version]
    spool = out / "spool"
    serve = ["--registry", options.registry, "--model", f"{MODEL}:production", "--once"]
    try:
        run("spikewatch-convert", *train, "--fine", "--dev", "0", "--out", out)
        run("spikewatch-convert", *publish, "--alias", "production")
        questions = out / "questions.txt"
        questions.write_text(QUESTIONS)
        run("spikewatchd", "put", "--create", "--spool", spool, questions)
        run("spikewatchd", "run", "--spool", spool, *serve, quiet=True)
    except subprocess.CalledProcessError as e:
        return int(e.returncode)
    for line in (spool / "out" / "questions.txt.jsonl").read_text().splitlines():
        answer = json.loads(line)
        show(f"  {answer['label']:<14} {answer['text']}")
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="TREC's train_5500.label")
    parser.add_argument("vectors", type=Path, help="word vectors (word2vec, fastText, GloVe)")
    parser.add_argument("--wordnet", type=Path, help="folder of WordNet 3.0's files")
    parser.add_argument(
        "--out", type=Path, default=Path("fine"), help="folder for the trained network"
    )
    parser.add_argument(
        "--registry", type=Path, default=Path("models"), help="registry to publish into"
    )
    parser.add_argument("--version", default="1.0.0", help="version to publish")
    return parser.parse_args()


def run(program: str, *arguments: str | Path, quiet: bool = False) -> None:
    """Print a command and run it."""
    show(f"$ {shlex.join([program, *map(str, arguments)])}")
    output = subprocess.DEVNULL if quiet else None
    subprocess.run([PROGRAMS / program, *arguments], check=True, stdout=output)


def show(text: str) -> None:
    """Print one line and flush it, because the programs write to the same terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
