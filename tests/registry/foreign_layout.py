"""Build OCI layouts and archives as other programs do, good and hostile ones, without the registry's code."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KINDS = {".safetensors": "weight.v1.raw", ".json": "weight.config.v1.raw", ".md": "doc.v1.raw"}


def safetensors(header: dict[str, Any] | None = None, body: bytes = bytes(8)) -> bytes:
    """Return a safetensors file with the given header; by default a valid file with one tensor."""
    if header is None:
        header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def good_files(seed: str) -> dict[str, bytes]:
    """Return the files of a model, each in the format that its name promises."""
    return {
        "core.safetensors": safetensors(body=hashlib.sha256(seed.encode()).digest()[:8]),
        "labels.json": b'["ABBR","DESC"]',
        "MODEL_CARD.md": b"# card",
    }


def canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Foreign:
    """A layout under construction: a test can change any part, and update what refers to it or not."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.blobs: dict[str, bytes] = {}
        self.marker = b'{"imageLayoutVersion": "1.0.0"}'
        layers = [self._layer(path, files[path]) for path in sorted(files)]
        config = {
            "descriptor": {
                "name": "trec",
                "version": "1.0.0",
                "createdAt": "2026-01-01T00:00:00Z",
            },
            "config": {},
            "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
        }
        self.manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.cncf.model.manifest.v1+json",
            "config": self.add(canonical(config), "application/vnd.cncf.model.config.v1+json"),
            "layers": layers,
            "annotations": {
                "org.opencontainers.image.title": "trec",
                "org.opencontainers.image.version": "1.0.0",
                "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
            },
        }
        self.config = config
        self.index: dict[str, Any] = {}
        self.seal()

    def add(self, data: bytes, kind: str) -> dict[str, Any]:
        """Add a blob, and return its descriptor."""
        self.blobs[digest(data).removeprefix("sha256:")] = data
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def _layer(self, path: str, data: bytes) -> dict[str, Any]:
        suffix = path[path.rindex(".") :] if "." in path else ""
        kind = f"application/vnd.cncf.model.{_KINDS.get(suffix, 'doc.v1.raw')}"
        names = {"org.opencontainers.image.title": path, "org.cncf.model.filepath": path}
        return self.add(data, kind) | {"annotations": names}

    def seal(self, data: bytes | None = None) -> Foreign:
        """Write the manifest, or the given bytes in its place, and an index that refers to it."""
        data = canonical(self.manifest) if data is None else data
        target = self.add(data, self.manifest["mediaType"])
        name = {"annotations": {"org.opencontainers.image.ref.name": "1.0.0"}}
        self.index = {"schemaVersion": 2, "manifests": [target | name]}
        return self

    def reconfigure(self, edit: Callable[[dict[str, Any]], object]) -> Foreign:
        """Change the config, and update manifest and index to refer to the changed one."""
        edit(self.config)
        kind = self.manifest["config"]["mediaType"]
        self.manifest["config"] = self.add(canonical(self.config), kind)
        return self.seal()

    def parts(self) -> dict[str, bytes]:
        """Return the layout's files by path."""
        return {
            "oci-layout": self.marker,
            "index.json": canonical(self.index),
            **{f"blobs/sha256/{name}": data for name, data in self.blobs.items()},
        }

    def folder(self, path: Path) -> Path:
        """Write the layout to a directory."""
        for name, data in self.parts().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path

    def tar(
        self, edit: Callable[[tarfile.TarFile], object] | None = None, mode: str = "w"
    ) -> bytes:
        """Return the layout as a tar archive; `edit` may add members to it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
            for name, data in self.parts().items():
                put(archive, name, data)
            if edit is not None:
                edit(archive)
        return buffer.getvalue()


def put(archive: tarfile.TarFile, name: str, data: bytes = b"x", **fields: Any) -> None:
    """Add a member to an archive; `fields` are attributes of `TarInfo`."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


def GOOD() -> Foreign:  # noqa: N802 -- easy to see in the lists of hostile cases
    """Return a good layout."""
    return Foreign(good_files("1.0.0"))
