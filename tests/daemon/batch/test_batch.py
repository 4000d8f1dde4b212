"""Batches with real worker processes: answers, continued runs, dead workers, and messages about bad inputs."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from batch_support import Cluster, dask_scheduler, dask_worker, partitions
from daemon_support import ask, program, records, until
from pyarrow import parquet as pq
from support import tiny_model_files

from spikewatch.daemon.batch import BatchSettings, cluster, run
from spikewatch.daemon.errors import BatchError, SettingsError
from spikewatch.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLER = """
import os, signal
from spikewatch.daemon.batch import parts
from spikewatch.simcore import Classifier

class PanicException(BaseException):
    pass

def dask_setup(worker):
    classify, scan = Classifier.classify, parts.scan

    def deadly(self, texts, **options):
        if "deadly" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if "panic" in texts:
            raise PanicException("a pattern overran its limit")
        return classify(self, texts, **options)

    def hungry(file, *args, **options):
        if "memory" in file.name:
            raise MemoryError
        return scan(file, *args, **options)

    Classifier.classify, parts.scan = deadly, hungry
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("dask")
    with (
        dask_scheduler(folder / "scheduler") as address,
        dask_worker(folder / "one", address) as one,
        dask_worker(folder / "two", address) as other,
    ):
        yield Cluster(address=address, workers=[one, other])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 1,100 questions in every input format."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(4)
    texts = [ask(rng) for _ in range(1100)]
    (folder / "a.txt").write_text("\n".join(texts) + "\n")
    lines = [json.dumps({"text": text, "id": f"q{i}"}) for i, text in enumerate(texts)]
    (folder / "b.jsonl").write_text("\n".join([*lines, "{bad"]) + "\n")
    rows = [f'"{text},\nis it?"' for text in texts]
    (folder / "c.csv").write_text("text\n" + "\n".join(rows) + "\n")
    (folder / "d.txt.gz").write_bytes(gzip.compress(("\n".join(texts) + "\n").encode(), mtime=0))
    pq.write_table(pa.table({"text": [*texts, None]}), folder / "e.parquet", row_group_size=150)
    return folder


def manifest(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_bytes())
    return found


def inodes(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in out.glob("*/*")}


