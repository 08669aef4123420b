"""What `restore`, `history --undo` and `prune` share: show a plan, ask, apply it, or save it instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence, Tuple

import click
from attrs import frozen

from ..core.units import counted
from ..errors import SyncError, SyncInterrupted
from .options import Request, together
from .output import Output, join_documents, stopping

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..core.report import Report
    from ..engine import SyncEngine

plan_options = together(
    click.option(
        "-o", "--output", "place", metavar="FILE", allow_from_autoenv=False, help="Save the plan, do nothing."
    ),
    click.option("-y", "--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask; guards still refuse."),
    click.option("--report", "report_place", metavar="FILE", allow_from_autoenv=False, help="Save the report."),
)


@frozen
class Manner:
    """What becomes of a plan: saved to ``place``, or applied, after asking unless ``yes``."""

    place: Optional[str]
    yes: bool
    as_json: bool
    report_place: Optional[str]

    def check(self, context: click.Context, output: Output) -> None:
        """Refuse what would have to ask where nobody is."""
        if self.place is None and not self.yes and not output.can_ask:
            raise click.UsageError(
                "this asks before it writes, and there is no terminal: pass --yes, or -o FILE and `apply` it later",
                context,
            )


def with_path(places: Sequence[str]) -> Tuple[Sequence[str], Optional[str]]:
    """Part the places of a pair, or a recipe, from the path that may follow."""
    pair = 1 if places and places[0].endswith((".toml", ".json")) else 2
    if len(places) > pair + 1:
        raise click.UsageError(f"one path is expected after the places; found {len(places) - pair}")
    return places[:pair], places[pair] if len(places) > pair else None


def done(asked: Request, output: Output, manner: Manner, make: Callable[[SyncEngine], Plan]) -> int:
    """Make a plan and do with it what *manner* says; return the exit code."""
    with asked.engine(output) as engine:
        plan = make(engine)
        if manner.place is not None:
            return _saved(plan, output, manner)
        asks = not manner.yes and bool(plan.operations)
        if not manner.as_json and (asks or not output.quiet):
            # A blocked plan is refused next, and the refusal says why.
            output.plan(plan, blockers=False, rest="saved with -o, `syncengine show --itemize` shows all")
        elif manner.as_json and asks:
            click.echo(str(plan), err=True, color=False)
        if not plan.operations:
            return _ended(plan, None, output, manner)
        if not plan.blockers and not manner.yes and not _confirmed(plan, output):
            output.say("nothing was written")
            return SyncInterrupted.exit_code
        return _applied(engine, plan, output, manner)


def _saved(plan: Plan, output: Output, manner: Manner) -> int:
    assert manner.place is not None
    plan.save(manner.place)
    output.plan_view(plan, "json" if manner.as_json else None, None)
    output.saved(plan, manner.place)
    return 0


def _confirmed(plan: Plan, output: Output) -> bool:
    deletions = sum(operation.removes_file for operation in plan.operations)
    also = f", {deletions:,} of them deletions" if deletions else ""
    return output.confirm(f"Do this ({counted(len(plan.operations), 'operation')}{also})?", number=deletions)


def _applied(engine: SyncEngine, plan: Plan, output: Output, manner: Manner) -> int:
    from ..engine import apply

    try:
        with stopping(engine.cancel, output):
            report = apply(plan, cancel=engine.cancel, on_stale="skip", progress=engine.progress)
    except SyncError as error:
        _ended(plan, getattr(error, "report", None), output, manner)
        raise
    return _ended(plan, report, output, manner)


def _ended(plan: Plan, report: Optional[Report], output: Output, manner: Manner) -> int:
    if report is not None and manner.report_place is not None:
        report.save(manner.report_place)
    if manner.as_json:
        document = {"plan": plan.to_json(), "report": None if report is None else report.to_json()}
        output.result(join_documents(document))
    elif report is not None:
        output.ended(report)
    if report is not None:
        output.after(report, manner.report_place)
        return report.exit_code
    return 0 if plan.complete else INCOMPLETE


INCOMPLETE = 7
"""What ends a command whose plan does nothing because something could not be brought back."""
