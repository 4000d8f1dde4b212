"""Set aliases, and find versions by references."""

from __future__ import annotations

import re

import pytest
from registry_support import CREATED, STAGES, append_entry, model_files, publish, snapshot

from spikewatch.registry import ABSENT, BadReference, Conflict, NotFound, Registry, RegistryError

# Aliases


def test_an_alias_moves_from_version_to_version(registry: Registry) -> None:
    first = publish(registry, "1.0.0", "production")
    second = publish(registry, "1.1.0")
    assert registry.resolve("trec:production") == first
    assert registry.set_alias("trec", "production", "trec:1.1.0") == second
    assert registry.resolve("trec:production") == second
    assert registry.set_alias("trec", "production", first.digest) == first
    assert registry.set_alias("trec", "stage", "production") == first


def test_an_alias_moves_only_from_the_expected_version(registry: Registry) -> None:
    first = publish(registry, "1.0.0", "production")
    second = publish(registry, "1.1.0")
    registry.set_alias("trec", "production", "1.1.0", expect=first.digest)
    before = snapshot(registry.root)
    message = f"^trec:production is {second.digest}, not {first.digest} as expected$"
    with pytest.raises(Conflict, match=message):
        registry.set_alias("trec", "production", "1.0.0", expect=first.digest)
    with pytest.raises(Conflict, match=f"production is {second.digest}, not absent as expected"):
        registry.set_alias("trec", "production", "1.0.0", expect=ABSENT)
    with pytest.raises(Conflict, match=f"trec:stage is absent, not {first.digest} as expected"):
        registry.set_alias("trec", "stage", "1.0.0", expect=first.digest)
    assert snapshot(registry.root) == before
    registry.set_alias("trec", "stage", "1.0.0", expect=ABSENT)
    assert registry.resolve("trec:stage") == first


def test_moving_an_alias_to_its_present_version_writes_nothing(registry: Registry) -> None:
    publish(registry, "1.0.0", "production")
    before = snapshot(registry.root)
    registry.set_alias("trec", "production", "1.0.0", reason="again")
    assert snapshot(registry.root) == before


@pytest.mark.parametrize(
    ("alias", "ref", "expect", "error"),
    [
        ("1.0.0", "1.0.0", None, BadReference),
        ("v1", "1.0.0", None, BadReference),
        ("Production", "1.0.0", None, BadReference),
        ("production", "2.0.0", None, NotFound),
        ("production", "stage", None, NotFound),
        ("production", "sha256:" + "0" * 64, None, NotFound),
        ("production", "sha256:12", None, BadReference),
        ("production", "other:1.0.0", None, BadReference),
        ("production", "missing:1.0.0", None, BadReference),
        ("production", "1.0.0", "1.0.0", BadReference),
        ("production", "1.0.0", "", BadReference),
        ("production", "1.0.0", "sha256:", BadReference),
    ],
)
def test_a_bad_alias_change_is_refused_and_writes_nothing(
    registry: Registry, alias: str, ref: str, expect: str | None, error: type[RegistryError]
) -> None:
    publish(registry, "1.0.0")
    publish(registry, "1.0.0", name="other")
    before = snapshot(registry.root)
    with pytest.raises(error) as caught:
        registry.set_alias("trec", alias, ref, expect=expect)
    assert "\n" not in str(caught.value)
    assert snapshot(registry.root) == before


# Finding


