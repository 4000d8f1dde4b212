"""Signatures: Ed25519 over a DSSE envelope that holds an in-toto statement.

DSSE: https://github.com/secure-systems-lab/dsse, in-toto: https://github.com/in-toto/attestation.
The statement names the digest of the version's manifest, which names every file by its digest.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput, Corrupt, shown
from .json_documents import canonical, parse_json, take

if TYPE_CHECKING:
    from types import ModuleType

    from ..references import Digest

__all__ = ["Verifier", "read_envelope", "sign"]

_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_PREDICATE: Final = "urn:spikewatch:published-model:v1"


def sign(key: bytes, *, name: str, version: str, digest: Digest) -> bytes:
    """Sign a version; the same key and version give the same bytes.

    Parameters
    ----------
    key
        An Ed25519 private key, PEM (PKCS#8), not encrypted.
    name, version, digest
        Of the version.

    Returns
    -------
    bytes
        The envelope.

    Raises
    ------
    BadInput
        When it is no such key, or the extra ``[sign]`` is not installed.
    """
    private = _keys().PrivateKey(key)
    payload = canonical(
        {
            "_type": _STATEMENT,
            "subject": [
                {"name": f"{name}:{version}", "digest": {"sha256": digest.removeprefix("sha256:")}}
            ],
            "predicateType": _PREDICATE,
            "predicate": {"name": name, "version": version},
        }
    )
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [
                {
                    "keyid": private.key_id,
                    "sig": base64.b64encode(private.sign(_encoded(payload))).decode(),
                }
            ],
        }
    )


def _encoded(payload: bytes) -> bytes:
    """Give the bytes that are signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (
        len(_PAYLOAD_TYPE),
        _PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )


def read_envelope(data: bytes, digest: Digest, *, what: str) -> tuple[str, bytes, bytes]:
    """Read an envelope, and see that its statement names this manifest.

    Returns
    -------
    tuple of str, bytes, bytes
        The key's id, which says nothing yet; the payload; the signature of it, not checked.

    Raises
    ------
    Corrupt
        When it is none, or of another manifest.
    """
    document = parse_json(data, what=what)
    kind = take(document, "payloadType", str, what=what)
    if kind != _PAYLOAD_TYPE:
        raise Corrupt(f"{what}: 'payloadType' is {shown(kind)}, not {_PAYLOAD_TYPE!r}")
    signatures = take(document, "signatures", list, what=what)
    if len(signatures) != 1:
        raise Corrupt(f"{what}: has {len(signatures)} signatures, not 1")
    key_id = take(signatures[0], "keyid", str, what=f"{what}: signatures[0]")
    payload = _decoded(document, "payload", what=what)
    statement = parse_json(payload, what=f"{what}: payload")
    subjects = take(statement, "subject", list, what=f"{what}: payload")
    named = [each.get("digest") if isinstance(each, dict) else None for each in subjects]
    if named != [{"sha256": digest.removeprefix("sha256:")}]:
        raise Corrupt(f"{what}: is of {shown(named)}, not of {digest}")
    return key_id, payload, _decoded(signatures[0], "sig", what=what)


def _decoded(document: Any, key: str, *, what: str) -> bytes:
    try:
        return base64.b64decode(take(document, key, str, what=what), validate=True)
    except (binascii.Error, ValueError):
        raise Corrupt(f"{what}: {key!r} is not base64") from None


class Verifier:
    """Checks signatures of versions with one public key.

    Parameters
    ----------
    key
        An Ed25519 public key, PEM.

    Raises
    ------
    BadInput
        When it is no such key, or the extra ``[sign]`` is not installed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = _keys().PublicKey(key)
        self.key_id = self._key.key_id

    def accepts(self, envelope: bytes, digest: Digest, *, what: str) -> bool:
        """Tell whether the envelope is this key's signature of this manifest.

        Raises
        ------
        Corrupt
            When it is no envelope, or of another manifest.
        """
        _, payload, signature = read_envelope(envelope, digest, what=what)
        return bool(self._key.accepts(signature, _encoded(payload)))


def _keys() -> ModuleType:
    try:
        from . import keys  # noqa: PLC0415 -- needs the extra [sign]
    except ImportError:
        raise BadInput("signatures need the extra: pip install 'spikewatch[sign]'") from None
    return keys
