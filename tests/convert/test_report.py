"""Check that the report is correct, complete, valid HTML, reproducible, and readable in a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chromium
import html5lib
import pytest
from networks import both_ways, elman, weights
from publishing import converted
from support import TINY_LABELS, tiny_model_files

from spikewatch.convert.cli import main
from spikewatch.convert.errors import ConvertError
from spikewatch.convert.report import gather, render, write_report
from spikewatch.registry import Registry, bundled
from spikewatch.simcore import CoreImage

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
LABELLED = ROOT / "examples" / "questions" / "labelled.tsv"
LIMIT = 3_000_000


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report on the bundled model."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report("trec:production", out, registry=Registry(bundled()))
    return out


def page_of(folder: Path, files: Mapping[str, bytes], **more: Any) -> str:
    """Publish files and render the report on them."""
    registry = Registry.init(folder / "registry")
    registry.publish("tiny", "1.0.0", files, created=None)
    model, details = registry.load("tiny:1.0.0"), registry.show("tiny:1.0.0")
    return render(gather(model, details, **more))


def text_of(page: str) -> str:
    """Return the text of a page without its markup."""
    return unescape(
        re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
    )


def row_of(page: str, name: str) -> list[str]:
    """Return the cells of the first table row with this name."""
    row = re.search(rf'<th scope="row">{re.escape(name)}</th>(.*?)</tr>', page, re.DOTALL)
    assert row is not None, name
    return [
        re.sub(r"<[^>]+>", "", cell).strip()
        for cell in re.findall(r"<td.*?>(.*?)</td>", row[1], re.DOTALL)
    ]


def check_valid(page: str) -> None:
    """Check that a page is valid HTML, that its drawings have text alternatives, and that it loads nothing."""
    html5lib.HTMLParser(strict=True).parse(page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    drawings = re.findall(r"<svg[^>]*>", page)
    for drawing in drawings:
        named = re.search(r'role="img"', drawing) and re.search(r'aria-labelledby="(.*?)"', drawing)
        assert named, drawing
        assert set(named[1].split()) <= set(ids)
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', page)) <= set(ids)
    assert "://" not in page


class TestContent:
    def test_the_ledger_is_compared_with_the_papers_figures(self, production: Path) -> None:
        page = production.read_text()
        ledger = page[page.index("The stage ledger") :]
        files = Registry(bundled()).load("trec:production").files
        stages = json.loads(files["eval.json"])["stages"]
        paper = {"float": "85%", "fan-in": "78.4%", "spiking": "74%"}
        for stage, figures in stages.items():
            cells = row_of(ledger, stage)
            assert cells[0] == f"{figures['accuracy']:.2%}"
            assert cells[-1] == paper.get(stage, "")
        assert "the figures are no estimate for other questions" in text_of(page)

    def test_the_confusion_matrix_is_the_published_one(self, production: Path) -> None:
        page = production.read_text()
        files = Registry(bundled()).load("trec:production").files
        confusion = json.loads(files["eval.json"])["confusion"]
        matrix = page[page.index("Questions of each class by answer") :]
        for label, row in zip(confusion["labels"], confusion["matrix"], strict=True):
            assert row_of(matrix, label) == list(map(str, row))

    def test_the_weights_of_the_histogram_are_those_of_the_core(self, production: Path) -> None:
        """15 word lines and 48 hidden units, each read by 48 units; 6 classes read 48 units."""
        page = production.read_text()
        levels = page[page.index("Weights on each level.") :]
        rows = [list(map(int, row_of(levels, f"{level:+d}"))) for level in range(-8, 8)]
        assert [sum(column) for column in zip(*rows, strict=True)] == [
            15 * 48,
            48 * 48,
            48 * 6,
            15 * 48 + 48 * 48 + 48 * 6,
        ]

    def test_the_question_its_energy_and_the_limits_are_stated(self, production: Path) -> None:
        page = production.read_text()
        assert "“Who wrote Hamlet?” is answered HUM: 3 words, 60 ticks" in text_of(page)
        assert row_of(page, "this question, method A") == ["60", "292,868", "17.09", "1.025"]
        assert row_of(page, "method A (paper)")[1].startswith("70 mW for the 4096 cores")
        assert row_of(page, "axons, fullest core") == ["256", "256", "100%"]
        assert row_of(page, "lines (fan-in)") == ["64", "64", "100%"]

    def test_every_layers_digest_is_stated(self, production: Path) -> None:
        page = production.read_text()
        details = Registry(bundled()).show("trec:production")
        assert row_of(page, "manifest") == [details.pin.digest]
        for layer in details.layers:
            assert row_of(page, layer.path) == [f"{layer.size:,}", layer.digest]

    def test_nothing_is_missing_from_the_bundled_model(self, production: Path) -> None:
        assert 'class="missing"' not in production.read_text()

    def test_a_long_question_is_cut_to_its_last_steps(self, tmp_path: Path) -> None:
        page = page_of(tmp_path, tiny_model_files(), question="who wrote hamlet " * 40)
        assert "Only the last 32 of 121 steps are drawn." in text_of(page)
        assert len(page.encode()) < LIMIT
        check_valid(page)


class TestOtherModels:
    def test_the_report_on_an_early_version_says_what_it_lacks(self, tmp_path: Path) -> None:
        out = tmp_path / "report.html"
        write_report("trec:1.0.0", out, registry=Registry(bundled()))
        page = out.read_text()
        check_valid(page)
        (missing,) = re.findall(r'<p class="missing">(.*?)</p>', page)
        assert missing.startswith("The model has no responses of its units")
        assert missing.endswith("pass --data FILE to measure them now.")

    def test_a_file_of_questions_supplies_the_missing_figures(self, tmp_path: Path) -> None:
        out = tmp_path / "report.html"
        write_report("trec:1.0.0", out, registry=Registry(bundled()), data=LABELLED)
        page = out.read_text()
        check_valid(page)
        assert 'class="missing"' not in page
        first = LABELLED.read_text().splitlines()[1].split("\t")[1]
        assert f"“{first}” is answered" in text_of(page)
        assert "70 questions of labelled.tsv (SHA-256 " in text_of(page)

    def test_the_four_files_of_a_classifier_are_enough(self, tmp_path: Path) -> None:
        page = page_of(tmp_path, tiny_model_files())
        check_valid(page)
        text = text_of(page)
        for what in (
            "The model has no figures of its stages: pass --data FILE.",
            "The confusion matrix needs questions with labels, but these have none: pass --data FILE",
            "The model has no responses of its units",
            "The model has no mean figures per question: pass --data FILE.",
            "The model has no training.json",
        ):
            assert what in text

    def test_without_earlier_stages_only_the_core_is_evaluated(self, tmp_path: Path) -> None:
        data = tmp_path / "own.tsv"
        data.write_text("HUM\twho wrote hamlet?\nNUM\thow many?\nNUM\t?!\n")
        page = page_of(tmp_path, tiny_model_files(), data=data)
        check_valid(page)
        confusion = page[page.index("Questions of each class by answer") :]
        assert sum(map(int, row_of(confusion, "HUM"))) == 1
        assert row_of(confusion, "NUM")[-1] == "1"
        assert "3 questions of own.tsv" in text_of(page)

    def test_questions_without_labels_say_so(self, tmp_path: Path) -> None:
        data = tmp_path / "own.txt"
        data.write_text("who wrote hamlet?\nhow many?\n")
        text = text_of(page_of(tmp_path, tiny_model_files(), data=data))
        assert "so accuracy is unknown: pass --data FILE with labels" in text
        assert "The confusion matrix needs questions with labels" in text

    def test_a_default_question_without_a_known_word_suggests_another(self, tmp_path: Path) -> None:
        files = tiny_model_files()
        tokenizer = json.loads(files["tokenizer.json"])
        tokenizer["pre_tokenizer"] = {
            "type": "Split",
            "pattern": {"Regex": r"\w+|\W+"},
            "behavior": "Removed",
            "invert": False,
        }
        files["tokenizer.json"] = json.dumps(tokenizer).encode()
        text = text_of(page_of(tmp_path, files))
        assert "finds no word in it; pass --question with one that does." in text

    def test_a_confusion_matrix_of_many_classes_is_drawn(self, tmp_path: Path) -> None:
        files = tiny_model_files()
        labels = [f"class {i}" for i in range(20)]
        matrix = [[30 * (i == j) + (i == 3 and j == 7) for j in range(21)] for i in range(20)]
        files["eval.json"] = json.dumps(
            {"confusion": {"labels": labels, "matrix": matrix}}
        ).encode()
        page = page_of(tmp_path, files)
        check_valid(page)
        assert 'id="confusion-title"' in page
        assert row_of(page, "class 3") == ["class 7", "1"]

    @pytest.mark.parametrize("kind", ["host", "two cores"])
    def test_every_kind_of_core_is_drawn(self, kind: str, tmp_path: Path) -> None:
        model, readout = elman(weights()), "host"
        if kind == "two cores":
            model, readout = both_ways(weights(d=12), weights(1, d=12)), "core"
        files = converted(model.SerializeToString(), readout, apart=kind == "two cores")
        page = page_of(tmp_path, files)
        check_valid(page)
        assert len(re.findall(r'id="crossbar-\d-title"', page)) == 1 + (kind == "two cores")
        assert ("the host weighs the spikes" in text_of(page)) == (kind == "host")

    def test_a_question_is_explained_on_a_core_of_another_program(self, tmp_path: Path) -> None:
        """Crossbar and weights are left out, because the hidden units are unknown."""
        files = tiny_model_files()
        image = CoreImage.from_bytes(files["core.safetensors"])
        image.target_axon[0, [0, 1]] = image.target_axon[0, [1, 0]]
        files["core.safetensors"] = image.to_bytes()
        page = page_of(tmp_path, files)
        check_valid(page)
        assert text_of(page).count("spikewatch-convert did not place this core") == 2
        assert 'id="raster-title"' in page

    def test_documents_of_unexpected_types_do_not_break_the_page(self, tmp_path: Path) -> None:
        files = tiny_model_files()
        odd = {
            "stages": {
                "float": {"accuracy": "high"},
                "weights": {"accuracy": 7},
                "spiking": 3,
            },
            "confusion": {"labels": 7},
            "responses": {"levels": [1]},
            "per_question": {"ticks": "many"},
            "questions": "few",
            "data": [],
            "network": 5,
        }
        files["eval.json"] = json.dumps(odd).encode()
        files["training.json"] = json.dumps({"cross_validation": {"stages": []}}).encode()
        page = page_of(tmp_path, files)
        check_valid(page)
        assert text_of(page).count("in a format that this version reads") >= 4

    def test_markup_in_a_model_is_shown_as_text(self, tmp_path: Path) -> None:
        files = tiny_model_files()
        evil = "<script>alert(1)</script><svg onload=alert(2)>"
        labels = [evil, *TINY_LABELS[1:]]
        files["labels.json"] = json.dumps(labels).encode()
        files["training.json"] = json.dumps({evil: evil}).encode()
        page = page_of(tmp_path, files, question=f"who {evil}")
        check_valid(page)
        assert "<script" not in page
        assert not re.findall(r"<[^>]*onload[^>]*>", page)
        assert evil in text_of(page)


def test_equal_models_give_equal_bytes_on_any_host(production: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.grid: True\n")
    host = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "HOME": str(tmp_path), "LC_ALL": "C"}
    digest = Registry(bundled()).resolve("trec:production").digest
    program = str(Path(sys.executable).parent / "spikewatch-convert")
    run = subprocess.run(
        [program, "report", f"trec@{digest}", "--out", "other.html"],
        cwd=tmp_path,
        env=os.environ | host,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    page = (tmp_path / "other.html").read_bytes()
    assert page == production.read_bytes()
    assert run.stdout == f"other.html: {len(page):,} bytes\n"
    assert len(page) < LIMIT


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["trec:nope", "--out", "a.html"], "model trec: no alias 'nope'"),
            (["trec:1.0.0", "--out", "none/a.html"], "--out none/a.html: no such folder"),
            (["trec:1.0.0", "--out", "."], "--out .: is a folder, expected a file"),
            (
                ["trec:1.0.0", "--out", "a.html", "--question", " "],
                "question: it is empty",
            ),
            (["trec:1.0.0", "--out", "a.html", "--question", "?"], "finds no word in it"),
            (["trec:1.0.0", "--out", "a.html", "--data", "a.tsv"], "a.tsv: No such file"),
        ],
    )
    def test_an_error_is_one_line_and_writes_nothing(
        self,
        arguments: list[str],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", "report", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        assert (stopped.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
        assert message in printed.err
        assert list(tmp_path.iterdir()) == []

    def test_a_failed_write_leaves_the_old_page(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = Registry.init(tmp_path / "registry")
        registry.publish("tiny", "1.0.0", tiny_model_files(), created=None)
        out = tmp_path / "pages" / "report.html"
        out.parent.mkdir()
        out.write_text("old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(ConvertError, match="No space left on device"):
            write_report("tiny:1.0.0", out, registry=registry)
        assert [p.name for p in out.parent.iterdir()] == ["report.html"]
        assert out.read_text() == "old"

    @pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
    def test_without_the_extra_the_error_names_it(
        self,
        module: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name in [n for n in sys.modules if n.startswith(("spikewatch.convert.report", module))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
        command = ["report", "trec:production", "--out", str(tmp_path / "a.html")]
        monkeypatch.setattr("sys.argv", ["spikewatch-convert", *command])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        wanted = f"{module} is not installed: pip install 'spikewatch[report]'"
        assert capsys.readouterr().err == f"spikewatch-convert: {wanted}\n"


@pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")
def test_a_browser_shows_it_at_any_width_and_in_both_schemes(
    production: Path, tmp_path: Path
) -> None:
    ink = "getComputedStyle(document.querySelector('svg text')).fill"
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    shown = "getComputedStyle(document.querySelector('svg .{}-only')).display"
    with chromium.browser(tmp_path / "profile") as page:
        page.open(production)
        colours = set()
        for scheme in ("light", "dark"):
            for width in (1280, 400):
                picture = tmp_path / f"report-{width}-{scheme}.png"
                page.look(width=width, scheme=scheme, picture=picture)
                assert page.value("window.innerWidth") == width
                assert page.value(overflow) == 0
                assert picture.stat().st_size > 100_000
            paper = page.value("getComputedStyle(document.body).backgroundColor")
            assert page.value(ink) == page.value("getComputedStyle(document.body).color")
            colours.add((paper, page.value(ink)))
            other = "dark" if scheme == "light" else "light"
            assert page.value(shown.format(other)) == "none"
            assert page.value(shown.format(scheme)) == "inline"
        assert len({paper for paper, _ in colours}) == len({ink for _, ink in colours}) == 2
        assert page.said() == []
        asked = [url for url in page.requested() if not url.startswith("data:")]
        assert asked == [production.as_uri()]
