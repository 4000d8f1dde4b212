"""One repository of another registry, by the OCI distribution specification.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md

Every method is one idempotent operation, which is repeated after transient failures (see `Transport.retried`).
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
    """A repository in another registry; a context manager that closes its connections.

    Parameters
    ----------
    address
        The repository; the address's tag and digest are ignored.
    writing
        Whether to request write access as well.
    plain_http
        Whether HTTP without encryption to other machines is allowed.
    pause
        Called with the seconds to wait before another attempt (see `Transport`).

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
        """Return the digest that a tag points to, by one HEAD request; None if the tag does not exist.

        Raises
        ------
        Corrupt
            The registry sent no digest, and then a manifest that is too large.
        RemoteError
            The registry cannot be reached, fails or refuses.

        """

        def head() -> Digest | None:
            answer = self._request("HEAD", f"manifests/{tag}", headers={"Accept": MANIFEST_TYPE})
            if answer.status == _NOT_FOUND:
                return None
            self._check(answer, _OK, what=tag)
            try:
                return check_digest(answer.headers.get(_DIGEST, ""))
            except BadReference:
                # The specification does not oblige a registry to send this header: fetch the manifest, and hash it.
                return digest_of(self._manifest(tag))

        return self._transport.retried(head)

    def tags(self) -> list[str]:
        """Return all tags; none if the repository does not exist.

        Raises
        ------
        Corrupt
            The registry answers with something else, or with more than 100 pages.
        RemoteError
            The registry cannot be reached, fails or refuses.

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
        answer = self._request("GET", url, limit=MAX_MANIFEST)
        if answer.status == _NOT_FOUND:
            return [], None
        self._check(answer, _OK, what="tags")
        what = self._named("tags")
        document = parse_json(answer.body, what=what)
        # Docker's registry answers null if there are no tags.
        tags = document.get("tags") if isinstance(document, dict) else 0
        if not isinstance(tags, list | NoneType):
            raise Corrupt(f"{what}: 'tags' is {shown(tags)}, not a list")
        link = _NEXT.search(answer.headers.get("link", ""))
        following = None if link is None else joined(answer.url, link[1])
        return [tag for tag in tags or [] if isinstance(tag, str)], following

    def manifest(self, wanted: str) -> bytes:
        """Fetch a manifest.

        Parameters
        ----------
        wanted
            A tag or a digest.

        Raises
        ------
        NotFound
            It does not exist.
        Corrupt
            Its digest is not the requested or announced one, or it is too large.
        RemoteError
            The registry cannot be reached, fails or refuses.

        """
        return self._transport.retried(lambda: self._manifest(wanted))

    def _manifest(self, wanted: str) -> bytes:
        answer = self._request(
            "GET", f"manifests/{wanted}", headers={"Accept": MANIFEST_TYPE}, limit=MAX_MANIFEST
        )
        self._check(answer, _OK, what=wanted)
        for expected in (wanted if ":" in wanted else None, answer.headers.get(_DIGEST)):
            if expected is not None and expected != answer.digest:
                raise Corrupt(
                    f"{self._named(wanted)}: the manifest has {answer.digest}, not {shown(expected)}"
                )
        return answer.body

    def blob(self, blob: Descriptor, *, what: str) -> bytes:
        """Fetch a blob, and check its size and digest as the bytes arrive.

        Parameters
        ----------
        blob
            Its size is the limit of what is read.
        what
            Who needs the blob, for the error's text.

        Raises
        ------
        NotFound
            It does not exist.
        Corrupt
            Other bytes arrived.
        RemoteError
            The registry cannot be reached, fails or refuses.

        """

        def fetch() -> bytes:
            answer = self._request("GET", f"blobs/{blob.digest}", limit=blob.size)
            self._check(answer, _OK, what=blob.digest)
            if answer.digest != blob.digest:
                raise Corrupt(
                    f"{self.address}: {what}: blob {blob.digest} of {blob.size} bytes came as "
                    f"{len(answer.body)} bytes with {answer.digest}"
                )
            return answer.body

        return self._transport.retried(fetch)

    def has_blob(self, digest: Digest) -> bool:
        """Return whether the registry has a blob, by one HEAD request.

        Raises
        ------
        RemoteError
            The registry cannot be reached, fails or refuses.

        """

        def head() -> bool:
            answer = self._request("HEAD", f"blobs/{digest}")
            if answer.status == _NOT_FOUND:
                return False
            self._check(answer, _OK, what=digest)
            return True

        return self._transport.retried(head)

    def put_blob(self, digest: Digest, data: bytes) -> None:
        """Send a blob.

        Raises
        ------
        RemoteError
            The registry cannot be reached, fails or refuses.

        """

        def send() -> None:
            opened = self._request("POST", "blobs/uploads/", body=b"")
            self._check(opened, _ACCEPTED, what="starting an upload")
            location = opened.headers.get("location")
            if not location:
                raise RemoteError(f"{self.address}: the answer names no location to upload to")
            # The location may be on another host, which does not get the registry's credentials.
            place = joined(opened.url, location)
            mark = "&" if "?" in place else "?"
            answer = self._request(
                "PUT",
                f"{place}{mark}digest={quote(digest, safe='')}",
                headers={"Content-Type": "application/octet-stream"},
                body=data,
            )
            self._check(answer, _CREATED, what=f"uploading {digest}")

        self._transport.retried(send)

    def put_manifest(self, wanted: str, data: bytes, digest: Digest) -> None:
        """Store a manifest, and point a tag to it.

        Parameters
        ----------
        wanted
            The tag; the manifest's digest to set no tag.
        data, digest
            The manifest's bytes, and their digest.

        Raises
        ------
        RemoteError
            The registry cannot be reached, fails or refuses, or stored other bytes.

        """

        def send() -> None:
            answer = self._request(
                "PUT", f"manifests/{wanted}", headers={"Content-Type": MANIFEST_TYPE}, body=data
            )
            self._check(answer, _CREATED, what=wanted)
            stored = answer.headers.get(_DIGEST, digest)
            if stored != digest:
                raise RemoteError(f"{self._named(wanted)}: stored as {shown(stored)}, not {digest}")

        self._transport.retried(send)

    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = _MAX_ERROR,
    ) -> Answer:
        """Make a request, and repeat it once with credentials if the registry demands authentication."""

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
        reason = _reason(answer)
        if answer.status == _NOT_FOUND:
            raise NotFound(f"{where}: not found there{reason}")
        if answer.status in _DENIED:
            raise RemoteError(f"{where}: denied, status {answer.status}{reason}")
        raise RemoteError(f"{where}: status {answer.status}, not {expected}{reason}")

    def _named(self, what: str) -> str:
        return f"{self.address.host}/{self.address.repository}: {what}"


def _reason(answer: Answer) -> str:
    """Return `: CODE MESSAGE` as the registry explains a failure; empty if the body does not have the usual form."""
    try:
        document = parse_json(answer.body, what="answer")
        first = document["errors"][0]
        return f": {shown(' '.join(str(first.get(key, '')) for key in ('code', 'message')))}"
    except (RegistryError, LookupError, TypeError, AttributeError):
        return ""
