"""Find the column or key of the text, the id and the label of a record by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .options import ReadOptions

TEXT: Final = ("text", "question", "query", "sentence", "utterance", "prompt", "question_text")
ID: Final = ("id", "qid", "question_id", "query_id")
LABEL: Final = ("label", "class", "intent")
"""Known names in their order: the first one that a record has is taken."""

MOST_SHAPES: Final = 64
"""Different sets of keys of one file that are remembered."""

_SHAPE_KEYS: Final = 256
_SHAPE_CHARACTERS: Final = 4096
"""Most keys of such a set, and most characters of them: a hostile record has a million."""

MOST_DEPTH: Final = 12
"""Levels of a JSON value in which a text is looked for, to say where it is."""

_ON_LINES: Final = (
    'write each question as a line of its own, {"text": ...} in a .jsonl file'
    " (pandas: to_json(orient='records', lines=True))"
)

_SHOWN: Final = 200
"""Most characters of names in a message."""


class Places(NamedTuple):
    """Indices of a record's fields; None for one that it does not have."""

    text: int | None
    id: int | None
    label: int | None


NOWHERE: Final = Places(None, None, None)


def plain(name: str) -> str:
    """Return a name as it is compared: in lower case, with `_` for blanks and hyphens."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def find(names: Sequence[str], options: ReadOptions) -> Places:
    """Find the fields among the names of columns or keys."""
    compared = [plain(name) for name in names]
    return Places(
        text=_find(names, compared, options.text_field, TEXT),
        id=None if options.examples else _find(names, compared, options.id_field, ID),
        label=_find(names, compared, options.label_field, LABEL) if options.examples else None,
    )


def _find(
    names: Sequence[str], compared: Sequence[str], given: str, known: Sequence[str]
) -> int | None:
    if given and given in names:
        return names.index(given)
    wanted = (plain(given),) if given else known
    for name in wanted:
        for among in (names, compared):  # the name as it is, before those that are alike
            if name in among:
                return among.index(name)
    return None


def twice(names: Sequence[str], places: Places, options: ReadOptions) -> str | None:
    """Return why the columns of a table leave it open which is meant, and what to do; None if they do not."""
    compared = [plain(name) for name in names]
    for place in places:
        if place is None or (count := compared.count(compared[place])) == 1:
            continue
        if names[place] in {options.text_field, options.id_field, options.label_field}:
            count = names.count(names[place])
        if count > 1:
            return f"{count} columns are named {compared[place]!r}: rename all but one of them"
    return None


def missing_text(names: Iterable[str], options: ReadOptions) -> str:
    """Return what was found in place of the text's field, and what to do."""
    found = ", ".join(name.strip() for name in names)[:_SHOWN] or "none"
    if options.text_field:
        return f"no field {options.text_field!r} among {found}: set text_field (--text-field) to one of them"
    return f"no text among the fields {found}: name one text, or set text_field (--text-field) to one of them"


def missing_key(record: Mapping[str, Any], options: ReadOptions) -> str:
    """Return what a JSON object has in place of the text's key, and what to do.

    No setting reaches a text that is deeper in the object.
    """
    if options.text_field and any(isinstance(value, str) for value in record.values()):
        return missing_text(record, options)
    wanted = (plain(options.text_field),) if options.text_field else TEXT
    if path := _deeper(record, wanted):
        return f"no text among the fields {_listed(record)}, but one deeper in it, under {path}: {_ON_LINES}"
    kinds = set(map(type, record.values()))
    if (str in kinds or not kinds & {dict, list}) and not all(map(str.isdecimal, record)):
        return missing_text(record, options)
    return f"no text among the fields {_listed(record)}, and none that could be one: {_ON_LINES}"


def _deeper(value: Any, wanted: Sequence[str], depth: int = MOST_DEPTH) -> str | None:
    """Return the path to the first string under a wanted key, through the first element of each array."""
    if depth == 0:
        return None
    if isinstance(value, list):
        path = _deeper(value[0], wanted, depth - 1) if value else None
        return None if path is None else f"[]{path if path.startswith('[') else '.' + path}"
    if not isinstance(value, dict):
        return None
    for key, held in value.items():
        if isinstance(held, str) and plain(key) in wanted:
            return str(key)
    for key, held in value.items():
        if (path := _deeper(held, wanted, depth - 1)) is not None:
            return f"{key}{path if path.startswith('[') else '.' + path}"
    return None


def _listed(record: Mapping[str, Any]) -> str:
    return ", ".join(record)[:_SHOWN] or "none"


class Keys:
    """Finds the keys of JSON records; files have few different sets of them.

    Parameters
    ----------
    options
        `text_field`, `id_field`, `label_field` and `examples`.

    """

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._known: dict[tuple[str, ...], tuple[str | None, str | None, str | None]] = {}

    def of(self, record: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
        """Return a record's keys of text, id and label; None for one that it does not have."""
        names = tuple(record)
        keys = self._known.get(names)
        if keys is None:
            places = find(names, self._options)
            keys = tuple(None if place is None else names[place] for place in places)  # type: ignore[assignment]
            if (
                len(self._known) < MOST_SHAPES
                and len(names) <= _SHAPE_KEYS
                and sum(map(len, names)) <= _SHAPE_CHARACTERS
            ):
                self._known[names] = keys  # type: ignore[assignment]
        return keys  # type: ignore[return-value]
