"""Plan: the stream of changes becomes the plan. Planning itself is in ``core/planner.py``; here it meets the job."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Set, Tuple, Union

from attrs import evolve, field, frozen

from ..core.begun_moves import after_moves
from ..core.blocks import Block
from ..core.bootstrap import in_force, unequal, without_effect
from ..core.comparator import Change
from ..core.conflicts import Ask, Chooser, Conflicts, ContentTime, Look
from ..core.directory_renames import Met
from ..core.drafts import Drafts, SideTraits
from ..core.entry import Entry, Extent, Kind, Problem, ProblemKind, Side, Snapshot
from ..core.guards import Blocker, BlockerKind, emptied_blockers
from ..core.modes import choice
from ..core.object_headers import ObjectHeaders
from ..core.paths import encoded, is_within, parents, shown
from ..core.plan import Plan
from ..core.plan_parts import Conflict, Operation, Settings, StateRef
from ..core.planner import Planner
from ..core.reconcile import Policy, leading_sides, prefers
from ..core.renames import Rename, renames, unfinished
from ..errors import StorageError
from ..events import PlanMade
from ..state.manager import SyncStateManager
from ..state.records import Intent
from ..storage.protocol import Source, StorageClientProtocol, SupportsContentTimes, SupportsHeaders, SupportsNames
from ..storage.routes import stays_inside
from .diff import settling
from .directory_moves import renamed_directories, tells_by_time
from .job import Changed, Changes, Job
from .scan import problem_of


@frozen
class MakePlan:
    """The fourth stage: reads the stream of changes and returns the plan."""

    choose: Optional[Chooser] = None
    """Decides conflicts in place of the settings."""
    name: str = field(default="plan", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with its plan."""
        first = job.state is None or not job.state.bootstrap.finished
        asked, job = job.settings.initial, self._with_preference(job)
        prefixes = ByPrefix.of(job.scope)
        job = job.with_(changes=prefixes.counting(job.changes))
        planner = self._planner(job)
        for changed in self._without_renames(job, planner):
            planner.take(changed)
        planner.finish()
        planner.problems += (*_stateless(job), *without_effect(asked, job.settings.initial), *prefixes.absent(job))
        if first and not job.tally.remembered and job.settings.mode.is_bidirectional:
            planner.problems += unequal(job.tally.seen, job.tally.shared, job.settings.initial)
        plan = self._plan(job, planner, first=first, prefixes=prefixes)
        job.emitter.emit(PlanMade(plan))
        return job.with_(plan=plan, leftovers=tuple(_leftovers(job.snapshots)))

    def _with_preference(self, job: Job) -> Job:
        """Return *job* with the first-sync preference that is in force, which may be an earlier run's."""
        settings = job.settings
        if job.state is None or not settings.mode.is_bidirectional:
            return job
        bootstrap = job.state.bootstrap
        initial = in_force(settings.initial, bootstrap.preference, bootstrap.todo)
        return job.with_(settings=evolve(settings, initial=initial))

    def _without_renames(self, job: Job, planner: Planner) -> Iterable[Met]:
        """Yield the changes that are no renames; those that are have been planned as such.

        Pairing needs every change at hand, so it holds them in memory: what changed, not what exists.
        """
        if job.state is None or not job.state.exists or job.path_map:
            return job.changes.with_blocks() if isinstance(job.changes, Changes) else job.changes
        changes = self._taken_up(job, job.state.intents())
        if not job.settings.renames:
            return changes
        met = list(changes.with_blocks() if isinstance(changes, Changes) else changes)
        known = list(self._without_moved_directories(job, planner, met))
        files = {change.path: change for change in known if isinstance(change, Change) and change.kind is Kind.FILE}
        for rename in self._renames(job, list(files.values())):
            if planner.follow(rename):
                del files[rename.old], files[rename.new]
        return (item for item in known if item.path in files or not _is_file_change(item))

    @staticmethod
    def _taken_up(job: Job, intents: Sequence[Intent]) -> Iterable[Changed]:
        """Return the changes as they look once what a killed run moved, and never recorded, is taken for moved."""
        moves = [(intent.paths[0], intent.paths[1]) for intent in intents if intent.kind in ("move", "rename")]
        if not moves or not job.settings.mode.is_bidirectional:
            return job.changes
        return after_moves(list(job.changes), moves)

    def _without_moved_directories(self, job: Job, planner: Planner, met: Sequence[Met]) -> Iterator[Changed]:
        """Yield the changes that do not lie in directories which the other side renames as a whole."""
        planned: Set[int] = set()
        # In a backup nothing may disappear, so every file is copied to its new name. Where names are folded, each is
        # spelled as its side spells it.
        for side in () if job.settings.mode.is_backup or job.folding else self._leading(job):
            for rename in renamed_directories(job, met, side, digest_of=settling(job.clients)):
                if planner.follow_directory(rename):
                    planned.update(map(id, rename.parts))
        for item in met:
            if id(item) in planned:
                continue
            if isinstance(item, Block):
                yield from item.changes()
            else:
                yield item

    @staticmethod
    def _leading(job: Job) -> Sequence[Side]:
        """Return the sides whose renames count: both in two-way, or the one that leads."""
        mode = job.settings.mode
        return [side for side in Side if mode.is_bidirectional or (mode.allows_upload == (side is Side.SOURCE))]

    def _renames(self, job: Job, changes: Sequence[Change]) -> Iterator[Rename]:
        assert job.state is not None
        mode, digest_of = job.settings.mode, settling(job.clients, job.draw)
        intents = [intent for intent in job.state.intents() if intent.kind == "rename"]
        begun = [(intent.paths[0], intent.paths[1], Side(intent.payload["side"])) for intent in intents]
        resumed = list(unfinished(changes, begun, digest_of=digest_of)) if mode.is_bidirectional else []
        yield from resumed
        taken = {path for rename in resumed for path in (rename.old, rename.new)}
        left = [change for change in changes if change.path not in taken]
        for side in self._leading(job):
            # In a one-way mode a rename counts only where nobody touched the copy.
            yield from renames(
                left,
                side,
                digest_of=digest_of,
                follow_edits=mode.is_bidirectional,
                by_time=tells_by_time(job.clients[side].capabilities),
            )

    def _planner(self, job: Job) -> Planner:
        settings = job.settings
        clients = {side: job.clients[side] for side in Side}
        traits = {
            side: traits_of(client, _staying(settings, clients[side.other], client)) for side, client in clients.items()
        }
        drafts = Drafts(settings, traits, job.path_map, job.observed_ns, job.folding)
        return Planner(
            drafts,
            Policy(
                settings.mode,
                settings.retain,
                settings.initial,
                settings.only_if,
                settings.force,
                job.state.bootstrap.todo if job.state is not None else ("",),
            ),
            stateful=job.state is not None,
            deciding=Conflicts(
                drafts,
                settling(job.clients, job.draw),
                looking(job.clients),
                None if self.choose is None else asking(self.choose, job.clients, job.draw),
                content_times(job.clients, job.draw),
            ),
            tally=job.tally,
        )

    def _plan(self, job: Job, planner: Planner, *, first: bool, prefixes: ByPrefix) -> Plan:
        tally = job.tally
        live = {side: tally.remembered or tally.seen[side] for side in Side}
        reference = StateRef()
        if job.state is not None:
            reference = StateRef(job.state_place, job.state.lineage, job.state.generation)
        return Plan.of(
            planner.operations,
            agreements=tuple(planner.agreements),
            conflicts=tuple(sorted(planner.conflicts, key=lambda conflict: encoded(conflict.path))),
            problems=(*_seen_problems(job.snapshots.values()), *planner.problems),
            source=job.endpoints[Side.SOURCE],
            destination=job.endpoints[Side.DESTINATION],
            settings=job.settings,
            base=reference,
            created_at=job.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            unchanged=tally.unchanged,
            excluded=tally.excluded,
            live=live,
            findings=(*self._emptied(job, planner, first=first, prefixes=prefixes), *_marker(job)),
            recipe_digest=job.recipe_digest,
        )

    def _emptied(self, job: Job, planner: Planner, *, first: bool, prefixes: ByPrefix) -> Iterator[Blocker]:
        settings, tally = job.settings, job.tally
        if settings.allow_emptied or not settings.guards.stop_if_emptied:
            return
        for side in leading_sides(settings.mode):
            alone_decides = not settings.mode.is_bidirectional or (first and prefers(settings.initial, side))
            whole = tuple(emptied_blockers(side, tally.seen, tally.remembered, alone_decides=alone_decides))
            yield from whole or prefixes.emptied(side, job.state, planner.operations, alone_decides=alone_decides)


