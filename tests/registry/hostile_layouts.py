"""Layouts with one hostile change each, with the error that each must cause."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

from foreign_layout import GOOD, Foreign, canonical, digest, good_files, safetensors

if TYPE_CHECKING:
    from collections.abc import Callable

MEBI = 2**20


def edited(edit: Callable[[Foreign], object]) -> Callable[[], Foreign]:
    def make() -> Foreign:
        layout = GOOD()
        edit(layout)
        return layout

    return make


def manifest(edit: Callable[[dict[str, Any]], object]) -> Callable[[], Foreign]:
    def make() -> Foreign:
        layout = GOOD()
        edit(layout.manifest)
        return layout.seal()

    return make


def config(edit: Callable[[dict[str, Any]], object]) -> Callable[[], Foreign]:
    return lambda: GOOD().reconfigure(edit)


def index(edit: Callable[[dict[str, Any]], object]) -> Callable[[], Foreign]:
    return edited(lambda layout: edit(layout.index))


def files(**more: bytes) -> Callable[[], Foreign]:
    renamed = {path.replace("__", "."): data for path, data in more.items()}
    return lambda: Foreign(good_files("1.0.0") | renamed)


def path_of_layer(path: str) -> Callable[[], Foreign]:
    return manifest(
        lambda m: m["layers"][0]["annotations"].update({"org.cncf.model.filepath": path})
    )


def first_layer(layout: Foreign) -> str:
    return str(layout.manifest["layers"][0]["digest"]).removeprefix("sha256:")


def reblob(layout: Foreign, data: bytes) -> None:
    layout.blobs[first_layer(layout)] = data


def no_blob(layout: Foreign) -> None:
    del layout.blobs[first_layer(layout)]


def twice_in_json(layout: Foreign) -> None:
    data = canonical(layout.manifest)
    layout.seal(data[:-1] + b',"schemaVersion":2}')


def loose_json(layout: Foreign) -> None:
    layout.seal(json.dumps(layout.manifest, indent=1).encode())


def huge_manifest(layout: Foreign) -> None:
    layout.manifest["annotations"]["x"] = "x" * (4 * MEBI)
    layout.seal()


def deep_manifest(layout: Foreign) -> None:
    layout.seal(b"[" * 100_000)


def nested_index(layout: Foreign) -> None:
    inner = layout.add(canonical(layout.index), "application/vnd.oci.image.index.v1+json")
    layout.index = {"schemaVersion": 2, "manifests": [inner]}


def two_models(layout: Foreign) -> None:
    first = layout.index["manifests"]
    layout.manifest["annotations"] |= {"org.opencontainers.image.title": "area"}
    layout.seal()
    entry = layout.index["manifests"][0]
    entry["annotations"] = {"org.opencontainers.image.ref.name": "production"}
    layout.index["manifests"] += first


def two_of_one_version(layout: Foreign) -> None:
    first = layout.index["manifests"]
    layout.manifest["annotations"] |= {"x": "y"}
    layout.seal()
    layout.index["manifests"][0]["annotations"] = {}
    layout.index["manifests"] += first


def tag_of_two(layout: Foreign) -> None:
    other = dict(layout.index["manifests"][0]) | {"digest": digest(b"other")}
    layout.index["manifests"].append(other)


def attached(content: bytes = b'{"stages":{}}', **changes: Any) -> Callable[[], Foreign]:
    """Return a maker of layouts with an attached evaluation whose manifest has the given changes."""

    def make() -> Foreign:
        layout = GOOD()
        subject = {k: v for k, v in layout.index["manifests"][0].items() if k != "annotations"}
        kind = "application/vnd.spikewatch.eval.v1+json"
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind,
            "config": layout.add(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [layout.add(content, kind)],
            "subject": subject,
            "annotations": {"org.opencontainers.image.title": "trec"},
        } | changes
        target = layout.add(canonical(document), "application/vnd.oci.image.manifest.v1+json")
        tag = f"sha256-{str(subject['digest']).removeprefix('sha256:')}.eval-1"
        names = {"annotations": {"org.opencontainers.image.ref.name": tag}}
        layout.index["manifests"].append(target | names)
        return layout

    return make


def bad_header(**tensor: Any) -> Callable[[], Foreign]:
    data = safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | tensor})
    return files(core__safetensors=data)


LAYOUTS: dict[str, tuple[Callable[[], Foreign], str]] = {
    # the layout itself
    "no marker": (edited(lambda x: setattr(x, "marker", b"")), "oci-layout: not valid JSON"),
    "another version": (
        edited(lambda x: setattr(x, "marker", b'{"imageLayoutVersion":"2.0.0"}')),
        "'imageLayoutVersion' is '2.0.0'",
    ),
    "empty index": (index(lambda i: i.update(manifests=[])), "is empty"),
    "no manifests": (index(lambda i: i.pop("manifests")), "'manifests' is None, not a list"),
    "index of another schema": (index(lambda i: i.update(schemaVersion=1)), "'schemaVersion' is 1"),
    "index of another type": (index(lambda i: i.update(mediaType="text/x")), "'mediaType' is"),
    "nested index": (edited(nested_index), "image.index.v1+json', not a manifest's"),
    "unknown media type": (
        index(lambda i: i["manifests"][0].update(mediaType="application/zip")),
        "'mediaType' is 'application/zip', not a manifest's",
    ),
    "tag is a number": (
        index(lambda i: i["manifests"][0].update(annotations={"org.opencontainers.image.ref.name": 1})),
        "the tag in 'annotations' is not a string",
    ),
    "one tag, two digests": (edited(tag_of_two), "'1.0.0' points to two manifests"),
    "tag of another version": (
        index(
            lambda i: i["manifests"][0].update(
                annotations={"org.opencontainers.image.ref.name": "2.0.0"}
            )
        ),
        "the tag does not match the manifest, which is of version '1.0.0'",
    ),
    "two models": (edited(two_models), "is of model trec, others are of area"),
    "a version twice": (edited(two_of_one_version), "1.0.0 appears twice"),
    # digests and sizes
    "digest with a path": (
        index(lambda i: i["manifests"][0].update(digest="sha256:../../../etc/passwd")),
        "must be 'sha256:'",
    ),
    "weak digest": (
        index(lambda i: i["manifests"][0].update(digest="md5:" + "0" * 32)),
        "must be 'sha256:'",
    ),
    "size too small": (index(lambda i: i["manifests"][0].update(size=7)), "limit of 7"),
    "size too large": (index(lambda i: i["manifests"][0].update(size=4000)), "of 4000 bytes holds"),
    "negative size": (index(lambda i: i["manifests"][0].update(size=-1)), "less than 0"),
    "size is true": (index(lambda i: i["manifests"][0].update(size=True)), "not an integer"),
    "enormous manifest": (
        index(lambda i: i["manifests"][0].update(size=2**60)),
        f"manifest of {2**60} bytes, limit",
    ),
    "missing manifest": (
        index(lambda i: i["manifests"][0].update(digest="sha256:" + "0" * 64)),
        "is missing",
    ),
    "missing layer": (edited(no_blob), "is missing"),
    "layer size": (manifest(lambda m: m["layers"][0].update(size=1)), "limit of 1"),
    "enormous layer": (
        manifest(lambda m: m["layers"][0].update(size=65 * MEBI)),
        "more than the limit of 67108864",
    ),
    # the manifest
    "key twice": (edited(twice_in_json), "'schemaVersion' appears twice"),
    "manifest in another form": (edited(loose_json), "not in canonical form"),
    "manifest over the limit": (edited(huge_manifest), "manifest of 4195553 bytes, limit 4194304"),
    "manifest too deep": (edited(deep_manifest), "not valid JSON"),
    "artifact of another kind": (
        manifest(lambda m: m.update(artifactType="application/vnd.evil")),
        "neither model nor attachment",
    ),
    "no artifact type": (manifest(lambda m: m.pop("artifactType")), "'artifactType' is None"),
    "container image": (
        manifest(
            lambda m: m["config"].update(mediaType="application/vnd.oci.image.config.v1+json")
        ),
        "config is 'application/vnd.oci.image.config.v1+json'",
    ),
    "compressed layer": (
        manifest(
            lambda m: m["layers"][0].update(
                mediaType="application/vnd.cncf.model.weight.v1.tar+gzip"
            )
        ),
        "is not a raw layer of a model",
    ),
    "layer of another kind": (
        manifest(
            lambda m: m["layers"][0].update(mediaType="application/vnd.cncf.model.code.v1.raw")
        ),
        "is 'application/vnd.cncf.model.code.v1.raw', not",
    ),
    "no version": (
        manifest(lambda m: m["annotations"].pop("org.opencontainers.image.version")),
        "version '': must be SemVer",
    ),
    "version with a plus": (
        manifest(lambda m: m["annotations"].update({"org.opencontainers.image.version": "1.0.0+x"})),
        "'+' is not allowed",
    ),
    "name with a path": (
        manifest(lambda m: m["annotations"].update({"org.opencontainers.image.title": "../trec"})),
        "model name '../trec'",
    ),
    "no files": (manifest(lambda m: m.update(layers=[])), "has no files"),
    # the paths
    "absolute path": (path_of_layer("/etc/passwd"), "must be relative"),
    "path upwards": (path_of_layer("../../x.json"), "must be relative"),
    "path with NUL": (path_of_layer("a\0.json"), "must be relative"),
    "path with escape": (path_of_layer("\x1b[2J.json"), "must be relative"),
    "path of another layer": (path_of_layer("labels.json"), "two layers are named"),
    # the config
    "config of other layers": (
        config(lambda c: c["modelfs"]["diffIds"].reverse()),
        "'diffIds' are not the digests",
    ),
    "config without files": (config(lambda c: c.pop("modelfs")), "'modelfs' is None"),
    # the files
    "pickle": (files(model__pkl=pickle.dumps([1])), "not a type of file that a model may contain"),
    "checkpoint": (files(model__pt=b"PK\3\4"), "not a type of file that a model may contain"),
    "script": (files(run__sh=b"#!/bin/sh"), "not a type of file that a model may contain"),
    "pickle as weights": (
        files(core__safetensors=pickle.dumps(list(range(99)))),
        "not a safetensors file",
    ),
    "pickle as text": (files(notes__md=pickle.dumps([1])), "not UTF-8 text"),
    "tensor beyond the end": (bad_header(data_offsets=[0, 2**40]), "not a safetensors file"),
    "tensor before the start": (bad_header(data_offsets=[-8, 0]), "not a safetensors file"),
    "tensor upside down": (bad_header(data_offsets=[8, 0]), "not a safetensors file"),
    "tensor of overflowing shape": (bad_header(shape=[2**63, 2**63]), "not a safetensors file"),
    "bytes that no tensor covers": (
        files(core__safetensors=safetensors(body=bytes(16))),
        "not a safetensors file",
    ),
    "JSON with NaN": (files(labels__json=b"[NaN]"), "NaN is not JSON"),
    "JSON too deep": (files(labels__json=b"[" * 100_000), "labels.json: not valid JSON"),
    # attachments
    "attached to nothing": (
        attached(
            subject={
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + "0" * 64,
                "size": 1,
            }
        ),
        "belongs to sha256:0000",
    ),
    "attachment without subject": (attached(subject=None), "subject: 'size' is None"),
    "attachment of two layers": (attached(layers=[]), "has 0 layers, not 1"),
    "attachment that is no object": (attached(content=b"[1]"), "is not a JSON object"),
    "attachment of another model": (
        attached(annotations={"org.opencontainers.image.title": "area"}),
        "is of model area, others are of trec",
    ),
}  # fmt: skip
