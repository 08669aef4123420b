"""A plan on a terminal in colour. Names are put into ``Text`` objects, so that none is read as markup."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, List, Optional, Sequence

from ..core.guards import Blocker
from ..core.plan import Plan
from .rows import ALL_LINES, Row, Section, blocker_row, header_lines, item_rows
from .text import FIRST_LINES
from .units import count_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_STYLES = {
    Section.CONFLICTS: "magenta",
    Section.DELETES: "red",
    Section.OVERWRITES: "yellow",
    Section.MOVES: "cyan",
    Section.CREATES: "green",
    Section.TOUCHES: "dim",
}


def plan_rich(plan: Plan, blockers: Optional[Sequence[Blocker]] = None, *, rest: str = ALL_LINES) -> RenderableType:
    """Return a plan as something rich can print: the summary, what blocks it, and its first rows.

    *blockers* stand for the plan's own, in other words; *rest* says what shows the rows that do not fit.
    """
    from rich.console import Group
    from rich.text import Text

    blocked = plan.blockers if blockers is None else blockers
    parts: List[RenderableType] = [
        Text(line, style="bold" if not number else "") for number, line in enumerate(header_lines(plan, rest))
    ]
    parts += [Text(blocker_row(blocker).name, style="bold red") for blocker in blocked]
    first = list(islice(item_rows(plan), FIRST_LINES))
    if first:
        parts.append(_table(first))
    left = len(plan.conflicts) + len(plan.operations) - len(first)
    if left:
        parts.append(Text(f"… and {count_text(left)} more ({rest})", style="dim"))
    return Group(*parts)


def _table(rows: List[Row]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in rows:
        style = _STYLES[row.section]
        table.add_row(Text(row.mark, style=style), Text(row.name, style=style), Text(row.size_text), Text(row.detail))
    return table
