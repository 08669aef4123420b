"""``syncengine sync``: plan, show the plan, ask, and perform what was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Tuple

import click
from attrs import frozen

from ..core.units import counted
from ..errors import SyncError, SyncInterrupted
from .options import Request, events_option, json_option, places_argument, request, subcommand, sync_options, together
from .output import Output, join_documents, stopping

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..core.report import Report
    from ..engine import SyncEngine


def _no_dry_run(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        raise click.UsageError("there is no --dry-run: `syncengine plan` says what a sync would do", context)


_sync_options = together(
    click.option("-y", "--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask; guards still refuse."),
    click.option("--report", "place", metavar="FILE", allow_from_autoenv=False, help="Save the report."),
    click.option(
        "--dry-run",
        is_flag=True,
        hidden=True,
        is_eager=True,
        expose_value=False,
        allow_from_autoenv=False,
        callback=_no_dry_run,
    ),
    json_option,
    sync_options,
    events_option,
)


@frozen
class _Manner:
    """How a sync is performed: without asking, as JSON, with events, its report saved."""

    yes: bool
    as_json: bool
    events: bool
    place: Optional[str]


@subcommand("sync", "syncengine sync ~/Pictures /mnt/backup/pictures", "syncengine sync mirror.toml --yes")
@places_argument
@_sync_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    yes: bool,
    place: Optional[str],
    as_json: bool,
    events: bool,
    **_: object,
) -> None:
    """Plan, show the plan, ask, and perform it.

    What is performed is the plan that was shown. Without a terminal nobody can be asked: pass --yes. More than 20
    deletions ask for their number. Ends like `apply`, and with 130 where the answer is no.
    """
    asked = request(context, places)
    if not yes and not output.can_ask:
        raise click.UsageError(
            "sync asks before it writes, and there is no terminal: pass --yes, or use `plan -o` and `apply`", context
        )
    manner = _Manner(yes, as_json, events, place)
    context.exit(_synced(asked, output, manner))


def _synced(asked: Request, output: Output, manner: _Manner) -> int:
    with asked.engine(output, events=manner.events) as engine:
        plan = engine.plan()
        _show(plan, output, manner)
        if plan.operations and not plan.blockers and not manner.yes and not _confirmed(plan, output):
            output.say("nothing was written")
            return SyncInterrupted.exit_code
        try:
            report = _applied(engine, plan, output)
        except SyncError as error:
            _end(plan, getattr(error, "report", None), output, manner)
            raise
    _end(plan, report, output, manner)
    return report.exit_code


def _show(plan: Plan, output: Output, manner: _Manner) -> None:
    asks = not manner.yes and bool(plan.operations)
    if not manner.as_json and (asks or not output.quiet):
        output.plan(plan, blockers=False)  # a blocked plan is refused next, and the refusal says why
    elif manner.as_json and asks:
        # Whoever is asked must see what for; standard output belongs to the document.
        click.echo(str(plan), err=True, color=False)


def _confirmed(plan: Plan, output: Output) -> bool:
    deletions = sum(operation.removes_file for operation in plan.operations)
    also = f", {deletions:,} of them deletions" if deletions else ""
    number = counted(len(plan.operations), "operation")
    return output.confirm(f"Do this ({number}{also})?", number=deletions)


def _applied(engine: SyncEngine, plan: Plan, output: Output) -> Report:
    with stopping(engine.cancel, output):
        # What was looked at to make this plan need not be looked at again before the check of each write.
        return engine.apply(plan, on_stale="skip", preflight=False)


def _end(plan: Plan, report: Optional[Report], output: Output, manner: _Manner) -> None:
    if report is not None and manner.place is not None:
        report.save(manner.place)
    if manner.as_json:
        document = {"plan": plan.to_json(), "report": None if report is None else report.to_json()}
        output.result(join_documents(document))
    elif report is not None and (report.outcomes or report.recorded or report.exit_code):
        output.ended(report)
    if report is not None and not manner.events:
        output.after(report, manner.place)
