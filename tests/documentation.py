"""Collect the code blocks of README and docs as tests: blocks are run, or at least parsed.

`sh`, `console` and `python` blocks run in page order, in a folder of their own for each page; exported variables are
kept from block to block.  `json`, `toml` and `ini` blocks are parsed; `text` blocks are ignored.  Separate tests
compare the output of `console` transcripts (tests/registry/program/test_registry_docs.py).  A page marks a block that
cannot run here with a reason: `<!--- skip: next "reason" -->`.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from spikewatch.registry import Registry, bundled

if TYPE_CHECKING:
    from collections.abc import Callable

    from sybil import Document, Example

ROOT: Final = Path(__file__).parents[1]
EXAMPLES: Final = ROOT / "examples" / "questions"
SHARED: Final = ROOT.parent / "shared"
SEEN: Final = frozenset({"sh", "python", "json", "toml", "ini", "yaml", "text", "console"})

_folders = tempfile.TemporaryDirectory(prefix="spikewatch-docs-", ignore_cleanup_errors=True)
_python = PythonEvaluator()


@cache
def folder(page: str) -> Path:
    """Create the folder for a page's blocks; for the README, put a network into `mine/`, as its text assumes."""
    shared = Path(_folders.name, "shared")
    if not shared.is_symlink():
        shared.symlink_to(SHARED)
    made = Path(_folders.name, page.replace("/", "-"))
    made.mkdir()
    if page == "README.md":
        mine = made / "mine"
        mine.mkdir()
        model = Registry(bundled()).load("trec:production")
        for name in ("model.onnx", "tokenizer.json", "labels.json"):
            (mine / name).write_bytes(model.files[name])
        texts = [file.read_text() for file in sorted(EXAMPLES.glob("*.txt"))]
        (mine / "questions.txt").write_text("".join(texts))
    return made


def run_shell(example: Example) -> None:
    """Run a block with bash, with this environment's programs first on the path."""
    _bash(example, example.parsed)


def run_console(example: Example) -> None:
    """Run the commands of a transcript; exit codes 1 and 2 are allowed, because some commands show failures."""
    commands = [line[2:] for line in example.parsed.splitlines() if line.startswith("$ ")]
    _bash(example, "".join(f"{command} || (($? < 3))\n" for command in commands))


def _bash(example: Example, script: str) -> None:
    where = folder(page(example))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    whole = f"[ ! -f .exports ] || . ./.exports\n{script}\nexport -p > .exports"
    run = subprocess.run(
        [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", whole],
        cwd=where,
        env=os.environ | {"PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"exit code {run.returncode}\n{run.stdout}\n{run.stderr}"


def run_python(example: Example) -> None:
    """Run a Python block; all blocks of a page share one namespace."""
    with chdir(folder(page(example))):
        _python(example)


def page(example: Example) -> str:
    """Return the path of a block's page, relative to the checkout's root."""
    return Path(example.path).relative_to(ROOT).as_posix()


def _parsed(read: Callable[[str], object]) -> Callable[[Example], None]:
    return lambda example: (read(example.parsed), None)[1]


def _ini(text: str) -> None:
    # systemd allows a repeated key; so does configparser, unless it is strict
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)


def needs_language(document: Document) -> list[object]:
    """Check that every block of a page has a language that this module knows how to test."""
    fences = [line for line in document.text.splitlines() if line.lstrip().startswith("```")]
    for opening in fences[::2]:
        language = opening.lstrip().removeprefix("```")
        known = language in SEEN or language.startswith("{")  # a directive of Sphinx
        assert known, f"{document.path}: code block with unknown language {language!r}"
    return []


_EVALUATORS: Final[dict[str, Callable[[Example], None]]] = {
    "sh": run_shell,
    "console": run_console,
    "python": run_python,
    "json": _parsed(json.loads),
    "toml": _parsed(tomllib.loads),
    "ini": _parsed(_ini),
}

pytest_collect_file = Sybil(
    path=str(ROOT),
    setup=lambda names: names.update(SHARED=SHARED),
    patterns=["README.md", "CONTRIBUTING.md", "docs/*.md"],
    parsers=[
        needs_language,
        SkipParser(),
        *(CodeBlockParser(language=name, evaluator=run) for name, run in _EVALUATORS.items()),
    ],
).pytest()
