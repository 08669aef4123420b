"""Frozen events and the one-method Observer that receives them.

The package never prints: it tells an observer what happens, and adapters (a progress bar, JSON lines, a log)
live above. Events are emitted from worker threads too; an observer must not block.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Protocol, Union

from attrs import frozen


@frozen
class ScanProgressed:
    """So many paths have been compared while planning."""

    paths: int
    changes: int


@frozen
class PlanMade:
    """Planning ended; ``plan`` is the result."""

    plan: Any


@frozen
class ApplyStarted:
    """A plan begins to be performed."""

    run_id: str
    operations: int
    transfer_bytes: int


@frozen
class BytesMoved:
    """So many more bytes of one operation have travelled."""

    path: str
    bytes: int


@frozen
class OperationFinished:
    """One operation ended; ``outcome`` says how."""

    outcome: Any


@frozen
class ApplyFinished:
    """The run ended; ``report`` is the result."""

    report: Any


Event = Union[ScanProgressed, PlanMade, ApplyStarted, BytesMoved, OperationFinished, ApplyFinished]


class Observer(Protocol):
    """Receives every event of a run."""

    def on(self, event: Event) -> None:
        """Take one event; called from any thread."""


class Emitter:
    """Hands events to an observer and drops an observer that raises, once and with a log line."""

    def __init__(self, observer: Optional[Observer] = None) -> None:
        self._on: Optional[Callable[[Event], None]] = observer.on if observer is not None else None

    @property
    def heard(self) -> bool:
        """Whether anybody listens; where nobody does, an event need not be made."""
        return self._on is not None

    def emit(self, event: Event) -> None:
        """Deliver *event*; an observer can never fail a sync."""
        if self._on is None:
            return
        try:
            self._on(event)
        except Exception:  # foreign code; the sync goes on without it
            import logging

            self._on = None
            logging.getLogger("syncengine").exception("the observer raised and is no longer called")
