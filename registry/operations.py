"""The operations behind the methods of `Registry`, except for those that move aliases."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from typing import TYPE_CHECKING, Final

from .errors import BadInput, Corrupt, NotFound, StorageError, shown
from .exchange.admit import admit, quarantined
from .exchange.archive import write_archive
from .exchange.examine import examine
from .formats.attachments import build_attachment, split_tag, tag_prefix
from .formats.dsse import Verifier
from .formats.file_checks import skipped_checks
from .layout.changes import attachment, check_new, move, publication
from .layout.collect import Grace, collect, remove_old
from .layout.commit import add, commit, create
from .layout.files import storage, sync_folder
from .layout.signatures import unsigned
from .layout.unfinished import NEW, QUARANTINE, writing
from .layout.verify import verify_model
from .listing.details import config_of
from .references import Reference, check_model
from .values import Exported, Model, Pin, Problem, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from .catalogue import Catalogue, FoundVersion
    from .formats.json_documents import Descriptor
    from .formats.manifest import Package
    from .layout.changes import Attribution
    from .layout.layout import Layout
    from .values import Collected

__all__ = [
    "GRACE",
    "attach",
    "collect_garbage",
    "export",
    "find_intact",
    "import_layout",
    "load",
    "prepare",
    "publish",
    "verify",
]

GRACE: Final = 3600.0
"""Seconds for which `gc` leaves new files alone by default: a writer may be about to refer to them."""


def prepare(root: Path) -> None:
    """Create a registry's directory, and check its file system; see `Registry.init`."""
    probe, link = (root / f".probe-{uuid.uuid4().hex}" for _ in range(2))
    with storage(f"creating registry {root}"):
        if root.exists() and not root.is_dir():  # mkdir would say "File exists", which misleads
            raise StorageError(f"creating registry {root}: not a directory")
        root.mkdir(parents=True, exist_ok=True)
        sync_folder(root.parent)
        try:
            # Tried out, because a commit is a hard link, and no flag tells whether the file system has them.
            probe.touch()
            link.hardlink_to(probe)
        except OSError as e:
            raise StorageError(f"registry {root}: no hard links here: {e.strerror}") from e
        finally:
            probe.unlink(missing_ok=True)
            link.unlink(missing_ok=True)


def publish(
    catalogue: Catalogue,
    name: str,
    version: str,
    package: Package,
    alias: str | None,
    attribution: Attribution,
) -> Pin:
    """Add a version, then point an alias to it; see `Registry.publish`."""
    target = package.descriptor
    layout = catalogue.layout(name)
    with storage(f"publishing {name}:{version} to {catalogue.root}"):
        create(layout)
        # `add` checks this again under the lock; here, so that a conflict writes no blobs.
        check_new(name, layout.state(), version, target.digest)
        add(layout, package, publication(name, version, target, attribution))
        if alias is not None:
            reference = Reference(name=name, tag=version)
            commit(layout, move(layout, alias, reference, None, attribution))
    return Pin(name=name, version=version, digest=target.digest)


def find_intact(catalogue: Catalogue, ref: str) -> FoundVersion:
    """Find a version, and check every byte of it.

    Raises
    ------
    NotFound
        The version does not exist, or was withdrawn.
    Corrupt
        Any byte differs from what was published.

    """
    found = catalogue.find(ref)
    if found.pin.version is None:
        raise NotFound(f"{found.pin}: is not a version any more")
    found.layout.check(found.target, what=str(found.pin))
    return found


def attach(
    found: FoundVersion,
    kind: str,
    content: bytes,
    annotations: Mapping[str, str],
    attribution: Attribution,
) -> str:
    """Attach an evaluation or a signature to a version; return the new tag, or the one that it had already."""
    name, subject = found.layout.name, found.target
    package = build_attachment(kind, name, subject, content, annotations)
    target = package.descriptor
    with storage(f"attaching to {found.pin} in {found.layout.path.parent}"):
        state = add(found.layout, package, attachment(name, kind, target, subject, attribution))
    # Looked up in the new state, because the same bytes may have been attached before, under another number.
    prefix = tag_prefix(subject.digest, kind)
    return next(tag for tag in state.tags.of(target.digest) if tag.startswith(prefix))


def import_layout(
    catalogue: Catalogue, source: Path, alias: str | None, attribution: Attribution
) -> list[Pin]:
    """Verify an archive or layout, and add its versions and attachments; see `Registry.import_`."""
    with storage(f"importing {source} into {catalogue.root}"):
        if not source.exists():
            raise NotFound(f"import {source}: no such file or directory")
        with quarantined(catalogue.root, source) as folder:
            incoming = examine(folder, what=f"import {source}")
            return admit(catalogue.layout(incoming.name), incoming, alias, attribution)


