"""``syncengine apply``: perform a saved plan, without asking."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import click

from ..errors import SyncInterrupted
from .options import (
    Pair,
    events_option,
    guards_given,
    limit_options,
    limits_given,
    observing,
    on_stale_option,
    progress_option,
    state_place,
    subcommand,
    together,
)
from .output import Output, stopping
from .storage_options import options_given, storage_option

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..core.report import Report


def _here(*names: str, **attributes: Any) -> Any:
    """Return an option that the environment does not speak for: the plan has said everything that decides."""
    return click.option(*names, allow_from_autoenv=False, **attributes)


_apply_options = together(
    _here("--expect-digest", metavar="DIGEST", help="Refuse any other plan than this one."),
    _here("--resume", metavar="REPORT", type=click.Path(exists=True, dir_okay=False), help="Do what a run left."),
    _here("--report", "report_place", metavar="FILE", help="Save the report."),
    on_stale_option,
    _here("--relocate", multiple=True, type=Pair(), metavar="SIDE=URL", help="Apply elsewhere; records no state."),
    _here("--state", metavar="PLACE", help="Where the state of the plan is now, or none."),
    _here("--source-profile", metavar="NAME", help="fsspec profile with the options of the source."),
    _here("--destination-profile", metavar="NAME", help="fsspec profile with the options of the destination."),
    storage_option("--source-option", "the source"),
    storage_option("--destination-option", "the destination"),
    _here("--max-delete", metavar="LIMIT", help="Refuse more deletions on a side, whatever the plan allows."),
    _here("--max-overwrite", metavar="LIMIT", help="Refuse more replaced files on a side."),
    _here("--max-transfer-bytes", metavar="SIZE", help="Refuse to transfer more."),
    _here("--protect", multiple=True, metavar="PATTERN", help="What nothing may destroy (repeatable)."),
    limit_options,
    progress_option,
    events_option,
    _here("--json", "as_json", is_flag=True, help="Print the report as one JSON document."),
)


@subcommand(
    "apply",
    "syncengine apply mirror.plan.json --report report.json",
    "syncengine apply --resume report.json",
)
@click.argument("file", metavar="PLAN", required=False, type=click.Path(exists=True, dir_okay=False))
@_apply_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    file: Optional[str],
    expect_digest: Optional[str],
    resume: Optional[str],
    report_place: Optional[str],
    as_json: bool,
    events: bool,
    progress: Optional[bool],
    **said: Any,
) -> None:
    """Perform a saved plan.

    Never asks. Nothing is written where the plan is stale (5) or a guard refuses (6); the end says what was done:
    0 all, 3 not all, 4 all but open conflicts, 7 all but what could not be seen.
    """
    from ..engine import apply

    plan = _plan(file, resume)
    output.named = (plan.source.url, plan.destination.url, *_state_words(plan, said["state"]))
    cancel = threading.Event()
    arguments = {
        **_places(said),
        **options_given(said),
        **limits_given(context),
        **observing(output, events=events, progress=progress),
        "guards": guards_given(context),
        "cancel": cancel,
    }
    with stopping(cancel, output):
        try:
            report = apply(plan, expect_digest=expect_digest, **arguments)
        except SyncInterrupted as error:
            _end(output, error.report, report_place, as_json=as_json)
            raise
    _end(output, report, report_place, as_json=as_json, hints=not events)
    context.exit(report.exit_code)


def _state_words(plan: Plan, said: Optional[str]) -> Tuple[str, ...]:
    place = said or plan.base.place
    return () if place in (None, "default") else ("--state", str(place))


def _plan(file: Optional[str], resume: Optional[str]) -> Plan:
    from ..serial import load_plan, load_report

    if resume is None:
        if file is None:
            raise click.UsageError("give a saved plan, or --resume with the report of a run")
        return load_plan(file)
    report = load_report(resume)
    if file is not None and load_plan(file).root_digest != report.plan.root_digest:
        raise click.UsageError(f"{click.format_filename(resume)} is the report of another plan")
    return report.remaining()


def _places(said: Dict[str, Any]) -> Dict[str, Any]:
    profiles = {side: said[f"{side}_profile"] for side in ("source", "destination") if said[f"{side}_profile"]}
    found: Dict[str, Any] = {"profiles": profiles, "relocate": _relocated(said["relocate"])}
    if said["on_stale"] is not None:
        found["on_stale"] = said["on_stale"]
    if said["state"] is not None:
        found["state"] = state_place(said["state"])
    return found


def _relocated(pairs: Tuple[Tuple[str, str], ...]) -> Dict[str, str]:
    for side, _ in pairs:
        if side not in ("source", "destination"):
            raise click.UsageError(f"--relocate takes source=URL or destination=URL, not {side}=…")
    return dict(pairs)


def _end(output: Output, report: Optional[Report], place: Optional[str], *, as_json: bool, hints: bool = True) -> None:
    if report is None:
        return
    if place is not None:
        report.save(place)
    if as_json:
        output.result(report.to_json())
    else:
        output.ended(report)
    if hints:
        output.after(report, place, replans=False)
