"""Look up user names and passwords of registries in Docker's config file.

`docker login`, `skopeo login --compat-auth-file` and `oras login` write this file: `$DOCKER_CONFIG/config.json`, by
default `~/.docker/config.json`. Helper programs that keep the secrets elsewhere (`credHelpers`, `credsStore`) are run
as Docker runs them: https://github.com/docker/docker-credential-helpers
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, Corrupt, StorageError, shown
from ..formats.json_documents import parse_json
from ..layout.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Credentials", "credentials_for"]

_MAX_CONFIG: Final = 2**20
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_S: Final = 30.0
# A helper returns this user name to mark the secret as an identity token.
_TOKEN_USER: Final = "<token>"  # noqa: S105 -- a user name, not a secret
_HUB_KEY: Final = "https://index.docker.io/v1/"
_HUB_NAMES: Final = {"docker.io", "index.docker.io", "registry-1.docker.io"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A user name and its secret; both are left out of the repr, and so out of tracebacks.

    Attributes
    ----------
    user
        The user name.
    secret
        The password or token.
    is_token
        Whether the secret is an identity token, to be exchanged for an access token.

    """

    user: str = field(repr=False)
    secret: str = field(repr=False)
    is_token: bool = False

    @property
    def basic(self) -> str:
        """The value of the Authorization header for basic authentication."""
        pair = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()
        return f"Basic {pair}"


def _config_path() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    try:
        return (Path(folder) if folder else Path("~/.docker").expanduser()) / "config.json"
    except RuntimeError as e:  # neither HOME nor a passwd entry, as in minimal containers
        raise BadInput(f"Docker's config file: {e}: set HOME or DOCKER_CONFIG") from None


def credentials_for(host: str) -> Credentials | None:
    """Return the credentials for a registry; None if the user has none.

    Parameters
    ----------
    host
        The registry's host, with the port, as in its address.

    Raises
    ------
    BadInput
        The config file exists but cannot be read, or a helper fails.

    """
    path = _config_path()
    try:
        # Resolved, because users link this file to their dot files, and `read_regular` refuses a link.
        config = parse_json(read_regular(path.resolve(), limit=_MAX_CONFIG), what=str(path))
    except FileNotFoundError:
        return None
    except (Corrupt, StorageError) as e:
        raise BadInput(f"Docker's config file: {e}") from None
    if not isinstance(config, dict):
        raise BadInput(f"Docker's config file: {path}: is not an object")
    keys = [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
    if host in _HUB_NAMES:
        keys.append(_HUB_KEY)
    auths, helpers = (_object(config, key, path) for key in ("auths", "credHelpers"))
    for key in keys:
        if key in helpers:
            return _from_helper(helpers[key], key)
    for key in keys:
        found = _from_entry(_object(auths, key, path), f"{path}: auths {key}")
        if found is not None:
            return found
    store = config.get("credsStore")
    if not store:
        return None
    # Run the helper only for registries that `login` recorded: it may open a window or take seconds.
    return next((_from_helper(store, key) for key in keys if key in auths), None)


def _object(document: Any, key: str, path: Path) -> Mapping[str, Any]:
    value = document.get(key) if isinstance(document, dict) else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"Docker's config file: {path}: {key!r} is not an object")
    return value


def _from_entry(entry: Mapping[str, Any], what: str) -> Credentials | None:
    """Return the credentials that an entry of `auths` contains itself; None if it contains none."""
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials(user=_TOKEN_USER, secret=token, is_token=True)
    user, secret = entry.get("username"), entry.get("password")
    encoded = entry.get("auth")
    if isinstance(encoded, str) and encoded:
        try:
            user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            raise BadInput(f"Docker's config file: {what}: 'auth' is not base64") from None
    if not isinstance(user, str) or not isinstance(secret, str) or not user:
        return None
    return Credentials(user=user, secret=secret)


def _from_helper(helper: object, key: str) -> Credentials | None:
    """Return the credentials that a helper program knows for a registry; None if it knows none."""
    if not isinstance(helper, str) or _HELPER.fullmatch(helper) is None:
        raise BadInput(f"Docker's config file: credential helper {shown(helper)}: not a valid name")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_S,
            check=False,
        )
    except FileNotFoundError:
        raise BadInput(f"{program}: named in Docker's config file, but not on PATH") from None
    except (OSError, subprocess.TimeoutExpired) as e:
        raise BadInput(f"{program}: {e}") from None
    if done.returncode:
        # The protocol has no exit code for "unknown": helpers print this text, as in Docker's library.
        message = (done.stdout or done.stderr).decode(errors="replace").strip()
        if "credentials not found" in message:
            return None
        raise BadInput(f"{program}: exit code {done.returncode}: {shown(message)}")
    try:
        answer = parse_json(done.stdout, what=program)
        user, secret = answer["Username"], answer["Secret"]
    except (Corrupt, KeyError, TypeError):
        raise BadInput(f"{program}: did not return credentials") from None
    return Credentials(user=str(user), secret=str(secret), is_token=user == _TOKEN_USER)
