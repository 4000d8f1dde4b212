"""Single HTTP exchanges with a registry that may be slow, broken or hostile.

Every body has a limit that is checked before and while it is read, every wait a timeout, every
transfer a slowest pace. Redirects are followed for reading only, never from HTTPS to HTTP; whoever
asks decides for each hop which credentials go along.
"""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urljoin
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    LocationValueError,
    ProxySchemeUnknown,
    SSLError,
)
from urllib3.util import make_headers, parse_url

from ..errors import Corrupt, RemoteError, shown
from ..references import Digest
from .address import check_scheme, is_loopback, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Answer", "Transport", "joined", "wait"]

_T = TypeVar("_T")

ATTEMPTS: Final = 5
"""How often an operation is tried."""
BACKOFF_S: Final = 0.5
"""Wait after the first failure; it doubles with each, and half of it is left to chance."""
MAX_RETRY_AFTER_S: Final = 60.0
"""Longest wait that a server may ask for; when it asks for more, the operation fails at once."""
CONNECT_S: Final = 10.0
READ_S: Final = 30.0
"""Longest silence of a server."""
PATIENCE_S: Final = 60.0
PACE: Final = 16_000
"""A body may take PATIENCE_S and a second for each so many bytes of its limit."""
_CHUNK: Final = 2**18
_MAX_HOPS: Final = 5
_DIGITS: Final = 18  # of a length: more are beyond every limit
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_PASSING: Final = {408, 429, 500, 502, 503, 504}
"""Statuses that another attempt may not meet again."""
_AGENT: Final = "spikewatch-registry"
# Reads Retry-After in both its forms, seconds and a date; its own loop is not used, because a body
# that breaks off must be retried as well.
_RETRY_AFTER: Final = urllib3.Retry(0, retry_after_max=10**6)


def wait(seconds: float) -> None:
    """Wait; 0 only asks whether to go on, and must not give the processor away as sleep does."""
    if seconds:
        time.sleep(seconds)


def joined(url: str, reference: str) -> str:
    """Resolve a Location header.

    Raises
    ------
    RemoteError
        When the two make no URL.
    """
    try:
        return urljoin(url, reference)
    except ValueError as e:
        raise RemoteError(f"{url}: {shown(reference)}: is not a URL: {e}") from None


