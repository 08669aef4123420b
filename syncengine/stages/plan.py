"""Plan: changes become operations, agreements and conflicts. Nothing is read here, nothing is written.

A path is decided by the table in ``core/reconcile.py``; this stage adds what no single path knows: directories
(made with their contents, removed only when nothing survives in them), files that face a directory of the same name,
and the findings that block a plan.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from attrs import define, evolve, field, frozen

from ..core.comparator import Change, Equality, Question, SideChange, is_racy
from ..core.entry import Base, Entry, Kind, Problem, ProblemKind, Side, Snapshot, Stamp
from ..core.guards import Blocker, BlockerKind, emptied_blockers
from ..core.merge import Views
from ..core.modes import ConflictPolicy, OnlyIf, Retain
from ..core.path_map import PathMap
from ..core.paths import encoded, is_within, parents, shown
from ..core.plan import (
    Action,
    Agreement,
    AgreementKind,
    Conflict,
    ConflictKind,
    Operation,
    Plan,
    Reason,
    Settings,
    StateRef,
)
from ..core.reconcile import Decision, Effect, Policy, leading_sides, prefers, reconcile
from ..core.resolve import decided, operations_for
from ..events import PlanMade
from ..storage.protocol import Capabilities
from .diff import Settle, settling
from .job import Changed, Job, Tally

_REASONS: Dict[Tuple[str, Effect], Reason] = {
    ("T2", Effect.TO_DESTINATION): Reason.ONLY_AT_SOURCE,
    ("T2", Effect.DELETE_SOURCE): Reason.ONLY_AT_SOURCE,
    ("T3", Effect.TO_SOURCE): Reason.ONLY_AT_DESTINATION,
    ("T3", Effect.DELETE_DESTINATION): Reason.ONLY_AT_DESTINATION,
    ("T7", Effect.TO_DESTINATION): Reason.CHANGED_AT_SOURCE,
    ("T7", Effect.TO_SOURCE): Reason.CHANGED_AT_SOURCE,
    ("T8", Effect.TO_DESTINATION): Reason.CHANGED_AT_DESTINATION,
    ("T8", Effect.TO_SOURCE): Reason.CHANGED_AT_DESTINATION,
    ("T11", Effect.DELETE_DESTINATION): Reason.REMOVED_AT_SOURCE,
    ("T11", Effect.TO_SOURCE): Reason.REMOVED_AT_SOURCE,
    ("T12", Effect.DELETE_SOURCE): Reason.REMOVED_AT_DESTINATION,
    ("T12", Effect.TO_DESTINATION): Reason.REMOVED_AT_DESTINATION,
    ("T14", Effect.DELETE_DESTINATION): Reason.REMOVED_AT_SOURCE,
    ("T14", Effect.TO_SOURCE): Reason.REMOVED_AT_SOURCE,
    ("T15", Effect.DELETE_SOURCE): Reason.REMOVED_AT_DESTINATION,
    ("T15", Effect.TO_DESTINATION): Reason.REMOVED_AT_DESTINATION,
}


@frozen
class SideTraits:
    """What planning must know of a side beyond what a comparison must."""

    capabilities: Capabilities
    same_storage: bool = False
    """Both sides are one storage that copies within itself: bytes do not travel."""


@define
class _Directory:
    """A directory that one side has: its removal or creation waits until its contents are known."""

    change: Change
    decision: Decision
    group: Optional[str] = None


@define(eq=False)
class Planner:
    """Collects changes and turns them into the parts of a plan.

    Feed it with ``take`` in the order of the diff, then call ``finish``. *digest_of* answers for the content of a
    file where a conflict copy needs a name.
    """

    settings: Settings
    traits: Mapping[Side, SideTraits]
    policy: Policy
    path_map: PathMap = field(factory=PathMap)
    observed_ns: int = 0
    stateful: bool = True
    times_count: bool = False
    digest_of: Settle = field(default=lambda _: None)
    tally: Tally = field(factory=Tally)
    operations: List[Operation] = field(factory=list, init=False)
    agreements: List[Agreement] = field(factory=list, init=False)
    conflicts: List[Conflict] = field(factory=list, init=False)
    problems: List[Problem] = field(factory=list, init=False)
    _frozen: List[str] = field(factory=list, init=False)
    _clashes: Dict[str, Side] = field(factory=dict, init=False)
    _removals: Dict[Side, Dict[str, _Directory]] = field(factory=lambda: {side: {} for side in Side}, init=False)
    _creations: Dict[Side, Dict[str, _Directory]] = field(factory=lambda: {side: {} for side in Side}, init=False)
    _open_removals: Dict[Side, List[str]] = field(factory=lambda: {side: [] for side in Side}, init=False)
    _surviving: Dict[Side, Set[str]] = field(factory=lambda: {side: set() for side in Side}, init=False)

    # ------------------------------------------------------------------ intake

    def take(self, changed: Changed) -> None:
        """Plan one path."""
        self.tally.changes += 1
        if isinstance(changed, Views):
            self._out_of_bounds(changed)
        elif any(is_within(changed.path, prefix) for prefix in self._frozen):
            self._survives(changed.path, changed)
        elif changed.clash:
            self._clash(changed)
        elif changed.kind is Kind.DIRECTORY:
            self._directory(changed)
        else:
            self._file(changed)

    def finish(self) -> None:
        """Decide the directories, and take back kind changes whose directory does not become empty."""
        for side in Side:
            self._remove_directories(side)
            self._create_directories(side)
        self._take_back_blocked_kind_changes()

    # ---------------------------------------------------------- out of bounds

    def _out_of_bounds(self, views: Views) -> None:
        self._survives(views.path, views)
        if views.collision:
            message = f"{shown(views.path)} is a file and a directory on one side, which the other side cannot hold"
            self.problems.append(Problem(ProblemKind.COLLISION, views.path, message, "plan"))
            return
        assert views.region is not None
        if not views.region.excluded:
            return
        self.tally.excluded += 1
        if views.base is not None and views.base.live:
            self._agree(AgreementKind.DORMANT, views.path, views.base.kind, evolve(views.base, live=False))

    def _survives(self, path: str, views: Union[Views, Change]) -> None:
        """Remember that something stays at *path*, so that no directory above it is removed."""
        for side in Side:
            if not self._open_removals[side]:
                continue
            entry = views.source if side is Side.SOURCE else views.destination
            if entry is not None or isinstance(views, Views):
                self._keep_above(path, side)

    def _keep_above(self, path: str, side: Side) -> None:
        self._surviving[side].update(parents(path))
        self._surviving[side].add(path)

    # ------------------------------------------------------------------ files

    def _file(self, change: Change) -> None:
        decision = reconcile(change, self.policy)
        if decision.refused is not None:
            self._refused(change, decision.refused)
        if decision.effect is Effect.CONFLICT:
            self._conflict(change)
        elif decision.effect.deletes:
            self._delete(change, decision)
        elif decision.effect.target is not None:
            self._carry(change, decision)
        else:
            self._record(change, decision)
            self._survives(change.path, change)

    def _refused(self, change: Change, why: str) -> None:
        if self.settings.only_if is OnlyIf.IMMUTABLE:
            message = f"{shown(change.path)} is not replaced: {why}"
            self.problems.append(Problem(ProblemKind.CHANGED, change.path, message, "plan"))

    def _record(self, change: Change, decision: Decision) -> None:
        """Write down what costs no operation: equal content, an absence both sides share, a skipped deletion."""
        source, destination, base = change.source, change.destination, change.base
        if decision.dormant:
            if base is not None and base.live:
                self._agree(AgreementKind.DORMANT, change.path, base.kind, evolve(base, live=False))
            return
        if decision.row == "T13" and base is not None:
            self._agree(AgreementKind.FORGET, change.path, base.kind, None)
            return
        if source is None or destination is None or change.comparison.equality is not Equality.EQUAL:
            return
        self.tally.unchanged += 1
        if self.settings.metadata:
            self._keep_modes_in_step(change, source, destination)
        if decision.row == "T6" and base is not None and not _refreshes(change, base):
            return
        kind = {"T4": AgreementKind.ADOPT, "T9": AgreementKind.CONVERGE}.get(decision.row, AgreementKind.TOUCH)
        self._agree(kind, change.path, source.kind, self._row(change, source, destination))

    def _row(self, change: Change, source: Entry, destination: Entry) -> Base:
        both = ((Side.SOURCE, source), (Side.DESTINATION, destination))
        known = common_digest_text(source.stamp, destination.stamp)
        kept = (
            change.base.digest
            if change.base is not None and change.comparison.source is not SideChange.MODIFIED
            else None
        )
        return Base(
            change.path,
            source.kind,
            self._stamp(Side.SOURCE, source),
            self._stamp(Side.DESTINATION, destination),
            weak=change.comparison.weak,
            racy=tuple(side for side, entry in both if self._racy(side, entry)),
            digest=known or kept,
        )

    def _stamp(self, side: Side, entry: Entry) -> Stamp:
        """Return the stamp as the listing gives it, without digests that this run computed by reading."""
        stamp = entry.stamp
        if not stamp.digests:
            return stamp
        if not self.traits[side].capabilities.listing_digests:
            return evolve(stamp, digests=())
        return evolve(stamp, digests=tuple(text for text in stamp.digests if not text.startswith("sha256:")))

    def _stamp_of(self, change: Change, side: Side) -> Optional[Stamp]:
        entry = change.entry(side)
        return None if entry is None else self._stamp(side, entry)

    def _racy(self, side: Side, entry: Entry) -> bool:
        granularity = self.traits[side].capabilities.mtime_granularity_ns
        return entry.kind is Kind.FILE and is_racy(entry.stamp, self.observed_ns, granularity)

    def _agree(self, kind: AgreementKind, path: str, entry_kind: Kind, row: Optional[Base]) -> None:
        if not self.stateful:
            return
        stamps = (row.source, row.destination) if row is not None else (None, None)
        self.agreements.append(Agreement(kind, path, entry_kind, row, *stamps))

    def _keep_modes_in_step(self, change: Change, source: Entry, destination: Entry) -> None:
        """Plan a change of permission bits where one side leads; two-way has no memory of them to tell who changed."""
        mode = self.settings.mode
        if "mode" not in self.settings.metadata or mode.is_bidirectional or source.kind is not Kind.FILE:
            return
        target = Side.DESTINATION if mode.allows_upload else Side.SOURCE
        standing, leading = (destination, source) if target is Side.DESTINATION else (source, destination)
        if leading.mode is None or standing.mode is None or leading.mode == standing.mode:
            return
        self.operations.append(
            Operation(
                Action.TOUCH,
                Kind.FILE,
                target,
                standing.own_path,
                expect_target=self._stamp(target, standing),
                reason=Reason.MODE_DIFFERS,
                chosen_by="rule:metadata",
                key=change.path if standing.own_path != change.path else None,
                mode=leading.mode,
            )
        )

    # ------------------------------------------------------------- operations

    def _carry(self, change: Change, decision: Decision) -> bool:
        """Plan that the content of one side reaches the other; False where the other cannot hold it."""
        target = decision.effect.target
        assert target is not None
        arriving, standing = change.entry(target.other), change.entry(target)
        assert arriving is not None
        path = standing.own_path if standing is not None else self._spelled(change.path, target)
        problem = self._unholdable(path, arriving, target) if path is not None else self._unmapped(change.path)
        if problem is not None or path is None:
            self.problems.append(problem or self._unmapped(change.path))
            self._survives(change.path, change)
            return False
        self._keep_above(path, target)
        self.operations.append(
            Operation(
                Action.CREATE if standing is None else Action.UPDATE,
                arriving.kind,
                target,
                path,
                origin=(target.other, arriving.own_path),
                expect_target=None if standing is None else self._stamp(target, standing),
                expect_origin=self._stamp(target.other, arriving),
                digest=_strong(arriving.stamp),
                retain=decision.retain,
                size=0 if self.traits[target].same_storage else arriving.stamp.size or 0,
                reason=self._reason(change, decision),
                chosen_by=f"rule:{decision.row}",
                group=self._group(change.path, target),
                key=change.path if (path, arriving.own_path) != (change.path, change.path) else None,
                mode=self._mode(arriving, target),
                link=arriving.link,
            )
        )
        return True

    def _delete(self, change: Change, decision: Decision) -> None:
        target = decision.effect.target
        assert target is not None
        standing = change.entry(target)
        assert standing is not None
        self.operations.append(
            Operation(
                Action.DELETE,
                standing.kind,
                target,
                standing.own_path,
                expect_target=self._stamp(target, standing),
                retain=decision.retain,
                reason=self._reason(change, decision),
                chosen_by=f"rule:{decision.row}",
                group=self._group(change.path, target),
                key=change.path if standing.own_path != change.path else None,
            )
        )

    def _reason(self, change: Change, decision: Decision) -> Reason:
        if self.settings.force and decision.row in ("T4", "T6", "T9"):
            return Reason.FORCED
        if decision.by_preference:
            return Reason.PREFERENCE
        if decision.row == "T5" and change.comparison.equality is Equality.UNKNOWN:
            return Reason.CANNOT_COMPARE
        if decision.row == "T10":
            return Reason.CHANGED_ON_BOTH_SIDES
        return _REASONS.get((decision.row, decision.effect), Reason.CONTENT_DIFFERS)

    def _spelled(self, path: str, side: Side) -> Optional[str]:
        """Return how *side* spells the key *path*; None where a mapping by function cannot be turned around."""
        if side is Side.DESTINATION or not self.path_map:
            return path
        return self.path_map.backward(path)

    def _unmapped(self, path: str) -> Problem:
        message = f"path_map is a function, so the source's name for {shown(path)} is not known; use pairs of paths"
        return Problem(ProblemKind.UNSUPPORTED, path, message, "plan", Side.SOURCE)

    def _unholdable(self, path: str, arriving: Entry, target: Side) -> Optional[Problem]:
        """Return why the target cannot hold *arriving* under that name."""
        capabilities = self.traits[target].capabilities
        if arriving.kind is Kind.SYMLINK and not capabilities.symlinks:
            message = f"{shown(path)} is a symbolic link, which the {target.value} cannot hold"
            return Problem(ProblemKind.UNSUPPORTED, path, message, "plan", target)
        longest = capabilities.max_name_bytes
        if longest is not None and any(len(encoded(part)) > longest for part in path.split("/")):
            message = f"the name {shown(path)} is longer than the {longest} bytes that the {target.value} holds"
            return Problem(ProblemKind.BAD_NAME, path, message, "plan", target)
        return None

    def _mode(self, arriving: Entry, target: Side) -> Optional[int]:
        both = all(traits.capabilities.set_mode for traits in self.traits.values())
        return arriving.mode if both and arriving.kind is Kind.FILE else None

    # -------------------------------------------------------------- conflicts

    def _conflict(self, change: Change) -> None:
        decision = reconcile(change, self.policy)
        assert decision.conflict is not None
        conflict = decided(
            Conflict(
                change.path,
                decision.conflict,
                base=change.base.source if change.base is not None else None,
                source=self._stamp_of(change, Side.SOURCE),
                destination=self._stamp(Side.DESTINATION, change.destination)
                if change.destination is not None
                else None,
            ),
            self._conflict_policy(),
            times_count=self.times_count,
        )
        self.conflicts.append(conflict)
        self._survives(change.path, change)
        loser = self._loser(change)
        operations = operations_for(conflict, retain=self.settings.retain, loser_digest=loser)
        self.operations.extend(operations)
        for operation in operations:
            if operation.action is not Action.DELETE:
                self._keep_above(operation.path, operation.target)

    def _conflict_policy(self) -> ConflictPolicy:
        """Without a trash the loser of ``newest`` could not be recovered, so both are kept."""
        unsafe = self.settings.retain is Retain.NONE and self.settings.conflict is ConflictPolicy.NEWEST
        return ConflictPolicy.KEEP_BOTH if unsafe else self.settings.conflict

    def _loser(self, change: Change) -> Optional[str]:
        """Return a digest that names a conflict copy, where the losing side's content can be had cheaply."""
        mine, theirs = change.source, change.destination
        if mine is None or theirs is None:
            return None
        source_newer = (mine.stamp.mtime_ns or 0) + 2_000_000_000 >= (theirs.stamp.mtime_ns or 0)
        side, entry = (Side.DESTINATION, theirs) if source_newer else (Side.SOURCE, mine)
        known = entry.stamp.digest("sha256")
        if known is not None or not self.traits[side].capabilities.cheap_reads:
            return known
        return self.digest_of(Question(side, entry, "sha256"))

    # ----------------------------------------------------- files face directories

    def _clash(self, change: Change) -> None:
        """Plan a path that is a file on one side and a directory on the other."""
        file_side = (
            Side.SOURCE if change.source is not None and change.source.kind is not Kind.DIRECTORY else Side.DESTINATION
        )
        entry = change.entry(file_side)
        assert entry is not None
        if self.settings.mode.is_backup or self.settings.mode.is_bidirectional:
            self._freeze(change)
            return
        alone = change.without(file_side.other)
        decision = reconcile(alone, self.policy)
        target = decision.effect.target
        if target is None:
            self._freeze(change)
        elif decision.effect.deletes:
            self._make_room_for_directory(alone, decision, target)
        else:
            self._replace_directory(alone, decision, target)

    def _freeze(self, change: Change) -> None:
        self.conflicts.append(
            Conflict(
                change.path,
                ConflictKind.KIND_CLASH,
                base=change.base.source if change.base is not None else None,
                source=self._stamp_of(change, Side.SOURCE),
                destination=self._stamp(Side.DESTINATION, change.destination)
                if change.destination is not None
                else None,
            )
        )
        self._frozen.append(change.path)
        self._survives(change.path, change)

    def _make_room_for_directory(self, alone: Change, decision: Decision, target: Side) -> None:
        """Replace the target's file by a directory; its contents follow by their own rows."""
        if not self.traits[target].capabilities.real_directories:
            self._delete(alone, decision)  # a file and names below it can stand side by side there
            return
        standing = alone.entry(target)
        assert standing is not None
        self._clashes[alone.path] = target
        self._keep_above(alone.path, target)
        self.operations.append(
            Operation(
                Action.UPDATE,
                Kind.DIRECTORY,
                target,
                standing.own_path,
                expect_target=self._stamp(target, standing),
                retain=decision.retain,
                reason=Reason.KIND_CHANGED,
                chosen_by=f"rule:{decision.row}",
                group=f"kind:{alone.path}",
            )
        )

    def _replace_directory(self, alone: Change, decision: Decision, target: Side) -> None:
        """Replace the target's directory by a file, once everything below it is gone."""
        if not self._carry(alone, decision):
            self._frozen.append(alone.path)
            self._keep_above(alone.path, target)
            return
        self._clashes[alone.path] = target
        if not self.traits[target].capabilities.real_directories:
            return
        created = self.operations[-1]
        self._open_removals[target].append(alone.path)
        self._surviving[target].discard(alone.path)
        self.operations[-1] = evolve(
            created,
            action=Action.UPDATE,
            expect_target=Stamp(),
            reason=Reason.KIND_CHANGED,
            group=f"kind:{alone.path}",
        )

    def _group(self, path: str, target: Side) -> Optional[str]:
        for clash, side in self._clashes.items():
            if side is target and is_within(path, clash):
                return f"kind:{clash}"
        return None

    def _take_back_blocked_kind_changes(self) -> None:
        """Leave a directory alone that a file should replace but in which something survives."""
        blocked = {
            f"kind:{path}": path
            for path, side in self._clashes.items()
            if any(is_within(kept, path) and kept != path for kept in self._surviving[side])
            and not self._becomes_directory(path, side)
        }
        if not blocked:
            return
        self.operations = [operation for operation in self.operations if operation.group not in blocked]
        for path in blocked.values():
            self.conflicts.append(Conflict(path, ConflictKind.KIND_CLASH))

    def _becomes_directory(self, path: str, side: Side) -> bool:
        return any(
            operation.path == path and operation.target is side and operation.kind is Kind.DIRECTORY
            for operation in self.operations
            if operation.reason is Reason.KIND_CHANGED
        )

    # ------------------------------------------------------------- directories

    def _directory(self, change: Change) -> None:
        """Plan a directory; it takes part only where both sides have real ones."""
        if change.path in self._clashes:
            side = self._clashes[change.path]
            if change.entry(side) is not None and change.entry(side.other) is None:
                return  # the file that replaces it removes it
        if not all(traits.capabilities.real_directories for traits in self.traits.values()):
            return
        decision = reconcile(change, evolve(self.policy, force=False))
        target = decision.effect.target
        if self.path_map and (target is None or self._group(change.path, target) is None):
            return  # under a mapping directories are implied by their files, but for one that a file replaces
        if target is None or decision.effect is Effect.CONFLICT:
            self._record_directory(change, decision)
            return
        waiting = _Directory(change, decision, self._group(change.path, target))
        if decision.effect.deletes:
            self._removals[target][change.path] = waiting
            self._open_removals[target].append(change.path)
        else:
            self._creations[target][change.path] = waiting

    def _record_directory(self, change: Change, decision: Decision) -> None:
        before = self.tally.unchanged
        self._record(change, decision)
        self.tally.unchanged = before  # directories are implied; only files are counted

    def _remove_directories(self, side: Side) -> None:
        for path, waiting in self._removals[side].items():
            if path not in self._surviving[side]:
                self._delete(waiting.change, evolve(waiting.decision, retain=False))

    def _create_directories(self, side: Side) -> None:
        """Make the directories that stay empty; all others come with their contents."""
        implied = set(self._surviving[side])
        for path in self._creations[side]:
            implied.update(parents(path))
        for path, waiting in self._creations[side].items():
            if path not in implied:
                self.operations.append(
                    Operation(
                        Action.CREATE,
                        Kind.DIRECTORY,
                        side,
                        path,
                        origin=(side.other, path),
                        expect_origin=Stamp(),
                        reason=self._reason(waiting.change, waiting.decision),
                        chosen_by=f"rule:{waiting.decision.row}",
                        group=waiting.group,
                    )
                )


