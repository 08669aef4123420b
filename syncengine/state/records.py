"""What is remembered of a pair besides its rows: its name, its runs, what was begun, how far its first sync is."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from hashlib import sha256
from typing import Any, Dict, Mapping, Optional, Tuple

from attrs import field, frozen

from ..core.modes import InitialSyncPreference

_IDENTITY_FORMAT = "syncengine.pair/1"


def pair_id(source_identity: str, destination_identity: str) -> str:
    """Return the name of a pair; which of the two is called source does not matter.

    >>> pair_id("a", "b") == pair_id("b", "a")
    True
    """
    text = json.dumps([_IDENTITY_FORMAT, *sorted((source_identity, destination_identity))])
    return sha256(text.encode("ascii")).hexdigest()[:32]


def default_place() -> str:
    """Return the directory in which this user's states are kept unless another is asked for."""
    import platformdirs

    return platformdirs.user_state_dir("syncengine", appauthor=False)


@frozen
class StateReference:
    """Which state a plan was made from; ``lineage`` is None for a pair that nothing has been recorded of."""

    place: str
    lineage: Optional[str]
    generation: int


@frozen
class Bootstrap:
    """How far the first sync is: the prefixes still to do, and the preference that governs them until then."""

    todo: Tuple[str, ...]
    preference: Optional[InitialSyncPreference]

    @property
    def finished(self) -> bool:
        """Whether the preference no longer matters."""
        return not self.todo


class Ended(str, Enum):
    """How a run ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    RUNNING = "running"


@frozen
class Run:
    """One run of the history; ``counts`` are outcomes by status, ``generations`` those it wrote."""

    run_id: str
    started_at: datetime
    mode: str
    plan_digest: str
    root_digest: str
    finished_at: Optional[datetime] = None
    ended: Ended = Ended.RUNNING
    counts: Mapping[str, int] = field(factory=dict)
    generations: Tuple[int, ...] = ()


@frozen
class Intent:
    """Something begun whose interruption must be told from a user's change; a hint that is checked, never trusted."""

    operation: str
    kind: str
    paths: Tuple[str, ...]
    payload: Mapping[str, Any] = field(factory=dict)


@frozen
class PairSummary:
    """One pair of a place; ``problem`` says why nothing else is known of it."""

    pair_id: str
    locations: Tuple[str, str] = ("", "")
    generation: int = 0
    rows: int = 0
    last_run: Optional[Run] = None
    problem: Optional[str] = None


def run_document(run: Run) -> Dict[str, Any]:
    """Return a run as it is stored."""
    return {
        "run_id": run.run_id,
        "started_at": run.started_at.isoformat(),
        "mode": run.mode,
        "plan_digest": run.plan_digest,
        "root_digest": run.root_digest,
        "finished_at": None if run.finished_at is None else run.finished_at.isoformat(),
        "ended": run.ended.value,
        "counts": dict(run.counts),
        "generations": list(run.generations),
    }


def run_from(document: Mapping[str, Any]) -> Run:
    """Return the run that was stored as *document*."""
    finished_at = document["finished_at"]
    changes = {
        "started_at": datetime.fromisoformat(document["started_at"]),
        "finished_at": None if finished_at is None else datetime.fromisoformat(finished_at),
        "ended": Ended(document["ended"]),
        "generations": tuple(document["generations"]),
    }
    return Run(**{**document, **changes})
