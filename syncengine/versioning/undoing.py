"""Undo: the outcomes of a run, from its journal or its report, and the plan that takes them back."""

from __future__ import annotations

from typing import Union

from ..core.entry import Side
from ..core.plan import Plan
from ..core.plan_parts import Purpose
from ..core.report import Report
from ..core.undoing import Undoing, unended
from ..engine import SyncEngine
from ..errors import RecipeError
from ..stages.directory_moves import directory_difference
from .archive import Archive, Past, archive_of, unknown_run
from .making import Making


def undo_of(engine: SyncEngine, run: Union[str, Report]) -> Plan:
    """Return the plan that takes back what *run*, an id or a report, did."""
    archive = archive_of(engine)
    if isinstance(run, Report):
        archive.learn(run)
        run = run.run_id
    past = _past(archive, run)
    recorded = tuple(past.outcomes)
    done = [outcome for outcome in recorded if outcome.operation.purpose is not Purpose.PRUNE]
    places = {(outcome.operation.target, outcome.operation.path) for outcome in done}
    places |= {outcome.operation.origin for outcome in done if outcome.operation.origin is not None}
    evidence = archive.evidence(places.__contains__)
    clients = archive.job.clients
    undoing = Undoing(
        evidence,
        evidence.runs.index(run),
        lambda side, directory, expected: directory_difference(clients[side], directory, expected),
    )
    undoing.take(done)
    making = Making(engine, archive, Purpose.UNDO, run)
    targets = {side: undoing.target(side) for side in Side}
    unknown = [] if past.has_ended else [unended(run, recorded)]
    return making.plan(targets, moves=undoing.moves, problems=[*unknown, *undoing.problems])


def _past(archive: Archive, run_id: str) -> Past:
    past = next((past for past in archive.pasts if past.run_id == run_id), None)
    if past is None:
        raise RecipeError(
            f"{unknown_run(run_id, [past.run_id for past in archive.pasts])}. A run is undone from its journal, which "
            "lies with the state of the machine that ran it, or from its saved report."
        )
    return past
