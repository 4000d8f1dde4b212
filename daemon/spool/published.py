"""The results in out/: which input has which of them.

A result is a new file with an inode of its own, so only its summary can tell whose it is: by the idempotency key.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ..files import durable
from . import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from .folder import Spool

SUSPECT_BYTES: Final = 1 << 20
"""Size of the largest input that is hashed only because its name has a result.

A larger one must have the size that the summary there states.
"""


def key(name: str, sha256: str) -> str:
    """Return the idempotency key of an input; inputs with equal keys have equal results."""
    return f"sha256:{sha256}/{names.printable(name)}"


class Published:
    """The results of a spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def known(
        self, name: str, *, most_bytes: int, beat: Callable[[], None]
    ) -> tuple[str, str] | None:
        """Return digest and result of an input in work/ whose very bytes have a result in out/ already, or None.

        This spares an answer, but nothing depends on it: `commit` publishes no result twice.  So an input that only
        has the name of an answered one is not read for it, however large it pretends to be.

        Parameters
        ----------
        name
            Its name.
        most_bytes
            Size of the largest input that may be read.
        beat
            Called again and again while it is read.

        Raises
        ------
        OSError
            The disk.

        """
        plain = names.base(name)
        if durable.look(self._spool.out, plain + names.RESULT) is None:
            return None
        facts = durable.look(self._spool.work, name)
        if facts is None:
            return None
        if facts.st_size > SUSPECT_BYTES and facts.st_size != self._size(plain):
            return None
        sha256 = durable.digest(self._spool.work, name, most=most_bytes, beat=beat)
        result = None if sha256 is None else self.answered(name, sha256)
        return None if sha256 is None or result is None else (sha256, result)

    def answered(self, name: str, sha256: str) -> str | None:
        """Return the name of the result in out/ that already answers this input, or None."""
        for base in names.stems(names.base(name), sha256):
            if durable.look(self._spool.out, base + names.RESULT) is None:
                return None
            if self.key(base) == key(name, sha256):
                return base + names.RESULT
        return None

    def key(self, base: str) -> str | None:
        """Return the key in the summary of a stem in out/; None if there is no valid summary."""
        return text(self._summary(base).get("key"))

    def _size(self, base: str) -> int | None:
        """Return the size in bytes of the input that has the result of this stem; None if no summary states it."""
        size = self._summary(base).get("size_bytes")
        return size if isinstance(size, int) else None

    def _summary(self, base: str) -> dict[str, Any]:
        return document(durable.read_small(self._spool.out, base + names.SUMMARY))


def document(data: bytes | None) -> dict[str, Any]:
    """Parse a summary or a report; a damaged one has no fields."""
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text(value: object) -> str | None:
    """Return a field of a document if it is a string, else None."""
    return value if isinstance(value, str) else None
