"""Build and parse the documents of a model version: the OCI manifest and the ModelPack config.

The documents are deterministic: the same inputs give the same digest on every machine.

The format is that of CNCF ModelPack: https://github.com/modelpack/model-spec
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, Corrupt, shown
from ..references import digest_of
from ..times import format_time
from ..values import Layer
from .json_documents import ARTIFACT_TYPE, MANIFEST_TYPE, Descriptor, canonical, parse_json, take

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..references import Digest

__all__ = [
    "CREATED",
    "MAX_LAYER",
    "MAX_MANIFEST",
    "TITLE",
    "VERSION",
    "Manifest",
    "Package",
    "build",
    "check_kind",
    "check_path",
    "parse_config",
    "parse_manifest",
]

MAX_LAYER: Final = 64 * 2**20
"""Largest file of a model in bytes: a whole model must fit in the memory of an edge device."""
MAX_MANIFEST: Final = 4 * 2**20
"""Largest manifest or config in bytes: the limit of OCI registries."""

CONFIG_TYPE: Final = "application/vnd.cncf.model.config.v1+json"
_WEIGHT: Final = "application/vnd.cncf.model.weight.v1.raw"
_WEIGHT_CONFIG: Final = "application/vnd.cncf.model.weight.config.v1.raw"
_DOC: Final = "application/vnd.cncf.model.doc.v1.raw"

# An allow-list, first match wins: pickles, archives and programs can execute code and are never part of a model.
_LAYER_TYPES: Final = (
    ("eval.json", _DOC),
    ("*.json", _WEIGHT_CONFIG),
    ("*.safetensors", _WEIGHT),
    ("*.onnx", _WEIGHT),
    ("*.md", _DOC),
    ("*.txt", _DOC),
    ("LICENSE", _DOC),
    ("NOTICE", _DOC),
)

TITLE: Final = "org.opencontainers.image.title"
VERSION: Final = "org.opencontainers.image.version"
CREATED: Final = "org.opencontainers.image.created"
_FILEPATH: Final = "org.cncf.model.filepath"
_MAX_PATH: Final = 255

# The properties that ModelPack's schema defines; it allows no others.
_CONFIG_KEYS: Final = {
    "architecture",
    "capabilities",
    "format",
    "paramSize",
    "precision",
    "quantization",
    "transformerConfig",
}
# Annotations that ModelPack repeats in the config's "descriptor" object, and their keys there.
_DESCRIBED: Final = {
    "org.opencontainers.image.description": "description",
    "org.opencontainers.image.documentation": "docURL",
    "org.opencontainers.image.revision": "revision",
    "org.opencontainers.image.source": "sourceURL",
    "org.opencontainers.image.vendor": "vendor",
}
_LICENSES: Final = "org.opencontainers.image.licenses"


def check_path(path: str) -> str:
    """Return the path unchanged if it can only name a file below the model's directory.

    Raises
    ------
    BadInput
        The path is empty, absolute or longer than 255 bytes, has an empty, `.` or `..` component, or contains a
        backslash or an unprintable character.

    """
    parts = path.split("/")
    if (
        any(part in {"", ".", ".."} for part in parts)
        or not path.isprintable()
        or "\\" in path
        or len(path.encode()) > _MAX_PATH
    ):
        raise BadInput(
            f"file path {shown(path)}: must be relative, printable, at most {_MAX_PATH} bytes, "
            "without '..', '.' or empty components"
        )
    return path


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The manifest of a model version.

    Attributes
    ----------
    config
        The ModelPack config.
    layers
        The model's files, in the manifest's order; their paths are distinct.
    annotations
        All annotations of the manifest.
    document
        The manifest as parsed.
    data
        Its bytes.

    """

    config: Descriptor
    layers: tuple[Layer, ...]
    annotations: Mapping[str, str]
    document: Mapping[str, Any]
    data: bytes

    @property
    def version(self) -> str | None:
        """The version it was published as; None without that annotation."""
        return self.annotations.get(VERSION)

    @property
    def files(self) -> dict[str, Descriptor]:
        """The files' descriptors by path."""
        return {
            layer.path: Descriptor(
                media_type=layer.media_type, digest=layer.digest, size=layer.size
            )
            for layer in self.layers
        }

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob that the manifest refers to: the config and the layers."""
        return self.config, *self.files.values()


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A manifest and its blobs, ready to be stored.

    Attributes
    ----------
    descriptor
        The manifest's descriptor.
    blobs
        Bytes by digest: the layers, the config and, last, the manifest itself.

    """

    descriptor: Descriptor
    blobs: Mapping[Digest, bytes]


