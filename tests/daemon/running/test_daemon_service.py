"""What a service does with every kind of input, turn by turn, on a real spool with a real model."""

from __future__ import annotations

import gzip
import hashlib
import json
import resource
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from daemon_support import Bench, Watched, content, failed
from support import tiny_model_files

from spikewatch.daemon.answering.duplicates import (
    MOST_CHARACTERS,
    MOST_IDS,
    without_duplicates,
)
from spikewatch.daemon.answering.pipeline import TOGETHER_BYTES
from spikewatch.daemon.files import durable
from spikewatch.daemon.models.served import ServedModel
from spikewatch.daemon.running.open_files import affordable
from spikewatch.daemon.settings import Settings
from spikewatch.simcore import MAX_WORDS, Classifier
from spikewatch.simcore.question_files import InputRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    MakeBench = Callable[..., AbstractContextManager[Bench]]

GOOD = "Who wrote Hamlet ?"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_text_file_is_answered_line_by_line(hand: Bench) -> None:
    hand.drop("q.txt", "\ufeffWho wrote Hamlet ?\r\n\n   \nHow far is the moon ?")
    hand.run()
    found = hand.out("q.txt.jsonl")
    assert [(r["id"], r["text"], r["status"]) for r in found] == [
        (1, "Who wrote Hamlet ?", "ok"),
        (4, "How far is the moon ?", "ok"),
    ]
    assert list(found[0]) == [
        "id", "text", "label", "scores", "spikes", "synaptic_events", "ticks", "energy_uj", "status",
    ]  # fmt: skip
    answers = hand.classifier.inner.classify([r["text"] for r in found])
    for i, record in enumerate(found):
        assert record["label"] == hand.classifier.labels[answers.label[i]]
        assert list(record["scores"].values()) == answers.scores[i].tolist()
        assert list(record["spikes"].values()) == answers.spikes[i].tolist()
        assert record["synaptic_events"] == answers.synaptic_events[i]
        assert record["ticks"] == answers.ticks[i]
        assert record["energy_uj"]["paper"] == pytest.approx(
            17.09 * answers.ticks[i] / 1e3, rel=1e-3
        )
    assert content(hand.path / "done") == {"q.txt"}
    assert content(hand.path / "work") == content(hand.path / "tmp") == set()


def test_the_log_event_has_the_sums_of_the_records(hand: Bench) -> None:
    hand.drop("q.jsonl", f'{{"text": "{GOOD}"}}\n{{"text": "how far"}}\nnonsense\n')
    hand.run()
    (done,) = hand.events("request.done")
    ok = [r for r in hand.out("q.jsonl.jsonl") if r["status"] == "ok"]
    assert (done["questions"], done["questions_ok"], done["questions_failed"]) == (3, 2, 1)
    assert done["spikes"] == {
        k: sum(r["spikes"][k] for r in ok) for k in ("input", "hidden", "output")
    }
    assert done["synaptic_events"] == sum(r["synaptic_events"] for r in ok)
    assert done["ticks"] == sum(r["ticks"] for r in ok)
    for method, energy in done["energy_uj"].items():
        assert energy == pytest.approx(sum(r["energy_uj"][method] for r in ok), abs=1e-5)
        seconds = done["ticks"] * 1e-3
        assert done["power_uw"][method] == pytest.approx(energy / seconds, abs=1e-4)
    assert done["power_uw"]["paper"] == pytest.approx(17.09, abs=0.01)
    assert set(done["latency_ms"]) == {"wait", "read", "simulate", "write", "total"}
    assert done["model"].startswith("tiny:1.0.0@sha256:")


def test_the_summary_has_the_figures_of_the_event_and_the_key(hand: Bench) -> None:
    hand.drop("q.txt", GOOD)
    hand.run()
    (done,) = hand.events("request.done")
    summary = json.loads((hand.path / "out" / "q.txt.summary.json").read_text())
    same = (
        "file",
        "model",
        "input_sha256",
        "size_bytes",
        "questions",
        "spikes",
        "ticks",
        "energy_uj",
    )
    assert {k: summary[k] for k in same} == {k: done[k] for k in same}
    assert summary["key"] == f"sha256:{done['input_sha256']}/q.txt"
    assert sum(summary["labels"].values()) == 1


