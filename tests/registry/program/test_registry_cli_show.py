"""The commands `list` and `show`: their tables, and hostile text from a model in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from registry_support import CREATED, STAGES, Run, model_files, publish

from spikewatch.registry.references import digest_of

if TYPE_CHECKING:
    from spikewatch.registry import Registry


def test_list_shows_versions_with_their_aliases(run: Run, registry: Registry) -> None:
    assert run("list") == (0, "no models\n", "")
    first = publish(registry, "1.2.0", "production")
    second = publish(registry, "1.10.0")
    registry.set_alias("trec", "canary", "1.2.0")
    other = publish(registry, "0.1.0", name="area")
    assert run("list") == (
        0,
        "MODEL  VERSION  CREATED               ALIASES            DIGEST\n"
        f"area   0.1.0    2026-01-01T00:00:00Z  -                  {other.digest[:19]}\n"
        f"trec   1.2.0    2026-01-01T00:00:00Z  canary,production  {first.digest[:19]}\n"
        f"trec   1.10.0   2026-01-01T00:00:00Z  -                  {second.digest[:19]}\n",
        "",
    )
    assert "area" not in run("list", "trec").out
    entries = json.loads(run("list", "trec", "--json").out)
    assert [entry["tag"] for entry in entries] == ["1.2.0", "1.10.0", "canary", "production"]
    assert entries[3] == {
        "name": "trec",
        "tag": "production",
        "kind": "alias",
        "version": "1.2.0",
        "digest": first.digest,
        "created": "2026-01-01T00:00:00Z",
        "figures": {},
    }


def test_show_prints_every_fact_of_a_version(run: Run, registry: Registry) -> None:
    pin = registry.publish(
        "trec",
        "1.0.0",
        model_files() | {"MODEL_CARD.md": b"# card"},
        created=CREATED,
        config={"architecture": "elman", "capabilities": {"inputTypes": ["text"]}},
        annotations={"org.opencontainers.image.licenses": "Apache-2.0"},
        alias="production",
    )
    digests = {layer.path: layer.digest[:19] for layer in registry.show(str(pin)).layers}
    assert run("show", "trec:production") == (
        0,
        f"""\
{pin}
created                            2026-01-01T00:00:00Z
aliases                            production
labels                             ABBR, DESC
config.architecture                elman
config.capabilities                inputTypes=text
org.opencontainers.image.created   2026-01-01T00:00:00Z
org.opencontainers.image.licenses  Apache-2.0
org.opencontainers.image.title     trec
org.opencontainers.image.version   1.0.0

FILE              BYTES  KIND                  DIGEST
MODEL_CARD.md     6      doc.v1.raw            {digests["MODEL_CARD.md"]}
core.safetensors  2048   weight.v1.raw         {digests["core.safetensors"]}
eval.json         {len(model_files()["eval.json"])}    doc.v1.raw            {digests["eval.json"]}
labels.json       15     weight.config.v1.raw  {digests["labels.json"]}

STAGE    ACCURACY  AGREEMENT
float    86.0 %    100.0 %
spiking  84.5 %    97.0 %
""",
        "",
    )
    document = json.loads(run("show", "trec:1.0.0", "--json").out)
    assert document["pin"] == {
        "name": "trec",
        "version": "1.0.0",
        "digest": pin.digest,
        "pin": str(pin),
    }
    assert document["stages"] == STAGES
    assert document["aliases"] == ["production"]
    assert document["layers"][0]["path"] == "MODEL_CARD.md"
    assert document["manifest"]["schemaVersion"] == 2


def test_show_prints_a_dash_for_figures_of_another_type(run: Run, registry: Registry) -> None:
    stages = {
        "extra": {},
        "float": {"accuracy": "high"},
        "activities": {},
        "weights": {"agreement": 1},
    }
    files = {"eval.json": json.dumps({"stages": stages}).encode()}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    assert run("show", "trec:1.0.0").out.endswith(
        "STAGE       ACCURACY  AGREEMENT\n"
        "float       -         -\n"
        "weights     -         100.0 %\n"
        "activities  -         -\n"
        "extra       -         -\n"
    )


def test_control_characters_from_a_model_do_not_reach_the_terminal(
    run: Run, registry: Registry
) -> None:
    registry.publish(
        "trec",
        "1.0.0",
        {"labels.json": b'["\\u001b[31mred\\nline"]'},
        created=CREATED,
        annotations={"note": "\x1b]0;title\x07"},
    )
    out = run("show", "trec:1.0.0").out
    assert "\x1b" not in out
    assert "labels                            \ufffd[31mred\ufffdline\n" in out


@pytest.mark.parametrize("labels", [b'["\\ud800"]', b"[1e999]"])
def test_a_file_of_invalid_json_is_refused_in_one_line(
    run: Run, registry: Registry, labels: bytes
) -> None:
    registry.publish("trec", "1.0.0", {"labels.json": labels}, created=CREATED)

    found = run("show", "trec:1.0.0", "--json")

    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert "labels.json: not valid JSON" in found.err


@pytest.mark.parametrize("kept", [True, False])
def test_show_names_the_teacher_of_an_imitation(run: Run, registry: Registry, kept: bool) -> None:
    data = b"the teacher"
    digest = digest_of(data)
    teacher = {"file": "lstm.onnx", "sha256": digest.removeprefix("sha256:")}
    files = {"eval.json": json.dumps({"teacher": teacher}).encode()}
    files |= {"teacher.onnx": data} if kept else {}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    where = "kept as teacher.onnx" if kept else "not kept"
    shown = run("show", "trec:1.0.0").out.splitlines()
    (line,) = (line for line in shown if line.startswith("teacher "))
    assert line.split(maxsplit=1)[1] == f"lstm.onnx, {digest}, {where}"
    document = json.loads(run("show", "trec:1.0.0", "--json").out)
    path = "teacher.onnx" if kept else None
    assert document["teacher"] == {"file": "lstm.onnx", "digest": digest, "kept": path}


@pytest.mark.parametrize(
    "teacher", [None, [], "lstm.onnx", {"file": 3}, {"file": "a", "sha256": "b"}, {"sha256": "c"}]
)
def test_show_ignores_a_teacher_of_another_form(
    run: Run, registry: Registry, teacher: object
) -> None:
    files = {"eval.json": json.dumps({"teacher": teacher}).encode()}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    assert json.loads(run("show", "trec:1.0.0", "--json").out)["teacher"] is None