def collect_garbage(
    catalogue: Catalogue, name: str | None, grace: float, *, dry_run: bool
) -> list[Collected]:
    """Remove the files that nothing needs, from one model or from all; see `Registry.gc`."""
    names = catalogue.names() if name is None else [check_model(name)]
    age = Grace.of(grace)
    # No lock protects a model that is being created, or an archive that is being verified.
    longer = Grace.of(max(grace, GRACE))
    with (
        storage(f"collecting in {catalogue.root}"),
        contextlib.nullcontext() if dry_run else writing(catalogue.root),
    ):
        found = [collect(catalogue.model(each), age, dry_run=dry_run) for each in names]
        for path in catalogue.root.glob(f"{NEW}*"):
            if longer.is_over(path) and not dry_run:
                shutil.rmtree(path, ignore_errors=True)
        remove_old(catalogue.root / QUARANTINE, longer, dry_run=dry_run)
    return found


def load(
    found: FoundVersion, names: Iterable[str] | None = None, optional: Iterable[str] = ()
) -> Model:
    """Load the files of a version; see `Registry.load`."""
    if isinstance(names, str):  # its characters would be taken for names
        raise BadInput("names: expected a list of file names, got one str; pass [name]")
    manifest = found.manifest()
    layers = manifest.files
    wanted = [*(layers if names is None else names), *(n for n in optional if n in layers)]
    files = {}
    for name in wanted:
        if name not in layers:
            raise NotFound(f"{found.pin}: has no file {shown(name)}")
        files[name] = found.layout.read(layers[name], what=f"{found.pin}: {name}")
    return Model(
        pin=found.pin,
        files=files,
        config=config_of(found.layout, found.pin, manifest),
        annotations=manifest.annotations,
    )


def export(catalogue: Catalogue, ref: str, path: Path) -> Exported:
    """Write a version or a whole model to an archive; see `Registry.export`."""
    layout, tags = _exported_tags(catalogue, ref)
    if not tags:
        raise NotFound(f"model {layout.name}: has no versions")
    with storage(f"exporting to {path}"):
        size = write_archive(layout, tags, path)
    return Exported(name=layout.name, tags=tuple(sorted(tags)), size=size)


def _exported_tags(catalogue: Catalogue, ref: str) -> tuple[Layout, dict[str, Descriptor]]:
    """Return the model, and the tags to export with their manifests."""
    if not _names_version(ref):
        layout = catalogue.model(check_model(ref))
        return layout, dict(layout.state().tags)
    found = catalogue.find(ref)
    if found.pin.version is None:
        raise NotFound(f"{found.pin}: is not a version any more")
    tags = {found.pin.version: found.target}
    alias = Reference.parse(ref).tag
    if alias is not None:
        tags[alias] = found.target
    for tag in found.state.tags:
        part = split_tag(tag)
        if part is not None and part[0] == found.pin.digest:
            tags[tag] = found.state.tags[tag]
    return found.layout, tags


def _names_version(ref: str) -> bool:
    """Return whether the text is a reference to one version, and not only the name of a model."""
    return ":" in ref or "@" in ref


def verify(catalogue: Catalogue, name: str | None, key: bytes | None, *, deep: bool) -> Report:
    """Check one model or all; see `Registry.verify`."""
    verifier = None if key is None else Verifier(key)
    found = None
    if name is not None and verifier is not None and _names_version(name):
        found = catalogue.find(name)
        name = found.layout.name
    names = catalogue.names() if name is None else [check_model(name)]
    with storage(f"verifying {catalogue.root}"):
        parts = [verify_model(catalogue.model(each), deep=deep) for each in names]
        imports = sorted(catalogue.root.glob(f"{QUARANTINE}/*"))
        unfinished = sorted(path.name for path in catalogue.root.glob(f"{NEW}*"))
    problems = [problem for part in parts for problem in part.problems]
    if verifier is not None and found is not None:
        problems += unsigned(found.layout, found.state, [found.target], verifier)
    elif verifier is not None:
        problems += _unsigned(catalogue, names, verifier)
    return Report(
        models=len(parts),
        references=sum(part.references for part in parts),
        blobs=sum(part.blobs for part in parts),
        size=sum(part.size for part in parts),
        problems=tuple(problems),
        notes=(
            *(note for part in parts for note in part.notes),
            *(skipped_checks() if deep else ()),
            *(f"{path.name}: an import that was never finished" for path in imports),
            *(f"{name}: a model that was never finished" for name in unfinished),
        ),
    )


def _unsigned(catalogue: Catalogue, names: Iterable[str], verifier: Verifier) -> Iterator[Problem]:
    """Yield a problem for each version of each model that the key did not sign."""
    for name in names:
        layout = catalogue.model(name)
        try:
            state = layout.state()
        except Corrupt as e:
            yield Problem(model=name, path="index.json", what=str(e), breaks=())
        else:
            yield from unsigned(layout, state, None, verifier)
