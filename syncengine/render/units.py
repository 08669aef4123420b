"""Numbers for people: sizes, counts and durations, one function each."""

from __future__ import annotations

from ..core.units import counted

__all__ = ["count_text", "counted", "seconds_text", "size_text"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size_text(size: int) -> str:
    """Return a number of bytes with a decimal unit and at most three digits.

    >>> size_text(1_200_000_000), size_text(41_000), size_text(5_000), size_text(10)
    ('1.2 GB', '41 kB', '5 kB', '10 B')
    """
    if size < 1000:
        return f"{size:,} B"
    number = float(size)
    unit = 0
    # 999.5 would be shown as 1000, so the next unit begins there.
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    digits = f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"
    return f"{digits[:-2] if digits.endswith('.0') else digits} {_UNITS[unit]}"


def count_text(number: int) -> str:
    """Return a whole number with separators.

    >>> count_text(12345)
    '12,345'
    """
    return f"{number:,}"


def seconds_text(seconds: float) -> str:
    """Return a duration.

    >>> seconds_text(0.25), seconds_text(75), seconds_text(7200)
    ('0.2 s', '1 min 15 s', '2 h 0 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
