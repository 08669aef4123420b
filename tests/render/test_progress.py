"""Progress: who is shown what where, the console view, and that no view holds a secret."""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from attrs import evolve
from fsspec.callbacks import Callback
from rich.console import Console

from syncengine.core.plan import Plan
from syncengine.core.plan_parts import Operation
from syncengine.core.report import Outcome, Report, Status
from syncengine.events import (
    ApplyFinished,
    ApplyStarted,
    BytesMoved,
    Event,
    OperationFinished,
    PlanMade,
    ScanProgressed,
)
from syncengine.render.progress import FsspecCallback, JsonLines, Lines, NotebookBar, TerminalBar, automatic
from syncengine.serial import outcome_from_record

GOLDEN = Path(__file__).parent.parent / "data" / "plan-1.0.json"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is told how late it is."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def outcomes() -> List[Outcome]:
    operations: List[Operation] = list(Plan.load(GOLDEN))
    return [Outcome(operations[0], Status.DONE), Outcome(operations[1], Status.FAILED)]


def report() -> Report:
    return Report(Plan.load(GOLDEN), tuple(outcomes()), "run", "", "")


def events() -> List[Event]:
    finished: List[Event] = [OperationFinished(outcome) for outcome in outcomes()]
    return [
        ScanProgressed(1_000, 2),
        PlanMade(Plan.load(GOLDEN)),
        ApplyStarted("run", 2, 100),
        BytesMoved("a", 40),
        BytesMoved("a", 60),
        *finished,
        ApplyFinished(report()),
    ]


PLACES: Dict[str, Any] = {
    "a terminal": (None, Terminal(), {}, TerminalBar),
    "a terminal, asked for": (True, Terminal(), {}, TerminalBar),
    "a terminal, silenced": (False, Terminal(), {}, type(None)),
    "a dumb terminal": (None, Terminal(), {"TERM": "dumb"}, type(None)),
    "a terminal in CI": (None, Terminal(), {"CI": "true"}, type(None)),
    "CI, asked for": (True, Terminal(), {"CI": "true"}, Lines),
    "a file": (None, io.StringIO(), {}, type(None)),
    "a file, asked for": (True, io.StringIO(), {}, Lines),
}


@pytest.mark.parametrize(("asked", "stream", "environment", "kind"), PLACES.values(), ids=PLACES)
def test_progress_suits_where_the_process_runs(
    asked: Optional[bool], stream: Any, environment: Dict[str, str], kind: type
) -> None:
    assert type(automatic(asked, stream=stream, environment=environment)) is kind


def test_a_notebook_gets_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        """What IPython calls the shell of a kernel."""

    class Module:
        get_ipython = staticmethod(ZMQInteractiveShell)

    monkeypatch.setitem(sys.modules, "IPython", Module())

    assert type(automatic(None, stream=io.StringIO(), environment={})) is NotebookBar


def test_lines_are_written_every_ten_seconds_and_at_the_ends() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock=clock)
    for event in events():
        clock.now += 4
        lines.on(event)

    assert stream.getvalue().splitlines() == [
        "planning: 1,000 paths compared, 2 changes",
        "0 of 2 operations · 0 B of 100 B",
        "1 of 2 operations · 100 B of 100 B",
        "2 of 2 operations, 1 failed · 100 B of 100 B",
    ]


def test_a_terminal_bar_shows_planning_then_bytes_and_gives_the_cursor_back() -> None:
    stream, clock = Terminal(), Clock()
    bar = TerminalBar(stream, clock=clock)
    for event in events():
        clock.now += 1
        bar.on(event)

    assert "planning: 1,000 paths compared" in stream.getvalue()
    assert "2 of 2 operations, 1 failed" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 2


def test_a_terminal_bar_whose_run_was_cut_off_gives_the_cursor_back() -> None:
    stream = Terminal()
    bar = TerminalBar(stream)
    bar.on(ApplyStarted("run", 2, 100))
    bar.close()
    bar.close()

    assert stream.getvalue().count("\x1b[?25h") == 1


