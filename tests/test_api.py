"""Short programs written from docs/api.md alone, run as a newcomer would: in a folder of their own, from a script."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spikewatch.registry import Registry, bundled

CLASSIFY = """
from spikewatch.simcore import NO_WORDS, Classifier, InputError

classifier = Classifier.load("trec:production")
print(classifier)
texts = ["Who wrote Hamlet?", "", "How far is the moon?"]
answers = classifier.classify(texts, threads=2)
print(len(answers), *classifier.names(answers))
print(answers.label[1] == NO_WORDS, answers.scores.shape, int(answers.ticks[1]))
print(classifier.names(classifier.classify(texts[2:])))
try:
    classifier.classify("Who wrote Hamlet?")
except InputError as error:
    print(error)
try:
    Classifier.load("nothing:1.0.0")
except InputError as error:
    print(str(error).split(":")[0])
"""

PUBLISH = """
from dataclasses import replace
from pathlib import Path

from spikewatch.convert import ConvertError, Source, evaluate, publish
from spikewatch.registry import Registry
from spikewatch.simcore import Classifier

source = Source(
    model="mine/model.onnx",
    tokenizer=Path("mine/tokenizer.json"),
    labels="mine/labels.json",
    calibrate="mine/asked.txt",
)
pin = publish(
    source, "mine", "1.0.0", registry=Path("models"), recipe="closed-form", alias="production"
)
print(pin.name, pin.version)
print(Registry("models").resolve("mine:production") == pin)
figures = evaluate(pin, "mine/labelled.tsv", registry="models")
print(figures["stages"]["float"]["accuracy"], figures["stages"]["spiking"]["accuracy"])
classifier = Classifier.load("mine:production", "models")
print(*classifier.names(classifier.classify(["Who wrote Hamlet?", "How far is the moon?"])))
try:
    publish(replace(source, model="no.onnx"), "mine", "2.0.0", registry="models")
except ConvertError as error:
    print(error)
print({entry.version for entry in Registry("models").list("mine")})
"""

SERVE = """
from pathlib import Path

from spikewatch.daemon import PutError, Settings, put, read_results, serve

Path("a.txt").write_text("Who wrote Hamlet?\\n?!\\nHow far is the moon?\\n")
name = put(Path("spool"), Path("a.txt"), create=True)
serve(Settings(spool=Path("spool"), once=True, log_file="log.jsonl", log_level="error"))
for record in read_results(Path("spool") / "out" / f"{name}.jsonl"):
    print(record.id, record.status, record.label, record.error and record.error.code)
print(sorted(path.name for path in Path("spool/in").iterdir()))
Path("a.pdf").touch()
try:
    put("spool", "a.pdf")
except PutError as error:
    print(str(error).split(":")[0])
"""


def run(script: str, folder: Path) -> list[str]:
    """Run a script in a folder; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["convert", "daemon", "registry", "simcore"])
def test_every_public_name_is_documented(name: str) -> None:
    """`automodule` documents the classes and functions in `dir`; the page itself must have all other names."""
    package = importlib.import_module(f"spikewatch.{name}")
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    section = page.partition(f".. automodule:: spikewatch.{name}\n")[2].partition("```")[0]
    assert section.startswith("   :members:\n   :imported-members:\n")
    values = dict(re.findall(r"^\.\. py:\w+:: (\w+)\n(?: +:value: (.*)\n)?", section, re.MULTILINE))
    assert set(package.__all__) <= set(dir(package))
    for public in package.__all__:
        value = getattr(package, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, public
        else:
            assert public in values, public
            assert not values[public] or ast.literal_eval(values[public]) == value, public


def test_texts_are_classified_with_the_bundled_model(tmp_path: Path) -> None:
    assert run(CLASSIFY, tmp_path) == [
        "<Classifier: 6 classes (ABBR, DESC, ENTY, HUM, LOC, NUM), 79,477 words, 1 core>",
        "3 HUM None NUM",
        "True (3, 6) 0",
        "['NUM']",
        "texts: expected a list of texts, got one str; pass [text]",
        "nothing",
    ]


def test_an_onnx_file_is_published_evaluated_and_answers(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    files = Registry(bundled()).load("trec:production").files
    for name in ("model.onnx", "tokenizer.json", "labels.json"):
        (mine / name).write_bytes(files[name])
    asked = [f"What is the {a} of {b} ?" for a in ("name", "age") for b in "abcdefgh"]
    (mine / "asked.txt").write_text("\n".join(asked))
    (mine / "labelled.tsv").write_text("HUM\tWho wrote Hamlet ?\nNUM\tHow far is the moon ?\n")
    printed = run(PUBLISH, tmp_path)
    assert printed == [
        "mine 1.0.0",
        "True",
        "1.0 1.0",
        "HUM NUM",
        "no.onnx: No such file or directory",
        "{'1.0.0'}",
    ]


def test_a_file_is_dropped_answered_once_and_read_back(tmp_path: Path) -> None:
    assert run(SERVE, tmp_path) == [
        "1 ok HUM None",
        "2 error None no_words",
        "3 ok NUM None",
        "[]",
        "a.pdf",
    ]
