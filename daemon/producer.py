"""Drop files into a spool, as a producer does: each arrives whole, and of a list all arrive or none."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from ..named_pipes import is_waiting_pipe
from .errors import PutError
from .files import durable
from .files.durable import Durability
from .spool import names, unfinished
from .spool.folder import PUT_PREFIX, Spool, missing_folders
from .spool.shards import lanes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STDIN: Final = "-"

STAGED_TOGETHER: Final = 64
"""Files that are open at the same time while they are written and synced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """A file to drop: its path or an open binary file, the name it gets in the spool, and how messages call it."""

    source: Path | IO[bytes]
    name: str
    shown: str

    @classmethod
    def of(cls, source: str | Path | IO[bytes], name: str = "") -> Drop:
        """Name a file; without `name`, a path keeps the name that it has.

        Raises
        ------
        PutError
            An open file has no name.

        """
        if isinstance(source, str | Path):
            path = Path(source)
            return cls(source=path, name=name or path.name, shown=str(path))
        if not name:
            raise PutError(
                "standard input, or an open file, has no name: give one (--name questions.txt)"
            )
        return cls(source=source, name=name, shown=name)


def drops(files: Sequence[str], name: str, *, stdin: IO[bytes] | None) -> list[Drop]:
    """Return what a command line names: paths, and `-` for standard input.

    Parameters
    ----------
    files
        Paths, and at most one `-`.
    name
        Name in the spool of `-`, or of a single file; empty if none is given.
    stdin
        Standard input; None if the caller closed it.

    Raises
    ------
    PutError
        `-` comes twice, has no name or is closed, or it is not clear which file the name is for.

    """
    streams = files.count(STDIN)
    if streams > 1:
        raise PutError(f"{STDIN}: standard input was given {streams} times, expected once")
    if name and not streams and len(files) > 1:
        raise PutError(f"--name {name}: {len(files)} files, expected one, or {STDIN} among them")
    if streams and stdin is None:
        raise PutError(f"{STDIN}: standard input is closed")
    for_path = "" if streams else name
    return [
        Drop.of(stdin, name) if stdin and file == STDIN else Drop.of(file, for_path)
        for file in files
    ]


def put(
    spool: str | Path,
    path: str | Path | IO[bytes],
    *,
    name: str = "",
    lane: str = "",
    done_marker: bool = False,
    create: bool = False,
) -> str:
    """Copy a file into the inbox of a spool; when this returns, the copy survives a power cut.

    The bytes are written to tmp/ first and then linked into in/.  A process that is killed at any moment leaves either
    the whole file in in/ or nothing.

    Parameters
    ----------
    spool
        Folder of the spool.
    path
        The file, or an open binary file, which is read to its end.
    name
        Its name in the spool; the suffix must be one that the daemon reads.  Default: the file's own name.
    lane
        Drop the file into in/LANE/ instead of in/.
    done_marker
        Create the marker NAME.done as well, for a daemon with the setting `done_marker`.
    create
        Create the spool if it does not exist.

    Returns
    -------
    str
        Its name in in/, from which the names of its results follow (`out/NAME.jsonl`).

    Raises
    ------
    PutError
        The file cannot be read, the daemon would ignore its name, a file of that name is already waiting, the spool
        does not exist, or it has no such lane.
    SpoolError
        The spool cannot be used.

    """
    return put_all(spool, [Drop.of(path, name)], lane=lane, done_marker=done_marker, create=create)[
        0
    ]


def put_all(
    spool: str | Path,
    wanted: Sequence[Drop],
    *,
    lane: str = "",
    done_marker: bool = False,
    create: bool = False,
) -> list[str]:
    """Drop all files or none, in their order (see `put`); return their names in in/.

    All names and files are checked, then all bytes are written to tmp/ and synced, and only then does the first one
    appear in in/.  If one cannot appear, those before it are taken back.

    Raises
    ------
    PutError
        As `put`; nothing was dropped, or the message lists the files that a daemon had claimed already.
    SpoolError
        As `put`.

    """
    try:
        _check(wanted)
        with _opened(Path(spool), lane, done_marker=done_marker, create=create) as opened:
            for drop in wanted:
                if durable.look(opened.inbox, drop.name) is not None:
                    raise _waits(opened, drop)
            prefix = f"{PUT_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
            drafts = [f"{prefix}-{i}" for i in range(len(wanted))]
            try:
                _stage(opened, wanted, drafts)
                _Commit(opened, wanted, drafts).run()
            finally:
                for draft in drafts:
                    with suppress(OSError):
                        durable.unlink(opened.tmp, draft)
    except PutError as error:
        if len(wanted) == 1 or error.dropped:
            raise
        raise PutError(f"{error}; none of the {len(wanted)} files was dropped") from None
    return [drop.name for drop in wanted]


