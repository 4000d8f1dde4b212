"""Check a model's directory against everything that the registry promises about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..errors import BadReference, Corrupt, StorageError
from ..formats.attachments import parse_attachment, split_tag
from ..formats.dsse import read_envelope
from ..formats.file_checks import check_file
from ..formats.json_documents import canonical, parse_json
from ..formats.manifest import MAX_LAYER, Manifest, parse_config, parse_manifest
from ..references import Digest, check_tag, digest_of, is_version
from ..values import Problem
from .files import read_regular
from .index import render_index
from .journal import Change, ModelState, entry_name
from .layout import LAYOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..formats.json_documents import Descriptor
    from .index import Index
    from .layout import Layout

__all__ = ["Findings", "verify_model"]

_MAX_MARKER: Final = 4096
_BROKEN: Final = (Corrupt, StorageError)
_BLOB_NAME: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(kw_only=True, slots=True)
class Findings:
    """What was found in one model; filled while it is checked.

    Attributes
    ----------
    model
        Name of the model.
    references, blobs, size, problems, notes
        As in `Report`.

    """

    model: str
    references: int = 0
    blobs: int = 0
    size: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, path: str, what: object, breaks: tuple[str, ...] = ()) -> None:
        """Add a problem."""
        self.problems.append(Problem(model=self.model, path=path, what=str(what), breaks=breaks))

    def note(self, what: str) -> None:
        """Add a note."""
        self.notes.append(f"{self.model}: {what}")


def verify_model(layout: Layout, *, deep: bool) -> Findings:
    """Check one model; collect every problem instead of raising it.

    Writers may work at the same time. The index is read before the journal, so a change between the two looks like a
    journal entry that a crash kept out of the index, which is no problem.

    Parameters
    ----------
    layout
        The model.
    deep
        Also check that each file is of the kind that its name says.

    """
    found = Findings(model=layout.name)
    _check_marker(layout, found)
    index = None
    # Damage to the journal must not hide damage to blobs: blobs that only the index refers to are checked, too.
    seen: dict[str, Descriptor] = {}
    try:
        index = layout.read_index()
        seen |= index.state.tags
    except _BROKEN as e:
        found.problem("index.json", e)
        index = None
    # Both replays draw from one iterator, so each entry is read and checked once.
    changes = _examined(layout, found, seen)
    try:
        then = ModelState().replay(
            islice(changes, index.state.generation if index else 0), what=str(layout.journal)
        )
        head = then.replay(changes, what=str(layout.journal))
    except _BROKEN as e:
        found.problem(".journal", e)
    else:
        _check_end(layout, head, found)
        if index is not None:
            _check_index(index, then, head, found)
    found.references = sum(split_tag(tag) is None for tag in seen)
    _check_blobs(layout, seen, found, deep=deep)
    _check_leftovers(layout, found)
    return found


def _check_marker(layout: Layout, found: Findings) -> None:
    try:
        data = read_regular(layout.path / "oci-layout", limit=_MAX_MARKER)
    except FileNotFoundError:
        found.problem("oci-layout", "is missing")
    except _BROKEN as e:
        found.problem("oci-layout", e)
    else:
        if data != LAYOUT:
            found.problem("oci-layout", f"is not {LAYOUT.decode()}")


def _examined(
    layout: Layout, found: Findings, seen: dict[str, Descriptor]
) -> Iterator[tuple[Change, bytes]]:
    """Yield the journal's entries, check each, and record in `seen` what every tag points to."""
    gone: dict[str, Digest | None] = {}
    for change, data in layout.entries(0):
        where = f".journal/{entry_name(change.generation)}"
        if change.to_bytes() != data:
            found.problem(where, "is not in canonical form")
        if split_tag(change.tag) is None:
            try:
                check_tag(change.tag)
            except BadReference as e:
                found.problem(where, e)
        moved = change.source is not None and change.target is not None
        if moved and is_version(change.tag):
            found.problem(where, f"moves {change.tag}: versions are immutable", (change.tag,))
        if change.target is None:
            seen.pop(change.tag, None)
            gone[change.tag] = change.source
        else:
            if is_version(change.tag) and gone.get(change.tag) not in {None, change.target.digest}:
                what = f"{change.tag} was other bytes before it was withdrawn"
                found.problem(where, what, (change.tag,))
            seen[change.tag] = change.target
        yield change, data


def _check_end(layout: Layout, head: ModelState, found: Findings) -> None:
    """Add a problem if there are journal entries after a missing one."""
    numbers = [int(p.stem) for p in layout.journal.glob("*.json") if p.stem.isdecimal()]
    last, missing = max(numbers, default=0), head.generation + 1
    # If the missing entry exists now, a writer added it after the replay ended.
    if last > head.generation and layout.entry(missing) is None:
        found.problem(f".journal/{missing:08d}.json", f"is missing, entries up to {last} are there")


def _check_index(index: Index, then: ModelState, head: ModelState, found: Findings) -> None:
    """Compare the index with `then`, the journal replayed to the index's generation; `head` is the last state."""
    entry = f".journal/{entry_name(index.state.generation)}"
    if then.generation < index.state.generation:
        found.problem(
            entry, f"is missing: index.json names it, the journal ends at {then.generation}"
        )
        return
    if index.state.head != then.head:
        found.problem(entry, f"is {then.head}, but index.json names {index.state.head}")
    # With the index's own head: a wrong one was reported above, and is not drift of the tags.
    if index.data != render_index(replace(then, head=index.state.head)):
        drift = [
            f"{tag} is {_digest(index.state.tags, tag)}, by the journal {_digest(then.tags, tag)}"
            for tag in sorted({*index.state.tags, *then.tags})
            if index.state.tags.get(tag) != then.tags.get(tag)
        ]
        what = "; ".join(drift) or "holds other bytes than the registry writes"
        found.problem("index.json", f"drift, another program wrote it: {what}")
    elif index.state.generation < head.generation:
        found.note(
            f"index.json is {head.generation - index.state.generation} generations behind the journal "
            "(readers apply them; the next change updates it)"
        )


