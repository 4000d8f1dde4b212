"""One input on its way through the daemon: a request while it waits, a job while it is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..files.draft import Draft
from .results import Tally

if TYPE_CHECKING:
    from ..errors import AnswerError, RejectedInputError
    from ..models.served import ServedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A complete input that is to be answered: in in/ until it is claimed, then in work/.

    Attributes
    ----------
    name
        Its file name.
    arrived_s
        Wall time of its arrival in in/ (the inode's change time), seconds since 1970.
    size
        Bytes when it was found complete in in/; 0 for one that was found in work/.
    attempt
        Number of this attempt to answer it, 1 for a fresh claim.
    content
        All of its bytes, if it is small and was read ahead.

    """

    name: str
    arrived_s: float
    size: int = 0
    attempt: int = 1
    content: bytes | None = field(default=None, repr=False)


# Compared by identity: two jobs are never the same, even if all their fields are equal.
@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """A request that is being answered, from the opening of its input to its commit.

    Attributes
    ----------
    request
        The request.
    model
        The model that answers all of it: the one that was served when its input was opened.
    result
        A file, or the whole content if it is small; None before anything is written, and after `hand_over`.
    started_s
        Wall time at which its input was opened.
    read_s, simulate_s, write_s
        Seconds spent; `simulate_s` is the whole time of each batch that holds one of its questions.
    tally
        Sums over its questions.
    sha256
        Digest of the whole input, hexadecimal; None while it is read, and if it was not read to its end.
    size
        Bytes read of the input.
    failure
        Why it cannot be answered; None if it can be.
    fault
        What kept it from being answered this time; None if nothing did.  It has no result then.
    given_up
        Whether it turned out to be large, and is begun anew: nothing more is written of it.

    """

    request: Request
    model: ServedModel
    result: Draft | bytes | None = None
    started_s: float = 0.0
    read_s: float = 0.0
    simulate_s: float = 0.0
    write_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    sha256: str | None = None
    size: int = 0
    failure: RejectedInputError | None = None
    fault: OSError | AnswerError | None = None
    given_up: bool = False

    def hand_over(self) -> Draft | bytes:
        """Return the result and forget it; the caller must close a file."""
        result, self.result = self.result, None
        if result is None:
            raise RuntimeError(f"{self.request.name}: handed over without a result")
        return result

    def drop(self) -> None:
        """Discard the unfinished result."""
        if isinstance(self.result, Draft):
            self.result.close()
        self.result = None
