"""The reading half of the registry: everything that writes nothing and takes no lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadReference, Corrupt, NotFound, shown
from .exchange.archive import write_archive
from .formats.attachments import split_tag
from .formats.dsse import Verifier
from .formats.file_checks import skipped_checks
from .layout.files import storage
from .layout.find import find
from .layout.history import events, meant_at
from .layout.layout import Layout
from .layout.signatures import unsigned
from .layout.verify import verify_model
from .listing.details import config_of, describe, list_entries, stages_of
from .listing.difference import compare
from .listing.filters import Selection
from .references import Reference, check_model, check_tag, is_model
from .values import Difference, Entry, Event, Exported, Model, Pin, Problem, Report

if TYPE_CHECKING:
    import builtins  # `list` is a method here
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from .formats.json_documents import Descriptor
    from .formats.manifest import Manifest
    from .layout.journal import ModelState
    from .values import Details

__all__ = ["Reader", "bundled"]


def bundled() -> Path:
    """Give the directory of the registry that is shipped with the package; read-only."""
    return Path(__file__).parent / "bundled"


class Reader:
    """Read a registry: on a read-only directory as well, and beside any number of writers.

    Every byte handed out has passed its digest.

    Parameters
    ----------
    root
        The directory; one OCI image layout per model below it.

    Raises
    ------
    NotFound
        When the directory does not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._layouts: dict[str, Layout] = {}
        with storage(f"opening registry {self.root}"):
            exists = self.root.is_dir()
        if not exists:
            raise NotFound(f"registry {self.root}: no such directory")

    def models(self) -> builtins.list[str]:
        """List the names of the models, in order."""
        with storage(f"reading {self.root}"):
            return sorted(
                path.name
                for path in self.root.iterdir()
                if is_model(path.name) and Layout(path).exists
            )

    def list(
        self,
        name: str | None = None,
        *,
        labels: Iterable[str] = (),
        where: Iterable[str] = (),
        since: str | None = None,
        until: str | None = None,
        sort: str = "version",
    ) -> builtins.list[Entry]:
        """List versions (oldest first, by SemVer) and then aliases, of one model or of all.

        Parameters
        ----------
        name
            One model only.
        labels
            Classes that the model must know.
        where
            Conditions on its figures in ``eval.json``: ``spiking.accuracy>=0.85``.
        since, until
            When it was made: ``2026-01-31`` or ``2026-01-31T12:00:00Z``, both included.
        sort
            ``version``, ``created`` or a figure; with ``-`` before it the largest first. What has
            no such figure comes last.

        Raises
        ------
        NotFound
            When the model does not exist.
        BadInput
            When a condition or a time is none.
        """
        selection = Selection.of(labels=labels, where=where, since=since, until=until, sort=sort)
        names = self.models() if name is None else [check_model(name)]
        return list_entries([self._layout(each) for each in names], selection)

    def resolve(self, ref: str, *, at: datetime | None = None) -> Pin:
        """Say what a reference means now, or meant at a time.

        Parameters
        ----------
        ref
            ``model:1.0.0``, ``model:production``, ``model@sha256:...``, or
            ``model:1.0.0@sha256:...``.
        at
            With a time zone; by the clocks of those who moved the alias. Then the reference must
            be of the form ``model:tag``.

        Raises
        ------
        BadReference
            When it is no reference.
        NotFound
            When nothing has this name.
        Conflict
            When tag and digest do not agree.
        """
        if at is None:
            return self._find(ref)[1]
        reference = Reference.parse(ref)
        if reference.tag is None or reference.digest is not None:
            raise BadReference(f"reference {ref}: a digest means the same at all times")
        layout = self._layout(reference.name)
        target = meant_at(layout, reference.tag, at)
        version = layout.state().version_of(target.digest)
        return Pin(name=layout.name, version=version, digest=target.digest)

    def history(self, name: str, tag: str | None = None) -> builtins.list[Event]:
        """Tell every change of a model, oldest first: who, when, why, from and to.

        Parameters
        ----------
        name
            The model.
        tag
            One version or alias only.

        Raises
        ------
        Corrupt
            When the journal does not chain, or does not lead to what the index says.
        """
        check_model(name)
        if tag is not None:
            check_tag(tag)
        return list(events(self._layout(name), tag))

    def load(
        self, ref: str, names: Iterable[str] | None = None, *, optional: Iterable[str] = ()
    ) -> Model:
        """Load a model's files; every byte returned has passed its digest.

        Parameters
        ----------
        ref
            As for resolve.
        names
            The files to read; None for all.
        optional
            Files to read as well, where the model has them.

        Raises
        ------
        NotFound
            When the model, or one of ``names``, does not exist.
        Corrupt
            When any byte is not what was published.
        """
        layout, pin, manifest, _ = self._open(ref)
        layers = manifest.files
        wanted = [*(layers if names is None else names), *(n for n in optional if n in layers)]
        files = {}
        for name in wanted:
            if name not in layers:
                raise NotFound(f"{pin}: has no file {shown(name)}")
            files[name] = layout.read(layers[name], what=f"{pin}: {name}")
        return Model(
            pin=pin,
            files=files,
            config=config_of(layout, pin, manifest),
            annotations=manifest.annotations,
        )

    def show(self, ref: str) -> Details:
        """Tell everything about one version but its files.

        Raises
        ------
        NotFound
            When it does not exist.
        Corrupt
            When the manifest, the config, the labels or the figures are not what was published.
        """
        layout, pin, manifest, state = self._open(ref)
        return describe(layout, pin, manifest, state)

    def diff(self, left: str, right: str) -> Difference:
        """Compare two versions: files, tensors, config and the stages' figures.

        Parameters
        ----------
        left, right
            As for resolve; they may be of different models.

        Raises
        ------
        NotFound
            When one of them does not exist.
        Corrupt
            When a byte of them is not what was published.
        """
        return compare(self.load(left), self.load(right), stages_of)

    def export(self, ref: str, path: Path) -> Exported:
        """Write a version, or a whole model, to an OCI archive, with what is attached.

        Manifests are byte for byte those of the registry, and the same content gives the same file.
        It appears when it is whole. skopeo reads it as ``oci-archive:FILE:1.0.0``.

        Parameters
        ----------
        ref
            As for resolve: the version, the alias when one is named, and its attachments. Or just
            the model's name: all versions, aliases and attachments.
        path
            The archive; one that is there is replaced.

        Raises
        ------
        NotFound
            When the reference means nothing.
        Corrupt
            When any of it is damaged; no file is written.
        BadInput
            When there can be no file of that name.
        """
        if ":" in ref or "@" in ref:
            layout, pin, target, state = self._find(ref)
            if pin.version is None:
                raise NotFound(f"{pin}: is no version any more")
            alias = Reference.parse(ref).tag
            tags = {pin.version: target} | ({alias: target} if alias else {})
            for tag in state.tags:
                part = split_tag(tag)
                if part is not None and part[0] == pin.digest:
                    tags[tag] = state.tags[tag]
        else:
            layout = self._layout(check_model(ref))
            tags = dict(layout.state().tags)
        if not tags:
            raise NotFound(f"model {layout.name}: has no versions")
        with storage(f"exporting to {path}"):
            size = write_archive(layout, tags, Path(path))
        return Exported(name=layout.name, tags=tuple(sorted(tags)), size=size)

    def verify(
        self, name: str | None = None, *, deep: bool = False, key: bytes | None = None
    ) -> Report:
        """Check every byte and every rule, of one model or of all; never stops at a problem.

        The journal must chain from its first entry and replay to the index; every reference must
        lead to a canonical manifest, config and layers with their digests and sizes. What cannot
        be seen: the newest entries removed from the journal *and* the index put back to match.

        Parameters
        ----------
        name
            One model only; with a key also a reference to one version.
        deep
            Read the files as what they are, too: the bounds of every tensor in safetensors files,
            JSON, and, where onnx is installed, the graphs.
        key
            An Ed25519 public key, PEM: every version, or the one named, must be signed by it.

        Raises
        ------
        NotFound
            When the model does not exist.
        """
        target: Descriptor | None = None
        verifier = None if key is None else Verifier(key)
        if name is not None and verifier is not None and (":" in name or "@" in name):
            layout, _, target, _ = self._find(name)
            name = layout.name
        names = self.models() if name is None else [check_model(name)]
        with storage(f"verifying {self.root}"):
            parts = [verify_model(self._layout(each), deep=deep) for each in names]
            halted = sorted(self.root.glob(".quarantine/*"))
            unfinished = sorted(path.name for path in self.root.glob(".new-*"))
        return Report(
            models=len(parts),
            references=sum(part.references for part in parts),
            blobs=sum(part.blobs for part in parts),
            size=sum(part.size for part in parts),
            problems=(
                *(problem for part in parts for problem in part.problems),
                *([] if verifier is None else self._unsigned(names, target, verifier)),
            ),
            notes=(
                *(note for part in parts for note in part.notes),
                *(skipped_checks() if deep else ()),
                *(f"{path.name}: an import that was never finished" for path in halted),
                *(f"{name}: a model that was never finished" for name in unfinished),
            ),
        )

    def _unsigned(
        self, names: Iterable[str], target: Descriptor | None, verifier: Verifier
    ) -> Iterator[Problem]:
        for name in names:
            layout = self._layout(name)
            try:
                state = layout.state()
            except Corrupt as e:
                yield Problem(model=name, path="index.json", what=str(e), breaks=())
            else:
                yield from unsigned(layout, state, None if target is None else [target], verifier)

    def _layout(self, name: str) -> Layout:
        layout = self._layouts.setdefault(name, Layout(self.root / name))
        with storage(f"reading {layout.path}"):
            exists = layout.exists
        if not exists:
            raise NotFound(f"registry {self.root}: no model {name!r}")
        return layout

    def _find(self, ref: str) -> tuple[Layout, Pin, Descriptor, ModelState]:
        reference = Reference.parse(ref)
        layout = self._layout(reference.name)
        state = layout.state()
        target = find(layout, state, reference)
        version = state.version_of(target.digest)
        return layout, Pin(name=layout.name, version=version, digest=target.digest), target, state

    def _open(self, ref: str) -> tuple[Layout, Pin, Manifest, ModelState]:
        layout, pin, target, state = self._find(ref)
        manifest = layout.manifest(target, what=str(pin))
        if pin.version not in {None, manifest.version}:
            # A tool that moved a version's tag inside the layout.
            raise Corrupt(f"{pin}: the manifest is of version {shown(manifest.version)}")
        return layout, pin, manifest, state
