"""Observers that show a run while it goes on: a bar for people, lines for logs, JSON for programs.

Events arrive from worker threads. Every observer here takes them under one lock, does a few additions, and draws at
most a few times a second, so that ten thousand small files do not pay for their own progress.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, TextIO

from attrs import define, field

from ..core.paths import shown
from ..core.report import Status
from ..events import (
    ApplyFinished,
    ApplyStarted,
    BytesMoved,
    Event,
    Observer,
    OperationFinished,
    PlanMade,
    ScanProgressed,
)
from .units import count_text, counted, size_text

Clock = Callable[[], float]

SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_DRAWINGS = 0.1
_SECONDS_BETWEEN_BYTES = 1.0
_NEVER_BEGUN = (Status.CANCELLED, Status.NOT_STARTED)


def automatic(
    progress: Optional[bool] = None,  # noqa: FBT001 - the engine's argument of this name, passed on
    *,
    stream: Optional[TextIO] = None,
    environment: Optional[Mapping[str, str]] = None,
) -> Optional[Observer]:
    """Return the observer that suits where this process runs, or None where silence does.

    A notebook gets a tqdm bar, a terminal a rich bar on *stream* (standard error). Elsewhere, and in CI, nothing is
    shown unless *progress* is True: then one line every ten seconds. False is always silent.
    """
    if progress is False:
        return None
    to = sys.stderr if stream is None else stream
    variables = os.environ if environment is None else environment
    if in_notebook():
        return NotebookBar()
    if to.isatty() and not variables.get("CI") and variables.get("TERM") != "dumb":
        return TerminalBar(to)
    return Lines(to) if progress else None


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return type(current).__name__ == "ZMQInteractiveShell"


@define
class Progress:
    """The numbers of a run so far."""

    phase: str = "planning"
    paths: int = 0
    changes: int = 0
    operations: int = 0
    transfer_bytes: int = 0
    moved: int = 0
    finished: int = 0
    statuses: Dict[Status, int] = field(factory=dict)

    def take(self, event: Event) -> None:
        """Add what one event says."""
        if isinstance(event, BytesMoved):
            self.moved += event.bytes
        elif isinstance(event, OperationFinished):
            status = event.outcome.status
            self.finished += 1
            self.statuses[status] = self.statuses.get(status, 0) + 1
        elif isinstance(event, ScanProgressed):
            self.paths, self.changes = event.paths, event.changes
        elif isinstance(event, ApplyStarted):
            self.phase = "applying"
            self.operations, self.transfer_bytes = event.operations, event.transfer_bytes

    def __str__(self) -> str:
        if self.phase == "planning":
            return f"planning: {counted(self.paths, 'path')} compared, {counted(self.changes, 'change')}"
        return f"{self.counts} · {size_text(self.moved)} of {size_text(self.transfer_bytes)}"

    @property
    def counts(self) -> str:
        """How many operations have ended, and how many of them were not done."""
        text = f"{count_text(self.finished)} of {counted(self.operations, 'operation')}"
        undone = [
            f"{count_text(number)} {status.value.replace('_', ' ')}"
            for status, number in self.statuses.items()
            if status is not Status.DONE
        ]
        return ", ".join([text, *undone])


class _Drawing(ABC):
    """Counts events under a lock and draws now and then; what drawing means is the subclass's affair."""

    def __init__(self, *, every: float = _SECONDS_BETWEEN_DRAWINGS, clock: Clock = time.monotonic) -> None:
        self._progress = Progress()
        self._lock = threading.Lock()
        self._every = every
        self._clock = clock
        self._drawn = clock()

    def on(self, event: Event) -> None:
        """Take one event; called from any thread."""
        with self._lock:
            self._progress.take(event)
            ends = isinstance(event, (PlanMade, ApplyFinished))
            if ends or isinstance(event, ApplyStarted) or self._is_due(event):
                self._drawn = self._clock()
                self._draw(self._progress)
            if ends:
                self._end()

    def _is_due(self, event: Event) -> bool:
        # After an interrupt everything that is left ends as cancelled, maybe a million times; the end says how many.
        if isinstance(event, OperationFinished) and event.outcome.status in _NEVER_BEGUN:
            return False
        return self._clock() - self._drawn >= self._every

    @abstractmethod
    def _draw(self, progress: Progress) -> None:
        """Show the numbers so far."""

    @abstractmethod
    def _end(self) -> None:
        """Close what was drawn."""


class Lines(_Drawing):
    """Writes one line every *every* seconds and one at the end; for logs and CI, where a moving bar is noise."""

    def __init__(self, stream: TextIO, *, every: float = SECONDS_BETWEEN_LINES, clock: Clock = time.monotonic) -> None:
        super().__init__(every=every, clock=clock)
        self._stream = stream

    def _draw(self, progress: Progress) -> None:
        self._stream.write(f"{progress}\n")
        self._stream.flush()

    def _end(self) -> None:
        """Nothing is left open."""


