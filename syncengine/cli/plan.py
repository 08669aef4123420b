"""``syncengine plan``: what would a sync do?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Tuple

import click

from .options import events_option, places_argument, request, subcommand, sync_options, together, view_options
from .output import Output

if TYPE_CHECKING:
    from ..core.plan import Plan

BLOCKED, INCOMPLETE, UNRESOLVED, CHANGES = 6, 7, 4, 10
"""What ``--exit-code`` ends with, the first that applies."""

_plan_options = together(
    click.option("-o", "--output", "place", metavar="FILE", allow_from_autoenv=False, help="Save the plan."),
    click.option(
        "--exit-code", is_flag=True, allow_from_autoenv=False, help="End with 6, 7, 4 or 10 where there is something."
    ),
    view_options,
    sync_options,
    events_option,
)


@subcommand(
    "plan", "syncengine plan ~/Pictures s3://backup/pictures", "syncengine plan mirror.toml -o mirror.plan.json"
)
@places_argument
@_plan_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    place: Optional[str],
    exit_code: bool,
    view: Optional[str],
    html: Optional[str],
    events: bool,
    **_: object,
) -> None:
    """Say what a sync would do; write nothing.

    Ends with 0 whenever a plan was made. With --exit-code: 6 where a guard refuses it, 7 where something could not be
    seen, 4 where a conflict is open, 10 where there is something to do, else 0.
    """
    with request(context, places).engine(output, events=events) as engine:
        plan = engine.plan()
    if place is not None:
        plan.save(place)
    output.plan_view(plan, view, html)
    if not events:
        _say_next(output, plan, place)
    if exit_code:
        context.exit(code_of(plan))


def code_of(plan: Plan) -> int:
    """Return what ``--exit-code`` ends with."""
    if plan.blockers:
        return BLOCKED
    if not plan.complete:
        return INCOMPLETE
    if plan.unresolved:
        return UNRESOLVED
    return CHANGES if plan.operations else 0


def _say_next(output: Output, plan: Plan, place: Optional[str]) -> None:
    if place is None:
        output.say("not saved: what `sync` does may differ (-o FILE saves the plan)")
        return
    output.saved(plan, place)
