"""``syncengine conflicts``: what both sides disagree on, and its resolution by command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Iterator, Optional, Tuple

import click

from ..core.units import counted
from ..errors import SyncInterrupted, UnresolvedConflictsError
from .options import Pair, Request, json_option, places_argument, request, subcommand, sync_options
from .output import Output, stopping

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..core.plan_parts import Conflict
    from ..engine import SyncEngine


@subcommand(
    "conflicts",
    "syncengine conflicts notes.toml",
    "syncengine conflicts ~/notes sftp://host/notes --mode two-way --resolve 'drafts/**=source'",
)
@places_argument
@click.option(
    "--resolve",
    "decisions",
    multiple=True,
    type=Pair(),
    metavar="PATTERN=TO",
    help="Decide conflicts: source, destination, newer or keep-both (repeatable); only they are applied.",
)
@click.option("-y", "--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask; guards still refuse.")
@json_option
@sync_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    decisions: Tuple[Tuple[str, str], ...],
    yes: bool,
    as_json: bool,
    **_: object,
) -> None:
    """List the open conflicts of two places, or resolve some of them.

    Without --resolve nothing is written; ends with 4 where a conflict is open, else with 0. With it only the
    conflicts that match are carried out, and the rest of the plan is left for the next sync. What both sides disagree
    on is listed whatever --conflict says of it; a mode that is not given is two-way.
    """
    with _asking(request(context, places)).engine(output) as engine:
        plan = engine.plan()
        if decisions:
            context.exit(_resolved(engine, _decided(plan, decisions, context), output, context, yes=yes))
        if as_json:
            from ..core.canonical import record

            output.document([record(conflict) for conflict in plan.unresolved])
        else:
            output.lines(_described(plan.unresolved))
    context.exit(UnresolvedConflictsError.exit_code if plan.unresolved else 0)


def _asking(asked: Request) -> Request:
    """Return *asked* so that no policy decides what is listed, and no conflict is shown as resolved that is not."""
    return asked.with_(mode=asked.arguments.get("mode", "two-way"), conflict="manual")


def _described(conflicts: Iterable[Conflict]) -> Iterator[str]:
    from ..core.paths import shown
    from ..render.text import stamp_words

    found = tuple(conflicts)
    for conflict in found:
        yield f"! {shown(conflict.path)}  {conflict.kind.value.replace('_', '/')}"
        yield f"    source:      {stamp_words(conflict.source)}"
        yield f"    destination: {stamp_words(conflict.destination)}"
    yield f"{len(found):,} open" if found else "no open conflict"


def _decided(plan: Plan, decisions: Iterable[Tuple[str, str]], context: click.Context) -> Plan:
    """Return the operations of the resolved conflicts alone."""
    from ..core.patterns import matcher

    paths = set()
    for pattern, to in decisions:
        matches = matcher([pattern])
        chosen = {conflict.path for conflict in plan.conflicts if matches(conflict.path)}
        if not chosen:
            raise click.UsageError(f"--resolve {pattern!r} matches no conflict", context)
        paths |= chosen
        plan = plan.resolve(pattern, to=to)
    groups = {f"conflict:{path}" for path in paths}
    return plan.keep(lambda item: item.path in paths or getattr(item, "group", None) in groups)


def _resolved(engine: SyncEngine, plan: Plan, output: Output, context: click.Context, *, yes: bool) -> int:
    if not yes and not output.can_ask:
        raise click.UsageError(
            "a resolution is written to both sides, and there is no terminal to ask: pass --yes", context
        )
    if not yes or not output.quiet:
        output.plan(plan)
    if not yes and not output.confirm(f"Resolve so ({counted(len(plan), 'operation')})?", number=_deletions(plan)):
        output.say("nothing was written")
        return SyncInterrupted.exit_code
    with stopping(engine.cancel, output):
        report = engine.apply(plan, on_stale="skip")
    output.report(report, None)
    return report.exit_code


def _deletions(plan: Optional[Plan]) -> int:
    return sum(operation.removes_file for operation in plan or ())
