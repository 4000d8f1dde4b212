"""The registry: models, their immutable versions, their movable aliases."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from .changes import ABSENT, Signature, check_new, move, publication, removal, rollback, withdrawal
from .collect import Age, collect
from .errors import BadInput, BadReference, StorageError
from .files import storage, sync_folder
from .layout import Layout
from .lookup import complete, find
from .manifest import build
from .reader import Reader, bundled
from .references import Digest, Reference, check_alias, check_digest, check_model, check_version
from .values import Collected, Pin, Report

if TYPE_CHECKING:
    import builtins  # `list` is a method here
    from collections.abc import Mapping

    from .journal import Change, State

__all__ = ["ABSENT", "Registry", "bundled"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
GRACE: Final = 3600.0
"""Seconds for which gc leaves alone what nothing needs: a publisher may be about to."""


class Registry(Reader):
    """A directory of models that people trust with production.

    Published versions never change, a publish is never lost, every byte handed out has passed its
    digest. The methods of `Reader` write nothing and take no lock.

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
        reference = Reference.parse(complete(name, ref))
        if reference.name != name:
            raise BadReference(f"alias {name}:{alias}: cannot point to another model, {ref}")
        layout = self._layout(name)

        def decide(state: State) -> Change | None:
            target = find(layout, state, reference)
            return move(layout, alias, target, expect, signature)(state)

        with storage(f"setting {name}:{alias} in {self.root}"):
            state = layout.commit(decide)
        digest = state.tags[alias].digest
        return Pin(name=name, version=state.version_of(digest), digest=digest)

    def remove_alias(
        self,
        name: str,
        alias: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Digest:
        """Remove an alias; give the digest that it meant.

        Raises
        ------
        NotFound
            When there is no such alias.
        Conflict
            When it does not mean what was expected; nothing was changed.
        """
        check_alias(alias)
        if expect is not None:
            check_digest(expect)
        signature = Signature.of(actor, reason)
        layout = self._layout(check_model(name))
        removed: builtins.list[Digest] = []
        with storage(f"removing {name}:{alias} from {self.root}"):
            layout.commit(removal(layout, alias, expect, signature, removed.append))
        return removed[-1]

    def rollback(
        self,
        name: str,
        alias: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Pin:
        """Let an alias mean again what it meant before; once more goes one step further back.

        Parameters
        ----------
        name, alias
            Which.
        expect
            The digest that it must mean now; None for whatever it means.
        actor, reason
            Who and why, for the journal.

        Raises
        ------
        NotFound
            When it meant nothing before.
        Conflict
            When it does not mean what was expected, or what it meant has been withdrawn; nothing
            was changed.
        Corrupt
            When a file of that version is damaged; the alias stays where it was.
        """
        check_alias(alias)
        if expect is not None:
            check_digest(expect)
        signature = Signature.of(actor, reason)
        layout = self._layout(check_model(name))
        with storage(f"rolling back {name}:{alias} in {self.root}"):
            state = layout.commit(rollback(layout, alias, expect, signature))
        digest = state.tags[alias].digest
        return Pin(name=name, version=state.version_of(digest), digest=digest)

    def withdraw(
        self, name: str, version: str, *, actor: str | None = None, reason: str = ""
    ) -> Digest:
        """Take a version out of use, for good; give its digest.

        The name stays taken: only the same bytes can be published under it again. Its files go
        with the next gc, unless an alias meant it lately.

        Raises
        ------
        NotFound
            When there is no such version.
        Conflict
            When an alias means it; nothing was changed.
        """
        check_version(version)
        signature = Signature.of(actor, reason)
        layout = self._layout(check_model(name))
        with storage(f"withdrawing {name}:{version} from {self.root}"):
            state = layout.commit(withdrawal(layout, version, signature))
        return state.withdrawn[version]

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