def test_every_form_of_reference_finds_the_version(registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    for ref in ("trec:1.0.0", "trec:production", f"trec@{pin.digest}", str(pin)):
        assert registry.resolve(ref) == pin
        assert registry.load(ref).pin == pin
        assert registry.show(ref).pin == pin


def test_tag_and_digest_must_agree(registry: Registry) -> None:
    first, second = publish(registry, "1.0.0"), publish(registry, "1.1.0")
    with pytest.raises(Conflict, match=f"^trec:1.0.0 is {first.digest}, not {second.digest}$"):
        registry.resolve(f"trec:1.0.0@{second.digest}")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("trec:2.0.0", "model trec: no version '2.0.0'"),
        ("trec:stage", "model trec: no alias 'stage'"),
        ("trec:latest", "model trec: no alias 'latest'"),
        ("trec@sha256:" + "0" * 64, "model trec: no manifest sha256:" + "0" * 64),
    ],
)
def test_a_missing_version_alias_or_digest_is_not_found(
    registry: Registry, ref: str, message: str
) -> None:
    publish(registry, "1.0.0", "production")
    with pytest.raises(NotFound, match=f"^{re.escape(message)}$"):
        registry.resolve(ref)


def test_a_missing_model_is_not_found(registry: Registry) -> None:
    message = f"^registry {re.escape(str(registry.root))}: no model 'qa'$"
    for find in (registry.list, registry.verify):
        with pytest.raises(NotFound, match=message):
            find("qa")
    with pytest.raises(NotFound, match=message):
        registry.resolve("qa:1.0.0")


def test_the_digest_of_a_layer_is_not_a_model(registry: Registry) -> None:
    publish(registry, "1.0.0")
    layer = registry.show("trec:1.0.0").layers[0]
    with pytest.raises(NotFound, match="no manifest"):
        registry.resolve(f"trec@{layer.digest}")


def test_a_manifest_without_a_tag_is_found_by_its_digest(registry: Registry) -> None:
    """Remove a version's tag by an entry that a later release might write."""
    pin = publish(registry, "1.0.0")
    append_entry(registry, op="remove", **{"from": pin.digest}, to=None)
    with pytest.raises(NotFound):
        registry.resolve("trec:1.0.0")
    found = registry.resolve(f"trec@{pin.digest}")
    assert (found.version, str(found)) == (None, f"trec@{pin.digest}")
    assert registry.load(str(found)).files == model_files("1.0.0")
    assert registry.verify().ok


def test_list_is_sorted_by_semver_and_includes_the_targets_of_aliases(registry: Registry) -> None:
    for version in ("1.10.0", "1.2.0", "1.10.0-rc.1"):
        publish(registry, version)
    registry.set_alias("trec", "production", "1.2.0")
    publish(registry, "0.1.0", name="area")
    found = [(e.name, e.tag, e.kind, e.version) for e in registry.list()]
    assert found == [
        ("area", "0.1.0", "version", "0.1.0"),
        ("trec", "1.2.0", "version", "1.2.0"),
        ("trec", "1.10.0-rc.1", "version", "1.10.0-rc.1"),
        ("trec", "1.10.0", "version", "1.10.0"),
        ("trec", "production", "alias", "1.2.0"),
    ]
    assert registry.models() == ["area", "trec"]
    assert {e.name for e in registry.list("area")} == {"area"}
    assert {e.created for e in registry.list()} == {"2026-01-01T00:00:00Z"}


def test_show_returns_figures_labels_and_aliases(registry: Registry) -> None:
    pin = publish(registry, "1.0.0", "production")
    registry.set_alias("trec", "canary", "1.0.0")
    details = registry.show("trec:1.0.0")
    assert details.pin == pin
    assert details.aliases == ("canary", "production")
    assert details.stages == STAGES
    assert details.labels == ("ABBR", "DESC")
    assert [layer.path for layer in details.layers] == sorted(model_files())


@pytest.mark.parametrize("text", [b"[]", b'{"stages": [1]}', b'{"stages": {"float": 1}}', b"7"])
def test_show_ignores_documents_of_another_structure(registry: Registry, text: bytes) -> None:
    files = {"eval.json": text, "labels.json": b'{"a": 1}'}
    registry.publish("trec", "1.0.0", files, created=CREATED)
    details = registry.show("trec:1.0.0")
    assert (details.stages, details.labels) == (None, None)
