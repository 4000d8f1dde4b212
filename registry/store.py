"""The registry: models, their immutable versions, their movable aliases."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from .changes import ABSENT, Signature, check_new, move, publication
from .details import config_of, describe, entries_of
from .errors import BadReference, Corrupt, NotFound, StorageError, shown
from .files import storage, sync_folder
from .layout import Layout
from .lookup import complete, find
from .manifest import build
from .references import (
    Reference,
    check_alias,
    check_digest,
    check_model,
    check_version,
    is_model,
)
from .values import Entry, Model, Pin, Report
from .verify import verify_model

if TYPE_CHECKING:
    import builtins  # `list` is a method here
    from collections.abc import Iterable, Mapping

    from .documents import Descriptor
    from .journal import State
    from .manifest import Manifest
    from .values import Details

__all__ = ["ABSENT", "Registry", "bundled"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def bundled() -> Path:
    """Give the directory of the registry that is shipped with the package; read-only."""
    return Path(__file__).parent / "bundled"


class Registry:
    """A directory of models that people trust with production.

    Published versions never change, a publish is never lost, every byte handed out has passed its
    digest. Readers (all but init, publish, set_alias and repair) write nothing and take no lock, so they
    work on a read-only directory and beside any number of writers.

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

    @classmethod
    def init(cls, root: Path) -> Registry:
        """Create the directory when it is absent, and check that it can hold a registry.

        Raises
        ------
        StorageError
            When it cannot be written, or its file system has no hard links: a change is committed
            by making one.
        """
        root = Path(root)
        probe, link = (root / f".probe-{uuid.uuid4().hex}" for _ in range(2))
        with storage(f"creating registry {root}"):
            root.mkdir(parents=True, exist_ok=True)
            sync_folder(root.parent)
            try:
                probe.touch()
                link.hardlink_to(probe)
            except OSError as e:
                raise StorageError(f"registry {root}: no hard links here: {e.strerror}") from e
            finally:
                probe.unlink(missing_ok=True)
                link.unlink(missing_ok=True)
        return cls(root)

    # Reading

    def models(self) -> builtins.list[str]:
        """List the names of the models, in order."""
        with storage(f"reading {self.root}"):
            return sorted(
                path.name
                for path in self.root.iterdir()
                if is_model(path.name) and Layout(path).exists
            )

    def list(self, name: str | None = None) -> builtins.list[Entry]:
        """List versions (oldest first, by SemVer) and then aliases, of one model or of all.

        Raises
        ------
        NotFound
            When the model does not exist.
        """
        names = self.models() if name is None else [check_model(name)]
        return [entry for each in names for entry in entries_of(self._layout(each))]

    def resolve(self, ref: str) -> Pin:
        """Say what a reference means now.

        Parameters
        ----------
        ref
            ``model:1.0.0``, ``model:production``, ``model@sha256:...``, or
            ``model:1.0.0@sha256:...``.

        Raises
        ------
        BadReference
            When it is no reference.
        NotFound
            When nothing has this name.
        Conflict
            When tag and digest do not agree.
        """
        return self._find(ref)[1]

    def load(self, ref: str, names: Iterable[str] | None = None) -> Model:
        """Load a model's files; every byte returned has passed its digest.

        Parameters
        ----------
        ref
            As for resolve.
        names
            The files to read; None for all.

        Raises
        ------
        NotFound
            When the model, or one of the files, does not exist.
        Corrupt
            When any byte is not what was published.
        """
        layout, pin, manifest, _ = self._open(ref)
        layers = manifest.files
        files = {}
        for name in layers if names is None else names:
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
        return describe(layout, pin, manifest, aliases=state.aliases_of(pin.digest))

    def verify(self, name: str | None = None) -> Report:
        """Check every byte and every rule, of one model or of all; never stops at a problem.

        The journal must chain from its first entry and replay to the index; every reference must
        lead to a canonical manifest, config and layers with their digests and sizes. What cannot
        be seen: the newest entries removed from the journal *and* the index put back to match.

        Raises
        ------
        NotFound
            When the model does not exist.
        """
        names = self.models() if name is None else [check_model(name)]
        with storage(f"verifying {self.root}"):
            parts = [verify_model(self._layout(each)) for each in names]
            unfinished = sorted(path.name for path in self.root.glob(".new-*"))
        return Report(
            models=len(parts),
            references=sum(part.references for part in parts),
            blobs=sum(part.blobs for part in parts),
            size=sum(part.size for part in parts),
            problems=tuple(problem for part in parts for problem in part.problems),
            notes=(
                *(note for part in parts for note in part.notes),
                *(f"{name}: a model that was never finished" for name in unfinished),
            ),
        )

    def _layout(self, name: str) -> Layout:
        layout = self._layouts.setdefault(name, Layout(self.root / name))
        with storage(f"reading {layout.path}"):
            exists = layout.exists
        if not exists:
            raise NotFound(f"registry {self.root}: no model {name!r}")
        return layout

    def _find(self, ref: str) -> tuple[Layout, Pin, Descriptor, State]:
        reference = Reference.parse(ref)
        layout = self._layout(reference.name)
        state = layout.state()
        target = find(layout, state, reference)
        version = state.version_of(target.digest)
        return layout, Pin(name=layout.name, version=version, digest=target.digest), target, state

    def _open(self, ref: str) -> tuple[Layout, Pin, Manifest, State]:
        layout, pin, target, state = self._find(ref)
        manifest = layout.manifest(target, what=str(pin))
        if pin.version not in {None, manifest.version}:
            # A tool that moved a version's tag inside the layout.
            raise Corrupt(f"{pin}: the manifest is of version {shown(manifest.version)}")
        return layout, pin, manifest, state

    # Writing

    def publish(
        self,
        name: str,
        version: str,
        files: Mapping[str, bytes],
        *,
        created: datetime | None,
        config: Mapping[str, Any] = _NOTHING,
        annotations: Mapping[str, str] = _NOTHING,
        alias: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Pin:
        """Publish a version, for good; then let an alias point to it.

        The same bytes again are a success and heal damaged blobs. The version and the alias are
        two commits: a crash between them leaves the alias where it was, and publishing again
        moves it.

        Parameters
        ----------
        name, version
            See `references`.
        files
            Path below the model to bytes: ``*.safetensors``, ``*.onnx``, ``*.json``, ``*.md``,
            ``*.txt``, ``LICENSE``, ``NOTICE``; each at most 64 MiB.
        created
            Part of the digest; None for now, which makes every call a new digest.
        config
            ModelPack's description of the model: ``architecture``, ``format``, ``precision``,
            ``quantization``, ``paramSize``, ``capabilities``.
        annotations
            More annotations of the manifest, such as ``org.opencontainers.image.revision``.
        alias
            Moved to the version.
        actor, reason
            Who and why, for the journal; the actor is user@host when not given.

        Raises
        ------
        BadReference, BadInput
            When something given is refused; nothing was written.
        Conflict
            When the version exists with other bytes; nothing was changed.
        """
        check_model(name)
        check_version(version)
        if alias is not None:
            check_alias(alias)
        signature = Signature.of(actor, reason)
        package = build(
            name,
            version,
            files,
            config=config,
            created=created or datetime.now(UTC),
            annotations=annotations,
        )
        layout = Layout(self.root / name)
        with storage(f"publishing {name}:{version} to {self.root}"):
            layout.create()
            check_new(layout, layout.state(), version, package.descriptor)  # before staging
            layout.stage(package.blobs)
            layout.commit(publication(layout, version, package.descriptor, signature))
            if alias is not None:
                layout.commit(move(layout, alias, package.descriptor, None, signature))
        return Pin(name=name, version=version, digest=package.descriptor.digest)

    def set_alias(
        self,
        name: str,
        alias: str,
        ref: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Pin:
        """Let an alias point to a version whose every byte is sound.

        Parameters
        ----------
        name, alias
            The alias is made when it is absent.
        ref
            What it shall mean: a reference to the same model, or just ``1.0.0``, another alias,
            or ``sha256:...``.
        expect
            The digest that it must mean now, or ABSENT; None for whatever it means.
        actor, reason
            Who and why, for the journal.

        Raises
        ------
        Conflict
            When the alias does not mean what was expected; nothing was changed.
        NotFound
            When the reference means nothing.
        Corrupt
            When a file of the version is damaged; the alias stays where it was.
        """
        check_model(name)
        check_alias(alias)
        if expect is not None and expect != ABSENT:
            check_digest(expect)
        signature = Signature.of(actor, reason)
        layout, pin, target, _ = self._find(complete(name, ref))
        if layout.name != name:
            raise BadReference(f"alias {name}:{alias}: cannot point to another model, {ref}")
        with storage(f"setting {name}:{alias} in {self.root}"):
            layout.commit(move(layout, alias, target, expect, signature))
        return pin

    def repair(self, name: str) -> Report:
        """Write a model's ``index.json`` anew from its journal, and verify the model.

        For an index that is damaged, or that another program wrote: every tag means again what
        the journal says. A damaged blob is healed by publishing the same files again.

        Raises
        ------
        NotFound
            When the model does not exist.
        Corrupt
            When the journal itself is damaged; nothing was changed.
        """
        layout = self._layout(check_model(name))
        with storage(f"repairing {name} in {self.root}"):
            layout.rebuild()
        return self.verify(name)
