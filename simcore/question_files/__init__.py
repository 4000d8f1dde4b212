"""Read question files as people have them: text, JSON, tables and label files, compressed or not, in any encoding.

`reading.questions` reads a whole file as a stream.  `content` decompresses, `text` decodes, `layout` finds out how the
records are written, and `records` parses them.  The daemon, batches and the conversion all read with these, so that
a file means the same everywhere.
"""

from __future__ import annotations

from .errors import QuestionFileError
from .options import ReadOptions
from .reading import questions
from .record import Fault, InputRecord

__all__ = ["Fault", "InputRecord", "QuestionFileError", "ReadOptions", "questions"]