def build(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    config: Mapping[str, Any],
    created: datetime,
    annotations: Mapping[str, str],
) -> Package:
    """Build the documents of a model version.

    Parameters
    ----------
    name, version
        The model's name and the version, both already checked against their grammar.
    files
        Bytes by path, at least one file; each file at most `MAX_LAYER` bytes.
    config
        Properties that ModelPack defines: `architecture`, `format`, `paramSize`, `precision`, `quantization`,
        `capabilities`, `transformerConfig`.
    created
        Time of creation with a time zone; fractions of a second are dropped.
    annotations
        Annotations to add; `title`, `version` and `created` are set here and cannot be overridden.

    Raises
    ------
    BadInput
        There are no files, or a path, file, property, annotation or time cannot be published, or a document exceeds
        `MAX_MANIFEST` bytes.

    """
    if not files:
        raise BadInput(f"{name}:{version}: no files to publish")
    _check_properties(config, what=f"{name}:{version}")
    all_annotations = _annotations(name, version, created, annotations)
    layers = [_layer(path, files[path]) for path in sorted(files)]
    config_data = canonical(
        {
            "descriptor": _model_descriptor(name, version, all_annotations),
            "config": dict(config),
            "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
        }
    )
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": Descriptor.of(config_data, CONFIG_TYPE).to_json(),
        "layers": layers,
        "annotations": all_annotations,
    }
    data = canonical(document)
    for what, size in (("config", len(config_data)), ("manifest", len(data))):
        if size > MAX_MANIFEST:
            raise BadInput(f"{name}:{version}: {what} of {size} bytes, limit {MAX_MANIFEST}")
    # `bytes` copies a bytearray, which the caller could still change.
    blobs = {digest_of(content): bytes(content) for content in files.values()}
    blobs |= {digest_of(config_data): config_data, digest_of(data): data}
    return Package(descriptor=Descriptor.of(data, MANIFEST_TYPE), blobs=blobs)


def _check_properties(config: Mapping[str, Any], *, what: str) -> None:
    unknown = sorted(set(config) - _CONFIG_KEYS)
    if unknown:
        raise BadInput(
            f"{what}: config {shown(unknown[0])} is not a ModelPack property, one of "
            f"{', '.join(sorted(_CONFIG_KEYS))}"
        )


def _layer(path: str, data: bytes) -> dict[str, Any]:
    check_path(path)
    if len(data) > MAX_LAYER:
        raise BadInput(f"file {shown(path)}: {len(data)} bytes, more than the limit of {MAX_LAYER}")
    media_type = _media_type(path)
    # oras takes the file's name from the title, ModelPack's tools from the filepath.
    names = {"annotations": {TITLE: path, _FILEPATH: path}}
    return Descriptor.of(data, media_type).to_json() | names


def _media_type(path: str) -> str:
    base = path.rpartition("/")[2]
    media_type = next((kind for glob, kind in _LAYER_TYPES if fnmatchcase(base, glob)), None)
    if media_type is None:
        allowed = ", ".join(glob for glob, _ in _LAYER_TYPES)
        raise BadInput(
            f"file {shown(path)}: not a type of file that a model may contain ({allowed})"
        )
    return media_type


def check_kind(path: str, media_type: str) -> None:
    """Check that a file from another source has a type that `publish` would accept and record.

    Parameters
    ----------
    path
        The file's path in the model.
    media_type
        The media type that its manifest states.

    Raises
    ------
    BadInput
        Models cannot contain this type of file, or `publish` would give it another media type.

    """
    if _media_type(path) != media_type:
        raise BadInput(f"file {shown(path)}: is {shown(media_type)}, not {_media_type(path)!r}")


def _annotations(
    name: str, version: str, created: datetime, more: Mapping[str, str]
) -> dict[str, str]:
    ours = {TITLE: name, VERSION: version, CREATED: format_time(created, what=f"{name}:{version}")}
    # Callers without type checks may pass numbers: valid JSON, but invalid as an OCI annotation.
    untyped: Mapping[Any, Any] = more
    for key, value in untyped.items():
        if not isinstance(key, str) or not isinstance(value, str) or key in ours:
            raise BadInput(
                f"{name}:{version}: annotation {shown(key)} = {shown(value)}: must be text, and "
                "title, version and created are set by publish"
            )
    return ours | dict(more)


