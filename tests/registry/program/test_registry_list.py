"""Filter and sort lists, compare two versions, and check the formats of files (`verify --deep`)."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from registry_support import CREATED, blob_path, flip, publish

from spikewatch.registry import BadInput, Changed, Corrupt, Registry

if TYPE_CHECKING:
    from collections.abc import Callable


def tensors(**given: tuple[str, list[int], bytes]) -> bytes:
    """Return a safetensors file with the given tensors: type, shape and bytes by name."""
    header: dict[str, Any] = {}
    body = b""
    for name, (dtype, shape, data) in given.items():
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def add(registry: Registry, version: str, day: int, labels: list[str], **accuracy: object) -> str:
    stages = {stage: {"accuracy": value} for stage, value in accuracy.items()}
    files = {
        "labels.json": json.dumps(labels).encode(),
        "eval.json": json.dumps({"stages": stages, "energy": {"uj": day}}).encode(),
    }
    created = datetime(2026, 1, day, 12, tzinfo=UTC)
    return registry.publish("trec", version, files, created=created).digest


@pytest.fixture
def store(registry: Registry) -> Registry:
    add(registry, "1.0.0", 3, ["ABBR", "DESC"], spiking=0.80, float=0.9)
    add(registry, "1.1.0", 1, ["ABBR", "HUM"], spiking=0.90)
    add(registry, "1.2.0", 2, ["DESC"], spiking=0.85, float="high")
    registry.publish("trec", "1.3.0", {"notes.txt": b"x"}, created=CREATED)
    registry.set_alias("trec", "production", "1.1.0")
    registry.set_alias("trec", "canary", "1.2.0")
    return registry


ALL = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "canary", "production"]


@pytest.mark.parametrize(
    ("filters", "tags"),
    [
        ({}, ALL),
        ({"labels": ["ABBR"]}, ["1.0.0", "1.1.0", "production"]),
        ({"labels": ["ABBR", "DESC"]}, ["1.0.0"]),
        ({"labels": ["NUM"]}, []),
        ({"where": ["spiking.accuracy>=0.85"]}, ["1.1.0", "1.2.0", "canary", "production"]),
        ({"where": ["spiking.accuracy > 0.85"]}, ["1.1.0", "production"]),
        ({"where": ["spiking.accuracy<=0.85"]}, ["1.0.0", "1.2.0", "canary"]),
        ({"where": ["spiking.accuracy<0.85"]}, ["1.0.0"]),
        ({"where": ["spiking.accuracy=0.85"]}, ["1.2.0", "canary"]),
        ({"where": ["spiking.accuracy==0.85"]}, ["1.2.0", "canary"]),
        ({"where": ["spiking.accuracy!=0.85"]}, ["1.0.0", "1.1.0", "production"]),
        ({"where": ["spiking.accuracy>0", "spiking.accuracy<0.82"]}, ["1.0.0"]),
        ({"where": ["float.accuracy>0"]}, ["1.0.0"]),
        ({"where": ["energy.uj>=3"]}, ["1.0.0"]),
        ({"where": ["nothing>0"]}, []),
        ({"since": "2026-01-02"}, ["1.0.0", "1.2.0", "canary"]),
        ({"until": "2026-01-02"}, ["1.1.0", "1.2.0", "1.3.0", "canary", "production"]),
        ({"since": "2026-01-02", "until": "2026-01-02"}, ["1.2.0", "canary"]),
        ({"until": "2026-01-01T11:59:59Z"}, ["1.3.0"]),
        ({"since": "2026-01-03T14:00:00+02:00"}, ["1.0.0"]),
        ({"since": "2026-01-03T14:00:01+02:00"}, []),
        ({"sort": "-version"}, [*ALL[3::-1], "canary", "production"]),
        ({"sort": "created"}, ["1.3.0", "1.1.0", "1.2.0", "1.0.0", "canary", "production"]),
        ({"sort": "-created"}, ["1.0.0", "1.2.0", "1.1.0", "1.3.0", "canary", "production"]),
        ({"sort": "-spiking.accuracy"}, ["1.1.0", "1.2.0", "1.0.0", "1.3.0", *ALL[4:]]),
        ({"sort": "spiking.accuracy"}, ["1.0.0", "1.2.0", "1.1.0", "1.3.0", *ALL[4:]]),
    ],
    ids=repr,
)
def test_a_list_contains_the_matching_versions_in_order(
    store: Registry, filters: dict[str, Any], tags: list[str]
) -> None:
    assert [entry.tag for entry in store.list("trec", **filters)] == tags
    assert [entry.tag for entry in store.list(**filters)] == tags


def test_a_list_includes_the_figures_that_it_filters_and_sorts_by(store: Registry) -> None:
    entries = store.list(where=["energy.uj>1"], sort="spiking.accuracy")
    assert {entry.tag: entry.figures for entry in entries} == {
        "1.0.0": {"energy.uj": 3, "spiking.accuracy": 0.8},
        "1.2.0": {"energy.uj": 2, "spiking.accuracy": 0.85},
        "canary": {"energy.uj": 2, "spiking.accuracy": 0.85},
    }


@pytest.mark.parametrize(
    "filters",
    [
        {"where": ["spiking.accuracy"]},
        {"where": ["spiking.accuracy>=high"]},
        {"where": [">=1"]},
        {"where": ["a>b>1"]},
        {"where": [""]},
        {"since": "yesterday"},
        {"until": "2026-13-01"},
        {"since": ""},
    ],
    ids=repr,
)
def test_a_malformed_filter_is_refused(store: Registry, filters: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"^(condition|time) '.*': must be "):
        store.list(**filters)


def test_a_damaged_version_is_listed_but_matches_no_filter(store: Registry) -> None:
    pin = store.resolve("trec:1.0.0")
    flip(blob_path(store, pin.digest))
    assert {e.tag: e.created for e in store.list()}["1.0.0"] is None
    for filters in (
        {"since": "2000-01-01"},
        {"labels": ["ABBR"]},
        {"where": ["spiking.accuracy>0"]},
    ):
        assert "1.0.0" not in [entry.tag for entry in store.list(**filters)]
    assert [e.tag for e in store.list(sort="created")][3] == "1.0.0"


# Comparing


def test_a_diff_lists_files_tensors_config_and_figures(registry: Registry) -> None:
    same = ("I16", [2], b"\x01\x00\x02\x00")
    left = {
        "core.safetensors": tensors(a=same, b=("F32", [1], bytes(4)), c=same, d=same),
        "labels.json": b'["A"]',
        "old.txt": b"old",
        "eval.json": json.dumps({"stages": {"float": {"accuracy": 0.8, "n": 1}}}).encode(),
    }
    right = {
        "core.safetensors": tensors(
            a=same, b=("F32", [2], bytes(8)), c=("I16", [2], bytes(4)), e=same
        ),
        "labels.json": b'["B"]',
        "new.txt": b"new!",
        "eval.json": json.dumps({"stages": {"float": {"accuracy": 0.9, "n": 1}}}).encode(),
    }
    for version, files, precision in (("1.0.0", left, "int4"), ("1.1.0", right, "int8")):
        config = {"precision": precision, "format": "safetensors"}
        registry.publish("trec", version, files, created=CREATED, config=config)
    found = registry.diff("trec:1.0.0", "trec:1.1.0")
    assert (found.left.version, found.right.version) == ("1.0.0", "1.1.0")
    sizes = [f"{len(files['core.safetensors'])} bytes" for files in (left, right)]
    assert found.files == (
        Changed(what="core.safetensors", left=sizes[0], right=sizes[1]),
        Changed(what="eval.json", left="48 bytes", right="48 bytes"),
        Changed(what="labels.json", left="5 bytes", right="5 bytes"),
        Changed(what="new.txt", left=None, right="4 bytes"),
        Changed(what="old.txt", left="3 bytes", right=None),
    )
    assert found.tensors == (
        Changed(what="core.safetensors: b", left="F32[1]", right="F32[2]"),
        Changed(what="core.safetensors: c", left="I16[2]", right="I16[2]"),  # other values
        Changed(what="core.safetensors: d", left="I16[2]", right=None),
        Changed(what="core.safetensors: e", left=None, right="I16[2]"),
    )
    assert found.config == (Changed(what="precision", left="int4", right="int8"),)
    assert found.figures == (Changed(what="float.accuracy", left=0.8, right=0.9),)
    nothing = registry.diff("trec:1.0.0", "trec:1.0.0")
    assert (nothing.files, nothing.tensors, nothing.config, nothing.figures) == ((), (), (), ())


def test_a_diff_of_invalid_safetensors_files_lists_only_the_files(registry: Registry) -> None:
    publish(registry, "1.0.0")
    publish(registry, "1.1.0")
    found = registry.diff("trec:1.0.0", "trec:1.1.0")
    assert [each.what for each in found.files] == ["core.safetensors"]
    assert found.tensors == ()


# verify --deep


GOOD = tensors(a=("F32", [2], bytes(8)))


def with_offsets(offsets: list[int]) -> bytes:
    """Return a safetensors file whose only tensor of 8 bytes claims these offsets."""
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"a.safetensors": with_offsets([0, 2**40])}, "a.safetensors: not a safetensors file: "),
        ({"a.safetensors": with_offsets([4, 8])}, "a.safetensors: not a safetensors file: "),
        ({"a.safetensors": GOOD + b"x"}, "a.safetensors: not a safetensors file: "),
        ({"a.safetensors": GOOD[:-1]}, "a.safetensors: not a safetensors file: "),
        ({"a.safetensors": b"\xff" * 8 + b"{}"}, "not a safetensors file: header too large"),
        ({"a.safetensors": b""}, "not a safetensors file: header too small"),
        ({"labels.json": b'{"a":1,"a":2}'}, "labels.json: not valid JSON: key 'a' appears twice"),
    ],
)
def test_a_deep_verify_checks_the_formats_of_files(
    registry: Registry, files: dict[str, bytes], text: str
) -> None:
    registry.publish("trec", "1.0.0", files, created=CREATED, alias="production")
    assert registry.verify().ok
    (problem,) = registry.verify(deep=True).problems
    assert text in problem.what
    assert "\n" not in problem.what
    assert problem.breaks == ("1.0.0", "production")


def test_a_deep_verify_of_sound_files_is_clean(registry: Registry) -> None:
    registry.publish("trec", "1.0.0", {"a.safetensors": GOOD, "b.json": b"[]"}, created=CREATED)
    assert registry.verify(deep=True).ok


def test_a_deep_verify_checks_graphs_where_onnx_is_installed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y]))
    good = model.SerializeToString()
    registry.publish("trec", "1.0.0", {"model.onnx": good}, created=CREATED)
    assert registry.verify(deep=True).ok
    for version, bad in (("1.1.0", b"garbage"), ("1.2.0", b"")):
        registry.publish("trec", version, {"model.onnx": bad}, created=CREATED)
    problems = registry.verify(deep=True).problems
    assert sorted(p.breaks for p in problems) == [("1.1.0",), ("1.2.0",)]
    assert all("model.onnx: not an ONNX model: " in p.what for p in problems)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("spikewatch.registry.formats.file_checks.find_spec", lambda _: None)
    report = registry.verify(deep=True)
    assert report.ok
    assert report.notes == ("*.onnx: not checked, the extra [convert] is not installed",)


@pytest.mark.parametrize("call", [lambda s: s.diff("trec:1.0.0", "trec:1.1.0"), lambda s: s.list()])
def test_a_list_and_a_diff_refuse_a_foreign_index(
    store: Registry, call: Callable[[Registry], object]
) -> None:
    path = store.root / "trec" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))
    with pytest.raises(Corrupt, match="another program wrote it"):
        call(store)