@pytest.mark.parametrize(
    ("name", "data", "ids"),
    [
        ("q.jsonl", f'{{"text": "{GOOD}"}}\n\n{{"id": "x", "text": "{GOOD}"}}\n', [1, "x"]),
        ("q.csv", f'id,text\n7,"{GOOD}"\n,{GOOD}\n', ["7", 3]),
        ("Q.TSV", f"a\tText\n1\t{GOOD}\n\n2\t{GOOD}\n", [2, 4]),
    ],
)
def test_every_kind_of_input_is_read(hand: Bench, name: str, data: str, ids: list[object]) -> None:
    hand.drop(name, data)
    hand.run()
    found = hand.out(f"{name}.jsonl")
    assert [(r["id"], r["text"]) for r in found] == [(i, GOOD) for i in ids]


def test_broken_json_in_line_7_of_20_leaves_19_answers(hand: Bench) -> None:
    lines = [json.dumps({"text": GOOD})] * 20
    lines[6] = '{"text": "Who'
    hand.drop("q.jsonl", "\n".join(lines))
    hand.run()
    found = hand.out("q.jsonl.jsonl")
    assert [r["status"] for r in found] == ["ok"] * 6 + ["error"] + ["ok"] * 13
    assert found[6] == {
        "id": 7,
        "text": None,
        "label": None,
        "scores": None,
        "spikes": None,
        "synaptic_events": None,
        "ticks": None,
        "energy_uj": None,
        "status": "error",
        "error": {"code": "bad_json", "message": "Unterminated string starting at at column 10"},
    }


def test_a_question_without_words_or_with_too_many_gets_an_error_of_its_own(hand: Bench) -> None:
    hand.drop("q.txt", f"{GOOD}\n?!\n{'moon ' * (MAX_WORDS + 1)}\n")
    hand.run()
    errors = [r.get("error") for r in hand.out("q.txt.jsonl")]
    assert errors == [
        None,
        {"code": "no_words", "message": "the text holds no word"},
        {"code": "too_long", "message": f"more than {MAX_WORDS} words"},
    ]


UNKNOWN_SUFFIX = (
    "its name must end in .txt, .jsonl, .ndjson, .json, .csv, .tsv, .label: save it as plain text (.txt) "
    "(temporary names begin with a dot or end in .part)"
)


@pytest.mark.parametrize(
    ("name", "data", "code", "message"),
    [
        ("q.txt", b"", "empty", "the file holds no questions: write at least one"),
        ("q.csv", b"", "empty", "the file holds no questions: write at least one"),
        ("q.txt", b" \n\n", "empty", "the file holds no questions: write at least one"),
        ("q.txt", b"ok\nna\xefve\n", "bad_utf8", "line 2: byte 0xef at 2 is not UTF-8"),
        ("q.txt", b"x" * (1 << 20) + b"y\n", "line_too_long", "line 1: more than 1048576 bytes"),
        ("q.doc", b"x", "unknown_suffix", UNKNOWN_SUFFIX),
        ("q.csv", b"a,b\n1,2\n", "no_text_column", "the first line has no text among the fields a, b: name"),
        ("q.jsonl", b"[1]\n{}\n", "no_record", "none of 2 records can be read; 1: a JSON array, expected an object"),
    ],
)  # fmt: skip
def test_an_input_without_anything_to_answer_is_quarantined(
    hand: Bench, name: str, data: bytes, code: str, message: str
) -> None:
    hand.drop(name, data)
    hand.run()
    report = failed(hand, name)
    assert (report["code"], report["stage"]) == (code, "read")
    assert report["message"].startswith(message)
    assert report["sha256"] == sha(data)
    assert report["attempts"] == 1
    assert (hand.path / "failed" / name).read_bytes() == data
    assert (
        content(hand.path / "out")
        == content(hand.path / "work")
        == content(hand.path / "tmp")
        == set()
    )
    (event,) = hand.events("request.failed")
    assert (event["file"], event["code"]) == (name, code)


def test_a_gzip_input_has_the_same_result_bytes_as_its_content(hand: Bench) -> None:
    for suffix, data in {
        "txt": GOOD,
        "jsonl": '{"text": "who ?", "id": "a"}\n[]\n',
        "csv": "id,text\n7,who ?\n",
        "TSV": "text\tid\nwho ?\t7\n",
    }.items():
        hand.drop(f"q.{suffix}", data)
        hand.drop(f"q.{suffix}.gz", gzip.compress(data.encode()))
        hand.run()
        out = hand.path / "out"
        plain, packed = (out / f"q.{suffix}{end}.jsonl" for end in ("", ".gz"))
        assert packed.read_bytes() == plain.read_bytes() != b""