@frozen(eq=False)
class ByPrefix:
    """What the stream of changes showed below each prefix of the scope, so that no prefix hides behind another.

    A file that is a prefix itself is met, but cannot be emptied.
    """

    seen: Dict[str, Dict[Side, int]]
    remembered: Dict[str, int]
    """Live files of the state among what changed."""
    met: Set[str] = field(factory=set)

    @classmethod
    def of(cls, scope: Sequence[str]) -> ByPrefix:
        """Return empty counts for *scope*."""
        return cls({prefix: dict.fromkeys(Side, 0) for prefix in scope}, dict.fromkeys(scope, 0))

    def counting(self, changes: Iterable[Changed]) -> Iterable[Changed]:
        """Return *changes*, counted while they are read."""
        return self._counted(changes) if self.seen else changes

    def _counted(self, changes: Iterable[Changed]) -> Iterator[Changed]:
        for item in changes:
            if item.path in self.seen:
                self.met.add(item.path)
            prefix = next((each for each in parents(item.path) if each in self.seen), None)
            if prefix is not None:
                self._count(item, prefix)
            yield item

    def _count(self, item: Changed, prefix: str) -> None:
        self.met.add(prefix)
        for side, entry in zip(Side, (item.source, item.destination)):
            self.seen[prefix][side] += entry is not None and entry.kind is not Kind.DIRECTORY
        base = item.base
        self.remembered[prefix] += base is not None and base.live and base.kind is not Kind.DIRECTORY

    def emptied(
        self, side: Side, state: Optional[SyncStateManager], operations: Iterable[Operation], *, alone_decides: bool
    ) -> Iterator[Blocker]:
        """Yield a blocker for every prefix below which *side* shows nothing and files of the other would be deleted."""
        for prefix, seen in self.seen.items():
            if seen[side] or not seen[side.other]:
                continue
            remembered = 0 if state is None else state.count_live_files((prefix,))
            unchanged = remembered > self.remembered[prefix]
            if not unchanged and any(_deletes_below(prefix, side.other, operation) for operation in operations):
                alone = alone_decides and not remembered
                yield from emptied_blockers(side, seen, remembered, alone_decides=alone, below=prefix)

    def absent(self, job: Job) -> Iterator[Problem]:
        """Yield a problem for every prefix that neither side holds and the state does not know."""
        for prefix in self.seen:
            known = prefix in self.met or job.path_map or (job.state is not None and any(job.state.rows((prefix,))))
            if not known and _nothing_at(job, prefix):
                message = f"scope: nothing there: {shown(prefix)} is on neither side, and was not at the last sync"
                yield Problem(ProblemKind.UNSUPPORTED, prefix, message, "plan", extent=Extent.NOTHING)


