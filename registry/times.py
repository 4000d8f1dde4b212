"""Points in time as text: RFC 3339, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from .errors import BadInput, shown

__all__ = ["format_time", "parse_time", "timestamp"]

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


def parse_time(text: str, *, end_of_day: bool = False) -> datetime:
    """Return the point in time that a text names; UTC if the text names no time zone.

    Parameters
    ----------
    text
        RFC 3339, such as `2026-01-31T12:00:00Z`, or a day, such as `2026-01-31`.
    end_of_day
        Whether a day means its last microsecond instead of its first.

    Raises
    ------
    BadInput
        The text is neither a time nor a day.

    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"time {shown(text)}: must be a day such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z"
        ) from None
    if end_of_day and _DAY.fullmatch(text):
        time += timedelta(days=1, microseconds=-1)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def format_time(time: datetime, *, what: str) -> str:
    """Return a time in UTC as RFC 3339, cut to seconds.

    Parameters
    ----------
    time
        With a time zone.
    what
        What was created at this time, for the error's text.

    Raises
    ------
    BadInput
        The time has no time zone, or its year in UTC is not 1 to 9999.

    """
    if time.tzinfo is None:
        raise BadInput(f"{what}: created {time} has no time zone")
    try:
        utc = time.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    except OverflowError:
        raise BadInput(f"{what}: created {time} is outside the years 1 to 9999 in UTC") from None
    return f"{utc.isoformat()}Z"


def timestamp() -> str:
    """Return the current time in UTC as RFC 3339, in milliseconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return f"{now.isoformat(timespec='milliseconds')}Z"
