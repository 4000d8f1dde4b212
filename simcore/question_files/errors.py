"""The error of a question file that cannot be read as a whole."""

from __future__ import annotations

from ..errors import SimcoreError


class QuestionFileError(SimcoreError):
    """A question file cannot be read, and another attempt would not help.

    Parameters
    ----------
    code
        Constant name of the cause, for programs.
    message
        The same for people: the place, what was found, and what to do.

    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