def _deletes_below(prefix: str, side: Side, operation: Operation) -> bool:
    return operation.removes_file and operation.target is side and is_within(operation.compared_as, prefix)


def _nothing_at(job: Job, prefix: str) -> bool:
    try:
        return all(client.stat(prefix) is None for client in job.clients.values())
    except StorageError:
        return False  # the scan says so already


def _stateless(job: Job) -> Iterator[Problem]:
    """Yield what a two-way sync without a state cannot know."""
    if job.state is None and job.settings.mode.is_bidirectional:
        message = (
            "no state is kept, so every run is a first sync: nothing is ever deleted or renamed, a deleted file comes "
            "back, and every difference is a conflict"
        )
        yield Problem(ProblemKind.UNSUPPORTED, "", message, "plan", extent=Extent.NOTHING)


def _staying(settings: Settings, origin: StorageClientProtocol, target: StorageClientProtocol) -> Callable[[str], bool]:
    """Return a function that says of a path whether the storage itself will copy what is written there."""
    if not stays_inside(origin, target):
        return _never
    rules = ObjectHeaders(settings.object_headers)
    # The storage would copy the headers too, so where others are asked for the bytes travel.
    return (lambda path: not rules(path)) if rules and isinstance(target, SupportsHeaders) else lambda _: True


