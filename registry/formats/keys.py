"""Load Ed25519 keys from PEM, to sign and to verify.

Needs the extra `[sign]`, so this module is imported only where a key is used.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ..errors import BadInput

__all__ = ["PrivateKey", "PublicKey"]


class PublicKey:
    """An Ed25519 public key, to verify signatures with.

    Parameters
    ----------
    pem
        The content of the key's PEM file.

    Attributes
    ----------
    key_id
        The SHA-256 of the key's DER form, in hexadecimal.

    Raises
    ------
    BadInput
        The content is not an Ed25519 public key.

    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as e:
            raise BadInput(f"key: not a public key in PEM: {_first_line(e)}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise BadInput("key: not an Ed25519 key")
        self._key = key
        self.key_id = _id(key)

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Return whether the signature is this key's valid signature of the data."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """An Ed25519 private key, to sign with.

    Parameters
    ----------
    pem
        The content of the key's PEM file: PKCS#8, not encrypted.

    Attributes
    ----------
    key_id
        The id of the public key: the SHA-256 of its DER form, in hexadecimal.

    Raises
    ------
    BadInput
        The content is not an unencrypted Ed25519 private key.

    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as e:
            raise BadInput(
                f"key: not an unencrypted private key in PEM: {_first_line(e)}"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadInput("key: not an Ed25519 key (openssl genpkey -algorithm ed25519 makes one)")
        self._key = key
        self.key_id = _id(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return the signature of the data."""
        return self._key.sign(data)


def _id(key: Ed25519PublicKey) -> str:
    """Return a key's id: the SHA-256 of its DER form, in hexadecimal."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _first_line(e: Exception) -> str:
    return str(e).partition("\n")[0]
