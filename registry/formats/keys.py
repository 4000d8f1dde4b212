"""Ed25519 keys in PEM; needs the extra ``[sign]``, so it is imported only where a key is used."""

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
    """Checks signatures.

    Parameters
    ----------
    pem
        The key's file, PEM.

    Raises
    ------
    BadInput
        When it is no Ed25519 public key.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as e:
            raise BadInput(f"key: not a public key in PEM: {_line(e)}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise BadInput("key: not an Ed25519 key")
        self._key = key
        self.key_id = _id(key)

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Tell whether the signature of the data is this key's."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """Signs.

    Parameters
    ----------
    pem
        The key's file: PEM, PKCS#8, not encrypted.

    Raises
    ------
    BadInput
        When it is no Ed25519 private key.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as e:
            raise BadInput(f"key: not an unencrypted private key in PEM: {_line(e)}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadInput("key: not an Ed25519 key (openssl genpkey -algorithm ed25519 makes one)")
        self._key = key
        self.key_id = _id(key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Sign the data."""
        return self._key.sign(data)


def _id(key: Ed25519PublicKey) -> str:
    """Name a key: the SHA-256 of its DER form, in hexadecimal."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _line(e: Exception) -> str:
    return str(e).partition("\n")[0]