def _never(_: str) -> bool:
    return False


def traits_of(client: StorageClientProtocol, stays: Callable[[str], bool] = _never) -> SideTraits:
    """Return what planning must know of a side; *stays* says of a path that what it gets stays in the storage."""
    capabilities = client.capabilities
    return SideTraits(
        real_directories=capabilities.real_directories,
        symlinks=capabilities.symlinks,
        keeps_modes=capabilities.set_mode,
        listing_digests=capabilities.listing_digests,
        cheap_reads=capabilities.cheap_reads,
        true_mtime=capabilities.mtime_is_content_time,
        keeps_mtime=isinstance(client, SupportsContentTimes),
        mtime_granularity_ns=capabilities.mtime_granularity_ns,
        max_name_bytes=capabilities.max_name_bytes,
        unicode_form=capabilities.unicode_form,
        name_refusal=_refusal_of(client),
        copies=capabilities.server_copy,
        stays_inside=stays,
    )


def _refusal_of(client: StorageClientProtocol) -> Callable[[str], Optional[str]]:
    return client.name_refusal if isinstance(client, SupportsNames) else lambda _: None


def _is_file_change(item: Changed) -> bool:
    return isinstance(item, Change) and item.kind is Kind.FILE


def looking(clients: Mapping[Side, StorageClientProtocol]) -> Look:
    """Return a function that looks at one path of one side."""

    def look(side: Side, path: str) -> Optional[Entry]:
        try:
            return clients[side].stat(path)
        except StorageError:
            return None  # a copy is written only where nothing stands, so not knowing loses nothing

    return look


def asking(
    choose: Chooser, clients: Mapping[Side, StorageClientProtocol], draw: Callable[[Side], None] = lambda _: None
) -> Ask:
    """Return *choose* with what lets it read both versions of a conflict; a failed read leaves the conflict open."""

    def ask(conflict: Conflict) -> Union[str, bytes, Problem]:
        def read(side: Union[Side, str]) -> bytes:
            at = choice(Side, side, "the side of a conflict")
            expected, client = conflict.stamp(at), clients[at]
            if expected is None or conflict.link(at) is not None:
                return b""
            draw(at)
            with client.read(conflict.path_at(at), expect=expected) as content:
                return content_of_source(content)

        try:
            return choose(conflict, read)
        except StorageError as error:
            return evolve(problem_of(error, stage="plan"), path=conflict.path)

    ask.__name__ = choose.__name__
    return ask


def content_of_source(content: Source) -> bytes:
    """Return everything that *content* holds, once it is proven to be of one version."""
    whole = content.read()
    content.verify()
    return whole


def content_times(
    clients: Mapping[Side, StorageClientProtocol], draw: Callable[[Side], None] = lambda _: None
) -> ContentTime:
    """Return a function that asks one side for the time of a content; None where it does not know."""

    def content_time(side: Side, entry: Entry) -> Optional[int]:
        client = clients[side]
        if not isinstance(client, SupportsContentTimes):
            return None
        draw(side)
        try:
            return client.content_time(entry.own_path, expect=evolve(entry.stamp, digests=()))
        except StorageError:
            return None  # both are kept where a time is missing

    return content_time


def _leftovers(snapshots: Mapping[Side, Snapshot]) -> Iterator[Tuple[Side, str]]:
    for side, snapshot in snapshots.items():
        yield from ((side, each.path) for each in snapshot.problems if each.kind is ProblemKind.LEFTOVER)


def _seen_problems(snapshots: Iterable[Snapshot]) -> Iterator[Problem]:
    for snapshot in snapshots:
        yield from (problem for problem in snapshot.problems if problem.kind is not ProblemKind.LEFTOVER)


def _marker(job: Job) -> Iterator[Blocker]:
    marker = job.settings.guards.require_marker
    if marker is None:
        return
    for side in Side:
        if job.clients[side].stat(marker) is None:
            yield Blocker(
                BlockerKind.MARKER_MISSING,
                f"the {side.value} does not hold {shown(marker)}, which guards.require_marker demands: "
                "check that the right place is mounted there.",
                side,
            )
