"""Authenticate to a registry: answer its challenges with basic or token authentication.

https://distribution.github.io/distribution/spec/auth/token/ and
https://distribution.github.io/distribution/spec/auth/oauth/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode
from urllib.request import parse_http_list, parse_keqv_list

from ..errors import Corrupt, RemoteError, shown
from ..formats.json_documents import parse_json
from .address import origin
from .credentials import credentials_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .address import Address
    from .transport import Answer, Transport

__all__ = ["Authorization"]

_MAX_TOKEN: Final = 2**20


class Authorization:
    """The authorization for one repository, obtained when its registry demands it.

    Parameters
    ----------
    transport
        Makes the requests to token servers.
    address
        The repository.
    writing
        Whether to request write access as well.

    """

    def __init__(self, transport: Transport, address: Address, *, writing: bool) -> None:
        self._transport = transport
        self._address = address
        self._origin = origin(address.base)
        self._actions = "pull,push" if writing else "pull"
        self._value: str | None = None

    def headers(self, url: str) -> Mapping[str, str]:
        """Return the Authorization header for a URL; empty for every origin but the registry's own."""
        if self._value is None or origin(url) != self._origin:
            return {}
        return {"Authorization": self._value}

    def answer(self, challenges: Sequence[str]) -> bool:
        """Obtain the authorization that a response demanded.

        Parameters
        ----------
        challenges
            The values of its WWW-Authenticate headers.

        Returns
        -------
        bool
            Whether the authorization is new, so that repeating the request makes sense.

        Raises
        ------
        RemoteError
            The token server fails or refuses.
        BadInput
            The credentials cannot be read.

        """
        offered = dict(map(_challenge, challenges))
        before = self._value
        if "bearer" in offered:
            self._value = f"Bearer {self._token(offered['bearer'])}"
        elif "basic" in offered:
            found = credentials_for(self._address.host)
            # An identity token is meant for a token server only, and is not a password.
            self._value = None if found is None or found.is_token else found.basic
        return self._value not in {None, before}

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        found = credentials_for(self._address.host)
        query = {
            "service": challenge.get("service", ""),
            "scope": f"repository:{self._address.repository}:{self._actions}",
        }
        if found is not None and found.is_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": found.secret,
                "client_id": "spikewatch",
            }
            answer = self._request_token("POST", realm, body=urlencode(form).encode())
        else:
            separator = "&" if "?" in realm else "?"
            basic = {} if found is None else {"Authorization": found.basic}
            answer = self._request_token(
                "GET", f"{realm}{separator}{urlencode(query)}", secret=basic
            )
        if answer.status != 200:
            raise RemoteError(
                f"{self._address.host}: denied: {shown(realm)} gave no token, status {answer.status}"
            )
        return _token_in(answer, what=shown(realm))

    def _request_token(
        self,
        method: str,
        url: str,
        *,
        secret: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        token_server = origin(url)
        form = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
        return self._transport.exchange(
            method,
            url,
            # The registry vouches for its token server only: a redirect to another origin gets no credentials.
            authorize=lambda hop: (secret or {}) if origin(hop) == token_server else {},
            headers=form,
            body=body,
            limit=_MAX_TOKEN,
        )


def _challenge(value: str) -> tuple[str, Mapping[str, str]]:
    """Parse a challenge, `Bearer realm="https://...",service="..."`, into its scheme and parameters."""
    scheme, _, rest = value.partition(" ")
    pairs = [pair for pair in parse_http_list(rest) if pair.partition("=")[2]]
    return scheme.lower(), {k.lower(): v for k, v in parse_keqv_list(pairs).items()}


def _token_in(answer: Answer, *, what: str) -> str:
    try:
        document = parse_json(answer.body, what=what)
    except Corrupt as e:
        raise RemoteError(str(e)) from None
    for key in ("token", "access_token"):
        token = document.get(key) if isinstance(document, dict) else None
        if isinstance(token, str) and token:
            # A line break in the token would let the server inject headers into our requests.
            if token.isascii() and token.isprintable():
                return token
            raise RemoteError(f"{what}: gave the invalid token {shown(token)}")
    raise RemoteError(f"{what}: gave no token")
