"""Format results as lines of plain text; `--json` prints the same results for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..values import Collected, Details, Difference, Entry, Event, Report

__all__ = [
    "collected_lines",
    "details_lines",
    "difference_lines",
    "entry_lines",
    "event_lines",
    "report_lines",
]

# The order in which the converter constrains a network; eval.json itself is sorted by name.
_STAGES = ("teacher", "student", "float", "weights", "activities", "fan-in", "integer", "spiking")
# Digits shown of a digest: enough to tell a model's versions apart at a glance.
_SHORT = len("sha256:") + 12


def _plain(text: object) -> str:
    """Return the text with unprintable characters replaced: a terminal would obey escape sequences from a file."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def _table(rows: Sequence[Sequence[object]], *, indent: str = "") -> Iterator[str]:
    cells = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{indent}{line}".rstrip()


def entry_lines(found: Sequence[Entry]) -> Iterator[str]:
    """Yield a table with one line for each version and its aliases."""
    if not found:
        yield "no models"
        return
    aliases: dict[tuple[str, str], list[str]] = {}
    for entry in found:
        aliases.setdefault((entry.name, entry.digest), [])
        if entry.kind == "alias":
            aliases[entry.name, entry.digest].append(entry.tag)
    figures = list(dict.fromkeys(path for entry in found for path in entry.figures))
    head = ("MODEL", "VERSION", "CREATED", "ALIASES", "DIGEST")
    rows = [(*head, *(path.upper() for path in figures))]
    for entry in found:
        names = aliases.pop((entry.name, entry.digest), None)
        if names is not None:
            rows.append(
                (
                    entry.name,
                    entry.version or "-",
                    entry.created or "damaged",
                    ",".join(names) or "-",
                    entry.digest[:_SHORT],
                    *(_number(entry.figures.get(path)) for path in figures),
                )
            )
    yield from _table(rows)


def details_lines(found: Details) -> Iterator[str]:
    """Yield the facts, files, stages and attachments of one version."""
    yield str(found.pin)
    facts = {
        "created": found.created,
        "aliases": ", ".join(found.aliases) or "-",
        "labels": ", ".join(found.labels or ()) or "-",
    }
    if found.teacher is not None:
        kept = "not kept" if found.teacher.kept is None else f"kept as {found.teacher.kept}"
        facts["teacher"] = f"{found.teacher.file}, {found.teacher.digest}, {kept}"
    facts |= {f"config.{key}": _short(value) for key, value in sorted(found.config.items())}
    facts |= dict(sorted(found.annotations.items()))
    yield from _table(list(facts.items()))
    yield ""
    layers = [
        (layer.path, layer.size, layer.media_type.split(".model.")[-1], layer.digest[:_SHORT])
        for layer in found.layers
    ]
    yield from _table([("FILE", "BYTES", "KIND", "DIGEST"), *layers])
    if found.stages:
        yield ""
        stages = [
            (stage, _percent(figures, "accuracy"), _percent(figures, "agreement"))
            for stage, figures in sorted(found.stages.items(), key=_stage_order)
        ]
        yield from _table([("STAGE", "ACCURACY", "AGREEMENT"), *stages])
    if found.attachments:
        yield ""
        yield from _attachments(found)


def _attachments(found: Details) -> Iterator[str]:
    rows = [("ATTACHED", "TIME", "WHAT", "DIGEST")]
    for each in found.attachments:
        what = "-"
        if each.kind == "sig":
            what = f"signed by key {each.document['signatures'][0]['keyid'][:12]}"
        elif isinstance(stages := each.document.get("stages"), dict):
            what = ", ".join(
                f"{stage} {_percent(figures, 'accuracy')}"
                for stage, figures in sorted(stages.items(), key=_stage_order)
                if isinstance(figures, dict)
            )
        name = each.tag.partition(".")[2]
        rows.append((name, each.created or "-", what, each.digest[:_SHORT]))
    yield from _table(rows)


def _stage_order(item: tuple[str, object]) -> tuple[int, str]:
    stage = item[0]
    return (_STAGES.index(stage) if stage in _STAGES else len(_STAGES)), stage


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}={_short(each)}" for key, each in sorted(value.items()))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _percent(figures: Mapping[str, Any], key: str) -> str:
    value = figures.get(key)
    try:
        return f"{100 * value:.1f} %" if isinstance(value, (int, float)) else "-"
    except OverflowError:  # an integer of hundreds of digits, which JSON allows
        return "-"


def _number(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def event_lines(found: Sequence[Event]) -> Iterator[str]:
    """Yield a table with one line for each change."""
    rows = [("NO", "TIME", "WHO", "WHAT", "FROM", "TO", "WHY")]
    rows += [
        (
            str(event.generation),
            event.time,
            event.actor,
            f"{event.operation} {event.tag}",
            _version_or_digest(event.source_version, event.source),
            _version_or_digest(event.target_version, event.target),
            event.reason or "-",
        )
        for event in found
    ]
    yield from _table(rows)


def _version_or_digest(version: str | None, digest: str | None) -> str:
    return version or ("-" if digest is None else digest[:_SHORT])


def difference_lines(found: Difference) -> Iterator[str]:
    """Yield one table for each kind of difference between two versions."""
    yield f"left   {found.left}"
    yield f"right  {found.right}"
    parts = {
        "FILE": found.files,
        "TENSOR": found.tensors,
        "CONFIG": found.config,
        "FIGURE": found.figures,
    }
    for title, changes in parts.items():
        if changes:
            yield ""
            rows = [(each.what, _side(each.left), _side(each.right)) for each in changes]
            yield from _table([(title, "LEFT", "RIGHT"), *rows])
    if not any(parts.values()):
        yield "no differences except in the manifests"


def _side(value: Any) -> str:
    return _number(value) if value is None or isinstance(value, float) else _short(value)


def collected_lines(found: Sequence[Collected], *, dry_run: bool) -> Iterator[str]:
    """Yield one line for each removed blob and attachment, then the totals."""
    for each in found:
        for digest in each.blobs:
            yield f"{each.model}: {digest}"
        for tag in each.tags:
            yield f"{each.model}:{tag}"
    blobs = sum(len(each.blobs) for each in found)
    size, leftovers = sum(each.size for each in found), sum(each.leftovers for each in found)
    verb = "would remove" if dry_run else "removed"
    yield f"{verb} {blobs} blobs of {size} bytes, and {leftovers} unfinished files"


def report_lines(found: Report) -> Iterator[str]:
    """Yield the result of verify: every problem, then the notes, then the totals."""
    for problem in found.problems:
        tags = ", ".join(f"{problem.model}:{tag}" for tag in problem.breaks)
        yield _plain(
            f"PROBLEM {problem.model}/{problem.path}: {problem.what}"
            + (f" (breaks {tags})" if tags else "")
        )
    for note in found.notes:
        yield _plain(f"note: {note}")
    verdict = "clean" if found.ok else f"{len(found.problems)} problems"
    yield (
        f"{verdict}: {found.models} models, {found.references} versions and aliases, "
        f"{found.blobs} blobs, {found.size} bytes"
    )
