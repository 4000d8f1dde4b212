"""Every shell block of the README runs as written, one after the other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spikewatch.registry import Registry, bundled

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "questions"


def blocks() -> list[str]:
    """List the README's shell blocks in order; those indented by four blanks are what CI runs itself."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in found if ".venv/bin" not in block]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run all blocks in a fresh folder in which `mine/` holds a network; return the folder and the outputs."""
    folder = tmp_path_factory.mktemp("readme")
    model = Registry(bundled()).load("trec:production")
    (folder / "mine").mkdir()
    for name in ("model.onnx", "tokenizer.json", "labels.json"):
        (folder / "mine" / name).write_bytes(model.files[name])
    texts = [f.read_text() for f in sorted(EXAMPLES.glob("*.txt"))]
    (folder / "mine" / "questions.txt").write_text("".join(texts))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    outputs = []
    for block in blocks():
        run = subprocess.run(
            [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", block],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{block}\n{run.stdout}\n{run.stderr}"
        outputs.append(run.stdout)
    return folder, outputs


def test_the_tour_answers_the_two_questions(ran: tuple[Path, list[str]]) -> None:
    folder, _ = ran
    lines = (folder / "spool" / "out" / "questions.txt.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["HUM", "NUM"]


def test_the_tour_shows_a_log_line_the_model_and_its_figures(ran: tuple[Path, list[str]]) -> None:
    _, outputs = ran
    text = "".join(outputs)
    assert '"request.done"' in text.replace(": ", ":").replace('"event":', "")
    assert "production" in text
    assert "│ spiking " in text


def test_ones_own_network_is_published_and_answers(ran: tuple[Path, list[str]]) -> None:
    folder, _ = ran
    lines = (folder / "spool-mine" / "out" / "questions.txt.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["ok", "ok"]


def test_the_commands_that_ci_runs_are_the_readmes() -> None:
    text = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in ("make test", "make demo"):
        assert f"    {command} " in text
        assert command in ci
