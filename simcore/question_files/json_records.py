"""Turn JSON values into records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .fields import Keys, missing_key
from .record import Fault, InputRecord, faulty, made

if TYPE_CHECKING:
    from .options import ReadOptions

_decode: Final = json.JSONDecoder().decode

_SHOWN: Final = 60

_ON_LINES: Final = (
    "write each record as one object on one line; name a file that is one array .json"
)


class JsonRecords:
    """Makes records of the values of one JSON file: objects, or strings, which are texts.

    Parameters
    ----------
    options
        See `ReadOptions`.

    """

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._keys = Keys(options)
        # Most files have `text` and perhaps `id`, and are read without a search for keys.
        self._usual = not (options.text_field or options.id_field or options.examples)

    def line(self, number: int, line: str) -> InputRecord:
        """Return the record of a line of JSON lines."""
        try:
            value = _decode(line)
        except json.JSONDecodeError as e:
            return faulty(number, "bad_json", f"{e.msg} at column {e.colno}")
        except (ValueError, RecursionError) as e:  # too many digits, or too deeply nested
            return faulty(number, "bad_json", str(e).partition(";")[0])
        if type(value) is list:
            return faulty(number, "bad_record", f"a JSON array, expected an object: {_ON_LINES}")
        return self.record(number, value)

    def record(self, number: int, value: Any) -> InputRecord:
        """Return the record of a value."""
        if isinstance(value, str):
            return _usual(number, number, value)
        if not isinstance(value, dict):
            return faulty(
                number,
                "bad_record",
                f"a JSON {json_type(value)}, expected an object or a string, the text{_advice(value)}",
            )
        if self._usual and (text := value.get("text")) is not None:
            if "id" in value:
                return _usual(number, value["id"], text)
            if len(value) == 1:
                return _usual(number, number, text)
        return (
            self._of_server(number, value) if _is_server_row(value) else self._found(number, value)
        )

    def holds_text(self, value: dict[str, Any]) -> bool:
        """Return whether an object has a key of the text."""
        return self._keys.of(value)[0] is not None

    def _found(self, number: int, record: dict[str, Any]) -> InputRecord:
        text_key, id_key, label_key = self._keys.of(record)
        name = number if id_key is None else _id(record[id_key], number)
        if isinstance(name, Fault):
            return InputRecord(number, None, name)
        if text_key is None:
            return faulty(name, "no_text", missing_key(record, self._options))
        if record[text_key] is None:
            return faulty(name, "no_text", f"{text_key!r} is null")
        text = _text(record[text_key])
        if isinstance(text, Fault):
            return InputRecord(name, None, text)
        label = None if label_key is None else _label(record[label_key])
        if isinstance(label, Fault):
            return InputRecord(name, None, label)
        return InputRecord(name, text, None, label)

    def _of_server(self, number: int, record: dict[str, Any]) -> InputRecord:
        """Return the record in a row as Hugging Face's server of data sets answers it.

        It cuts long values short, and says so.
        """
        found = self.record(number, record["row"])
        text_key = self._keys.of(record["row"])[0]
        if found.fault is None and text_key in (record.get("truncated_cells") or ()):
            message = (
                "the server cut the text short (truncated_cells): download the data set's files"
            )
            return faulty(found.id, "bad_text", message)
        return found


def _is_server_row(record: dict[str, Any]) -> bool:
    return "row_idx" in record and isinstance(record.get("row"), dict)


def _advice(value: Any) -> str:
    return ": write each as an object (pandas: orient='records')" if type(value) is list else ""


def _usual(number: int, name: Any, text: Any) -> InputRecord:
    name = _id(name, number)
    if type(name) is Fault:
        return InputRecord(number, None, name)
    text = _text(text)
    return InputRecord(name, None, text) if type(text) is Fault else made((name, text, None, None))


def _id(value: Any, number: int) -> int | str | Fault:
    if value is None:
        return number
    if isinstance(value, bool) or not isinstance(value, int | str):  # a bool is an int in Python
        return Fault("bad_id", f"id is a JSON {json_type(value)}, expected string or integer")
    return value


def _text(value: Any) -> str | Fault:
    if not isinstance(value, str):
        advice = "set text_field (--text-field) to another key"
        if isinstance(value, list | dict):
            advice = (
                "write each question as a record of its own (pandas: to_json(orient='records'))"
            )
        return Fault("bad_text", f"text is a JSON {json_type(value)}, expected a string: {advice}")
    if not value.isascii() and not _is_unicode(value):
        return Fault("bad_text", "text holds half of a surrogate pair")
    return value


def _label(value: Any) -> str | Fault | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # as in a table
    if not isinstance(value, str):
        shown = repr(value)[:_SHOWN]
        return Fault(
            "bad_label",
            f"label is {shown}, not a string: set label_field (--label-field) to the labels' names",
        )
    if not _is_unicode(value):
        return Fault("bad_label", "label holds half of a surrogate pair")
    # Training writes labels to .tsv files, where a label must not contain TABs or line breaks.
    return " ".join(value.split())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_type(value: Any) -> str:
    """Return JSON's name of a value's type."""
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
