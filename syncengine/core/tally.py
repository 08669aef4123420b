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
    shared: int = 0
    """Names under which both sides hold a file."""

    def agreed(self, number: int) -> None:
        """Count *number* files that stand on both sides as the state has them."""
        self.paths += number
        self.unchanged += number
        self.remembered += number
        self.shared += number
        for side in self.seen:
            self.seen[side] += number
