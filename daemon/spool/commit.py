"""The commit protocol: results are published in out/, and settled inputs move to done/ or failed/.

Whenever the process dies, no result is published twice or overwritten.  An input leaves work/ only when its result is
durable under its final name; the next start finds every interrupted commit in work/ and completes or repeats it (see
`recovery`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import closing, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ..files import _calls, durable
from ..files.draft import Draft, close, place
from . import names
from .published import Published, document, key, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .folder import Spool


class _Answer(NamedTuple):
    """An answered input with the drafts of its result and its summary."""

    name: str
    sha256: str
    result: Draft
    summary: Draft


def temp(name: str) -> str:
    """Return the stem of an input's temporary names; it is short and safe for every input name."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:24]


class Committer:
    """Commits the results of a spool, and quarantines inputs that cannot be answered."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._level = spool.durability
        self._published = Published(spool)

    def commit(
        self,
        inputs: Sequence[tuple[str, str]],
        results: Sequence[Draft | bytes],
        summaries: Sequence[Mapping[str, Any]],
    ) -> list[str]:
        """Publish results and summaries together, and move their inputs to done/.

        On return, all of them are as durable as the spool's setting promises.  The whole group shares three syncs: of
        the contents, of out/ and of done/.

        Parameters
        ----------
        inputs
            Name and sha256 (hexadecimal) of each input.
        results
            The result of each input: a draft, which is closed, or bytes.
        summaries
            The content of each `<name>.summary.json`, without the key.

        Returns
        -------
        list of str
            The name of each result in out/.

        Raises
        ------
        OSError
            The disk failed; each input of the group is then in one of the states that `recovery` handles.

        """
        drafts = [result for result in results if isinstance(result, Draft)]
        try:
            made = self._drafted(inputs, results, summaries)
            drafts += made
            new = iter(made)
            files = [result if isinstance(result, Draft) else next(new) for result in results]
            answers = [
                _Answer(name, sha256, result, summary)
                for (name, sha256), result, summary in zip(inputs, files, new, strict=True)
            ]
            # Contents before names: after a power cut, a name in out/ must never lead to a file that is cut short.
            fds = [draft.fd for draft in drafts]
            durable.sync_files(fds, volume=self._spool.tmp, level=self._level)
            placed = self._publish(answers)
        finally:
            close(drafts)
        # Before the inputs move: an input in done/ is never answered again, so its result must be durable first.
        durable.sync_folder(self._spool.out, self._level)
        self.finish(inputs)
        return placed

    def finish(self, inputs: Iterable[tuple[str, str]]) -> None:
        """Move inputs with durable results to done/; each is given as (name, sha256)."""
        digests = dict(inputs)
        # Link, sync, unlink instead of a rename: a rename would overwrite an older file of that name in done/, and the
        # name in work/, from which a start recovers, must stay until the one in done/ is durable.
        self._retire(digests)
        durable.sync_folder(self._spool.done, self._level)
        durable.unlink_all(self._spool.work, list(digests))

    def quarantine(self, name: str, report: Mapping[str, Any]) -> str:
        """Move an input that cannot be answered to failed/, and write its report next to it.

        Parameters
        ----------
        name
            Its name in work/.
        report
            The report; its `file` and `sha256` (None if not all bytes were read) identify it.

        Returns
        -------
        str
            Name of the report in failed/.

        """
        spool = self._spool
        # Without a digest, a random mark keeps two failures of one name apart.
        mark = report["sha256"] or os.urandom(names.TAG).hex()
        bases = names.stems(names.base(name), mark)
        (draft,) = Draft.written(spool.tmp, [_report(report)], [temp(name) + names.REPORT])
        with closing(draft):
            durable.sync_files([draft.fd], volume=spool.tmp, level=self._level)
            base = next(b for b in bases if self._quarantine_as(name, b, report, draft))
        durable.sync_folder(spool.failed, self._level)
        durable.unlink(spool.work, name)
        return base + names.REPORT

    def tidy(self, name: str) -> None:
        """Remove the temporary files of a settled input, which an earlier interrupted attempt may have left."""
        for suffix in (names.RESULT, names.SUMMARY, names.REPORT):
            durable.unlink(self._spool.tmp, temp(name) + suffix)

    def _drafted(
        self,
        inputs: Sequence[tuple[str, str]],
        results: Sequence[Draft | bytes],
        summaries: Sequence[Mapping[str, Any]],
    ) -> list[Draft]:
        """Create drafts of the results that are bytes, and then of all summaries."""
        held = [
            (name, r)
            for (name, _), r in zip(inputs, results, strict=True)
            if not isinstance(r, Draft)
        ]
        contents = [data for _, data in held]
        contents += [
            _summary(*each, summary) for each, summary in zip(inputs, summaries, strict=True)
        ]
        temporary = chain(
            (temp(name) + names.RESULT for name, _ in held),
            (temp(name) + names.SUMMARY for name, _ in inputs),
        )
        return Draft.written(self._spool.tmp, contents, temporary)

    def _publish(self, answers: Sequence[_Answer]) -> list[str]:
        """Link results and summaries into out/, most of them in one call; return the results' names."""
        plain = self._place_all(answers)
        found = []
        for answer in answers:
            bases = names.stems(names.base(answer.name), answer.sha256)
            placed = plain.get(answer.name)
            if placed:
                base = next(bases)
            elif placed is None:
                base = self._found(answer) or next(b for b in bases if self._place(answer, b))
            else:
                # Another result took the plain name a moment ago.  The summary there may be the one that
                # `_place_all` has just linked, so its key does not prove that the result there is ours.
                base = next(b for b in islice(bases, 1, None) if self._place(answer, b))
            found.append(base + names.RESULT)
        return found

    def _found(self, answer: _Answer) -> str | None:
        """Return the stem of an answer's result in out/, or None; the result counts even if its summary was removed."""
        for number, base in enumerate(names.stems(names.base(answer.name), answer.sha256)):
            if durable.look(self._spool.out, base + names.RESULT) is not None:
                if self._is_there(answer, base):
                    return base
            # Not at the plain name: its result may have been fetched since this one got a tagged name.
            elif number:
                break
        return None

    def _place_all(self, answers: Sequence[_Answer]) -> dict[str, bool]:
        """Link results under their plain names in one call, where these are free (see `_place`).

        Returns
        -------
        dict
            By input name, whether the result was linked.  False: another file took the name at the last moment.
            Inputs whose names were not free to begin with are missing.

        """
        out = self._spool.out
        bases = [names.base(answer.name) for answer in answers]
        marks = [answer.sha256 for answer in answers]
        free = durable.missing(out, [base + names.RESULT for base in bases])
        # A free plain name is not enough: an interrupted commit may have published this result under its tagged name,
        # and the result that had the plain name then may have been fetched since.
        tagged = [names.tagged(*each) + names.RESULT for each in zip(bases, marks, strict=True)]
        new = durable.missing(out, tagged)
        left = [
            (answer, base)
            for answer, base, is_free, is_new in zip(answers, bases, free, new, strict=True)
            if is_free and is_new and answer.result.nameless and answer.summary.nameless
        ]
        # All summaries before any result: readers wait for the result's name, and then expect the summary.
        errors = place(
            [answer.summary for answer, _ in left], out, [base + names.SUMMARY for _, base in left]
        )
        left = [each for each, error in zip(left, errors, strict=True) if not error]
        errors = place(
            [answer.result for answer, _ in left], out, [base + names.RESULT for _, base in left]
        )
        for (_, base), error in zip(left, errors, strict=True):
            if error != errno.EEXIST:
                durable.check(error, base + names.RESULT)
        return {answer.name: not error for (answer, _), error in zip(left, errors, strict=True)}

    def _place(self, answer: _Answer, base: str) -> bool:
        """Link a summary and then its result into out/; the result comes last, because its name is the commit."""
        out = self._spool.out
        if durable.look(out, base + names.RESULT) is not None:
            return self._is_there(answer, base)
        try:
            if not self._place_summary(answer, base):
                return False
            answer.result.place(out, base + names.RESULT)
        except FileExistsError:
            return False
        return True

    def _place_summary(self, answer: _Answer, base: str) -> bool:
        out, name = self._spool.out, base + names.SUMMARY
        try:
            answer.summary.place(out, name)
        except FileExistsError:
            if self._published.key(base) != key(answer.name, answer.sha256):
                return False
            # A crash before the result was linked left this summary, or a reader removed only the result.
            durable.unlink(out, name)
            answer.summary.place(out, name)
        return True

    def _is_there(self, answer: _Answer, base: str) -> bool:
        """Return whether the result of this stem in out/ is already this answer's."""
        owner = self._published.key(base)
        if owner is not None:
            return owner == key(answer.name, answer.sha256)
        # A reader has removed the summary, so the results themselves are compared.
        size = os.fstat(answer.result.fd).st_size
        there = durable.digest(self._spool.out, base + names.RESULT, most=size)
        return there is not None and there == answer.result.digest()

    def _retire(self, digests: Mapping[str, str]) -> None:
        """Link inputs, given with their digests, into done/, most of them in one call."""
        work, done = self._spool.work, self._spool.done
        errors = _calls.link_all(work, digests, done, digests)
        for (name, sha256), error in zip(digests.items(), errors, strict=True):
            if error:
                self._retire_one(name, sha256)

    def _retire_one(self, name: str, sha256: str) -> None:
        work, done = self._spool.work, self._spool.done
        for target in chain([name], names.stems(names.base(name), sha256)):
            there = durable.look(done, target)
            if there is None:
                _move(work, name, done, target)
                return
            here = durable.look(work, name)
            if here is None or durable.same_file(there, here):
                return  # an interrupted attempt linked it, or somebody removed it
            if durable.digest(done, target, most=here.st_size) == sha256:
                # The same bytes were answered before; `finish` just removes the name in work/.
                return

    def _quarantine_as(self, name: str, base: str, report: Mapping[str, Any], draft: Draft) -> bool:
        spool = self._spool
        there = durable.look(spool.failed, base)
        reported = durable.look(spool.failed, base + names.REPORT) is not None
        known = document(
            durable.read_small(spool.failed, base + names.REPORT) if reported else None
        )
        same = (text(known.get("file")), text(known.get("sha256"))) == (
            report["file"],
            report["sha256"],
        )
        if there is not None and not durable.same_file(there, durable.look(spool.work, name)):
            return same and report["sha256"] is not None  # the same bytes were quarantined before
        if reported and not same:
            # The name belongs to another input or to its report, whatever kind of file that is.
            return False
        # The report comes first, so that an input is never in failed/ without one.  An older report there is of the
        # same input, but its count of attempts may be out of date.
        durable.unlink(spool.failed, base + names.REPORT)
        draft.place(spool.failed, base + names.REPORT)
        if there is None:
            _move(spool.work, name, spool.failed, base)
        return True


def _move(source: int, name: str, target: int, new_name: str) -> None:
    """Link a file under a free name, or rename it if it may have no further link."""
    # Somebody removed the file from work/: there is nothing left to move.
    with suppress(FileNotFoundError):
        try:
            durable.link(source, name, target, new_name)
        except OSError as fault:
            if fault.errno not in durable.NOT_LINKED:
                raise
            durable.rename_free(source, name, target, new_name)


def _summary(name: str, sha256: str, summary: Mapping[str, Any]) -> bytes:
    document = {"key": key(name, sha256), **summary}
    try:
        # The json module would take as long for a summary as the kernel takes to create its file.
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a label with a lone surrogate, which orjson refuses
        return json.dumps(document).encode() + b"\n"


def _report(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