class TerminalBar(_Drawing):
    """Draws one bar of bytes and one line of counts with rich; both vanish at the end."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._stream = stream
        self._bar: Any = None
        self._task: Any = None
        self._finalizer: Optional[weakref.finalize[Any, Any]] = None

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            self._begin()
        is_planning = progress.phase == "planning"
        self._bar.update(
            self._task,
            description=str(progress),
            completed=min(progress.moved, progress.transfer_bytes),
            total=None if is_planning else progress.transfer_bytes,
        )
        self._bar.refresh()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        # The bar draws when events come: a thread of its own would go on drawing over a traceback.
        console = Console(file=self._stream)
        columns = (TextColumn("{task.description}", markup=False), BarColumn())
        self._bar = Bar(*columns, console=console, transient=True, auto_refresh=False)
        self._task = self._bar.add_task("", total=None)
        self._bar.start()
        # A run that ends in an exception sends no last event; the cursor comes back all the same.
        self._finalizer = weakref.finalize(self, self._bar.stop)

    def _end(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._bar = None

    def close(self) -> None:
        """Remove the bar and give the cursor back; harmless where there is none."""
        with self._lock:
            self._end()


class NotebookBar(_Drawing):
    """Draws one bar of bytes with tqdm, its counts beside it; where widgets are missing tqdm writes text."""

    def __init__(self, *, stream: Optional[TextIO] = None, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._stream = stream
        self._bar: Any = None

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._begun()
        if progress.phase != "planning":
            self._bar.total = max(progress.transfer_bytes, progress.moved)
            self._bar.n = progress.moved
        self._bar.set_description_str(str(progress) if progress.phase == "planning" else progress.counts)

    def _begun(self) -> Any:
        import warnings

        with warnings.catch_warnings():
            # tqdm warns where ipywidgets is missing and then writes text, which is what we want there.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm

            return tqdm(total=None, unit="B", unit_scale=True, leave=False, file=self._stream)

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def close(self) -> None:
        """Remove the bar; harmless where there is none."""
        with self._lock:
            self._end()


class JsonLines:
    """Writes every event as one line of JSON; bytes are summed and written at most once a second."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._moved = 0
        self._told = clock()

    def on(self, event: Event) -> None:
        """Take one event; called from any thread."""
        with self._lock:
            if isinstance(event, BytesMoved):
                self._moved += event.bytes
                if self._clock() - self._told < _SECONDS_BETWEEN_BYTES:
                    return
                self._told = self._clock()
                record: Dict[str, Any] = {"event": "bytes_moved", "bytes": self._moved}
            else:
                record = _record(event)
            self._stream.write(json.dumps(record) + "\n")
            self._stream.flush()


def _record(event: Event) -> Dict[str, Any]:
    """Return the record of any event but BytesMoved; plans and reports are summarised, outcomes are whole."""
    return _RECORDS[type(event)](event)


def _scan_record(event: ScanProgressed) -> Dict[str, Any]:
    return {"event": "scan_progressed", "paths": event.paths, "changes": event.changes}


def _plan_record(event: PlanMade) -> Dict[str, Any]:
    plan = event.plan
    return {
        "event": "plan_made",
        "digest": plan.digest,
        "operations": len(plan.operations),
        "transfer_bytes": plan.totals.transfer_bytes,
        "conflicts": len(plan.conflicts),
        "problems": len(plan.problems),
        "blockers": [shown(blocker.message) for blocker in plan.blockers],
    }


def _started_record(event: ApplyStarted) -> Dict[str, Any]:
    return {
        "event": "apply_started",
        "run_id": event.run_id,
        "operations": event.operations,
        "transfer_bytes": event.transfer_bytes,
    }


def _operation_record(event: OperationFinished) -> Dict[str, Any]:
    from ..serial import outcome_record

    return {"event": "operation_finished", **outcome_record(event.outcome)}


def _finished_record(event: ApplyFinished) -> Dict[str, Any]:
    report = event.report
    return {
        "event": "apply_finished",
        "run_id": report.run_id,
        "ok": report.ok,
        "exit_code": report.exit_code,
        "statuses": {status.value: len(outcomes) for status, outcomes in report.by_status.items()},
        "bytes": sum(outcome.bytes for outcome in report.outcomes),
    }


_RECORDS: Mapping[type, Callable[[Any], Dict[str, Any]]] = {
    ScanProgressed: _scan_record,
    PlanMade: _plan_record,
    ApplyStarted: _started_record,
    OperationFinished: _operation_record,
    ApplyFinished: _finished_record,
}


class Callback(Protocol):
    """What an fsspec callback offers."""

    def set_size(self, size: int) -> None:
        """Say how much there is to do."""

    def relative_update(self, inc: int = 1) -> None:
        """Say that so much more was done."""


class FsspecCallback:
    """Tells an fsspec callback how many bytes will travel and how many have."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._lock = threading.Lock()

    def on(self, event: Event) -> None:
        """Take one event; called from any thread."""
        with self._lock:
            if isinstance(event, ApplyStarted):
                self._callback.set_size(event.transfer_bytes)
            elif isinstance(event, BytesMoved):
                self._callback.relative_update(event.bytes)