def test_every_form_is_answered_as_the_daemon_answers_it(
    two: Cluster, registry: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = two.run(registry, [f"{corpus}/*"], out, part_mib=2**-7)
    assert outcome.progress.reused == 0
    assert (outcome.questions_ok, outcome.questions_failed, outcome.failures) == (5500, 2, [])
    spool = tmp_path / "spool"
    shutil.copy(corpus / "d.txt.gz", tmp_path)
    (tmp_path / "d.txt").write_bytes(gzip.decompress((tmp_path / "d.txt.gz").read_bytes()))
    files = [corpus / "a.txt", corpus / "b.jsonl", corpus / "c.csv", tmp_path / "d.txt"]
    assert program("put", "--create", "--spool", spool, *files).returncode == 0
    daemon = ("run", "--spool", spool, "--registry", registry, "--model", "tiny:1.0.0", "--once")
    assert program(*daemon).returncode == 0
    for name in ("a.txt", "b.jsonl", "c.csv", "d.txt"):
        parts = partitions(out, name if name != "d.txt" else "d.txt.gz")
        assert len(parts) > 1 or name == "d.txt"
        whole = b"".join(path.read_bytes() for path in parts)
        assert whole == (spool / "out" / f"{name}.jsonl").read_bytes()
    rows = [row for p in partitions(out, "e.parquet") for row in pq.read_table(p).to_pylist()]
    lines = records(spool / "out" / "a.txt.jsonl")
    assert [{k: v for k, v in row.items() if k != "error"} for row in rows[:-1]] == lines
    assert rows[-1]["error"] == {"code": "no_text", "message": "null in the column of texts"}
    assert (rows[-1]["id"], rows[-1]["label"], rows[-1]["spikes"]) == (1101, None, None)


def test_the_manifest_adds_up_what_the_results_say(
    two: Cluster, registry: Path, corpus: Path, tmp_path: Path
) -> None:
    two.run(registry, [f"{corpus}/[abc].*"], tmp_path / "out", part_mib=2**-8)
    found = manifest(tmp_path / "out")
    answers = [
        record
        for entry in found["inputs"]
        for part in entry["partitions"]
        for record in records(tmp_path / "out" / part["partition"])
    ]
    ok = [record for record in answers if record["status"] == "ok"]
    assert found["model"] == str(Registry(registry).resolve("tiny:1.0.0"))
    assert (found["questions"], found["questions_failed"]) == (len(answers), 1)
    assert found["labels"] == {
        label: sum(r["label"] == label for r in ok) for label in found["labels"]
    }
    for kind in ("input", "hidden", "output"):
        assert found["spikes"][kind] == sum(r["spikes"][kind] for r in ok)
    for method, energy in found["energy_uj"].items():
        assert energy == pytest.approx(sum(r["energy_uj"][method] for r in ok), abs=1e-3)


def test_a_second_run_answers_only_what_changed(
    two: Cluster, registry: Path, corpus: Path, tmp_path: Path
) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    shutil.copytree(corpus, mine)
    options = {"part_mib": 2**-7}
    first = two.run(registry, [f"{mine}/*"], out, **options)
    written, told = inodes(out), (out / "manifest.json").read_bytes()
    again = two.run(registry, [f"{mine}/*"], out, **options)
    assert again.progress.reused == again.progress.parts == first.progress.parts
    assert (inodes(out), (out / "manifest.json").read_bytes()) == (written, told)

    last = partitions(out, "a.txt")[-1]
    damaged = partitions(out, "b.jsonl")[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with (mine / "a.txt").open("a") as file:
        file.write("who wrote hamlet ?\n")
    grown = two.run(registry, [f"{mine}/*"], out, **options)
    assert grown.progress.parts - grown.progress.reused == 2
    assert grown.questions_ok == first.questions_ok + 1
    assert records(last)[-1]["text"] == "who wrote hamlet ?"
    assert manifest(out)["inputs"][1] == json.loads(told)["inputs"][1]

    (mine / "a.txt").write_text("who wrote hamlet ?\n")
    two.run(registry, [f"{mine}/*"], out, **options)
    assert [p.name for p in partitions(out, "a.txt")] == ["part-00000.jsonl"]

    forced = two.run(registry, [f"{mine}/c.csv"], out, force=True, **options)
    assert forced.progress.reused == 0
    other = tmp_path / "other"
    made = datetime(2026, 1, 1, tzinfo=UTC)
    Registry.init(other).publish("tiny", "1.0.0", tiny_model_files(seed=1), created=made)
    renewed = two.run(other, [f"{mine}/c.csv"], out, **options)
    assert renewed.progress.reused == 0
    assert manifest(out)["model"] == str(Registry(other).resolve("tiny:1.0.0"))


def test_a_worker_that_is_killed_while_it_writes_loses_nothing(
    two: Cluster, registry: Path, tmp_path: Path
) -> None:
    rng = random.Random(5)
    texts = [ask(rng) for _ in range(2000)]
    file = tmp_path / "many.txt"
    file.write_text("\n".join(texts * 60) + "\n")
    (tmp_path / "few.jsonl").write_text('{"text": "who", "id": 1}\n')
    inputs = [str(file), str(tmp_path / "few.jsonl")]
    calm = two.run(registry, inputs, tmp_path / "calm", part_mib=0.5)
    out = tmp_path / "out"
    outcomes: list[Any] = []
    with dask_worker(tmp_path / "third", two.address) as victim:
        with cluster.connected(two.address, workers=1) as client:
            until(lambda: len(client.nthreads()) == 3, "the third worker")
        batch = threading.Thread(
            target=lambda: outcomes.append(two.run(registry, inputs, out, part_mib=0.5))
        )
        batch.start()
        until(lambda: len(list(out.glob("*/.*.tmp"))) == 3, "three workers that write")
        victim.kill()
        batch.join()
    assert outcomes[0].questions_ok == calm.questions_ok == 120_001
    assert outcomes[0].progress.reused == 0
    told = (out / "manifest.json").read_bytes()
    assert told == (tmp_path / "calm" / "manifest.json").read_bytes()
    for name in ("many.txt", "few.jsonl"):
        mine, theirs = partitions(out, name), partitions(tmp_path / "calm", name)
        assert [p.read_bytes() for p in mine] == [p.read_bytes() for p in theirs]
    assert not list(out.glob("*/.*"))


def test_an_input_that_kills_its_workers_or_makes_a_library_raise_costs_no_other(
    registry: Path, tmp_path: Path
) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    for word in ("deadly", "panic", "memory"):
        (tmp_path / f"{word}.txt").write_text(f"who\n{word}\n")
    for i in range(6):
        (tmp_path / f"good{i}.txt").write_text("who wrote hamlet ?\n")
    preload = ("--preload", str(tmp_path / "killer.py"))
    patience = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with (
        dask_scheduler(tmp_path / "scheduler", **patience) as address,
        dask_worker(tmp_path / "one", address, *preload) as one,
        dask_worker(tmp_path / "two", address, *preload) as other,
        dask_worker(tmp_path / "three", address, *preload) as third,
    ):
        workers = [one, other, third]
        with cluster.connected(address, workers=1) as client:
            until(lambda: len(client.nthreads()) == 3, "three workers")
        killed = Cluster(address=address, workers=workers)
        outcome = killed.run(registry, [f"{tmp_path}/*.txt"], tmp_path / "out")
        assert sum(worker.poll() is not None for worker in workers) == 2
    why = {url.rpartition("/")[2]: (f.code, f.message) for url, f in outcome.failures}
    assert why == {
        "deadly.txt": ("poison", "it killed every worker that tried it, even alone"),
        "memory.txt": ("reader", "MemoryError"),
        "panic.txt": ("simulator", "PanicException: a pattern overran its limit"),
    }
    assert outcome.questions_ok == 6


def test_workers_answer_with_the_lookup_and_without_the_tokenizers_library(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("import sys\nsys.modules['tokenizers'] = None\n")
    (tmp_path / "in.txt").write_text("Who wrote Hamlet ?\nHow far is the moon ?\n")
    with (
        dask_scheduler(tmp_path / "scheduler") as address,
        dask_worker(tmp_path / "one", address, "--preload", str(tmp_path / "bare.py")),
    ):
        asked = BatchSettings(
            inputs=[str(tmp_path / "in.txt")], out=str(tmp_path / "out"), scheduler=address
        )
        outcome = run.run(asked, lambda _: None)
    assert outcome.failures == []
    assert [
        record["label"]
        for path in partitions(tmp_path / "out", "in.txt")
        for record in records(path)
    ] == [
        "HUM",
        "NUM",
    ]


def test_bad_files_are_told_in_the_manifest_and_the_others_are_answered(tmp_path: Path) -> None:
    """Without an address, the program starts its own processes."""
    for name, data in {
        "good.txt": b"Who wrote Hamlet?\n",
        "bad.txt": b"who\n\xff\n",
        "blank.jsonl": b"\n",
        "no.csv": b"a,b\n1,2\n",
        "x.txt.gz": gzip.compress(b"who\n" * 1000)[:-20],
        "z.parquet": b"PAR1",
        "what.doc": b"who",
    }.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-m", "spikewatch.daemon.cli", "batch", f"{tmp_path}/*.*"]
    run = subprocess.run(
        [*command, "--out", tmp_path / "out", "--workers", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (run.returncode, run.stdout) == (
        1,
        f"1 of 7 inputs, 1 of 1 questions, 1 of 1 partitions new: {tmp_path}/out/manifest.json\n",
    )
    found = manifest(tmp_path / "out")
    assert (found["inputs_ok"], found["inputs_failed"], found["labels"]["HUM"]) == (1, 6, 1)
    errors = {e["input"].rpartition("/")[2]: e["error"] for e in found["inputs"] if "error" in e}
    assert {name: error["code"] for name, error in errors.items()} == {
        "bad.txt": "bad_utf8",
        "blank.jsonl": "empty",
        "no.csv": "no_text_column",
        "what.doc": "unknown_suffix",
        "x.txt.gz": "bad_gzip",
        "z.parquet": "bad_parquet",
    }
    assert run.stderr.splitlines() == [
        f"spikewatchd: file://{tmp_path}/{name}: {error['code']}: {error['message']}"
        for name, error in sorted(errors.items())
    ]


def test_a_batch_that_cannot_begin_is_refused_in_one_line(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("who\n")
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)

    def refused(**changes: Any) -> str:
        given = {"inputs": [f"{tmp_path}/a.txt"], "out": f"{tmp_path}/out", "registry": registry}
        with pytest.raises((BatchError, SettingsError)) as found:
            run.run(BatchSettings(**(given | {"model": "tiny:1.0.0"} | changes)), lambda _: None)
        assert "\n" not in str(found.value)
        return str(found.value)

    assert refused(inputs=[f"{tmp_path}/b.txt"]).endswith(
        "/b.txt: no such file, and no file matches it as a glob"
    )
    assert refused(out=f"{tmp_path}/a.txt/b").endswith("/a.txt/b: Not a directory")
    assert refused(workers=0) == "workers: 0, expected at least 1"
    assert refused(part_mib=0) == "part-mib: 0, expected more than 0 and at most 4096"
    assert refused(out=str(tmp_path)).endswith("/a.txt: the input is in the folder for the results")
    assert refused(scheduler="tcp://127.0.0.1:9").startswith("scheduler tcp://127.0.0.1:9: ")
    assert not (tmp_path / "out" / "manifest.json").exists()
    model = program("batch", tmp_path / "a.txt", "--out", tmp_path / "o", "--model", "none:1.0.0")
    assert (model.returncode, model.stderr.count("\n")) == (2, 1)


def test_workers_of_another_version_are_refused(
    two: Cluster, registry: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = cluster.importlib.metadata.version("spikewatch")
    monkeypatch.setattr(cluster.importlib.metadata, "version", lambda _: "99.0")
    with pytest.raises(BatchError, match=f"spikewatch {theirs}, expected 99.0$"):
        two.run(registry, [f"{corpus}/a.txt"], tmp_path / "out")
