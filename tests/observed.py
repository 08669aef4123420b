"""An observer that acts in the middle of a run."""

from __future__ import annotations

from typing import Any, Callable

from syncengine.events import OperationFinished


class Observed:
    """Does something once so many operations have ended."""

    def __init__(self, after: int, act: Callable[[], object]) -> None:
        self._left, self._act = after, act

    def on(self, event: Any) -> None:
        if isinstance(event, OperationFinished):
            self._left -= 1
            if self._left == 0:
                self._act()