def _check(drops: Sequence[Drop]) -> None:
    """Raise PutError for the first file that the daemon would not answer, or that cannot be read."""
    times = Counter(drop.name for drop in drops)
    for drop in drops:
        if drop.name != Path(drop.name).name or len(os.fsencode(drop.name)) > names.NAME_MAX:
            raise PutError(
                f"{drop.name}: expected a file name without folders, of at most {names.NAME_MAX} bytes"
            )
        if unfinished.skipped(drop.name) or names.kind(drop.name) is None:
            raise PutError(
                f"{drop.shown}: the name must end in {', '.join(names.KINDS)} and not begin with a dot; "
                "rename the file, or use --name"
            )
        if times[drop.name] > 1:
            raise PutError(
                f"{drop.shown}: {times[drop.name]} files are called {drop.name}; rename one"
            )
        if isinstance(drop.source, Path):
            if is_waiting_pipe(drop.source):
                raise PutError(
                    f"{drop.shown}: a named pipe; give its content as standard input (- with --name)"
                )
            try:
                drop.source.open("rb").close()
            except OSError as fault:
                raise PutError(f"{drop.shown}: {fault.strerror}") from None


def _opened(path: Path, lane: str, *, done_marker: bool, create: bool) -> Spool:
    if not create and (path.is_dir() or not path.exists()) and (missing := missing_folders(path)):
        what = f"{missing[0]}/ is missing" if path.is_dir() else "it does not exist"
        raise PutError(
            f"spool {path}: {what}; check the path, or create a spool there (put --create)"
        )
    if lane not in {"", *lanes(path)}:
        # Only a daemon creates lanes, so that no file waits in a folder that nobody reads.
        raise PutError(
            f"spool {path}: no lane {lane!r}; a daemon creates it (--serve NAME=REFERENCE)"
        )
    open_spool = Spool.make if create else Spool
    return open_spool(path, lane=lane, marker=names.MARKER if done_marker else "")


def _waits(spool: Spool, drop: Drop) -> PutError:
    return PutError(
        f"{drop.shown}: {drop.name} is already waiting in {spool.inbox_path}; rename the file"
    )


def _stage(spool: Spool, drops: Sequence[Drop], drafts: Sequence[str]) -> None:
    """Write all files under temporary names, and sync them."""
    pairs = iter(zip(drops, drafts, strict=True))
    while some := list(islice(pairs, STAGED_TOGETHER)):
        fds: list[int] = []
        try:
            for drop, draft in some:
                fds.append(durable.create(spool.tmp, draft))
                for chunk in _chunks(drop):
                    durable.write_all(fds[-1], chunk)
            durable.sync_files(fds, volume=spool.tmp, level=Durability.STRICT)
        except OSError as fault:
            raise PutError(f"spool {spool.path}: {drop.shown}: {fault.strerror}") from None
        finally:
            for fd in fds:
                os.close(fd)


def _chunks(drop: Drop) -> Iterator[bytes]:
    try:
        if isinstance(drop.source, Path):
            with drop.source.open("rb") as source:
                yield from _all(source)
        else:
            yield from _all(drop.source)
    except OSError as fault:
        raise PutError(f"{drop.shown}: {fault.strerror}") from None


def _all(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(durable.CHUNK_BYTES):
        yield chunk


class _Commit:
    """Makes staged files appear in in/, and takes them back if one cannot appear."""

    def __init__(self, spool: Spool, drops: Sequence[Drop], drafts: Sequence[str]) -> None:
        self._spool = spool
        self._drops = drops
        self._drafts = drafts
        self._placed = 0
        self._marked = 0

    def run(self) -> None:
        """Make all files appear; raise PutError if one cannot."""
        try:
            self._place()
        except BaseException as fault:
            remaining = self._take_back()
            if not isinstance(fault, OSError):
                raise
            drop = self._drops[min(self._placed, len(self._drops) - 1)]
            error: Exception = PutError(f"spool {self._spool.path}: {drop.shown}: {fault.strerror}")
            if isinstance(fault, FileExistsError):
                error = _waits(self._spool, drop)
            if not remaining:
                raise error from None
            raise PutError(
                f"{error}; the daemon has already claimed {', '.join(remaining)} and will answer that; "
                f"the other {len(self._drops) - len(remaining)} of {len(self._drops)} files were not dropped",
                dropped=remaining,
            ) from None

    def _place(self) -> None:
        spool = self._spool
        for drop, draft in zip(self._drops, self._drafts, strict=True):
            # Never a rename, which would overwrite a file of that name.
            durable.link(spool.tmp, draft, spool.inbox, drop.name)
            self._placed += 1
        durable.sync_folder(spool.inbox, Durability.STRICT)
        if spool.marker:  # only after the files, which they declare complete
            for drop in self._drops:
                os.close(durable.create(spool.inbox, drop.name + spool.marker))
                self._marked += 1
            durable.sync_folder(spool.inbox, Durability.STRICT)

    def _take_back(self) -> list[str]:
        """Remove the files from in/ again; return the names of those that remain in the spool."""
        spool = self._spool
        for drop in self._drops[: self._marked]:
            with suppress(OSError):
                durable.unlink(spool.inbox, drop.name + spool.marker)
        remaining = []
        for drop, draft in zip(self._drops[: self._placed], self._drafts, strict=False):
            with suppress(OSError):
                if durable.same_file(
                    durable.look(spool.inbox, drop.name), durable.look(spool.tmp, draft)
                ):
                    durable.unlink(spool.inbox, drop.name)
            # A daemon claims a file by a link of its own.  If one is left, the daemon was faster.
            facts = durable.look(spool.tmp, draft)
            if facts is None or facts.st_nlink > 1:
                remaining.append(drop.name)
        with suppress(OSError):
            durable.sync_folder(spool.inbox, Durability.STRICT)
        return remaining