def test_a_notebook_bar_shows_counts_and_bytes() -> None:
    stream, clock = io.StringIO(), Clock()
    bar = NotebookBar(stream=stream, clock=clock)
    for event in events():
        clock.now += 1
        bar.on(event)
    bar.close()

    assert "planning: 1,000 paths compared" in stream.getvalue()
    assert "2 of 2 operations, 1 failed" in stream.getvalue()


def test_drawing_is_rare_however_many_events_come() -> None:
    stream, clock = io.StringIO(), Clock()
    bar = Lines(stream, every=0.1, clock=clock)
    bar.on(ApplyStarted("run", 10_000, 10_000))
    for _ in range(10_000):
        clock.now += 0.00001
        bar.on(BytesMoved("a", 1))

    assert len(stream.getvalue().splitlines()) <= 3


def test_operations_that_an_interrupt_cancelled_are_counted_at_the_end_and_draw_nothing() -> None:
    stream, clock = io.StringIO(), Clock()
    bar = Lines(stream, every=0.1, clock=clock)
    bar.on(ApplyStarted("run", 1_000, 100))
    for _ in range(1_000):
        clock.now += 1
        bar.on(OperationFinished(Outcome(outcomes()[0].operation, Status.CANCELLED)))
    bar.on(ApplyFinished(report()))

    assert [line.partition(" · ")[0] for line in stream.getvalue().splitlines()] == [
        "0 of 1,000 operations",
        "1,000 of 1,000 operations, 1,000 cancelled",
    ]


def test_events_from_many_threads_are_all_counted() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.on(ApplyStarted("run", 0, 4_000))
    threads = [threading.Thread(target=lambda: [lines.on(BytesMoved("a", 1)) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.on(ApplyFinished(report()))

    assert "4 kB of 4 kB" in stream.getvalue()


def test_json_lines_hold_every_event_and_whole_outcomes() -> None:
    stream, clock = io.StringIO(), Clock()
    observer = JsonLines(stream, clock=clock)
    for event in events():
        clock.now += 0.7
        observer.on(event)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert stream.getvalue().isascii()
    assert [record.pop("event") for record in records] == [
        "scan_progressed", "plan_made", "apply_started", "bytes_moved", "operation_finished", "operation_finished",
        "apply_finished",
    ]  # fmt: skip
    assert records[3] == {"bytes": 40}
    assert [outcome_from_record(record) for record in records[4:6]] == outcomes()
    assert records[6]["statuses"] == {"done": 1, "failed": 1}


def test_an_fsspec_callback_hears_of_bytes() -> None:
    callback = Callback()
    for event in events():
        FsspecCallback(callback).on(event)

    assert (callback.size, callback.value) == (100, 100)


# ------------------------------------------------------------------------------------------------------- the console


def printed(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(plan)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_console_shows_the_summary_what_blocks_and_the_first_rows() -> None:
    text = printed(Plan.load(GOLDEN))
    places = [text.index(part) for part in ("(two-way)", "the source lost everything", "d/open", "c/gone", "b/model")]

    assert places == sorted(places)
    assert "… and 5 more" in text


def test_a_name_is_never_read_as_markup() -> None:
    plan = Plan.load(GOLDEN)
    hostile = evolve(plan.operations[0], path="[bold]x[/x][link=file:etc]")
    text = printed(evolve(plan, operations=(hostile,), conflicts=(), problems=(), findings=()))

    assert "[bold]x[/x][link=file:etc]" in text


def test_no_rendering_holds_a_secret_of_the_live_clients() -> None:
    secret = "hunter2-planted"

    class Client:
        def __repr__(self) -> str:
            return f"Client(secret={secret})"

    plan = evolve(Plan.load(GOLDEN), live_clients=(Client(), secret))
    done = evolve(report(), plan=plan)
    stream = io.StringIO()
    observer = JsonLines(stream)
    for event in (PlanMade(plan), ApplyFinished(done), OperationFinished(done.outcomes[0])):
        observer.on(event)
    outputs = [str(plan), plan._repr_html_(), plan.to_markdown(), printed(plan), repr(plan.to_records())]
    outputs += [str(done), done._repr_html_(), repr(done.to_records()), stream.getvalue(), *plan.itemize()]
    outputs += [plan.explain(operation.path) for operation in plan]

    assert [text for text in outputs if secret in text] == []