def test_the_second_record_with_an_id_is_not_answered(hand: Bench) -> None:
    lines = ['{"text": 1, "id": "a"}', *['{"text": "who ?", "id": "a"}'] * 2]
    lines += ['{"text": "who ?", "id": 5}', '{"text": "who ?"}', '{"text": "who ?", "id": "5"}']
    hand.drop("q.jsonl", "\n".join(lines))
    hand.drop("q.csv", "id,text\n3,who ?\n,who ?\n3,who ?\n")
    hand.drop("q.txt", "who ?\nwho ?\n")
    hand.run()
    found = {
        name: [(r["id"], r.get("error", {}).get("code")) for r in hand.out(f"{name}.jsonl")]
        for name in ("q.jsonl", "q.csv", "q.txt")
    }
    assert found == {
        "q.jsonl": [
            ("a", "bad_text"),
            ("a", None),
            ("a", "duplicate_id"),
            (5, None),
            (5, "duplicate_id"),
            ("5", None),
        ],
        "q.csv": [("3", None), (3, None), ("3", "duplicate_id")],
        "q.txt": [(1, None), (2, None)],
    }


def test_duplicates_of_ids_beyond_the_memory_limit_are_answered() -> None:
    def repeated(ids: list[int | str]) -> list[int]:
        asked = chain.from_iterable(
            without_duplicates(iter([[InputRecord(i, "who") for i in ids]]))
        )
        return [at for at, q in enumerate(asked) if q.fault is not None]

    assert repeated([*range(MOST_IDS + 1), 0, MOST_IDS]) == [MOST_IDS + 1]
    long = "x" * MOST_CHARACTERS
    assert repeated([long, "a", long, "a"]) == [2]


def test_the_same_bytes_under_another_name_or_later_have_equal_results(hand: Bench) -> None:
    text = f"{GOOD}\nhow far is the moon ?\n"
    hand.drop("a.txt", text)
    hand.run()
    first = (hand.path / "out" / "a.txt.jsonl").read_bytes()
    (hand.path / "out" / "a.txt.jsonl").unlink()  # a reader took it
    hand.drop("a.txt", text)
    hand.drop("b.txt", text)
    hand.run()
    assert (hand.path / "out" / "a.txt.jsonl").read_bytes() == first
    assert (hand.path / "out" / "b.txt.jsonl").read_bytes() == first
    assert content(hand.path / "done") == {"a.txt", "b.txt"}


def test_the_same_file_again_is_not_simulated_again(hand: Bench) -> None:
    for _ in range(2):
        hand.drop("a.txt", GOOD)
        hand.run()
    assert len(hand.classifier.calls) == 1
    assert len(hand.events("request.done")) == 1
    (again,) = hand.events("request.duplicate")
    assert (again["file"], again["result"]) == ("a.txt", "a.txt.jsonl")
    assert content(hand.path / "in") == content(hand.path / "work") == set()
    assert content(hand.path / "done") == {"a.txt"}


def test_new_bytes_under_an_old_name_get_a_tagged_result(hand: Bench) -> None:
    hand.drop("a.txt", GOOD)
    hand.run()
    first = (hand.path / "out" / "a.txt.jsonl").read_bytes()
    for _ in range(2):
        hand.drop("a.txt", "how far ?")
        hand.run()
    tag = sha(b"how far ?")[:12]
    assert content(hand.path / "out") == {
        f"{stem}{suffix}"
        for stem in ("a.txt", f"a.txt.{tag}")
        for suffix in (".jsonl", ".summary.json")
    }
    assert (hand.path / "out" / "a.txt.jsonl").read_bytes() == first
    assert hand.out(f"a.txt.{tag}.jsonl")[0]["text"] == "how far ?"
    assert content(hand.path / "done") == {"a.txt", f"a.txt.{tag}"}


def test_a_tagged_result_is_found_when_a_reader_has_taken_the_plain_one(hand: Bench) -> None:
    for text in (GOOD, "how far ?"):
        hand.drop("a.txt", text)
        hand.run()
    (hand.path / "out" / "a.txt.jsonl").unlink()  # a reader took both
    (hand.path / "out" / "a.txt.summary.json").unlink()
    left = content(hand.path / "out")
    hand.drop("a.txt", "how far ?")
    hand.run()
    assert content(hand.path / "out") == left
    assert hand.events("request.done")[-1]["result"] in left
    assert content(hand.path / "done") == {"a.txt", f"a.txt.{sha(b'how far ?')[:12]}"}


