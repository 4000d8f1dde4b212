"""Run other OCI tools, to check that they read a registry as this one does."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def needs(program: str, package: str | None = None) -> pytest.MarkDecorator:
    """Return a mark that skips a test where a program is not installed, with a reason that stands out."""
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"NO FOREIGN JUDGE: {program} is not installed (apt-get install {package or program})",
    )


def run_foreign(*args: str) -> bytes:
    """Run a program that must succeed; return what it prints."""
    return subprocess.run(args, capture_output=True, check=True, timeout=60).stdout


_CONFIG = """\
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: ROOT}, delete: {enabled: true}}
http: {addr: '127.0.0.1:0'}
"""


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """Run Docker's registry on a directory; yield its host and port."""
    config = folder.with_name(f"{folder.name}.yml")
    config.write_text(_CONFIG.replace("ROOT", str(folder)))
    with subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = process.stderr or []
        # Nobody reads the log after this; a full pipe would block the registry.
        drain = threading.Thread(target=deque, args=(lines, 0))
        try:
            found = (re.search(r"listening on (127\.0\.0\.1:\d+)", line) for line in lines)
            host = next(match for match in found if match).group(1)
            drain.start()
            yield host
        finally:
            process.kill()
            drain.join()
