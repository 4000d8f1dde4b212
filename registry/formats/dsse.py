"""Sign versions with Ed25519, and check such signatures: a DSSE envelope around an in-toto statement.

The statement names the digest of the version's manifest, and the manifest names every file by its digest, so that one
signature covers all files.

DSSE: https://github.com/secure-systems-lab/dsse, in-toto: https://github.com/in-toto/attestation
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
    """Return the signed DSSE envelope of a version.

    The result is deterministic: neither Ed25519 nor the statement contains a time or random bits.

    Parameters
    ----------
    key
        An unencrypted Ed25519 private key in PEM (PKCS#8).
    name
        The model's name.
    version
        The version to sign.
    digest
        The digest of the version's manifest.

    Raises
    ------
    BadInput
        The key is not such a key, or the extra `[sign]` is not installed.

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
    """Return the bytes that are signed: DSSE's pre-authentication encoding (PAE) of the payload."""
    return b"DSSEv1 %d %s %d %s" % (
        len(_PAYLOAD_TYPE),
        _PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )


def read_envelope(data: bytes, digest: Digest, *, what: str) -> tuple[str, bytes, bytes]:
    """Parse an envelope, and check that its statement names the given manifest.

    The signature is not verified here (see `Verifier.accepts`).

    Parameters
    ----------
    data
        The envelope's bytes.
    digest
        The digest of the version's manifest.
    what
        Where the bytes come from, for error messages.

    Returns
    -------
    tuple of str, bytes, bytes
        The key's id as claimed by the envelope, the payload, and its unverified signature.

    Raises
    ------
    Corrupt
        The bytes are not an envelope with one signature, or the statement names another manifest.

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
        raise Corrupt(f"{what}: signs {shown(named)}, not {digest}")
    return key_id, payload, _decoded(signatures[0], "sig", what=what)


def _decoded(document: Any, key: str, *, what: str) -> bytes:
    try:
        return base64.b64decode(take(document, key, str, what=what), validate=True)
    except (binascii.Error, ValueError):
        raise Corrupt(f"{what}: {key!r} is not base64") from None


class Verifier:
    """Verifies signatures of versions with one public key.

    Parameters
    ----------
    key
        An Ed25519 public key in PEM.

    Attributes
    ----------
    key_id
        The key's id: the SHA-256 of its DER form, in hexadecimal.

    Raises
    ------
    BadInput
        The key is not such a key, or the extra `[sign]` is not installed.

    """

    def __init__(self, key: bytes) -> None:
        self._key = _keys().PublicKey(key)
        self.key_id = self._key.key_id

    def accepts(self, envelope: bytes, digest: Digest, *, what: str) -> bool:
        """Return whether the envelope holds this key's valid signature of the given manifest.

        Raises
        ------
        Corrupt
            The bytes are not an envelope, or the statement names another manifest.

        """
        # The key id in the envelope is not signed, so anybody can write any: only the signature counts.
        _, payload, signature = read_envelope(envelope, digest, what=what)
        return bool(self._key.accepts(signature, _encoded(payload)))


def _keys() -> ModuleType:
    try:
        from . import keys  # noqa: PLC0415 -- needs the extra [sign]
    except ImportError:
        raise BadInput("signatures need the extra: pip install 'spikewatch[sign]'") from None
    return keys
