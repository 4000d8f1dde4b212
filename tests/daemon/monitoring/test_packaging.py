"""The packaged unit, container, dashboard and alerts, checked against the program."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from daemon_support import MODEL, PATIENCE_S
from prometheus_client.parser import text_string_to_metric_families as parse

from spikewatch.daemon.clock import Clock
from spikewatch.daemon.configuration import Configuration
from spikewatch.daemon.heartbeats import Heartbeats
from spikewatch.daemon.monitoring import metrics
from spikewatch.daemon.monitoring.counters import Counters
from spikewatch.daemon.monitoring.snapshot import Snapshot
from spikewatch.daemon.monitoring.spool_counts import SpoolCounter

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGING = Path(__file__).parents[3] / "packaging"
UNIT = PACKAGING / "spikewatchd.service"
RULES = PACKAGING / "prometheus" / "spikewatch.rules.yml"
DASHBOARD = PACKAGING / "grafana" / "spikewatch.json"

systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)

EXPOSURE = 1.5
"""Highest exposure level that `systemd-analyze security` may report; it was 1.4 when this was written."""

TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<number>\d[\d.]*(?:e[+-]?\d+|[a-z]+)?)
      | (?P<word>[A-Za-z_:$][\w:]*)
      | (?P<sign>[{}()]|[^\s\w])""",
    re.VERBOSE,
)
GROUPINGS = {"on", "by", "without", "ignoring", "group_left", "group_right"}
OPERATORS = {"and", "or", "unless", "bool", "offset", *GROUPINGS}