class _Passing(RemoteError):
    """A failure that may have gone when it is tried again."""

    def __init__(self, text: str, after_s: float | None = None) -> None:
        super().__init__(text)
        self.after_s = after_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a server answered, read to its end."""

    status: int
    headers: Mapping[str, str]
    challenges: tuple[str, ...]
    """The values of WWW-Authenticate."""
    body: bytes
    digest: Digest
    """Of the body, computed while it was read."""
    url: str
    """What answered, after redirects."""


class Transport:
    """Speaks HTTP; one for each transfer, closed after it.

    Parameters
    ----------
    plain_http
        Whether HTTP to other machines is allowed.
    pause
        Waits for so many seconds before another attempt, and is called with 0 between pieces of
        a body; ends the transfer by raising.
    """

    def __init__(self, *, plain_http: bool = False, pause: Callable[[float], None] = wait) -> None:
        self.plain_http = plain_http
        self._pause = pause
        self._managers: dict[str | None, urllib3.PoolManager] = {}

    def close(self) -> None:
        """Close the connections."""
        for manager in self._managers.values():
            # clear() alone leaves that to the garbage collector: a traceback may keep a pool.
            for key in manager.pools.keys():  # noqa: SIM118 -- not a dict, cannot be iterated
                manager.pools[key].close()
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        """Give the connections for a URL: direct ones, or those through a proxy."""
        scheme, host, _ = origin(url)
        proxy = getproxies().get(scheme)
        if is_loopback(host) or proxy_bypass(host):
            proxy = None
        if proxy not in self._managers:
            timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
            if proxy is None:
                self._managers[proxy] = urllib3.PoolManager(timeout=timeout)
            else:
                user = parse_url(proxy).auth
                secret = make_headers(proxy_basic_auth=unquote(user)) if user else None
                self._managers[proxy] = urllib3.ProxyManager(
                    proxy, timeout=timeout, proxy_headers=secret
                )
        return self._managers[proxy]

    def retried(self, operation: Callable[[], _T]) -> _T:
        """Call an operation again while what it meets is passing.

        Raises
        ------
        RemoteError
            When it is not, or was not after ATTEMPTS, or the server asks for too long a wait.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return operation()
            except _Passing as e:
                if attempt == ATTEMPTS:
                    raise RemoteError(f"{e} ({ATTEMPTS} attempts)") from e
                wait_s = BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter, no secret
                if e.after_s is not None:
                    if e.after_s > MAX_RETRY_AFTER_S:
                        raise RemoteError(f"{e}; it asks to wait {e.after_s:.0f} s") from e
                    wait_s = max(wait_s, e.after_s)
                self._pause(wait_s)
        raise AssertionError  # pragma: no cover -- the last attempt returns or raises

    def exchange(
        self,
        method: str,
        url: str,
        *,
        authorize: Callable[[str], Mapping[str, str]],
        headers: Mapping[str, str],
        body: bytes | None = None,
        limit: int,
    ) -> Answer:
        """Ask once, and follow redirects of GET and HEAD.

        Parameters
        ----------
        authorize
            Gives the headers with credentials for a URL; none for hosts they are not for.
        limit
            Most bytes of the body that are accepted.

        Raises
        ------
        RemoteError
            When there is no answer, or it is one that may pass (429, 5xx).
        Corrupt
            When the body is larger than the limit.
        """
        for _ in range(_MAX_HOPS):
            check_scheme(url, plain_http=self.plain_http)
            sent = {**headers, **authorize(url)}
            answer = self._once(method, url, headers=sent, body=body, limit=limit)
            target = answer.headers.get("location")
            if method not in {"GET", "HEAD"} or answer.status not in _REDIRECTS or target is None:
                return answer
            target = joined(url, target)
            if url.startswith("https:") and not target.startswith("https:"):
                raise RemoteError(f"{url}: redirects to {shown(target)}, without encryption")
            url = target
        raise RemoteError(f"{url}: more than {_MAX_HOPS} redirects")

    def _once(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Answer:
        try:
            response = self._manager(url).request(
                method,
                url,
                headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers},
                body=body,
                preload_content=False,
                redirect=False,
                retries=False,
            )
            try:
                return self._read(method, url, response, limit)
            except BaseException:
                response.close()  # what is left on the connection belongs to this answer
                raise
            finally:
                response.release_conn()
        except (
            LocationValueError,
            ProxySchemeUnknown,
            SSLError,
        ) as e:  # a certificate does not get better
            raise RemoteError(f"{method} {shown(url)}: {_said(e)}") from e
        except (HTTPError, OSError) as e:
            raise _Passing(f"{method} {url}: {_said(e)}") from e

    def _read(
        self, method: str, url: str, response: urllib3.BaseHTTPResponse, limit: int
    ) -> Answer:
        if response.status in _PASSING:
            raise _Passing(f"{method} {url}: status {response.status}", _asked_wait(response))
        hasher, chunks = hashlib.sha256(), []
        size, announced = 0, response.headers.get("Content-Length", "")
        deadline = time.monotonic() + PATIENCE_S + limit / PACE
        if method != "HEAD":
            if announced.isdecimal() and (len(announced) > _DIGITS or int(announced) > limit):
                raise Corrupt(f"{url}: {announced[:_DIGITS]} bytes, more than the limit of {limit}")
            while chunk := response.read1(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise Corrupt(f"{url}: more bytes than the limit of {limit}")
                if time.monotonic() > deadline:
                    raise RemoteError(f"{url}: {size} bytes in {PATIENCE_S + limit / PACE:.0f} s")
                hasher.update(chunk)
                chunks.append(chunk)
                self._pause(0)
        return Answer(
            status=response.status,
            headers={key.lower(): value for key, value in response.headers.items()},
            challenges=tuple(response.headers.getlist("WWW-Authenticate")),
            body=b"".join(chunks),
            digest=Digest(f"sha256:{hasher.hexdigest()}"),
            url=url,
        )


def _asked_wait(response: urllib3.BaseHTTPResponse) -> float | None:
    try:
        return _RETRY_AFTER.get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError):  # numbers and years beyond any sense
        return None


def _said(e: Exception) -> str:
    """Give an error of urllib3 on one line, without the repr of its connection."""
    text = str(e.args[-1] if e.args else e)
    text = text.partition(">: ")[2] or text or type(e).__name__
    return text if text.isprintable() else shown(text)  # a server's first line may be in it
