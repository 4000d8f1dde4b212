"""Batches: answer corpora of many files, on any store, in processes on this machine or on a Dask cluster.

`run.run` performs a whole batch.  `parts.scan` reads each input once, checks it and cuts it into parts.  `work.answer`
answers one part in a task of its own and writes one partition, whole or not at all.  The libraries come with the extra
`[batch]`.
"""

from __future__ import annotations

from .settings import BatchSettings

__all__ = ["BatchSettings"]
