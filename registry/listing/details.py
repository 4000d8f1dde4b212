"""Describe versions for `show` and `list`, from their verified documents.

`labels.json` and `eval.json` are optional, and a publisher may use these names for other content: JSON of another
structure counts as absent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import Corrupt
from ..formats.attachments import TYPES, split_tag, tag_prefix
from ..formats.dsse import read_envelope
from ..formats.json_documents import parse_json, take
from ..formats.manifest import CREATED, parse_config
from ..references import Digest, is_alias, is_digest, is_version, version_key
from ..values import Attached, Details, Entry, Pin, Teacher
from .filters import figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..formats.json_documents import Descriptor
    from ..formats.manifest import Manifest
    from ..layout.journal import ModelState
    from ..layout.layout import Layout
    from ..values import Model
    from .filters import Selection

__all__ = ["config_of", "describe", "list_entries", "stages_of"]


def describe(layout: Layout, pin: Pin, manifest: Manifest, state: ModelState) -> Details:
    """Return everything about one version except the content of its files.

    Raises
    ------
    Corrupt
        A document is not the one that was published.

    """
    evaluation = _document(layout, pin, manifest, "eval.json")
    return Details(
        pin=pin,
        created=manifest.annotations.get(CREATED, ""),
        aliases=state.aliases_of(pin.digest),
        annotations=manifest.annotations,
        config=config_of(layout, pin, manifest),
        layers=manifest.layers,
        labels=_labels(_document(layout, pin, manifest, "labels.json")),
        stages=_stages(evaluation),
        teacher=_teacher(evaluation, manifest),
        manifest=manifest.document,
        attachments=tuple(_attached(layout, state, pin)),
    )


def _attached(layout: Layout, state: ModelState, pin: Pin) -> Iterator[Attached]:
    """Yield the verified attachments of a version: each kind by ascending number."""
    for kind in TYPES:
        prefix = tag_prefix(pin.digest, kind)
        tags = [tag for tag in state.tags if split_tag(tag) == (pin.digest, kind)]
        for tag in sorted(tags, key=lambda tag: int(tag.removeprefix(prefix))):
            what = f"{layout.name}:{tag}"
            found = layout.attachment(state.tags[tag], what=what)
            data = layout.read(found.content, what=what)
            if kind == "sig":
                read_envelope(data, pin.digest, what=what)
            yield Attached(
                tag=tag,
                kind=kind,
                digest=state.tags[tag].digest,
                created=found.annotations.get(CREATED, ""),
                # Wrapped in an object, because `take` checks members: the content itself must be an object.
                document=take({"content": parse_json(data, what=what)}, "content", dict, what=what),
            )


def list_entries(layouts: Sequence[Layout], selection: Selection) -> list[Entry]:
    """Return the selected versions, and the aliases that point to one of them.

    Sorted by version, each model's aliases follow its versions; in any other order, all aliases come last.
    """
    versions: list[Entry] = []
    aliases: dict[tuple[str, Digest], list[str]] = {}
    labels: dict[Digest, tuple[str, ...]] = {}
    for layout in layouts:
        state = layout.state()
        for tag in sorted(filter(is_alias, state.tags)):
            aliases.setdefault((layout.name, state.tags[tag].digest), []).append(tag)
        for tag in sorted(filter(is_version, state.tags), key=version_key):
            entry, labels[entry.digest] = _entry(layout, tag, state.tags[tag], selection)
            versions.append(entry)
    chosen = selection.choose(versions, labels)
    places = {name: i for i, name in enumerate(dict.fromkeys(entry.name for entry in chosen))}
    pointing = [
        replace(entry, tag=alias, kind="alias")
        for entry in chosen
        for alias in aliases.get((entry.name, entry.digest), [])
    ]
    pointing.sort(key=lambda entry: (places[entry.name], entry.tag))
    if selection.order != "version":
        return chosen + pointing
    return sorted(chosen + pointing, key=lambda entry: places[entry.name])


def _entry(
    layout: Layout, tag: str, target: Descriptor, selection: Selection
) -> tuple[Entry, tuple[str, ...]]:
    """Return the entry of a version and its labels, with no more read than the selection needs."""
    entry = Entry(
        name=layout.name, tag=tag, kind="version", version=tag, digest=target.digest, created=None
    )
    try:
        manifest = layout.manifest(target, what=layout.name)
        pin = Pin(name=layout.name, version=tag, digest=target.digest)
        labels = None
        if selection.labels:
            labels = _labels(_document(layout, pin, manifest, "labels.json"))
        found = {}
        if selection.figures:
            document = _document(layout, pin, manifest, "eval.json")
            found = {path: figure(document, path) for path in selection.figures}
    except Corrupt:
        return entry, ()  # one damaged version must not hide the others; verify reports it
    figures = {path: value for path, value in found.items() if value is not None}
    return replace(entry, created=manifest.annotations.get(CREATED), figures=figures), labels or ()


def stages_of(model: Model) -> Mapping[str, Mapping[str, Any]]:
    """Return the figures of each stage in a loaded model's `eval.json`; empty without such a file.

    Raises
    ------
    Corrupt
        The file is not valid JSON.

    """
    if "eval.json" not in model.files:
        return {}
    what = f"{model.pin}: eval.json"
    return _stages(parse_json(model.files["eval.json"], what=what)) or {}


def config_of(layout: Layout, pin: Pin, manifest: Manifest) -> Mapping[str, Any]:
    """Return the `config` object of a version's ModelPack config.

    Raises
    ------
    Corrupt
        The config is not the one that was published.

    """
    what = f"{pin}: config"
    return parse_config(layout.read(manifest.config, what=what), manifest, what=what)


def _document(layout: Layout, pin: Pin, manifest: Manifest, name: str) -> Any:
    """Return a JSON file of the model, parsed; None if it has no file of that name."""
    if name not in manifest.files:
        return None
    what = f"{pin}: {name}"
    return parse_json(layout.read(manifest.files[name], what=what), what=what)


def _labels(document: Any) -> tuple[str, ...] | None:
    if not isinstance(document, list) or not all(isinstance(label, str) for label in document):
        return None
    return tuple(document)


def _stages(document: Any) -> Mapping[str, Mapping[str, Any]] | None:
    stages = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(each, dict) for each in stages.values()):
        return None
    return stages


def _teacher(document: Any, manifest: Manifest) -> Teacher | None:
    found = document.get("teacher") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("file"), str):
        return None
    digest = Digest(f"sha256:{found.get('sha256')}")
    if not is_digest(digest):
        return None
    kept = next((layer.path for layer in manifest.layers if layer.digest == digest), None)
    return Teacher(file=found["file"], digest=digest, kept=kept)
