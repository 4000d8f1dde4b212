"""What `show` and `list` tell about a version, read from its verified documents.

The files are read generically: what is in them is their publisher's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .documents import parse_json
from .errors import Corrupt
from .manifest import CREATED, parse_config
from .references import is_version, version_key
from .values import Details, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .documents import Descriptor
    from .layout import Layout
    from .manifest import Manifest
    from .values import Pin

__all__ = ["config_of", "describe", "entries_of"]


def describe(layout: Layout, pin: Pin, manifest: Manifest, *, aliases: tuple[str, ...]) -> Details:
    """Tell everything about one version but its files.

    Raises
    ------
    Corrupt
        When a document is not what was published.
    """
    return Details(
        pin=pin,
        created=manifest.annotations.get(CREATED, ""),
        aliases=aliases,
        annotations=manifest.annotations,
        config=config_of(layout, pin, manifest),
        layers=manifest.layers,
        labels=_labels(_document(layout, pin, manifest, "labels.json")),
        stages=_stages(_document(layout, pin, manifest, "eval.json")),
        manifest=manifest.document,
    )


def entries_of(layout: Layout) -> Iterator[Entry]:
    """List versions, oldest first by SemVer, then aliases."""
    state = layout.state()
    versions = sorted(filter(is_version, state.tags), key=version_key)
    aliases = sorted(set(state.tags) - set(versions))
    names = {state.tags[version].digest: version for version in versions}
    created = {target.digest: _created(layout, target) for target in state.tags.values()}
    for kind, tags in (("version", versions), ("alias", aliases)):
        for tag in tags:
            digest = state.tags[tag].digest
            yield Entry(
                name=layout.name,
                tag=tag,
                kind=kind,
                version=names.get(digest),
                digest=digest,
                created=created[digest],
            )


def _created(layout: Layout, target: Descriptor) -> str | None:
    """Say when a version was made; None when its manifest is damaged."""
    try:
        return layout.manifest(target, what=layout.name).annotations.get(CREATED)
    except Corrupt:
        return None  # a list must still show the other versions


def config_of(layout: Layout, pin: Pin, manifest: Manifest) -> Mapping[str, Any]:
    """Read the model's part of the config."""
    what = f"{pin}: config"
    return parse_config(layout.read(manifest.config, what=what), manifest, what=what)


def _document(layout: Layout, pin: Pin, manifest: Manifest, name: str) -> Any:
    """Read a JSON file of the model; None when it has none of that name."""
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
