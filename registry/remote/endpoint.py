"""Answer the read requests of the OCI distribution specification from a registry; no sockets here.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, "Pull" and "Content Discovery"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from ..errors import BadReference, NotFound, RegistryError
from ..formats.json_documents import MANIFEST_TYPE, canonical, parse_json
from ..formats.manifest import MAX_LAYER
from ..layout.files import storage
from ..layout.find import find
from ..layout.layout import Layout
from ..references import Reference, check_digest, is_model
from .verified_file import VerifiedFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..formats.json_documents import Descriptor
    from ..references import Digest

__all__ = ["Reply", "answer", "refusal"]

_JSON: Final = "application/json"
_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_PATH: Final = re.compile(
    r"/v2/(?P<name>[^/]+)/(?:(?P<list>tags/list)|(?P<kind>manifests|blobs|referrers)/(?P<ref>[^/]+))"
)
_MAX_PAGE: Final = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A complete HTTP response; its body was verified before the response is built.

    Attributes
    ----------
    status
        The HTTP status.
    body
        The whole body; a file is closed by whoever sends it.
    headers
        Headers, without those of the server itself such as Content-Length.
    error
        Damage of the registry, for the log and not for the client; None if there is none.

    """

    status: int = 200
    body: bytes | VerifiedFile = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


class _Refused(Exception):
    """Ends the handling of a request with an error response."""

    def __init__(self, status: int, code: str, message: str, error: str | None = None) -> None:
        super().__init__(message)
        self.reply = refusal(status, code, message, error)


def refusal(status: int, code: str, message: str, error: str | None = None) -> Reply:
    """Return an error response in the specification's format.

    Parameters
    ----------
    status
        The HTTP status.
    code
        The specification's error code, such as `MANIFEST_UNKNOWN`.
    message
        The text for the client.
    error
        The text for the log.

    """
    return Reply(
        status=status,
        body=canonical({"errors": [{"code": code, "message": message}]}),
        headers={"Content-Type": _JSON},
        error=error,
    )


def answer(root: Path, target: str) -> Reply:
    """Return the response to a GET request, or to a HEAD request whose body the caller drops.

    Never raises a `RegistryError`: if the registry is damaged, the response has status 500.

    Parameters
    ----------
    root
        The registry's directory.
    target
        Path and query of the request.

    """
    try:
        return _routed(root, target)
    except _Refused as e:
        return e.reply
    except RegistryError as e:
        return refusal(500, "UNKNOWN", "damaged here; run spikewatch-registry verify", str(e))


def _routed(root: Path, target: str) -> Reply:
    try:
        parts = urlsplit(target)
    except ValueError:
        raise _Refused(404, "NOT_FOUND", "no such path") from None
    path, query = unquote(parts.path), parse_qs(parts.query)
    if path in {"/v2", "/v2/"}:
        return Reply(body=b"{}", headers={"Content-Type": _JSON})
    match = _PATH.fullmatch(path)
    if match is None:
        raise _Refused(404, "NOT_FOUND", "no such path")
    layout = _layout(root, match["name"])
    if match["list"]:
        return _tags(layout, query)
    reply = {"manifests": _manifest, "blobs": _blob, "referrers": _referrers}[match["kind"]]
    return reply(layout, match["ref"], query)


def _layout(root: Path, name: str) -> Layout:
    layout = Layout(root / name)
    with storage(f"reading {layout.path}"):
        exists = is_model(name) and layout.exists
    if not exists:
        raise _Refused(404, "NAME_UNKNOWN", "no such model")
    return layout


def _digest(text: str) -> Digest:
    try:
        return check_digest(text)
    except BadReference as e:
        raise _Refused(400, "DIGEST_INVALID", str(e)) from None


def _content(data: bytes | VerifiedFile, media_type: str, digest: Digest) -> Reply:
    headers = {
        "Content-Type": media_type,
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
    }
    return Reply(body=data, headers=headers)


def _manifest(layout: Layout, ref: str, _: Mapping[str, list[str]]) -> Reply:
    state = layout.state()
    digest, tag = (_digest(ref), None) if ":" in ref else (None, ref)
    reference = Reference(name=layout.name, tag=tag, digest=digest)
    try:
        target = find(layout, state, reference)
    except NotFound:
        raise _Refused(404, "MANIFEST_UNKNOWN", "no such version, alias or digest") from None
    data = layout.read(target, what=str(reference))
    return _content(data, MANIFEST_TYPE, target.digest)


def _blob(layout: Layout, ref: str, _: Mapping[str, list[str]]) -> Reply:
    if ":" not in ref:
        raise _Refused(404, "BLOB_UNKNOWN", "no such blob")
    digest = _digest(ref)
    try:
        data = VerifiedFile(layout.blob_path(digest), digest, limit=MAX_LAYER)
    except FileNotFoundError:
        raise _Refused(404, "BLOB_UNKNOWN", "no such blob") from None
    return _content(data, "application/octet-stream", digest)


def _tags(layout: Layout, query: Mapping[str, list[str]]) -> Reply:
    """Return the sorted list of tags; with `n`, one page of it and a link to the next."""
    last, number = (query.get(key, [""])[0] for key in ("last", "n"))
    tags = sorted(tag for tag in layout.state().tags if tag > last)
    headers = {"Content-Type": _JSON}
    if number:
        # The length first: int() raises for numbers of thousands of digits.
        is_number = number.isascii() and number.isdigit() and len(number) <= len(str(_MAX_PAGE))
        if not is_number or int(number) > _MAX_PAGE:
            raise _Refused(400, "UNSUPPORTED", f"n must be a number of at most {_MAX_PAGE}")
        page = tags[: int(number)]
        if page and len(page) < len(tags):
            more = urlencode({"n": number, "last": page[-1]})
            headers["Link"] = f'</v2/{layout.name}/tags/list?{more}>; rel="next"'
        tags = page
    return Reply(body=canonical({"name": layout.name, "tags": tags}), headers=headers)


def _referrers(layout: Layout, ref: str, query: Mapping[str, list[str]]) -> Reply:
    """Return the index of a manifest's attachments: the tags that start with its digest."""
    prefix = f"{_digest(ref).replace(':', '-')}."
    found = [
        _described(layout, tag, target)
        for tag, target in sorted(layout.state().tags.items())
        if tag.startswith(prefix)
    ]
    headers = {"Content-Type": _INDEX_TYPE}
    # Media types contain "+" and never a space, but some clients do not encode "+" as %2B, so it arrives as a space.
    wanted = [each.replace(" ", "+") for each in query.get("artifactType", [])]
    if wanted:
        found = [each for each in found if each.get("artifactType") in wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": found}
    return Reply(body=canonical(index), headers=headers)


def _described(layout: Layout, tag: str, target: Descriptor) -> dict[str, Any]:
    document = parse_json(layout.read(target, what=tag), what=tag)
    kept = {key: document[key] for key in ("artifactType", "annotations") if key in document}
    return target.to_json() | kept
