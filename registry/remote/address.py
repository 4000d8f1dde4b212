"""Parse addresses of models in other registries: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ..errors import BadReference, RemoteError, shown
from ..references import check_digest

if TYPE_CHECKING:
    from ..references import Digest

__all__ = ["Address", "check_scheme", "is_loopback", "origin"]

_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
# The grammars of the OCI distribution specification.
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MAX_REPOSITORY: Final = 255
_PORTS: Final = {"http": 80, "https": 443}
# People and Docker's config file use these names for the Docker Hub, but its API is on another host.
_HUB: Final = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


def origin(url: str) -> tuple[str, str, int]:
    """Return the scheme, host and port of a URL; the port defaults to the scheme's.

    Raises
    ------
    RemoteError
        The text is not an HTTP or HTTPS URL with a host.

    """
    # The URL may come from a server and is printed in messages: no control characters, no look-alikes.
    if not (url.isascii() and url.isprintable()):
        raise RemoteError(f"{shown(url)}: is not a URL")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise RemoteError(f"{shown(url)}: is not a URL") from None
    scheme = parts.scheme or ""
    if scheme not in _PORTS or not parts.host:
        raise RemoteError(f"{shown(url)}: is not an HTTP or HTTPS URL with a host")
    return scheme, parts.host, parts.port or _PORTS[scheme]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost` or a loopback address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_scheme(url: str, *, plain_http: bool) -> None:
    """Refuse plain HTTP, except to this machine or where the user allows it.

    Parameters
    ----------
    url
        The URL to be requested.
    plain_http
        Whether the user allows HTTP to other machines.

    Raises
    ------
    RemoteError
        The URL is refused, or is not an HTTP or HTTPS URL.

    """
    scheme, host, _ = origin(url)
    if scheme == "http" and not plain_http and not is_loopback(host):
        raise RemoteError(
            f"{shown(url)}: plain HTTP to another machine is refused without --plain-http"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A repository in another registry, optionally with a tag or a digest in it.

    Attributes
    ----------
    base
        `https://HOST` or `http://HOST`: the URL under which the registry's API is.
    host
        The host, with the port if given, as written.
    repository
        The repository's name.
    tag, digest
        The addressed tag or manifest in it; both may be given or absent.

    """

    base: str
    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str, *, plain_http: bool = False) -> Address:
        """Parse an address.

        The scheme is HTTPS for other machines and HTTP for this one; a leading `https://` or `http://` overrides it.

        Parameters
        ----------
        text
            `[SCHEME://]HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
        plain_http
            Use HTTP for every host whose scheme is not given.

        Raises
        ------
        BadReference
            The text is not an address, or demands plain HTTP to another machine without `plain_http`.

        """
        scheme, found, rest = text.rpartition("://")
        host, _, path = rest.partition("/")
        name, at, digest = path.partition("@")
        repository, colon, tag = name.partition(":")
        if not (
            scheme in {*_PORTS, ""}
            and bool(found) == bool(scheme)
            and _HOST.fullmatch(host)
            # Docker's rule: a first part without "." or ":" is not a host but a part of the repository.
            and ("." in host or ":" in host or host == "localhost")
            and _REPOSITORY.fullmatch(repository)
            and len(repository) <= _MAX_REPOSITORY
            and (not colon or _TAG.fullmatch(tag))
        ):
            raise BadReference(
                f"remote {shown(text)}: must be HOST/REPOSITORY, HOST/REPOSITORY:TAG or "
                "HOST/REPOSITORY@sha256:..., such as registry.example.com/models/trec:1.0.0"
            )
        bare, _, _ = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
        scheme = scheme or ("http" if plain_http or is_loopback(bare) else "https")
        base = f"{scheme}://{_HUB.get(host, host)}"
        try:
            check_scheme(base, plain_http=plain_http)
            checked = check_digest(digest) if at else None
        except (BadReference, RemoteError) as e:
            raise BadReference(f"remote {shown(text)}: {e}") from None
        return cls(
            base=base,
            host=host,
            repository=repository,
            tag=tag if colon else None,
            digest=checked,
        )

    @property
    def name(self) -> str:
        """The last part of the repository's name: the default name of the local model."""
        return self.repository.rpartition("/")[2]

    @property
    def wanted(self) -> str | None:
        """The reference to request: the digest, else the tag, else None."""
        return self.digest or self.tag

    def at(self, *, tag: str | None = None, digest: Digest | None = None) -> Address:
        """Return the address of another tag or digest in the same repository."""
        return replace(self, tag=tag, digest=digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.host}/{self.repository}{tag}{digest}"