def common_digest_text(first: Stamp, second: Stamp) -> Optional[str]:
    """Return the strongest digest both stamps share, to be remembered with the row."""
    return next((digest for digest in first.digests if digest in second.digests), None)


def _strong(stamp: Stamp) -> Optional[str]:
    return next((found for found in (stamp.digest(name) for name in ("sha256", "md5", "crc64nvme")) if found), None)


def _refreshes(change: Change, base: Base) -> bool:
    """Say whether an agreement that still holds is worth writing again: new stamps, or a row that was in doubt."""
    touched = SideChange.TOUCHED in (change.comparison.source, change.comparison.destination)
    return touched or not base.live


@frozen
class MakePlan:
    """The fourth stage: reads the stream of changes and returns the plan."""

    name: str = field(default="plan", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with its plan."""
        first = job.state is None or not job.state.exists
        planner = self._planner(job, first=first)
        for changed in job.changes:
            planner.take(changed)
        planner.finish()
        plan = self._plan(job, planner, first=first)
        job.emitter.emit(PlanMade(plan))
        return job.with_(plan=plan, leftovers=tuple(_leftovers(job.snapshots)))

    def _planner(self, job: Job, *, first: bool) -> Planner:
        settings = job.settings
        capabilities = {side: job.clients[side].capabilities for side in Side}
        same = job.clients[Side.SOURCE].identity == job.clients[Side.DESTINATION].identity
        return Planner(
            settings,
            {side: SideTraits(capabilities[side], same and capabilities[side].server_copy) for side in Side},
            Policy(
                settings.mode, settings.retain, settings.initial if first else None, settings.only_if, settings.force
            ),
            path_map=job.path_map,
            observed_ns=job.observed_ns,
            stateful=job.state is not None,
            times_count=all(each.mtime_is_content_time for each in capabilities.values()),
            digest_of=settling(job.clients),
            tally=job.tally,
        )

    def _plan(self, job: Job, planner: Planner, *, first: bool) -> Plan:
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
            findings=(*self._emptied(job, first=first), *_marker(job)),
            recipe_digest=job.recipe_digest,
        )

    def _emptied(self, job: Job, *, first: bool) -> Iterator[Blocker]:
        settings, tally = job.settings, job.tally
        if settings.allow_emptied or not settings.guards.stop_if_emptied:
            return
        for side in leading_sides(settings.mode):
            alone_decides = not settings.mode.is_bidirectional or (first and prefers(settings.initial, side))
            yield from emptied_blockers(side, tally.seen, tally.remembered, alone_decides=alone_decides)


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