def test_bad_files_of_one_name_are_all_kept_but_equal_ones_once(hand: Bench) -> None:
    for data in (b"\xff", b"\xff", b"\xfe"):
        hand.drop("a.txt", data)
        hand.run()
    tag = sha(b"\xfe")[:12]
    names = {"a.txt", f"a.txt.{tag}"}
    assert content(hand.path / "failed") == names | {f"{n}.error.json" for n in names}
    assert (hand.path / "failed" / "a.txt").read_bytes() == b"\xff"


def test_a_report_never_takes_the_name_of_a_failed_input(hand: Bench) -> None:
    (hand.path / "in" / "a.txt.error.json").symlink_to("nowhere")
    (hand.path / "in" / "b.txt.error.json").write_text("{}")
    hand.turn(passed_s=2.0)
    for name in ("a.txt", "b.txt"):
        hand.drop(name, b"\xff")
    hand.run()
    tag = sha(b"\xff")[:12]
    assert (hand.path / "failed" / "a.txt.error.json").is_symlink()
    assert (hand.path / "failed" / "b.txt.error.json").read_text() == "{}"
    for name in ("a.txt.error.json", "b.txt.error.json", f"a.txt.{tag}", f"b.txt.{tag}"):
        assert failed(hand, name)


def test_small_files_share_one_call_of_the_simulator(hand: Bench) -> None:
    for i in range(40):
        hand.drop(f"{i}.txt", f"{GOOD}\nhow far ?\n")
    hand.run()
    assert [len(call) for call in hand.classifier.calls] == [80]
    assert len(hand.events("request.done")) == 40


def test_a_large_file_is_answered_in_bounded_batches(make_bench: MakeBench) -> None:
    with make_bench(batch_questions=8, max_line_bytes=1024) as hand:
        hand.drop("large.txt", "".join(f"{GOOD}\n" for _ in range(100)))
        hand.drop("tiny.txt", GOOD)
        hand.run()
        assert max(map(len, hand.classifier.calls)) == 8
        assert [r["id"] for r in hand.out("large.txt.jsonl")] == list(range(1, 101))
        assert [e["file"] for e in hand.events("request.done")] == ["tiny.txt", "large.txt"]


def test_a_swap_between_two_inputs_of_one_claim_answers_each_with_one_model(
    hand: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Watched(
        ServedModel(classifier=Classifier.from_files(tiny_model_files(seed=3)), pin="second")
    )
    real = durable.open_input

    def swapping(folder: int, name: str) -> int | None:
        if name == "a.txt":
            hand.service.swap(ServedModel(classifier=second, pin="tiny:2.0.0@sha256:0"))
        return real(folder, name)

    monkeypatch.setattr(durable, "open_input", swapping)
    text = "who wrote the capital of france\nhow far is the moon\nwhen did a stand in hamlet"
    text = "\n".join([text] * 60)
    assert len(text) > TOGETHER_BYTES  # smaller ones are read many at a time
    hand.drop("a.txt", text)
    hand.drop("bb.txt", text + " ?")
    hand.turn()
    pins = {e["file"]: e["model"] for e in hand.events("request.done")}
    assert pins["a.txt"].startswith("tiny:1.0.0@")
    assert pins["bb.txt"] == "tiny:2.0.0@sha256:0"
    answers = {}
    for name, model in (("a.txt", hand.classifier), ("bb.txt", second)):
        asked = [r["text"] for r in hand.out(f"{name}.jsonl")]
        assert model.calls == [asked]
        answers[name] = [list(r["scores"].values()) for r in hand.out(f"{name}.jsonl")]
        assert answers[name] == model.inner.classify(asked).scores.tolist()
        summary = json.loads((hand.path / "out" / f"{name}.summary.json").read_text())
        assert summary["model"] == pins[name]
    assert answers["a.txt"] != answers["bb.txt"]


@pytest.mark.parametrize(
    ("soft", "most"), [(1024, 137), (4096, 512), (100, 1), (resource.RLIM_INFINITY, 512)]
)
def test_a_group_is_no_larger_than_the_limit_on_open_files_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, soft: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert affordable(Settings(spool=tmp_path, group_files=512)).group_files == most


def test_a_backlog_larger_than_a_group_is_answered(make_bench: MakeBench) -> None:
    with make_bench(group_files=3) as hand:
        for i in range(10):
            hand.drop(f"{i}.txt", GOOD)
        hand.run()
        assert len(hand.events("request.done")) == 10
