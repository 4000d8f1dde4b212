"""The registry: models, their immutable versions, their movable aliases.

`Registry` is the whole API in one class, so this module is long, but only by its documentation: each method checks its
arguments and calls a function of `operations` or of a package below.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from .catalogue import Catalogue
from .errors import BadInput, BadReference
from .formats.dsse import sign
from .formats.manifest import CREATED, build
from .layout.changes import ABSENT, Attribution, move, removal, rollback, withdrawal
from .layout.commit import commit, rebuild
from .layout.files import storage
from .layout.find import complete
from .layout.history import events, target_at
from .listing.details import describe, list_entries, stages_of
from .listing.difference import compare
from .listing.filters import Selection
from .operations import (
    GRACE,
    attach,
    collect_garbage,
    export,
    find_intact,
    import_layout,
    load,
    prepare,
    publish,
    verify,
)
from .references import Reference, check_alias, check_digest, check_model, check_tag, check_version
from .times import format_time
from .values import Pin

if TYPE_CHECKING:
    import builtins  # `list` is a method of the class
    from collections.abc import Iterable, Mapping

    from .layout.journal import ModelState
    from .references import Digest
    from .values import Collected, Details, Difference, Entry, Event, Exported, Model, Report

__all__ = ["Registry", "bundled"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def bundled() -> Path:
    """Return the directory of the registry that is shipped with the package; it is read-only."""
    return Path(__file__).parent / "bundled"


class Registry:
    """A directory of models: published versions never change, and aliases move from version to version.

    Every byte that is returned matches the digest it was published with. Methods that read write nothing and take no
    lock: they work on a read-only directory, and at the same time as any number of writers.

    Several parameters mean the same everywhere. `ref` is a reference: `model:1.0.0`, `model:production`,
    `model@sha256:...` or `model:1.0.0@sha256:...`. `expect` is the digest that an alias must point to now; ABSENT if
    the alias must not exist; None for any. `actor` and `reason` are recorded in the journal, one printable line of at
    most 4096 characters each; `actor` defaults to user@host.

    Besides the errors that it lists, each method may raise BadReference (a name or a reference does not follow the
    grammar), BadInput (an actor or a reason is not such a line), StorageError (the file system refuses) and Corrupt
    (the model's index or journal is damaged).

    Parameters
    ----------
    root
        The directory; each model is an OCI image layout below it.

    Attributes
    ----------
    root : Path
        The directory.

    Raises
    ------
    NotFound
        The directory does not exist.

    """

    def __init__(self, root: str | Path) -> None:
        self._catalogue = Catalogue(root)
        self.root = self._catalogue.root

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

    @classmethod
    def init(cls, root: str | Path) -> Self:
        """Create the directory if it does not exist, and check that it can hold a registry.

        Raises
        ------
        StorageError
            The directory cannot be written, or its file system has no hard links, by which changes are committed.

        """
        prepare(Path(root))
        return cls(root)

    # Reading

    def models(self) -> builtins.list[str]:
        """Return the names of the models, sorted."""
        return self._catalogue.names()

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
        """Return the versions of one model or of all, oldest first by SemVer, and then the aliases.

        Parameters
        ----------
        name
            Only this model.
        labels
            Only versions with all these class names.
        where
            Only versions whose figures in `eval.json` fulfil all these conditions, such as `spiking.accuracy>=0.85`.
        since, until
            Only versions created in this period, `2026-01-31` or `2026-01-31T12:00:00Z`; both ends are included.
        sort
            `version`, `created` or a figure; with `-` in front, the largest first. Versions without the figure come
            last.

        Raises
        ------
        NotFound
            The model does not exist.
        BadInput
            A condition or a time cannot be parsed.

        """
        selection = Selection.of(labels=labels, where=where, since=since, until=until, sort=sort)
        names = self.models() if name is None else [check_model(name)]
        return list_entries([self._catalogue.model(each) for each in names], selection)

    def resolve(self, ref: str, *, at: datetime | None = None) -> Pin:
        """Return the version that a reference points to now, or pointed to at a given time.

        Parameters
        ----------
        ref
            With `at`, it must be of the form `model:tag`.
        at
            With a time zone; compared with the clocks of those who moved the alias.

        Raises
        ------
        BadReference
            The text is not a reference.
        NotFound
            The reference points to nothing.
        Conflict
            Tag and digest do not agree.

        """
        if at is None:
            return self._catalogue.find(ref).pin
        reference = Reference.parse(ref)
        if reference.tag is None or reference.digest is not None:
            raise BadReference(
                f"reference {ref}: to resolve it at a time, it must be MODEL:TAG; a digest never moves"
            )
        layout = self._catalogue.model(reference.name)
        state = layout.state()
        return _pin(layout.name, state, target_at(layout, state, reference.tag, at).digest)

    def load(
        self, ref: str, names: Iterable[str] | None = None, *, optional: Iterable[str] = ()
    ) -> Model:
        """Load the files of a version.

        Parameters
        ----------
        ref
            A reference.
        names
            The files to load; None for all.
        optional
            Files to load in addition, if the version has them.

        Raises
        ------
        NotFound
            The version, or one of `names`, does not exist.
        BadInput
            `names` is one str instead of a list of them.
        Corrupt
            Any byte differs from what was published.

        """
        return load(self._catalogue.find(ref), names, optional)

    def show(self, ref: str) -> Details:
        """Return everything about one version except the content of its files.

        Raises
        ------
        NotFound
            The version does not exist.
        Corrupt
            The manifest, config, labels, figures or attachments differ from what was published.

        """
        found = self._catalogue.find(ref)
        return describe(found.layout, found.pin, found.manifest(), found.state)

    def history(self, name: str, tag: str | None = None) -> builtins.list[Event]:
        """Return the changes of a model, or of one of its versions or aliases, oldest first.

        Raises
        ------
        NotFound
            The model does not exist.
        Corrupt
            The journal's hash chain is broken, or the journal does not lead to the index.

        """
        check_model(name)
        if tag is not None:
            check_tag(tag)
        return list(events(self._catalogue.model(name), tag))

    def diff(self, left: str, right: str) -> Difference:
        """Compare two versions, of one model or of two: files, tensors, config and the figures of the stages.

        Raises
        ------
        NotFound
            A version does not exist.
        Corrupt
            Any byte differs from what was published.

        """
        first, second = self._catalogue.find_both(left, right)
        return compare(load(first), load(second), stages_of)

    def export(self, ref: str, path: str | Path) -> Exported:
        """Write a version or a whole model, with its attachments, to an OCI archive.

        skopeo reads the archive as `oci-archive:FILE:1.0.0`. The manifests are byte for byte those of the registry, and
        equal content gives an equal file. The file appears in one atomic rename.

        Parameters
        ----------
        ref
            A reference exports the version, the alias if it names one, and the version's attachments. The name of a
            model exports all versions, aliases and attachments.
        path
            The archive; an existing file is replaced.

        Raises
        ------
        NotFound
            The reference points to nothing.
        Corrupt
            Any byte differs from what was published; no file is written.
        BadInput
            The path is not a regular file, or its directory does not exist.

        """
        return export(self._catalogue, ref, Path(path))

    def verify(
        self, name: str | None = None, *, deep: bool = False, key: bytes | None = None
    ) -> Report:
        """Check every byte and every rule, of one model or of all; collect every problem instead of raising it.

        The journal must be an unbroken hash chain that leads to the index; every tag must point to a canonical
        manifest whose config and files have their digests and sizes. One change is not detected: the newest journal
        entries are removed, and the index is replaced by that of the time before.

        Parameters
        ----------
        name
            Only this model. With `key`, also a reference to one version: then only its signature is required.
        deep
            Also check the content of the files: bounds of every tensor in safetensors files, JSON, text, and ONNX
            graphs if onnx is installed.
        key
            An Ed25519 public key, PEM. Every version must be signed by it.

        Raises
        ------
        NotFound
            The model does not exist.
        BadInput
            The key is not such a key, or the extra `[sign]` is not installed.

        """
        return verify(self._catalogue, name, key, deep=deep)

    # Adding

    def publish(
        self,
        name: str,
        version: str,
        files: Mapping[str, bytes],
        *,
        created: datetime | None = None,
        config: Mapping[str, Any] = _NOTHING,
        annotations: Mapping[str, str] = _NOTHING,
        alias: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Pin:
        """Publish a version, which can never change; then point an alias to it.

        Publishing the same bytes again succeeds, and repairs damaged blobs. The version and the alias are two commits:
        a crash between them leaves the alias where it was, and publishing again moves it.

        Parameters
        ----------
        name, version
            Model and version (strict SemVer without `+`); the model is created if it does not exist.
        files
            Path below the model to content, at most 64 MiB each: `*.safetensors`, `*.onnx`, `*.json`, `*.md`, `*.txt`,
            `LICENSE`, `NOTICE`.
        created
            With a time zone. It is part of the digest; None is the current time, so every call gives another digest.
        config
            The model's description in ModelPack's form: `architecture`, `format`, `precision`, `quantization`,
            `paramSize`, `capabilities`.
        annotations
            Further annotations of the manifest, such as `org.opencontainers.image.revision`.
        alias
            Points to the version afterwards.
        actor, reason
            For the journal.

        Raises
        ------
        BadReference, BadInput
            An argument is invalid; nothing was written.
        Conflict
            The version exists, or existed before it was withdrawn, with other bytes; nothing was changed.

        """
        check_model(name)
        check_version(version)
        if alias is not None:
            check_alias(alias)
        attribution = Attribution.of(actor, reason)
        package = build(
            name,
            version,
            files,
            config=config,
            created=created or datetime.now(UTC),
            annotations=annotations,
        )
        return publish(self._catalogue, name, version, package, alias, attribution)

    def attach(
        self,
        ref: str,
        evaluation: bytes,
        *,
        created: datetime | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> str:
        """Attach a later evaluation to a version, which itself stays unchanged; return the attachment's tag.

        Parameters
        ----------
        ref
            A reference.
        evaluation
            A JSON object, preferably of the form of `eval.json`.
        created
            When it was made, with a time zone; None is the current time. Attaching equal bytes with an equal time again
            changes nothing.
        actor, reason
            For the journal.

        Raises
        ------
        BadInput
            The evaluation is not a JSON object, or the time has no time zone.
        NotFound
            The version does not exist.
        Corrupt
            Any byte of the version differs from what was published.

        """
        annotations = {CREATED: format_time(created or datetime.now(UTC), what="the evaluation")}
        attribution = Attribution.of(actor, reason)
        found = find_intact(self._catalogue, ref)
        return attach(found, "eval", evaluation, annotations, attribution)

    def sign(self, ref: str, key: bytes, *, actor: str | None = None, reason: str = "") -> str:
        """Sign a version; return the signature's tag. Signing with the same key again changes nothing.

        Parameters
        ----------
        ref
            A reference.
        key
            An Ed25519 private key: PEM, PKCS#8, not encrypted.
        actor, reason
            For the journal.

        Raises
        ------
        BadInput
            The key is not such a key, or the extra `[sign]` is not installed.
        NotFound
            The version does not exist.
        Corrupt
            Any byte of the version differs from what was published; it is not signed.

        """
        attribution = Attribution.of(actor, reason)
        found = find_intact(self._catalogue, ref)
        pin = found.pin
        envelope = sign(key, name=pin.name, version=str(pin.version), digest=pin.digest)
        return attach(found, "sig", envelope, {}, attribution)

    def import_(
        self,
        source: str | Path,
        *,
        alias: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> builtins.list[Pin]:
        """Add the versions and attachments of an OCI archive or layout; return its versions, new here or not.

        An archive is unpacked into quarantine. Everything is verified, as strictly as by `publish` and
        `verify(deep=True)`, before any of it becomes visible. Aliases of the source are ignored: what is in production
        here is decided here.

        Parameters
        ----------
        source
            A tar file as `export` or `skopeo copy ... oci-archive:FILE` writes it, or the directory of a layout.
        alias
            Points to the version afterwards, if the source has exactly one.
        actor, reason
            For the journal; the reason defaults to the source's name.

        Raises
        ------
        Corrupt
            Anything in the source is wrong; nothing was changed.
        Conflict
            A version exists here with other bytes; nothing was changed.
        NotFound
            The source does not exist, or the version of an attachment is neither in the source nor here.
        BadInput
            An alias is given and the source does not have exactly one version; nothing was changed.

        """
        source = Path(source)
        if alias is not None:
            check_alias(alias)
        attribution = Attribution.of(actor, reason or f"imported from {source.name}")
        return import_layout(self._catalogue, source, alias, attribution)

    # Moving and removing tags

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
        """Point an alias to a version, of which every byte is checked first.

        Parameters
        ----------
        name, alias
            Model and alias; the alias is created if it does not exist.
        ref
            A reference to a version of the same model, or only its last part: `1.0.0`, another alias, or `sha256:...`.
        expect, actor, reason
            See the class.

        Raises
        ------
        BadReference
            An argument is invalid, or the reference is to another model.
        Conflict
            The alias does not point to what was expected; nothing was changed.
        NotFound
            The reference points to nothing.
        Corrupt
            Any byte of the version differs from what was published; the alias stays where it was.

        """
        check_model(name)
        check_alias(alias)
        _check_expect(expect)
        attribution = Attribution.of(actor, reason)
        reference = Reference.parse(complete(name, ref))
        if reference.name != name:
            raise BadReference(f"alias {name}:{alias}: cannot point to another model, {ref}")
        layout = self._catalogue.model(name)
        with storage(f"setting {name}:{alias} in {self.root}"):
            state = commit(layout, move(layout, alias, reference, expect, attribution))
        return _pin(name, state, state.tags[alias].digest)

    def remove_alias(
        self,
        name: str,
        alias: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Digest:
        """Remove an alias; return the digest that it pointed to.

        Raises
        ------
        NotFound
            The alias does not exist.
        Conflict
            The alias does not point to what was expected; nothing was changed.

        """
        check_alias(alias)
        _check_expect(expect)
        attribution = Attribution.of(actor, reason)
        layout = self._catalogue.model(check_model(name))
        removed: list[Digest] = []
        with storage(f"removing {name}:{alias} from {self.root}"):
            commit(layout, removal(name, alias, expect, attribution, removed.append))
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
        """Point an alias back to its previous version; a second rollback goes one step further back.

        Raises
        ------
        NotFound
            The alias has no previous version.
        Conflict
            The alias does not point to what was expected, or the previous version has been withdrawn; nothing was
            changed.
        Corrupt
            Any byte of that version differs from what was published; the alias stays where it was.

        """
        check_alias(alias)
        _check_expect(expect)
        attribution = Attribution.of(actor, reason)
        layout = self._catalogue.model(check_model(name))
        with storage(f"rolling back {name}:{alias} in {self.root}"):
            state = commit(layout, rollback(layout, alias, expect, attribution))
        return _pin(name, state, state.tags[alias].digest)

    def withdraw(
        self, name: str, version: str, *, actor: str | None = None, reason: str = ""
    ) -> Digest:
        """Withdraw a version for good; return its digest.

        Only the same bytes can be published under its name again. Its files stay until the first `gc` at which it is
        no longer among the last ten targets of any alias.

        Raises
        ------
        NotFound
            The version does not exist.
        Conflict
            An alias points to it; nothing was changed.

        """
        check_version(version)
        attribution = Attribution.of(actor, reason)
        layout = self._catalogue.model(check_model(name))
        with storage(f"withdrawing {name}:{version} from {self.root}"):
            state = commit(layout, withdrawal(name, version, attribution))
        return state.withdrawn[version]

    # Maintenance

    def gc(
        self, name: str | None = None, *, grace: float = GRACE, dry_run: bool = False
    ) -> builtins.list[Collected]:
        """Remove the blobs that nothing needs, and the files that crashes left.

        The targets of all versions and aliases are kept, and so are the last ten targets of each alias, so that
        rollbacks find them. Writers wait until the collection is over. On file systems without locks, only the grace
        protects a publish in progress.

        Parameters
        ----------
        name
            Only this model.
        grace
            Files that changed in the last `grace` seconds stay.
        dry_run
            Return what would be removed, and remove nothing.

        Raises
        ------
        BadInput
            The grace is negative.
        NotFound
            The model does not exist.
        Corrupt
            Anything that is kept is damaged; nothing of that model was removed.

        """
        if not grace >= 0:
            raise BadInput(f"grace {grace}: must be at least 0 seconds")
        return collect_garbage(self._catalogue, name, grace, dry_run=dry_run)

    def repair(self, name: str) -> Report:
        """Write a model's `index.json` from its journal, and verify the model.

        This repairs an index that is damaged or was written by another program: every tag points again to what the
        journal says. To repair a damaged blob, publish the same files again.

        Raises
        ------
        NotFound
            The model does not exist.
        Corrupt
            The journal itself is damaged; nothing was changed.

        """
        layout = self._catalogue.model(check_model(name))
        with storage(f"repairing {name} in {self.root}"):
            rebuild(layout)
        return self.verify(name)


def _pin(name: str, state: ModelState, digest: Digest) -> Pin:
    return Pin(name=name, version=state.version_of(digest), digest=digest)


def _check_expect(expect: str | None) -> None:
    """Raise BadReference unless `expect` is a digest, ABSENT or None."""
    if expect is not None and expect != ABSENT:
        check_digest(expect)
