"""``syncengine edit``: the review of a saved plan, as another saved plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Optional, Tuple

import click

from .options import Pair, subcommand
from .output import Output, quoted

if TYPE_CHECKING:
    from ..core.plan import Plan


@subcommand(
    "edit",
    "syncengine edit plan.json --drop 'tmp/**' --resolve 'docs/**=source' -o plan2.json",
    "syncengine edit plan.json --approve alice --note 'ticket 42' -o approved.json",
    environment=False,
)
@click.argument("file", metavar="PLAN", type=click.Path(exists=True, dir_okay=False))
@click.option("--keep", multiple=True, metavar="PATTERN", help="Keep only the operations that match (repeatable).")
@click.option("--drop", multiple=True, metavar="PATTERN", help="Leave out the operations that match (repeatable).")
@click.option(
    "--resolve",
    "decisions",
    multiple=True,
    type=Pair(),
    metavar="PATTERN=TO",
    help="Decide conflicts: source, destination, newer, keep-both or skip (repeatable).",
)
@click.option("--approve", metavar="BY", help="Sign the plan, as it is after the other changes.")
@click.option("--note", default="", metavar="TEXT", help="What the signature says.")
@click.option("--seal", is_flag=True, help="Accept changes that were made by hand, and note what it was before.")
@click.option("-o", "--output", "place", required=True, metavar="FILE", help="Where the new plan is saved.")
def command(
    output: Output,
    file: str,
    keep: Tuple[str, ...],
    drop: Tuple[str, ...],
    decisions: Tuple[Tuple[str, str], ...],
    approve: Optional[str],
    note: str,
    seal: bool,
    place: str,
) -> None:
    """Change, resolve, approve or seal a saved plan.

    An edit can only leave out operations or turn a recorded conflict into operations; PATTERN is gitignore's. A
    pattern that matches nothing is an error, so that a misspelled one is noticed.
    """
    if note and approve is None:
        raise click.UsageError("--note is the text of a signature; it needs --approve")
    plan = _loaded(file, seal=seal)
    plan = _kept(plan, keep)
    plan = _dropped(plan, drop)
    for pattern, to in decisions:
        plan = _resolved(plan, pattern, to, approve or "user")
    if approve is not None:
        plan = plan.approve(by=approve, note=note)
    plan.save(place)
    output.plan(plan, rest=f"`syncengine show {quoted(place)} --itemize` shows all")
    output.saved(plan, place)


def _loaded(file: str, *, seal: bool) -> Plan:
    from ..serial import load_plan
    from ..serial import seal as sealed

    return sealed(file) if seal else load_plan(file)


def _kept(plan: Plan, patterns: Iterable[str]) -> Plan:
    chosen = {operation.id for pattern in patterns for operation in _matching(plan, "--keep", pattern)}
    return plan.keep(chosen) if chosen else plan


def _dropped(plan: Plan, patterns: Iterable[str]) -> Plan:
    chosen = {operation.id for pattern in patterns for operation in _matching(plan, "--drop", pattern)}
    return plan.drop(chosen) if chosen else plan


def _matching(plan: Plan, option: str, pattern: str) -> Plan:
    found = plan.where(pattern)
    if not found.operations:
        raise click.UsageError(f"{option} {pattern!r} matches no operation of the plan")
    return found


def _resolved(plan: Plan, pattern: str, to: str, by: str) -> Plan:
    from ..core.patterns import matcher

    matches = matcher([pattern])
    if not any(matches(conflict.path) for conflict in plan.conflicts):
        raise click.UsageError(f"--resolve {pattern!r} matches no conflict of the plan")
    return plan.resolve(pattern, to=to, by=by)
