"""The registry: models, their immutable versions, their movable aliases."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from .errors import BadInput, NotFound, StorageError
from .exchange.admit import QUARANTINE, admit, quarantined
from .exchange.examine import examine
from .formats.attachments import build_attachment, tag_prefix
from .formats.dsse import sign
from .formats.manifest import CREATED, build
from .layout.changes import ABSENT, Signature, attachment, check_new, move, publication
from .layout.collect import Age, collect, remove_old
from .layout.files import storage, sync_folder
from .layout.layout import Layout
from .reader import bundled
from .references import check_alias, check_model, check_version
from .tagger import Tagger
from .times import format_time
from .values import Collected, Pin, Report

if TYPE_CHECKING:
    import builtins  # `list` is a method here
    from collections.abc import Callable, Mapping


__all__ = ["ABSENT", "Registry", "bundled"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
GRACE: Final = 3600.0
"""Seconds for which gc leaves alone what nothing needs: a publisher may be about to."""


class Registry(Tagger):
    """A directory of models that people trust with production.

    Published versions never change, a publish is never lost, every byte handed out has passed its
    digest. The methods of `Reader` write nothing and take no lock; those of `Tagger` move
    aliases and withdraw versions.

    Parameters
    ----------
    root
        The directory; one OCI image layout per model below it.

    Raises
    ------
    NotFound
        When the directory does not exist.
    """

    @classmethod
    def init(cls, root: Path) -> Self:
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
            When the version exists, or existed, with other bytes; nothing was changed.
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
            # A collector without grace may take a file that is being written. It cannot under the
            # lock, where the commit looks at every blob and stages again what is missing.
            with contextlib.suppress(FileNotFoundError):
                layout.stage(package.blobs)
            layout.commit(
                publication(layout, version, package.descriptor, signature, package.blobs)
            )
            if alias is not None:
                layout.commit(move(layout, alias, package.descriptor, None, signature))
        return Pin(name=name, version=version, digest=package.descriptor.digest)

    def attach(
        self,
        ref: str,
        evaluation: bytes,
        *,
        created: datetime | None,
        actor: str | None = None,
        reason: str = "",
    ) -> str:
        """Attach a later evaluation to a version, which stays as it is; give the new tag.

        Parameters
        ----------
        ref
            As for resolve.
        evaluation
            A JSON object, best of the form of ``eval.json``.
        created
            When it was made; None for now. The same bytes and time again are a success.
        actor, reason
            Who and why, for the journal.

        Raises
        ------
        BadInput
            When it is no JSON object.
        NotFound
            When there is no such version.
        """
        noted = {CREATED: format_time(created or datetime.now(UTC), what="the evaluation")}
        return self._attach(ref, "eval", lambda _: evaluation, noted, Signature.of(actor, reason))

    def sign(self, ref: str, key: bytes, *, actor: str | None = None, reason: str = "") -> str:
        """Sign a version; give the signature's tag. The same key again changes nothing.

        Parameters
        ----------
        ref
            As for resolve.
        key
            An Ed25519 private key: PEM, PKCS#8, not encrypted.
        actor, reason
            Who and why, for the journal.

        Raises
        ------
        BadInput
            When it is no such key, or the extra ``[sign]`` is not installed.
        NotFound
            When there is no such version.
        Corrupt
            When a file of the version is damaged: that is not signed.
        """

        def content(pin: Pin) -> bytes:
            return sign(key, name=pin.name, version=str(pin.version), digest=pin.digest)

        return self._attach(ref, "sig", content, {}, Signature.of(actor, reason))

    def _attach(
        self,
        ref: str,
        kind: str,
        content: Callable[[Pin], bytes],
        annotations: Mapping[str, str],
        signature: Signature,
    ) -> str:
        layout, pin, subject, _ = self._find(ref)
        if pin.version is None:
            raise NotFound(f"{pin}: is no version any more")
        layout.check(subject, what=str(pin))
        package = build_attachment(kind, pin.name, subject, content(pin), annotations)
        with storage(f"attaching to {pin} in {self.root}"):
            with contextlib.suppress(FileNotFoundError):  # as in publish
                layout.stage(package.blobs)
            state = layout.commit(attachment(layout, kind, package, subject, signature))
        prefix = tag_prefix(subject.digest, kind)
        tags = state.tags.of(package.descriptor.digest)
        return next(tag for tag in tags if tag.startswith(prefix))

    def import_(
        self,
        source: Path,
        *,
        alias: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> builtins.list[Pin]:
        """Take versions and attachments from an OCI archive or layout.

        An archive is unpacked into quarantine; everything is verified, as strictly as by publish
        and ``verify(deep=True)``, before any of it becomes visible. Aliases of the source are not
        taken: what is in production here is decided here.

        Parameters
        ----------
        source
            A tar file as by export or ``skopeo copy ... oci-archive:FILE``, or a layout's directory.
        alias
            Moved to the version, when the source has exactly one.
        actor, reason
            Who and why, for the journal.

        Returns
        -------
        list of Pin
            The versions that the source has, whether or not they were here.

        Raises
        ------
        Corrupt
            When anything in the source is wrong; nothing was changed.
        Conflict
            When a version is here with other bytes; nothing was changed.
        NotFound
            When there is no source, or an attachment's version is neither there nor here.
        """
        source = Path(source)
        if alias is not None:
            check_alias(alias)
        signature = Signature.of(actor, reason or f"imported from {source.name}")
        with storage(f"importing {source} into {self.root}"):
            if not source.exists():
                raise NotFound(f"import {source}: no such file or directory")
            with quarantined(self.root, source) as folder:
                incoming = examine(folder, what=f"import {source}")
                return admit(Layout(self.root / incoming.name), incoming, alias, signature)

    def gc(
        self, name: str | None = None, *, grace: float = GRACE, dry_run: bool = False
    ) -> builtins.list[Collected]:
        """Remove the bytes that nothing needs, and the files that crashes left.

        Kept is what any version or alias means, and what each alias meant the last ten times, so
        that a rollback finds it. Writers wait meanwhile; where flock does nothing, the grace alone
        protects a publish under way.

        Parameters
        ----------
        name
            One model only.
        grace
            Seconds; younger files stay.
        dry_run
            Say what would go, and remove nothing.

        Raises
        ------
        BadInput
            When the grace is negative.
        Corrupt
            When anything that is kept is damaged; nothing of that model was removed.
        """
        if not grace >= 0:
            raise BadInput(f"grace {grace}: must be at least 0 seconds")
        age = Age.of(grace)
        names = self.models() if name is None else [check_model(name)]
        with storage(f"collecting in {self.root}"):
            found = [collect(self._layout(each), age, dry_run=dry_run) for each in names]
            unfinished = Age.of(max(grace, GRACE))  # no lock keeps a model that is being made
            for path in self.root.glob(".new-*"):
                if unfinished.passes(path) and not dry_run:
                    shutil.rmtree(path, ignore_errors=True)
            remove_old(self.root / QUARANTINE, unfinished, dry_run=dry_run)
        return found

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
