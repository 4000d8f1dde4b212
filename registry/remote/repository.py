"""One repository of another registry, by the OCI distribution specification.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md

Every method is one operation that is safe to repeat, and is repeated when it fails in passing.
"""

from __future__ import annotations

import re
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, urljoin

from ..errors import BadReference, Corrupt, NotFound, RegistryError, RemoteError, shown
from ..formats.json_documents import MANIFEST_TYPE, parse_json
from ..formats.manifest import MAX_MANIFEST
from ..references import check_digest, digest_of
from .authorization import Authorization
from .transport import Transport, joined, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..formats.json_documents import Descriptor
    from ..references import Digest
    from .address import Address
    from .transport import Answer

__all__ = ["Repository"]

_MAX_ERROR: Final = 2**16
_MAX_PAGES: Final = 100
_NEXT: Final = re.compile(r'<([^<>]*)>\s*;\s*rel="?next')
_DIGEST: Final = "docker-content-digest"
_OK: Final = 200
_CREATED: Final = 201
_ACCEPTED: Final = 202
_DENIED: Final = {401, 403}
_NOT_FOUND: Final = 404


class Repository:
    """A repository to read from, or to write to; a context manager that closes connections.

    Parameters
    ----------
    address
        Its tag and digest do not matter here.
    writing
        Whether to ask for the right to write.
    plain_http
        Whether HTTP to other machines is allowed.
    pause
        Waits before another attempt (see Transport).
    """

    def __init__(
        self,
        address: Address,
        *,
        writing: bool = False,
        plain_http: bool = False,
        pause: Callable[[float], None] = wait,
    ) -> None:
        self.address = address
        self._url = f"{address.base}/v2/{address.repository}/"
        self._transport = Transport(plain_http=plain_http, pause=pause)
        self._authorization = Authorization(self._transport, address, writing=writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def digest_of(self, tag: str) -> Digest | None:
        """Say what a tag means there, by HEAD; None when there is no such tag.

        Raises
        ------
        RemoteError
            When the registry cannot be reached, or refuses.
        """

        def ask() -> Digest | None:
            answer = self._ask("HEAD", f"manifests/{tag}", headers={"Accept": MANIFEST_TYPE})
            if answer.status == _NOT_FOUND:
                return None
            self._check(answer, _OK, what=f"{tag}")
            try:
                return check_digest(answer.headers.get(_DIGEST, ""))
            except BadReference:
                # The header is not required of a registry.
                return digest_of(self._manifest(tag))

        return self._transport.retried(ask)

    def tags(self) -> list[str]:
        """List the tags; none when the registry knows no such repository.

        Raises
        ------
        Corrupt
            When it answers with something else, or without end.
        RemoteError
            When the registry cannot be reached, or refuses.
        """
        tags: list[str] = []
        url = f"{self._url}tags/list"
        for _ in range(_MAX_PAGES):
            page, following = self._transport.retried(partial(self._page, url))
            tags += page
            if following is None:
                return tags
            url = following
        raise Corrupt(f"{self._named('tags')}: more than {_MAX_PAGES} pages")

    def _page(self, url: str) -> tuple[list[str], str | None]:
        answer = self._ask("GET", url, limit=MAX_MANIFEST)
        if answer.status == _NOT_FOUND:
            return [], None
        self._check(answer, _OK, what="tags")
        what = self._named("tags")
        document = parse_json(answer.body, what=what)
        # Docker's registry says null for none.
        tags = document.get("tags") if isinstance(document, dict) else 0
        if not isinstance(tags, list | NoneType):
            raise Corrupt(f"{what}: 'tags' is {shown(tags)}, not a list")
        link = _NEXT.search(answer.headers.get("link", ""))
        following = None if link is None else joined(answer.url, link[1])
        return [tag for tag in tags or [] if isinstance(tag, str)], following

    def manifest(self, wanted: str) -> bytes:
        """Fetch a manifest, by tag or digest.

        Raises
        ------
        NotFound
            When there is none.
        Corrupt
            When the bytes have another digest than asked for or announced, or are too many.
        RemoteError
            When the registry cannot be reached, or refuses.
        """
        return self._transport.retried(lambda: self._manifest(wanted))

    def _manifest(self, wanted: str) -> bytes:
        answer = self._ask(
            "GET", f"manifests/{wanted}", headers={"Accept": MANIFEST_TYPE}, limit=MAX_MANIFEST
        )
        self._check(answer, _OK, what=wanted)
        for said in (wanted if ":" in wanted else None, answer.headers.get(_DIGEST)):
            if said is not None and said != answer.digest:
                raise Corrupt(
                    f"{self._named(wanted)}: the manifest has {answer.digest}, not {shown(said)}"
                )
        return answer.body

    def blob(self, blob: Descriptor, *, what: str) -> bytes:
        """Fetch a blob; the bytes have its size and digest, which are checked as they come.

        Raises
        ------
        NotFound
            When there is none.
        Corrupt
            When other bytes come.
        RemoteError
            When the registry cannot be reached, or refuses.
        """

        def fetch() -> bytes:
            answer = self._ask("GET", f"blobs/{blob.digest}", limit=blob.size)
            self._check(answer, _OK, what=blob.digest)
            if answer.digest != blob.digest:
                raise Corrupt(
                    f"{self.address}: {what}: blob {blob.digest} of {blob.size} bytes came as "
                    f"{len(answer.body)} bytes with {answer.digest}"
                )
            return answer.body

        return self._transport.retried(fetch)

    def has_blob(self, digest: Digest) -> bool:
        """Tell whether the registry has a blob, by HEAD.

        Raises
        ------
        RemoteError
            When the registry cannot be reached, or refuses.
        """

        def ask() -> bool:
            answer = self._ask("HEAD", f"blobs/{digest}")
            if answer.status == _NOT_FOUND:
                return False
            self._check(answer, _OK, what=digest)
            return True

        return self._transport.retried(ask)

    def put_blob(self, digest: Digest, data: bytes) -> None:
        """Send a blob that the registry does not have.

        Raises
        ------
        RemoteError
            When the registry cannot be reached, or refuses.
        """

        def send() -> None:
            opened = self._ask("POST", "blobs/uploads/", body=b"")
            self._check(opened, _ACCEPTED, what="starting an upload")
            location = opened.headers.get("location")
            if not location:
                raise RemoteError(f"{self.address}: gives no place to upload to")
            # It may be another host's; the credentials stay with the registry's.
            place = joined(opened.url, location)
            mark = "&" if "?" in place else "?"
            answer = self._ask(
                "PUT",
                f"{place}{mark}digest={quote(digest, safe='')}",
                headers={"Content-Type": "application/octet-stream"},
                body=data,
            )
            self._check(answer, _CREATED, what=f"uploading {digest}")

        self._transport.retried(send)

    def put_manifest(self, wanted: str, data: bytes, digest: Digest) -> None:
        """Let a tag mean a manifest, or store it under its digest alone.

        Raises
        ------
        RemoteError
            When the registry cannot be reached, refuses, or stored something else.
        """

        def send() -> None:
            answer = self._ask(
                "PUT", f"manifests/{wanted}", headers={"Content-Type": MANIFEST_TYPE}, body=data
            )
            self._check(answer, _CREATED, what=wanted)
            stored = answer.headers.get(_DIGEST, digest)
            if stored != digest:
                raise RemoteError(f"{self._named(wanted)}: stored as {shown(stored)}, not {digest}")

        self._transport.retried(send)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = _MAX_ERROR,
    ) -> Answer:
        """Ask, and once more when the registry first wants to know who is there."""

        def exchange() -> Answer:
            return self._transport.exchange(
                method,
                urljoin(self._url, path),
                authorize=self._authorization.headers,
                headers=headers or {},
                body=body,
                limit=max(limit, _MAX_ERROR),
            )

        answer = exchange()
        if answer.status == 401 and self._authorization.answer(answer.challenges):
            answer = exchange()
        return answer

    def _check(self, answer: Answer, expected: int, *, what: str) -> None:
        if answer.status == expected:
            return
        where = self._named(what)
        said = _reason(answer)
        if answer.status == _NOT_FOUND:
            raise NotFound(f"{where}: not found there{said}")
        if answer.status in _DENIED:
            raise RemoteError(f"{where}: denied, status {answer.status}{said}")
        raise RemoteError(f"{where}: status {answer.status}, not {expected}{said}")

    def _named(self, what: str) -> str:
        return f"{self.address.host}/{self.address.repository}: {what}"


def _reason(answer: Answer) -> str:
    """Give what the registry says about a failure; it may be anything."""
    try:
        document = parse_json(answer.body, what="answer")
        first = document["errors"][0]
        return f": {shown(' '.join(str(first.get(key, '')) for key in ('code', 'message')))}"
    except (RegistryError, LookupError, TypeError, AttributeError):
        return ""
