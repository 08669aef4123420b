"""Prune: which versions of the trash no rule keeps, and the plan that deletes them."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Set

from attrs import define, evolve

from ..core.bringing_back import BringingBack, contents_of
from ..core.entry import Side
from ..core.guards import Guards
from ..core.plan import Plan
from ..core.plan_parts import Endpoint, Operation, Purpose, StateRef
from ..core.pruning import Candidate, Keep, prunable
from ..core.versions import Retained
from ..engine import SyncEngine
from ..places import Live
from ..state.records import Ended, Run
from ..storage.location import locate
from ..storage.protocol import StorageClientProtocol
from .archive import Archive, archive_of, moment_of
from .making import settings_for, text_of


def prune_of(engine: SyncEngine, keep: Keep, side: Optional[Side] = None) -> Plan:
    """Return the plan that deletes from the trash what *keep* does not keep, of one side or of both."""
    archive = archive_of(engine)
    open_paths = _open_conflicts(engine)
    retained = [each for each in archive.retained() if side in (None, each.side)]
    protected = _unsettled(archive.runs)
    when = archive.when
    candidates = [
        Candidate(
            (each.side.value, each.path or each.place.rpartition("/")[2]),
            when.get(each.run_id, moment_of(each.run_id)),
            each.place,
            each.copy,
        )
        for each in retained
        if each.run_id not in protected
    ]
    unresolved = {(at.value, path) for at in Side for path in open_paths}
    gone = prunable(candidates, keep, now=archive.job.now, unresolved=unresolved)
    by_place = {(each.side, each.place): each for each in retained}
    going = [by_place[Side(each.of[0]), each.place] for each in gone]
    return _Pruning(engine, archive, going).plan()


def _open_conflicts(engine: SyncEngine) -> Set[str]:
    """Return the paths that still need a decision: what was kept of them may be what it is decided for."""
    if not engine.mode.is_bidirectional:
        return set()
    return {conflict.path for conflict in engine.plan().unresolved}


def _unsettled(runs: Sequence[Run]) -> Set[str]:
    """Return the runs that did not end, unless a later one did: what they set aside may be all there is."""
    found: Set[str] = set()
    for run in runs:  # the newest first
        if run.ended is Ended.FINISHED:
            break
        found.add(run.run_id)
    return found


@define(eq=False)
class _Pruning:
    """The plan that deletes versions from the trash, and the folders that become empty by it."""

    engine: SyncEngine
    archive: Archive
    going: Sequence[Retained]

    def plan(self) -> Plan:
        """Return the plan; a trash of both sides takes the place of the destination in it."""
        job = self.archive.job
        if job.trash is None:
            operations = [each for side in Side for each in self._operations(side, job.clients[side], side)]
            endpoints = job.endpoints
            live: Any = self.engine._live(job)  # noqa: SLF001
        else:
            operations = self._operations(None, job.trash, Side.DESTINATION)
            location = locate(self.engine.trash)
            endpoints = {
                Side.SOURCE: job.endpoints[Side.SOURCE],
                Side.DESTINATION: Endpoint(location.url, location.identity, stamps=job.trash.capabilities.stamps),
            }
            clients = {Side.SOURCE: job.clients[Side.SOURCE], Side.DESTINATION: job.trash}
            places = {Side.SOURCE: self.engine._locations[Side.SOURCE], Side.DESTINATION: location}  # noqa: SLF001
            live = Live(clients, places)
        settings = settings_for(job.settings, {operation.target for operation in operations})
        plan = Plan.of(
            operations,
            agreements=(),
            conflicts=(),
            problems=tuple(self.archive.foreign),
            source=endpoints[Side.SOURCE],
            destination=endpoints[Side.DESTINATION],
            settings=evolve(settings, trash=None, guards=Guards.off(), require_complete=False, require_resolved=False),
            base=StateRef(),
            created_at=text_of(job.now),
            recipe_digest=job.recipe_digest,
        )
        return evolve(plan, live_clients=live)

    def _operations(self, of: Optional[Side], client: StorageClientProtocol, target: Side) -> List[Operation]:
        going = [each for each in self.going if of in (None, each.side)]
        bringing = BringingBack(
            target,
            dict.fromkeys(each.place for each in going),
            {each.place: each.entry for each in going},
            Purpose.PRUNE,
            "keep",
            real_directories=client.capabilities.real_directories,
        )
        inside = self.archive.in_trash.get(target, ())
        return bringing.operations(contents_of(inside, bringing.emptied_candidates()))
