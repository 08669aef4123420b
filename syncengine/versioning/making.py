"""What is wanted back becomes a plan: fresh looks at the places, the settings of the engine, its live clients."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import define, evolve

from ..core.bringing_back import BringingBack, Move, Target, Wanted, contents_of, places_above, problem
from ..core.entry import Entry, Kind, Problem, ProblemKind, Side
from ..core.journal_events import Place
from ..core.modes import SyncMode
from ..core.paths import is_kept, is_within
from ..core.plan import Plan
from ..core.plan_parts import Endpoint, Operation, Purpose, Settings, StateRef
from ..engine import SyncEngine
from ..errors import RecipeError
from ..places import Live
from ..stages.preflight import seen_at
from ..storage.digests import digest
from ..storage.location import locate, overlap
from ..storage.protocol import StorageClientProtocol, SupportsCopy
from .archive import Archive

_DIGEST = "sha256"


@define(eq=False)
class Making:
    """Puts what is wanted into a plan of its own: the settings of the engine, the fresh looks, the live clients."""

    engine: SyncEngine
    archive: Archive
    purpose: Purpose
    label: str

    def plan(
        self,
        targets: Mapping[Side, Target],
        *,
        moves: Mapping[Side, Sequence[Move]] = {},
        problems: Iterable[Problem] = (),
    ) -> Plan:
        """Return the plan that makes the sides hold *targets*."""
        operations: List[Operation] = []
        found = list(problems)
        for side, target in targets.items():
            made, refused = self._operations(side, target, moves.get(side, ()))
            operations += made
            found += refused
        return self._of(operations, found)

    def _operations(self, side: Side, target: Target, moves: Sequence[Move]) -> Tuple[List[Operation], List[Problem]]:
        clients = self.archive.job.clients
        paths = {*target, *(move.old for move in moves), *(move.new for move in moves)}
        standing = self.archive.look((side, path) for path in (*paths, *places_above(paths)))
        here = {path: entry for (at, path), entry in standing.items() if at is side}
        bringing = BringingBack(
            side,
            self._differing(side, target, here),
            here,
            self.purpose,
            self.label,
            tuple(moves),
            clients[side].capabilities.real_directories,
        )
        contents = _contents(clients[side], bringing.emptied_candidates())
        return bringing.operations(contents), bringing.problems

    def _differing(self, side: Side, target: Target, standing: Mapping[str, Entry]) -> Target:
        """Return *target* without what stands there already, each with the bytes that will travel."""
        reader = self._reader(self.archive.job.clients, self.archive.job.trash)
        return _sized(target, standing, self.archive.job.clients[side], side, reader)

    @staticmethod
    def _reader(
        clients: Mapping[Side, StorageClientProtocol], trash: Optional[StorageClientProtocol]
    ) -> Callable[[Place], StorageClientProtocol]:
        return lambda place: trash if trash is not None and is_kept(place[1]) else clients[place[0]]

    def _of(self, operations: Sequence[Operation], problems: Sequence[Problem]) -> Plan:
        job = self.archive.job
        reference = StateRef()
        live = dict.fromkeys(Side, 0)
        if job.state is not None:
            reference = StateRef(job.state_place, job.state.lineage, job.state.generation)
            live = dict.fromkeys(Side, job.state.count_live())
        plan = Plan.of(
            operations,
            agreements=(),
            conflicts=(),
            problems=tuple(problems),
            source=job.endpoints[Side.SOURCE],
            destination=job.endpoints[Side.DESTINATION],
            settings=settings_for(job.settings, {operation.target for operation in operations}),
            base=reference,
            created_at=text_of(job.now),
            live=live,
            recipe_digest=job.recipe_digest,
        )
        return evolve(plan, live_clients=self.engine._live(job))  # noqa: SLF001 - the plan of an engine's other methods

    # -------------------------------------------------------------- elsewhere

    def elsewhere(self, side: Side, to: Any, target: Target, problems: Sequence[Problem]) -> Plan:
        """Return the plan that writes *target* below the place *to*: a sync of *side* to there, without a state."""
        job, location = self.archive.job, locate(to)
        for own in self.engine._locations.values():  # noqa: SLF001
            why = overlap(own, location)
            if why is not None:
                raise RecipeError(f"{why}: give a folder outside both sides, or leave `to` out to restore in place")
        client = location.open()
        clients = {Side.SOURCE: job.clients[side], Side.DESTINATION: client}
        wanted = {path: _from_source(want) for path, want in target.items() if want is not None}
        paths = {*wanted, *places_above(wanted)}
        here = {path: entry for path, entry in seen_at(client, paths).items() if entry is not None}
        reader = self._reader(clients, job.trash)
        differing: Target = _sized(wanted, here, client, Side.DESTINATION, reader)
        found = list(problems)
        if job.trash is not None:
            # The trash of the pair holds versions of the pair; what stands at another place is none of them.
            differing, taken = _free_alone(differing, here)
            found += taken
        bringing = BringingBack(
            Side.DESTINATION,
            differing,
            here,
            self.purpose,
            self.label,
            real_directories=client.capabilities.real_directories,
        )
        operations = bringing.operations({})
        plan = Plan.of(
            operations,
            agreements=(),
            conflicts=(),
            problems=(*found, *bringing.problems),
            source=job.endpoints[side],
            destination=Endpoint(location.url, location.identity, stamps=client.capabilities.stamps),
            settings=settings_for(job.settings, {Side.DESTINATION}),
            base=StateRef(),
            created_at=text_of(job.now),
        )
        locations = {Side.SOURCE: self.engine._locations[side], Side.DESTINATION: location}  # noqa: SLF001
        trash = None if self.engine.trash is None else locate(self.engine.trash)
        return evolve(plan, live_clients=Live(clients, locations, trash=trash))


def _from_source(want: Wanted) -> Wanted:
    return want if want.origin is None else evolve(want, origin=(Side.SOURCE, want.origin[1]))


def _free_alone(target: Target, standing: Mapping[str, Entry]) -> Tuple[Target, List[Problem]]:
    taken = [path for path, want in target.items() if path in standing and want is not None and want.entry is not None]
    why = "another file stands there, and it would have to be kept in the trash of the pair"
    problems = [problem(ProblemKind.COLLISION, path, why, Purpose.RESTORE, Side.DESTINATION) for path in sorted(taken)]
    return {path: want for path, want in target.items() if path not in taken}, problems


def _sized(
    target: Target,
    standing: Mapping[str, Entry],
    client: StorageClientProtocol,
    side: Side,
    reader: Callable[[Place], StorageClientProtocol],
) -> Dict[str, Optional[Wanted]]:
    """Return *target* without what stands there already, each with the bytes that will travel."""
    found: Dict[str, Optional[Wanted]] = {}
    for path, want in target.items():
        if want is None or want.entry is None or want.origin is None:
            found[path] = want
            continue
        origin = reader(want.origin)
        there = standing.get(path)
        if there is not None and _is_equal(client, path, there, origin, want):
            continue
        inside = origin.identity == client.identity and isinstance(client, SupportsCopy)
        found[path] = evolve(want, size=0 if inside else want.entry.stamp.size or 0)
    return found


def _is_equal(
    client: StorageClientProtocol, path: str, there: Entry, origin: StorageClientProtocol, want: Wanted
) -> bool:
    """Say whether a file holds the wanted content already, where reading both costs nothing."""
    assert want.entry is not None
    assert want.origin is not None
    if there.kind is not want.kind or there.stamp.size != want.entry.stamp.size:
        return False
    if there.kind is Kind.SYMLINK:
        return there.link == want.entry.link
    if not (client.capabilities.cheap_reads and origin.capabilities.cheap_reads):
        return False
    kept = digest(origin, want.origin[1], _DIGEST, expect=want.entry.stamp)
    return digest(client, path, _DIGEST, expect=there.stamp) == kept


def _contents(client: StorageClientProtocol, directories: Sequence[str]) -> Dict[str, List[str]]:
    """Return the paths below each of *directories*, reserved ones included: a folder with a trash is not empty."""
    found: Set[str] = set()
    listed: Optional[str] = None
    for directory in directories:
        if listed is not None and is_within(directory, listed):
            continue
        listed = directory
        if client.stat(directory) is not None:
            found.update(item.path for item in client.list(directory))
    return contents_of(found, directories)


def settings_for(settings: Settings, written: Set[Side]) -> Settings:
    """Return the settings of a plan that writes the sides *written*; its mode says no more than that."""
    modes = {
        (Side.SOURCE,): SyncMode.DESTINATION_TO_SOURCE,
        (Side.DESTINATION,): SyncMode.SOURCE_TO_DESTINATION,
        tuple(Side): SyncMode.TWO_WAY,
    }
    mode = modes.get(tuple(side for side in Side if side in written), settings.mode)
    return evolve(settings, mode=mode, initial=None, path_map=(), metadata=())


def text_of(moment: datetime) -> str:
    """Return a time as a plan says it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
