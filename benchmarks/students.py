"""Measure the points between networks of other kinds and the students that `publish` teaches by them.

The teachers of `benchmarks/teachers.py` are trained on the labels of 1,500 calibration sentences and of more sentences,
about 5,000 together.  Their files are published as `spikewatch-convert publish` does: with the 1,500 calibration
sentences and no labels, with all 5,000 and no labels, and with the labels of all (`--recipe labels`); on demand, with
300 and 700 calibration sentences only.  All figures are of held-out sentences, which nobody was trained on, and on
which no setting was chosen.

`python -m benchmarks.students --kinds lstm gru --seeds 0 1 --rows FILE` measures these kinds with these seeds, of
teachers and students both, and adds a line of JSON per student to FILE; the teachers are kept beside it.  A run leaves
out what FILE has already, and prints the tables of all that it has: so a long run can be taken up again, and `--kinds`
without a kind only prints.  Keras kinds need SPIKEWATCH_BENCH_KERAS, an interpreter with Keras, TensorFlow and tf2onnx.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.convert import SHARED
from benchmarks.sentences import generated, trec
from benchmarks.tables import print_table
from benchmarks.teachers import KINDS, available, padding, train
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source

if TYPE_CHECKING:
    from benchmarks.sentences import Corpus

    Row = dict[str, Any]

WAYS: Final = ("1,500", "5,000", "labels")
"""1,500 sentences without labels, all without labels, all with labels."""

FEW: Final = ("300", "700")
"""So many of the 1,500 sentences, without labels."""

CORPORA: Final = ("TREC", "generated")


def measure(folder: Path, kind: str, way: str, seed: int) -> Row:
    """Publish a teacher's file as `publish` does; return shares 0..1 of the held-out sentences, and CPU minutes."""
    begin = sum(os.times()[:4])  # with the processes that answer for the teacher
    labelled = way == "labels"
    calibrate = folder / ("all.tsv" if labelled else "calibrate.txt")
    if way in FEW:
        lines = calibrate.read_text().splitlines(keepends=True)[: int(way)]
        calibrate = folder / f"calibrate-{way}.txt"
        calibrate.write_text("".join(lines))
    source = Source(
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        calibrate=calibrate,
        evaluate=folder / "held_out.tsv",
        more=(folder / "more.txt",) if way == "5,000" else (),
        **padding(kind, folder),  # type: ignore[arg-type] - its keys are attributes of type int
    )
    recipe = "labels" if labelled else None
    result = convert(source, title="benchmark", recipe=recipe, seed=seed, student=True).evaluation
    stages = result["stages"]
    return {
        "teacher": stages["teacher"]["accuracy"],
        "core": stages["spiking"]["accuracy"],
        "agreement": stages["spiking"]["agreement"],
        "minutes": (sum(os.times()[:4]) - begin) / 60,
    }


def run(corpus: Corpus, kind: str, seed: int, ways: list[str], rows: list[Row], path: Path) -> None:
    """Measure what is not in `rows` yet of one teacher; print it and write it down as soon as it is there."""
    known = {(r["corpus"], r["kind"], r["seed"], r["way"]) for r in rows}
    missing = [w for w in ways if (corpus.name, kind, seed, w) not in known]
    folder = path.parent / f"{corpus.name}-{kind}-{seed}"
    if missing:
        if not (folder / "model.onnx").exists():
            train(kind, corpus, folder, seed)
        for way in missing:
            row = {"corpus": corpus.name, "kind": kind, "seed": seed, "way": way}
            row |= measure(folder, kind, way, seed)
            lost = 100 * (row["teacher"] - row["core"])
            figures = (
                f"{row['teacher']:.1%} {lost:+.1f} {row['agreement']:.1%} {row['minutes']:.1f} min"
            )
            print("#", corpus.name, kind, seed, way, figures, flush=True)
            rows.append(row)
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def table(corpus: Corpus, rows: list[Row]) -> None:
    """Print what was measured on a corpus, seeds side by side, and the mean and the worst over all of it."""
    mine = [r for r in rows if r["corpus"] == corpus.name]
    lines = []
    for kind, exporter in KINDS.items():
        of_kind = [r for r in mine if r["kind"] == kind]
        if not of_kind:
            continue
        teachers = {r["seed"]: f"{r['teacher']:.1%}" for r in of_kind}
        line = [kind, exporter, " ".join(teachers[s] for s in sorted(teachers))]
        for way in WAYS:
            found = sorted((r for r in of_kind if r["way"] == way), key=lambda r: r["seed"])
            line.append(" ".join(f"{_lost(r):+.1f}" for r in found))
            line.append(" ".join(f"{r['agreement']:.0%}" for r in found))
        lines.append(line)
    for name, summary in (("mean", _mean), ("worst", max)):
        losses = [[_lost(r) for r in mine if r["way"] == way] for way in WAYS]
        cells = [f"{summary(lost):+.1f}" if lost else "" for lost in losses]
        lines.append([name, "", "", *[c for cell in cells for c in (cell, "")]])
    minutes = [[r["minutes"] for r in mine if r["way"] == way] for way in WAYS]
    lines.append(["minutes", "", "", *[c for m in minutes for c in (_range(m), "")]])
    sizes = len(corpus.calibrate), len(corpus.calibrate) + len(corpus.train)
    head = ["teacher", "exporter", "accuracy"]
    for name in (f"{sizes[0]:,} sentences", f"{sizes[1]:,} sentences", f"{sizes[1]:,} labels"):
        head += [f"{name}: lost", "agreement"]
    print_table(
        f"Students, {corpus.name}, {len(corpus.held_out):,} held-out sentences", head, lines
    )


def few(rows: list[Row]) -> None:
    """Print agreement and loss by the number of sentences, of the teachers that were measured with few of them."""
    ways = (*FEW, *WAYS[:2])
    lines = []
    for key in sorted({(r["corpus"], r["kind"]) for r in rows if r["way"] in FEW}):
        line = [" ".join(key)]
        for way in ways:
            found = [r for r in rows if (r["corpus"], r["kind"]) == key and r["way"] == way]
            line.append(" ".join(f"{r['agreement']:.1%}" for r in found))
            line.append(" ".join(f"{_lost(r):+.1f}" for r in found))
        lines.append(line)
    if lines:
        head = ["teacher", *[h for way in ways for h in (f"{way}: agreement", "lost")]]
        print_table("Students, by the number of sentences without labels", head, lines)


def _lost(row: Row) -> float:
    return 100 * float(row["teacher"] - row["core"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _range(minutes: list[float]) -> str:
    return f"{min(minutes):.1f} to {max(minutes):.1f}" if minutes else ""


def main(*arguments: str) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.students", description=__doc__)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--corpora", nargs="*", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--ways", nargs="*", choices=(*FEW, *WAYS), default=list(WAYS))
    parser.add_argument("--rows", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = asked.rows or Path(folder) / "rows.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        corpora = [generated()]
        if SHARED.exists():
            corpora.insert(0, trec(SHARED))
        corpora = [c for c in corpora if c.name in asked.corpora]
        for kind in [k for k in asked.kinds if not available(k)]:
            print(f"# {kind}: left out, SPIKEWATCH_BENCH_KERAS names no interpreter with Keras")
        for seed in asked.seeds:
            for corpus in corpora:
                for kind in filter(available, asked.kinds):
                    run(corpus, kind, seed, asked.ways, rows, path)
        for corpus in corpora:
            table(corpus, rows)
        few(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
