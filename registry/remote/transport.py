"""Make single HTTP requests to a registry that may be slow, broken or hostile.

Every body has a size limit, checked before and while it is read; every wait has a timeout, and every transfer a minimum
pace. Only GET and HEAD follow redirects, and never from HTTPS to HTTP. The caller chooses the credentials to send to
each host on the way.
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
"""How often an operation is tried in all."""
BACKOFF_S: Final = 0.5
"""Wait after the first failure in seconds; it doubles with each failure, and up to half of it is random."""
MAX_RETRY_AFTER_S: Final = 60.0
"""Longest Retry-After in seconds that is obeyed; for a longer one, the operation fails at once."""
CONNECT_S: Final = 10.0
"""Longest time to connect, in seconds."""
READ_S: Final = 30.0
"""Longest silence of a server, in seconds."""
PATIENCE_S: Final = 60.0
"""Time for a body in seconds, to which one second is added for every `PACE` bytes of its limit."""
PACE: Final = 16_000
"""Slowest pace of a long body, in bytes per second."""
_CHUNK: Final = 2**18
_MAX_HOPS: Final = 5
# A Content-Length of more digits exceeds every limit; int() would raise ValueError for one of thousands.
_DIGITS: Final = 18
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_TRANSIENT: Final = {408, 429, 500, 502, 503, 504}
"""Statuses after which another attempt may succeed."""
_AGENT: Final = "spikewatch-registry"
# Only parses Retry-After, in seconds or as a date. urllib3's own retry loop is not used: it does not repeat a request
# whose body breaks off.
_RETRY_AFTER: Final = urllib3.Retry(0, retry_after_max=10**6)


def wait(seconds: float) -> None:
    """Sleep; a wait of 0 s only offers a chance to cancel, and must not yield the processor as `sleep(0)` does."""
    if seconds:
        time.sleep(seconds)


def joined(url: str, reference: str) -> str:
    """Return the absolute URL of a Location header that the given URL returned.

    Raises
    ------
    RemoteError
        They do not form a URL.

    """
    try:
        return urljoin(url, reference)
    except ValueError as e:
        raise RemoteError(f"{url}: {shown(reference)}: is not a URL: {e}") from None


class _TransientError(RemoteError):
    """A failure after which another attempt may succeed.

    Attributes
    ----------
    retry_after_s
        How long the server demands to wait, in seconds; None if it does not say.

    """

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A complete response of a server.

    Attributes
    ----------
    status
        The HTTP status.
    headers
        The headers by lower-case name.
    challenges
        The values of the WWW-Authenticate headers.
    body
        The whole body; empty for HEAD.
    digest
        The digest of the body, computed while reading it.
    url
        The URL that sent the response, after redirects.

    """

    status: int
    headers: Mapping[str, str]
    challenges: tuple[str, ...]
    body: bytes
    digest: Digest
    url: str


class Transport:
    """An HTTP client with connection pools; made for one transfer and closed after it.

    Parameters
    ----------
    plain_http
        Whether unencrypted HTTP to other machines is allowed.
    pause
        Called with the seconds to wait before another attempt, and with 0 between the chunks of a body; it can cancel
        the transfer by raising an exception.

    """

    def __init__(self, *, plain_http: bool = False, pause: Callable[[float], None] = wait) -> None:
        self.plain_http = plain_http
        self._pause = pause
        self._managers: dict[str | None, urllib3.PoolManager] = {}

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            # clear() alone leaves closing to the garbage collector, and a traceback may keep a pool alive.
            for key in manager.pools.keys():  # noqa: SIM118 -- not a dict, cannot be iterated
                manager.pools[key].close()
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        """Return the connection pools for a URL: direct, or through the proxy that the environment names."""
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
        """Call an operation, and repeat it with back-off while its failures are transient.

        Raises
        ------
        RemoteError
            A failure was not transient, or the last of `ATTEMPTS` failed, or the server demands to wait longer than
            `MAX_RETRY_AFTER_S`.

        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return operation()
            except _TransientError as e:
                if attempt == ATTEMPTS:
                    raise RemoteError(f"{e} ({ATTEMPTS} attempts)") from e
                wait_s = BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter, not a secret
                if e.retry_after_s is not None:
                    if e.retry_after_s > MAX_RETRY_AFTER_S:
                        raise RemoteError(
                            f"{e}; the server asks to wait {e.retry_after_s:.0f} s, limit {MAX_RETRY_AFTER_S:.0f} s"
                        ) from e
                    wait_s = max(wait_s, e.retry_after_s)
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
        """Make one request, without repeating it, and follow redirects of GET and HEAD.

        Parameters
        ----------
        method
            The HTTP method.
        url
            The URL to request first.
        authorize
            Returns the headers with credentials for a URL; called again for each redirect, so that no credentials reach
            a host they are not meant for.
        headers
            Headers for every hop.
        body
            The request's body.
        limit
            Most bytes of the response's body that are accepted.

        Raises
        ------
        RemoteError
            There was no complete response, its status is transient (408, 429, 5xx), or a redirect is refused.
        Corrupt
            The body is larger than the limit.

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
                raise RemoteError(f"{url}: redirects from HTTPS to {shown(target)}: refused")
            url = target
        raise RemoteError(f"{url}: more than {_MAX_HOPS} redirects")

    def _once(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Answer:
        try:
            response = self._manager(url).request(
                method,
                url,
                # "identity", because limits and digests are those of the bytes as stored.
                headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers},
                body=body,
                preload_content=False,
                redirect=False,
                retries=False,
            )
            try:
                return self._read(method, url, response, limit)
            except BaseException:
                # The rest of this response is still on the connection: it must not be reused.
                response.close()
                raise
            finally:
                response.release_conn()
        # Not transient: another attempt meets the same URL and certificate.
        except (LocationValueError, ProxySchemeUnknown, SSLError) as e:
            raise RemoteError(f"{method} {shown(url)}: {_message(e)}") from e
        except (HTTPError, OSError) as e:
            raise _TransientError(f"{method} {url}: {_message(e)}") from e

    def _read(
        self, method: str, url: str, response: urllib3.BaseHTTPResponse, limit: int
    ) -> Answer:
        if response.status in _TRANSIENT:
            raise _TransientError(
                f"{method} {url}: status {response.status}", _retry_after(response)
            )
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
                    raise RemoteError(
                        f"{url}: too slow, only {size} bytes in {PATIENCE_S + limit / PACE:.0f} s"
                    )
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


def _retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    try:
        return _RETRY_AFTER.get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError):  # malformed, or out of every range
        return None


def _message(e: Exception) -> str:
    """Return the text of an urllib3 error on one line, without the repr of its connection."""
    text = str(e.args[-1] if e.args else e)
    text = text.partition(">: ")[2] or text or type(e).__name__
    return text if text.isprintable() else shown(text)  # it may quote a server's status line