def _model_descriptor(name: str, version: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "name": name,
        "version": version,
        "createdAt": annotations[CREATED],
    }
    for annotation, key in _DESCRIBED.items():
        if annotation in annotations:
            descriptor[key] = annotations[annotation]
    if _LICENSES in annotations:
        descriptor["licenses"] = [annotations[_LICENSES]]
    return descriptor


def parse_manifest(data: bytes, *, what: str) -> Manifest:
    """Parse a model's manifest, whose digest the caller has verified.

    Parameters
    ----------
    data
        The manifest's bytes.
    what
        Where they come from, for error messages.

    Raises
    ------
    Corrupt
        The bytes are not the manifest of a model with raw layers, or it contains a bad or duplicate path or a size
        above the limit.

    """
    document = parse_json(data, what=what)
    if take(document, "schemaVersion", int, what=what) != 2:
        raise Corrupt(f"{what}: 'schemaVersion' is {document['schemaVersion']}, not 2")
    for key, expected in (("mediaType", MANIFEST_TYPE), ("artifactType", ARTIFACT_TYPE)):
        found = take(document, key, str, what=what)
        if found != expected:
            raise Corrupt(f"{what}: {key!r} is {shown(found)}, not {expected!r}")
    annotations = _read_annotations(document, what=what)
    layers = tuple(
        _read_layer(entry, what=f"{what}: layers[{i}]")
        for i, entry in enumerate(take(document, "layers", list, what=what))
    )
    twice = [path for path, n in Counter(layer.path for layer in layers).items() if n > 1]
    if twice:
        raise Corrupt(f"{what}: two layers are named {shown(twice[0])}")
    config = Descriptor.from_json(document.get("config"), what=f"{what}: config")
    if config.media_type != CONFIG_TYPE or config.size > MAX_MANIFEST:
        raise Corrupt(
            f"{what}: config is {shown(config.media_type)} of {config.size} bytes, not "
            f"{CONFIG_TYPE!r} of at most {MAX_MANIFEST}"
        )
    return Manifest(
        config=config, layers=layers, annotations=annotations, document=document, data=data
    )


def _read_annotations(document: object, *, what: str) -> dict[str, str]:
    annotations = take(document, "annotations", dict, what=what)
    for key in annotations:
        take(annotations, key, str, what=f"{what}: annotations")
    return annotations


def _read_layer(document: object, *, what: str) -> Layer:
    descriptor = Descriptor.from_json(document, what=what)
    if descriptor.size > MAX_LAYER:
        raise Corrupt(f"{what}: {descriptor.size} bytes, more than the limit of {MAX_LAYER}")
    kind = descriptor.media_type
    # Accept kinds that a later version may add (code, data sets), as long as they are raw.
    if not (kind.startswith("application/vnd.cncf.model.") and kind.endswith(".raw")):
        raise Corrupt(f"{what}: media type {shown(kind)} is not a raw layer of a model")
    annotations = _read_annotations(document, what=what)
    path = take(annotations, _FILEPATH, str, what=f"{what}: annotations")
    try:
        check_path(path)
    except BadInput as e:
        raise Corrupt(f"{what}: {e}") from None
    return Layer(path=path, media_type=kind, digest=descriptor.digest, size=descriptor.size)


def parse_config(data: bytes, manifest: Manifest, *, what: str) -> Mapping[str, Any]:
    """Return the `config` object of a ModelPack config, whose digest the caller has verified.

    Parameters
    ----------
    data
        The config's bytes.
    manifest
        The manifest that refers to it.
    what
        Where the bytes come from, for error messages.

    Raises
    ------
    Corrupt
        The bytes are not a ModelPack config, or it lists other layers than the manifest.

    """
    document = parse_json(data, what=what)
    layers = take(take(document, "modelfs", dict, what=what), "diffIds", list, what=what)
    if layers != [layer.digest for layer in manifest.layers]:
        raise Corrupt(f"{what}: 'diffIds' are not the digests of the manifest's layers")
    config: Mapping[str, Any] = take(document, "config", dict, what=what)
    return config
