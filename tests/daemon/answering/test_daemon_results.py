"""The fast format of results writes exactly what `json` would."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.daemon.answering.results import ResultFormat, Tally
from spikewatch.simcore import Answers, estimate
from spikewatch.simcore.question_files import Fault, InputRecord

counts = st.integers(0, 2**40)


@given(
    labels=st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True),
    name=st.one_of(st.integers(), st.text(max_size=20)),
    text=st.text(max_size=40),
    spikes=st.tuples(counts, counts, counts),
    events=counts,
    ticks=st.integers(0, 10**6),
    cores=st.integers(1, 3),
)
def test_a_record_is_what_json_would_write(
    labels: list[str],
    name: int | str,
    text: str,
    spikes: tuple[int, int, int],
    events: int,
    ticks: int,
    cores: int,
) -> None:
    result = ResultFormat(labels=labels, cores=cores)
    answers = Answers(
        label=np.array([len(labels) - 1], dtype=np.int32),
        scores=np.arange(len(labels), dtype=np.int32)[None],
        spikes=np.array([spikes], dtype=np.int64),
        synaptic_events=np.array([events], dtype=np.int64),
        ticks=np.array([ticks], dtype=np.int64),
        words=np.array([1], dtype=np.int32),
    )
    tally = Tally()
    line = result.lines([InputRecord(name, text)], result.rows(answers), tally)
    energy = estimate(cores=cores, ticks=ticks, synaptic_events=events).energy_uj
    record = {
        "id": name,
        "text": text,
        "label": labels[-1],
        "scores": {label: i for i, label in enumerate(labels)},
        "spikes": dict(zip(("input", "hidden", "output"), spikes, strict=True)),
        "synaptic_events": events,
        "ticks": ticks,
        "energy_uj": {method: round(joules, 6) for method, joules in energy.items()},
        "status": "ok",
    }
    assert json.loads(line)["energy_uj"] == pytest.approx(record["energy_uj"], rel=1e-9, abs=1e-6)
    record["energy_uj"] = json.loads(line)["energy_uj"]
    assert line.decode() == json.dumps(record, separators=(",", ":")) + "\n"
    assert (tally.ok, tally.failed, tally.ticks) == (1, 0, ticks)


@given(st.one_of(st.integers(), st.text(max_size=20)), st.text(max_size=20), st.text(max_size=20))
def test_a_faulty_record_is_what_json_would_write(name: int | str, code: str, message: str) -> None:
    tally = Tally()
    question = InputRecord(name, None, Fault(code, message))
    line = ResultFormat(labels=["A"], cores=1).lines([question], iter(()), tally)
    nulls = ("text", "label", "scores", "spikes", "synaptic_events", "ticks", "energy_uj")
    record = {
        "id": name,
        **dict.fromkeys(nulls),
        "status": "error",
        "error": {"code": code, "message": message},
    }
    assert line.decode() == json.dumps(record, separators=(",", ":")) + "\n"
    assert (tally.ok, tally.failed) == (0, 1)


def test_a_request_without_an_answer_has_figures_too() -> None:
    figures = Tally(failed=2).figures(cores=1)
    assert figures["questions"] == figures["questions_failed"] == 2
    assert figures["energy_uj"] == {"paper": 0.0, "static_marginal": 0.0}
