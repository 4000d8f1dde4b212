"""The values that a registry returns; all are immutable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .references import Digest

__all__ = [
    "Attached",
    "Changed",
    "Collected",
    "Details",
    "Difference",
    "Entry",
    "Event",
    "Exported",
    "Layer",
    "Model",
    "Pin",
    "Problem",
    "Report",
    "Teacher",
]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Pin:
    """A version named by its digest; unlike an alias, a pin never changes its meaning.

    `str(pin)` is `name:version@digest`, a reference that every method accepts.

    Attributes
    ----------
    name
        Name of the model.
    version
        The version with this digest; None if there is none, because it was withdrawn.
    digest
        Digest of the version's manifest.

    """

    name: str
    version: str | None
    digest: Digest

    def __str__(self) -> str:
        version = "" if self.version is None else f":{self.version}"
        return f"{self.name}{version}@{self.digest}"

    def __repr__(self) -> str:
        return f"<Pin {self}>"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Model:
    """A loaded model, whose bytes match the digests they were published with.

    Attributes
    ----------
    pin
        What was loaded.
    files
        Path to content.
    config
        The model's description in ModelPack's form, as given to `Registry.publish`.
    annotations
        Annotations of the manifest.

    """

    pin: Pin
    files: Mapping[str, bytes]
    config: Mapping[str, Any]
    annotations: Mapping[str, str]

    def __repr__(self) -> str:
        # The generated one would print every byte of every file.
        files = ", ".join(f"{path} ({len(data)} bytes)" for path, data in self.files.items())
        return f"<Model {self.pin}: {files}>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One version or alias of a model, as `Registry.list` returns it.

    Attributes
    ----------
    name
        Name of the model.
    tag
        The version or alias.
    kind
        `version` or `alias`.
    version
        The version itself, or the version that the alias points to.
    digest
        Digest of the version's manifest.
    created
        When the version was created, RFC 3339, UTC; None if the manifest cannot be read.
    figures
        The figures that the list was filtered or sorted by.

    """

    name: str
    tag: str
    kind: str
    version: str | None
    digest: Digest
    created: str | None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One file of a model, as its manifest describes it: a layer in the terms of OCI, not of a network.

    Attributes
    ----------
    path
        Path below the model.
    media_type
        Kind of file, as ModelPack names it.
    digest
        Digest of the file.
    size
        Bytes.

    """

    path: str
    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """An evaluation or a signature that was attached to a version after it was published.

    Attributes
    ----------
    tag
        `sha256-<64 hex>.eval-1` or `sha256-<64 hex>.sig-1`, numbered from 1.
    kind
        `eval` or `sig`.
    digest
        Digest of the attachment's manifest.
    created
        When it was made, RFC 3339, UTC; empty for a signature, which records no time.
    document
        The evaluation, or the signature's DSSE envelope.

    """

    tag: str
    kind: str
    digest: Digest
    created: str
    document: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """The model file that a version imitates.

    Attributes
    ----------
    file
        Its name, as the publisher had it.
    digest
        Digest of the file, with the weights that it keeps in other files.
    kept
        Path of the version's file with this digest; None if the teacher is not in the version.

    """

    file: str
    digest: Digest
    kept: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """Everything about one version except the content of its files.

    Attributes
    ----------
    pin
        The version.
    created
        When it was created, RFC 3339, UTC.
    aliases
        The aliases that point to it, sorted.
    annotations
        Annotations of the manifest.
    config
        The model's description in ModelPack's form.
    layers
        The files, in the order of the manifest.
    labels
        Class names from `labels.json`; None if the model has no such file, or the file is not a list of texts.
    stages
        Figures of each stage from `eval.json`; None if the model has no such file, or the file has no stages.
    teacher
        The model file that the version imitates, from `eval.json`; None if it imitates none.
    manifest
        The manifest as read.
    attachments
        Evaluations, then signatures, that were attached later; each by number.

    """

    pin: Pin
    created: str
    aliases: tuple[str, ...]
    annotations: Mapping[str, str]
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    labels: tuple[str, ...] | None
    stages: Mapping[str, Mapping[str, Any]] | None
    teacher: Teacher | None
    manifest: Mapping[str, Any]
    attachments: tuple[Attached, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One fault that `Registry.verify` found.

    Attributes
    ----------
    model
        Name of the model.
    path
        The faulty file, below the model's directory.
    what
        What is wrong with it.
    breaks
        The versions, aliases and attachments that cannot be used because of it.

    """

    model: str
    path: str
    what: str
    breaks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The result of `Registry.verify`.

    Attributes
    ----------
    models, references, blobs
        How many models, versions with aliases, and blobs were checked.
    size
        Bytes of the blobs that were read.
    problems
        What is wrong.
    notes
        Harmless leftovers, such as those of a crash, and checks that could not be made.

    """

    models: int
    references: int
    blobs: int
    size: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One change of a model, as its journal records it.

    Attributes
    ----------
    generation
        Number of the change, from 1.
    time
        RFC 3339, UTC, by the clock of the machine that made the change.
    actor, reason
        Who made the change, and why.
    operation
        `publish`, `withdraw`, `alias`, `rollback`, `remove`, `import`, `pull`, `attach` or `gc`.
    tag
        The version, alias or attachment that changed.
    source, source_version
        Digest that the tag pointed to before, and its version; None if the tag did not exist.
    target, target_version
        Digest that the tag points to since then, and its version; None if the tag was removed.

    """

    generation: int
    time: str
    actor: str
    operation: str
    tag: str
    source: Digest | None
    source_version: str | None
    target: Digest | None
    target_version: str | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """One item that differs between two versions.

    Attributes
    ----------
    what
        Name of the file, tensor, config key or figure.
    left, right
        The item in each version; None if that version does not have it.

    """

    what: str
    left: Any
    right: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The differences between two versions.

    Attributes
    ----------
    left, right
        The versions.
    files
        Sizes of the files that differ; a file may differ and have the same size.
    tensors
        Type and shape of the tensors that differ, in the safetensors files that both versions have.
    config
        Items of the config.
    figures
        Figures of the stages.

    """

    left: Pin
    right: Pin
    files: tuple[Changed, ...]
    tensors: tuple[Changed, ...]
    config: tuple[Changed, ...]
    figures: tuple[Changed, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """The result of `Registry.export`.

    Attributes
    ----------
    name
        Name of the model.
    tags
        The versions, aliases and attachments in the archive, sorted.
    size
        Bytes of the archive.

    """

    name: str
    tags: tuple[str, ...]
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """The result of `Registry.gc` for one model: the files that it removed, or would remove.

    Attributes
    ----------
    model
        Name of the model.
    blobs
        Digests of the removed blobs.
    size
        Bytes of these blobs.
    leftovers
        Number of unfinished files.
    tags
        Attachments whose version no longer exists.

    """

    model: str
    blobs: tuple[Digest, ...]
    size: int
    leftovers: int
    tags: tuple[str, ...]