def _digest(tags: Mapping[str, Descriptor], tag: str) -> str:
    return tags[tag].digest if tag in tags else "absent"


def _check_blobs(
    layout: Layout, seen: Mapping[str, Descriptor], found: Findings, *, deep: bool
) -> None:
    """Read every blob once; name the tags that need a damaged one."""
    needed: dict[Descriptor, set[str]] = {}
    names: dict[Digest, set[str]] = {}
    meaning: dict[Descriptor, list[str]] = {}
    for tag, target in sorted(seen.items()):
        meaning.setdefault(target, []).append(tag)
    for target, tags in meaning.items():
        breaks = tuple(tags)
        if split_tag(tags[0]) is not None:
            for blob in _check_attachment(layout, target, breaks, found, deep=deep):
                needed.setdefault(blob, set()).update(breaks)
            continue
        needed.setdefault(target, set()).update(breaks)
        manifest = _check_manifest(layout, target, breaks, found)
        for layer in () if manifest is None else manifest.layers:
            names.setdefault(layer.digest, set()).add(layer.path)
        for blob in () if manifest is None else manifest.blobs:
            needed.setdefault(blob, set()).update(breaks)
    for blob, users in sorted(needed.items(), key=lambda item: item[0].digest):
        try:
            data = layout.read(blob, what="blob")
            found.size += len(data)
            for name in sorted(names.get(blob.digest, ())) if deep else ():
                check_file(name, data)
        except _BROKEN as e:
            found.problem(_path(blob.digest), e, tuple(sorted(users)))
    found.blobs = len({blob.digest for blob in needed})
    _check_unused(layout, {blob.digest for blob in needed}, found)


def _check_attachment(
    layout: Layout, target: Descriptor, tags: tuple[str, ...], found: Findings, *, deep: bool
) -> tuple[Descriptor, ...]:
    """Check the content of an attachment's manifest; return the manifest and the blobs that it refers to."""
    try:
        data = layout.read(target, what="manifest")
    except _BROKEN:  # `_check_blobs` reads it again and reports it, with every tag that needs it
        return (target,)
    try:
        attachment = parse_attachment(data, what="manifest")
    except Corrupt as e:
        found.problem(_path(target.digest), e, tags)
        return (target,)
    if canonical(attachment.document) != data:
        found.problem(_path(target.digest), "the manifest is not in canonical form", tags)
    for tag in tags:
        if split_tag(tag) != (attachment.subject.digest, attachment.kind):
            what = f"is of kind {attachment.kind} and attached to {attachment.subject.digest}"
            found.problem(_path(target.digest), what, (tag,))
    if deep:
        try:
            content = layout.read(attachment.content, what="attachment")
            if attachment.kind == "sig":
                read_envelope(content, attachment.subject.digest, what="signature")
            parse_json(content, what="attachment")
        except _BROKEN as e:
            found.problem(_path(attachment.content.digest), e, tags)
    return target, *attachment.blobs


def _check_manifest(
    layout: Layout, target: Descriptor, tags: tuple[str, ...], found: Findings
) -> Manifest | None:
    """Check the content of a manifest and its config, and return it; `_check_blobs` checks their bytes."""
    path = _path(target.digest)
    try:
        data = layout.read(target, what="manifest")
    except _BROKEN:  # reported by `_check_blobs`, as above
        return None
    try:
        manifest = parse_manifest(data, what="manifest")
    except Corrupt as e:
        found.problem(path, e, tags)
        return None
    if canonical(manifest.document) != data:
        found.problem(path, "the manifest is not in canonical form", tags)
    for tag in tags:
        if is_version(tag) and tag != manifest.version:
            found.problem(path, f"the manifest of {tag} is of version {manifest.version}", tags)
    try:
        config = layout.read(manifest.config, what="config")
    except _BROKEN:
        return manifest
    try:
        parse_config(config, manifest, what="config")
    except Corrupt as e:
        found.problem(_path(manifest.config.digest), e, tags)
    return manifest


def _check_unused(layout: Layout, needed: set[Digest], found: Findings) -> None:
    """Check the blobs that no tag needs: a crash may leave such blobs, but only intact ones."""
    unused = 0
    names = sorted(path.name for path in layout.blobs.iterdir()) if layout.blobs.is_dir() else []
    for name in names:
        digest = Digest(f"sha256:{name}")
        if _BLOB_NAME.fullmatch(name) is None:
            found.note(f"blobs/sha256/{name!r} is not a blob")
        elif digest not in needed:
            unused += 1
            try:
                data = read_regular(layout.blob_path(digest), limit=MAX_LAYER)
            except (*_BROKEN, FileNotFoundError) as e:
                found.problem(_path(digest), e)
                continue
            if digest_of(data) != digest:
                found.problem(_path(digest), f"blob {digest} holds bytes with {digest_of(data)}")
    if unused:
        found.note(f"{unused} blobs that no version needs")


def _check_leftovers(layout: Layout, found: Findings) -> None:
    leftovers = list(layout.ingest.iterdir()) if layout.ingest.is_dir() else []
    if leftovers:
        found.note(f"{len(leftovers)} unfinished files in .ingest")


def _path(digest: Digest) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
