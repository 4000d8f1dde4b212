"""Answer corpora: many files, on any store, by the processes of this machine or of a Dask cluster.

`run.run` is a batch from beginning to end.  Every input is read once to check it and to cut it into parts
(`parts.scan`).  Every part is answered by a task of its own (`work.answer`), which writes one partition, whole or not
at all.  Only the extra `[batch]` brings the libraries that this needs.
"""

from __future__ import annotations

from .settings import BatchSettings

__all__ = ["BatchSettings"]
