"""The values a registry hands out: immutable, built whole."""

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
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """What a reference means, for good: the digest cannot move."""

    name: str
    version: str | None
    """None when no version of the model has this digest."""
    digest: Digest

    def __str__(self) -> str:
        version = "" if self.version is None else f":{self.version}"
        return f"{self.name}{version}@{self.digest}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A loaded model; every byte of ``files`` has passed its digest."""

    pin: Pin
    files: Mapping[str, bytes]
    config: Mapping[str, Any]
    """The model's part of the ModelPack config, as given to publish."""
    annotations: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One version or alias of a model."""

    name: str
    tag: str
    kind: str
    """``version`` or ``alias``."""
    version: str | None
    """The version itself, or the version an alias points to."""
    digest: Digest
    created: str | None
    """RFC 3339, UTC; None when the manifest cannot be read (verify says why)."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Those that the list was chosen or sorted by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One file of a model, as its manifest describes it."""

    path: str
    media_type: str
    digest: Digest
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """Everything that is known about one published model but its files."""

    pin: Pin
    created: str
    aliases: tuple[str, ...]
    annotations: Mapping[str, str]
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    labels: tuple[str, ...] | None
    """Class names from ``labels.json``; None without the file or when it holds something else."""
    stages: Mapping[str, Mapping[str, Any]] | None
    """Figures of each stage from ``eval.json``, likewise."""
    manifest: Mapping[str, Any]
    attachments: tuple[Attached, ...] = ()
    """What was attached later, in the order of the tags."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """An evaluation or a signature of a version."""

    tag: str
    kind: str
    """``eval`` or ``sig``."""
    digest: Digest
    """Of its manifest."""
    created: str
    """RFC 3339, UTC; empty for a signature, which states no time."""
    document: Mapping[str, Any]
    """The evaluation, or the signature's envelope."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that verify found wrong."""

    model: str
    path: str
    """Path below the model's directory."""
    what: str
    breaks: tuple[str, ...]
    """The versions and aliases that cannot be used because of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The outcome of verify."""

    models: int
    references: int
    blobs: int
    size: int
    """Bytes of the blobs that were read."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """Harmless leftovers, such as those of a crash."""

    @property
    def ok(self) -> bool:
        """True when there is no problem."""
        return not self.problems


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One change of a model, as its journal tells it."""

    generation: int
    """Counts from 1."""
    time: str
    """RFC 3339, UTC: the clock of who changed it."""
    actor: str
    operation: str
    tag: str
    """The version or alias that was changed."""
    source: Digest | None
    """What it meant before; None when it was absent."""
    source_version: str | None
    target: Digest | None
    """What it means since; None when it was removed."""
    target_version: str | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """One thing that two versions do not have alike."""

    what: str
    left: Any
    """None when only the right has it."""
    right: Any
    """None when only the left has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What differs between two versions."""

    left: Pin
    right: Pin
    files: tuple[Changed, ...]
    """Their sizes; a file that differs may be of the same size."""
    tensors: tuple[Changed, ...]
    """Type and shape of what differs in the safetensors files that both have."""
    config: tuple[Changed, ...]
    figures: tuple[Changed, ...]
    """The stages' figures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written to an archive."""

    name: str
    tags: tuple[str, ...]
    size: int
    """Bytes of the archive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What gc removed from one model, or would remove."""

    model: str
    blobs: tuple[Digest, ...]
    size: int
    """Bytes of the blobs."""
    leftovers: int
    """Unfinished files."""
    tags: tuple[str, ...]
    """Attachments of versions that are gone."""