def names_in(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the metrics of a PromQL query with their label matchers; understands only what our queries use."""
    tokens = [(m.lastgroup, m.group()) for m in TOKEN.finditer(query)]
    at = 0
    while at < len(tokens):
        kind, word = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if kind != "word":
            continue
        if word in GROUPINGS and following == "(":
            while tokens[at][1] != ")":  # labels, not metrics
                at += 1
        elif word not in OPERATORS and following not in {"(", "by", "without"}:
            matchers: dict[str, str] = {}
            if following == "{":
                end = next(i for i in range(at, len(tokens)) if tokens[i][1] == "}")
                inside = tokens[at + 1 : end]
                for i, (inner, label) in enumerate(inside):
                    if inner == "word":
                        matchers[label] = next(t for k, t in inside[i:] if k == "text").strip("\"'")
                at = end + 1
            yield word, matchers


OF_PROMETHEUS: dict[str, set[str]] = {"up": set()}
"""Metrics that Prometheus itself adds at each scrape."""

OF_SCRAPES = {"job", "instance"}
"""Labels that Prometheus adds."""

BOTH = {"paper": 1.0, "static_marginal": 1.0}

EVERYTHING: list[dict[str, Any]] = [
    {"event": "daemon.start", "version": "1.0.0"},
    {"event": "daemon.ready", "model": "trec:2.0.0@sha256:0"},
    {"event": "request.done", "questions": 1, "questions_ok": 1, "questions_failed": 0,
     "spikes": {"input": 1, "hidden": 1, "output": 1}, "energy_uj": BOTH, "power_uw": BOTH,
     "synaptic_events": 1, "ticks": 1, "size_bytes": 1,
     "latency_ms": dict.fromkeys(("wait", "read", "simulate", "write", "total"), 1.0)},
    {"event": "request.failed", "code": "empty"},
    {"event": "request.retry", "code": "EIO"},
    {"event": "request.recovered", "state": "claimed"},
    {"event": "daemon.fault", "code": "EIO", "message": "", "retry_in_s": 1.0},
    {"event": "model.failed", "message": ""},
]  # fmt: skip


@pytest.fixture
def exposed(spool: Path) -> dict[str, set[str]]:
    """Return the name and labels of every sample, of a daemon that has logged every event."""
    clock, counters = Clock(), Counters()
    snapshot = Snapshot(
        spool,
        counters=counters,
        heartbeats=Heartbeats(clock.monotonic, limit_s=1.0),
        spool_counter=SpoolCounter(spool, clock.monotonic),
        clock=clock,
    )
    for event in EVERYTHING:
        counters({"level": "info", **event})
    page = metrics.page(metrics.registry(snapshot), "text/plain")[0].decode()
    found = {s.name: set(s.labels) for family in parse(page) for s in family.samples}
    return OF_PROMETHEUS | found


def check_query(query: str, exposed: dict[str, set[str]]) -> None:
    """Check that the metrics of a query, and the labels that it matches, are exposed."""
    found = list(names_in(query))
    assert found, query
    for name, matchers in found:
        assert name in exposed, f"{name} in {query}"
        assert set(matchers) <= exposed[name] | OF_SCRAPES, f"{matchers} in {query}"


def test_the_reader_of_queries_finds_metrics_and_labels_and_nothing_else() -> None:
    query = (
        'sum by (le, x) (rate(a_bucket{stage="total",x!~"b{c}"}[5m])) / on(y) group_left() b:c '
        "> 1.5e6 or time() - d unless e offset 5m"
    )
    assert list(names_in(query)) == [
        ("a_bucket", {"stage": "total", "x": "b{c}"}),
        ("b:c", {}),
        ("d", {}),
        ("e", {}),
    ]


def panels() -> list[dict[str, Any]]:
    document = json.loads(DASHBOARD.read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_every_query_of_the_dashboard_is_of_metrics_that_there_are(
    exposed: dict[str, set[str]],
) -> None:
    document = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert len(queries) > 30
    for query in queries:
        check_query(query, exposed)
        assert 'instance=~"$instance"' in query, "the choice of daemons holds for every panel"
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert inner is not None
            check_query(inner[1], exposed)
            assert inner[2] in OF_SCRAPES


def test_every_legend_of_the_dashboard_names_labels_that_its_query_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            aggregated = re.search(r"\b(sum|min|max|count|histogram_quantile)\b", target["expr"])
            assert wanted <= (kept if aggregated else OF_SCRAPES), (panel["title"], target)


def test_the_dashboard_is_laid_out_without_gaps_or_overlaps() -> None:
    taken: set[tuple[int, int]] = set()
    document = json.loads(DASHBOARD.read_text())
    for panel in document["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    assert len(taken) == 24 * (max(y for _, y in taken) + 1), "every row is full"
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_is_of_metrics_that_there_are_and_says_what_to_do(
    exposed: dict[str, set[str]],
) -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 15
    for rule in found:
        check_query(rule["expr"], exposed)
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_takes_the_alerts() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_docs_list_every_alert() -> None:
    text = (PACKAGING.parent / "docs" / "operating.md").read_text()
    assert set(re.findall(r"`(Spikewatch\w+)`", text)) == {rule["alert"] for rule in rules()}


def unit() -> list[tuple[str, str]]:
    """Return the settings of the unit in order; some occur more than once."""
    lines = UNIT.read_text().splitlines()
    return [
        (line.partition("=")[0], line.partition("=")[2])
        for line in lines
        if "=" in line and not line.startswith("#")
    ]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Install the unit for systemd-analyze, with the path of the program here."""
    path = tmp_path / UNIT.name
    program = Path(sys.executable).with_name("spikewatchd")
    path.write_text(UNIT.read_text().replace("/opt/spikewatch/bin/spikewatchd", str(program)))
    return path


@systemd
def test_systemd_takes_the_unit_without_a_word(installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", installed], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@systemd
def test_the_unit_is_closed_as_far_as_the_daemon_allows(installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", installed],
        capture_output=True,
        text=True,
        check=True,
    )
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= EXPOSURE, done.stdout


def test_the_units_commands_and_variables_are_the_programs(tmp_path: Path) -> None:
    settings = dict(unit())
    file = tmp_path / "spikewatchd.toml"
    file.write_text((PACKAGING / "spikewatchd.toml").read_text())
    values = Configuration(file=file).load().settings
    assert str(values.spool).startswith(settings["ReadWritePaths"] + "/")
    variable, _, address = settings["Environment"].partition("=")
    assert variable == "SPIKEWATCHD_HTTP"
    scraped = yaml.safe_load((PACKAGING / "prometheus" / "scrape.yml").read_text())
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == [address]
    assert scraped["scrape_configs"][0]["job_name"] == "spikewatchd"
    assert float(settings["TimeoutStopSec"]) > values.stop_grace_s
    for name in ("ExecStart", "ExecReload"):
        command = shlex.split(settings[name])
        done = subprocess.run(
            [sys.executable, "-m", "spikewatch.daemon.cli", command[1], "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        for option in command[2:]:
            assert not option.startswith("--") or option in done.stdout


@systemd
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_daemon_makes_no_system_call_that_its_unit_denies(
    spool: Path, registry: Path, tmp_path: Path
) -> None:
    """The calls that the unit denies are denied here as well, to show that the daemon works without them."""
    allowed, denied = _filtered()
    calls = tmp_path / "calls"
    tolerated = {"mbind"}  # made by numpy's BLAS, which tolerates the error
    assert tolerated <= denied
    (spool / "in" / "a.txt").write_text("Who wrote Hamlet ?\n")
    command = ["strace", "-f", "-qq", "-o", str(calls), "-e", "inject=mbind:error=EPERM"]
    command += [sys.executable, "-m", "spikewatch.daemon.cli", "run", "--http", "127.0.0.1:0"]
    command += ["--spool", str(spool), "--registry", str(registry), "--model", MODEL, "--once"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_S * 3
    )
    assert (done.returncode, done.stderr) == (0, "")
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)", calls.read_text(), re.MULTILINE))
    assert {"linkat", "fsync", "fcntl"} <= used
    assert used - {"resumed"} - allowed <= tolerated


def _filtered() -> tuple[set[str], set[str]]:
    """Return the system calls that the unit allows, and those that it then denies."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    sets: dict[str, list[str]] = {}
    for line in listed.splitlines():
        if line.startswith("@"):
            sets[line] = calls = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            calls.append(line.strip())

    def whole(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return set().union(*map(whole, sets[name]))

    allowed: set[str] = set()
    denied: set[str] = set()
    for _, value in (pair for pair in unit() if pair[0] == "SystemCallFilter"):
        chosen = set().union(*map(whole, value.removeprefix("~").split()))
        if value.startswith("~"):
            allowed -= chosen
            denied |= chosen
        else:
            allowed |= chosen
    return allowed, denied


def test_the_container_copies_what_there_is_and_runs_as_nobody_special() -> None:
    text = (PACKAGING / "Containerfile").read_text()
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert users
    assert int(users[-1][0]) > 0
    assert text.rindex("USER ") > text.rindex("RUN "), "nothing is done as root after all"
    variables = dict(re.findall(r"(SPIKEWATCHD_\w+)=(\S+)", text))
    assert set(variables) == {"SPIKEWATCHD_SPOOL", "SPIKEWATCHD_HTTP"}
    assert f"VOLUME {variables['SPIKEWATCHD_SPOOL']}" in text
    assert f"http://{variables['SPIKEWATCHD_HTTP']}/livez" in text
    assert "pip install --no-cache-dir ." in text, "the base install: no extra"
    root = PACKAGING.parent
    ignored = (root / ".dockerignore").read_text().split()
    files, folders = ("pyproject.toml", "setup.py", "README.md"), ("daemon", "registry", "simcore")
    needed = {*files, *folders, "LICENSE", "convert"}
    assert not needed & set(ignored)
    assert all((root / name).exists() for name in needed)
