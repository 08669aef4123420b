"""Sizes, times and counts as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Optional, Union

from ..errors import RecipeError

Size = Union[int, str]
"""Bytes, or a text such as ``"10MB"`` or ``"1.5GiB"``."""

Age = Union[str, datetime, timedelta]
"""A point in time: an aware datetime, how long ago (a timedelta, ``"7d"``), or an RFC 3339 text."""

_PREFIXES = "kmgtpe"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtpe])(i?))?(b?)", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = r"(\d+(?:\.\d+)?)\s*(min|[smhdw])"
_DURATION = re.compile(rf"(?:{_PART}\s*)+", re.IGNORECASE)
_DECIMALS = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)\.(\d+)(|[zZ]|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun, in the right number.

    >>> counted(1, "conflict"), counted(2, "conflict"), counted(2, "copy", "copies")
    ('1 conflict', '2 conflicts', '2 copies')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(value: Size, name: str = "a size") -> int:
    """Return a number of bytes; *name* says in an error what it was for.

    >>> size("10MB"), size("1.5GiB"), size("512")
    (10000000, 1610612736, 512)

    Raises RecipeError for anything else, also for ``10M``, which means one thing to some tools and another to others.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = str(value).strip()
    match = _SIZE.fullmatch(text) if isinstance(value, str) else None
    if match is None:
        raise RecipeError(f'{name} is a number of bytes or a text such as "10MB" or "1.5GiB", not {value!r}')
    number, prefix, binary, unit = match.groups()
    if prefix and not unit:
        raise RecipeError(
            f"{name}: {value!r} is ambiguous; write {number}{prefix}B (of 1000) or {number}{prefix}iB (of 1024)"
        )
    power = _PREFIXES.index(prefix.lower()) + 1 if prefix else 0
    factor: int = (1024 if binary else 1000) ** power
    whole, _, decimals = number.partition(".")
    divisor: int = 10 ** len(decimals)
    return int(whole + decimals) * factor // divisor


def moment_ns(value: Age, *, now: Optional[datetime], name: str = "a time") -> int:
    """Return a point in time in nanoseconds since the epoch; *now* is what durations count back from.

    >>> moment_ns("1970-01-01T01:00:00+01:00", now=None)
    0
    >>> moment_ns("1d12h", now=datetime(1970, 1, 3, tzinfo=timezone.utc)) == 12 * 3600 * 10**9
    True

    Raises RecipeError for a time without a zone, and for a duration without *now*.
    """
    moment = value if isinstance(value, datetime) else _moment(value, now, name)
    if moment.tzinfo is None:
        raise RecipeError(f'{name}: {value!s} has no time zone; write for instance "2026-01-31T00:00:00Z"')
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _moment(value: Union[str, timedelta], now: Optional[datetime], name: str) -> datetime:
    ago = duration(value)
    if ago is not None:
        if now is None:
            raise RecipeError(f"{name}: {value!s} counts back from the present, which was not given")
        return now - ago
    try:
        return datetime.fromisoformat(_in_isoformat(str(value).strip()))
    except ValueError:
        raise RecipeError(
            f'{name} is a duration such as "7d" or "12h", or a time such as "2026-01-31T00:00:00Z", not {value!r}'
        ) from None


def _in_isoformat(text: str) -> str:
    """Return an RFC 3339 text as every Python reads it: with six decimals, and with the zone in numbers."""
    match = _DECIMALS.fullmatch(text)
    if match is not None:
        text = f"{match.group(1)}.{match.group(2)[:6]:0<6}{match.group(3)}"
    return re.sub("[zZ]$", "+00:00", text)


def whole(value: object, name: str, *, least: int) -> int:
    """Return a whole number that is at least *least*; raises RecipeError for anything else, ``True`` too."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise RecipeError(f"{name} is a whole number of at least {least}, not {value!r}")


def rate(value: object, name: str) -> float:
    """Return a number above 0; raises RecipeError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
        return value
    raise RecipeError(f"{name} is a number above 0, not {value!r}; for no limit leave it out")


def bandwidth_of(value: Optional[Size]) -> Optional[int]:
    """Return bytes for each second, None for no limit; nothing could be transferred at 0."""
    found = None if value is None else size(value, "bandwidth")
    if found == 0:
        raise RecipeError(f"bandwidth is at least one byte a second, not {value!r}; for no limit leave it out")
    return found


def flag(value: object, name: str) -> bool:
    """Return True or False; raises RecipeError for what is neither, such as ``"no"``."""
    if isinstance(value, bool):
        return value
    raise RecipeError(f"{name} is True or False, not {value!r}")


def duration(value: Union[str, timedelta]) -> Optional[timedelta]:
    """Return how long *value* is, or None where it is no duration; units are s, m or min, h, d and w."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or _DURATION.fullmatch(value.strip()) is None:
        return None
    parts = re.findall(_PART, value, re.IGNORECASE)
    return timedelta(seconds=sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts))
