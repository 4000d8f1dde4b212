"""How many files may be open at once, and how large a group of inputs may therefore be."""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..settings import Settings

OPEN_FILES: Final = 4096
"""Wanted soft limit: enough for three groups of 512.  It is not higher, because some libraries close every possible
descriptor one by one.
"""

OTHER_DESCRIPTORS: Final = 200
"""Kept for everything but the groups: folders, watcher, log, inputs."""

FILES_OF_AN_INPUT: Final = 6
"""An input has two open files, result and summary, and three groups are open at a time: two of them being settled."""


def raise_limit() -> None:
    """Raise this process's soft limit to `OPEN_FILES`, if the hard limit allows it; shells and systemd set 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def affordable(settings: Settings) -> Settings:
    """Return the settings with `group_files` bounded by the limit on open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize
    if soft != resource.RLIM_INFINITY:
        most = max((soft - OTHER_DESCRIPTORS) // FILES_OF_AN_INPUT, 1)
    return replace(settings, group_files=min(settings.group_files, most))
