"""What a diff counted while it streamed: the numbers behind guards and totals."""

from __future__ import annotations

from typing import Dict

from attrs import define, field

from .entry import Side


@define
class Tally:
    """Counts that fill while changes are read."""

    paths: int = 0
    unchanged: int = 0
    excluded: int = 0
    changes: int = 0
    remembered: int = 0
    """Live files of the state."""
    seen: Dict[Side, int] = field(factory=lambda: dict.fromkeys(Side, 0))
    """Visible files of each side."""
