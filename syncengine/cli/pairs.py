"""The pairs whose states lie on this machine: where, between which places, and how their last runs ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Optional

from attrs import evolve

from ..errors import RecipeError

if TYPE_CHECKING:
    from ..state.records import PairSummary, Run


def local_place(state: Optional[str]) -> str:
    """Return the folder that holds states: the one that was named, the environment's, or the user's own."""
    from ..state.records import default_place

    if state is not None and "://" in state:
        raise RecipeError("states are listed in a folder of this machine, not at a URL; name the pair by its places")
    if state in (None, "default"):
        return os.environ.get("SYNCENGINE_STATE") or default_place()
    return str(state)


def places_words(pair: PairSummary) -> str:
    """Return the two places of a pair, whose stored order says nothing about source and destination."""
    return " ↔ ".join(location for location in pair.locations if location)


def last_run(place: str, pair: PairSummary) -> Optional[Run]:
    """Return the last run of a pair; one that has not ended has crashed unless somebody holds the lock."""
    run = pair.last_run
    if run is None or run.finished_at is not None:
        return run
    from ..state.home import DirectoryHome
    from ..state.lock import PairLock
    from ..state.records import Ended

    home = DirectoryHome(os.path.join(place, pair.pair_id))
    return run if PairLock(home.cell, home.shown).holder() is not None else evolve(run, ended=Ended.CRASHED)


def run_record(run: Run) -> Dict[str, Any]:
    """Return what is remembered of one run, for JSON."""
    return {
        "run_id": run.run_id,
        "ended": run.ended.value,
        "mode": run.mode,
        "started_at": run.started_at.isoformat(),
        "finished_at": None if run.finished_at is None else run.finished_at.isoformat(),
        "counts": dict(run.counts),
        "plan_digest": run.plan_digest,
    }
