"""Markdown for review comments: the summary first, then what destroys, then the rest as far as there is room."""

from __future__ import annotations

import re
from typing import Iterator

from ..core.plan import Plan
from .rows import Row, blocker_row, header_lines, item_rows
from .units import count_text

_HEAD = "| | path | size | why |\n|---|---|---:|---|"
_SPECIAL = re.compile(r"[\\`*_{}\[\]()#+\-!|~]")
# Entities survive every renderer; a bare @ would notify the person a file is named after.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def plan_markdown(plan: Plan, max_chars: int = 60_000) -> str:
    """Return a plan of at most *max_chars* characters, cut between two rows."""
    head = [
        f"**{literal(line)}**  " if not number else f"{literal(line)}  "
        for number, line in enumerate(header_lines(plan))
    ]
    head += [f"- **blocked:** {literal(blocker_row(blocker).name)}" for blocker in plan.blockers]
    text = _fitting(head, max_chars)
    number = len(plan.conflicts) + len(plan.operations)
    if not number:
        return text
    return text + _rows_text(item_rows(plan), number, max_chars - len(text))


def _fitting(lines: list[str], room: int) -> str:
    """Return as many whole lines as there is room for."""
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > room:
            return text
        text += line + "\n"
    return text


def _rows_text(rows: Iterator[Row], number: int, room: int) -> str:
    """Return the table of rows, and how many did not fit."""
    pieces = [f"\n{_HEAD}\n"]
    used = len(pieces[0])
    shown_rows = 0
    for row in rows:
        piece = _row(row)
        # The line about the rest must fit too, unless nothing is left to say.
        after = used + len(piece) + (len(_rest(number - shown_rows - 1)) if shown_rows + 1 < number else 0)
        if after > room:
            break
        pieces.append(piece)
        used += len(piece)
        shown_rows += 1
    rest = _rest(number - shown_rows) if shown_rows < number else ""
    if not shown_rows:
        return rest if len(rest) <= room else ""
    return "".join(pieces) + rest


def _row(row: Row) -> str:
    return f"| {literal(row.mark)} | {literal(row.name)} | {literal(row.size_text)} | {literal(row.detail)} |\n"


def _rest(number: int) -> str:
    return f"\n… and {count_text(number)} more\n"


def literal(text: str) -> str:
    r"""Return *text* so that Markdown shows it as it is.

    >>> literal("a|b`c")
    'a\\|b\\`c'
    """
    escaped = _SPECIAL.sub(lambda match: "\\" + match.group(), text)
    return "".join(_ENTITIES.get(character, character) for character in escaped)
