"""Turn a conflict into operations: by the policy that was asked for, or by a reviewer. One place for both.

Keeping both makes the losing version an ordinary file beside the winner, named after its content, so that running
again after a crash gives the same name.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import chain
from typing import Any, Callable, Iterable, List, Optional, Tuple, Union

from attrs import evolve

from ..errors import RecipeError
from .clashes import clash_operations, file_side, group_of
from .entry import Kind, Side, Stamp
from .merging import merge_refusal, merged_operations
from .modes import ConflictPolicy, Retain, choice
from .paths import parent, shown
from .plan import Plan
from .plan_parts import Action, Conflict, ConflictKind, Operation, Reason, Resolution

TOLERANCE_NS = 2_000_000_000
"""Modification times closer than this are a tie: the coarsest common clock (FAT) ticks every two seconds.

Where a side's clock is coarser still, its tick is the tolerance.
"""

_BY_POLICY = {
    ConflictPolicy.SOURCE: Resolution.SOURCE,
    ConflictPolicy.DESTINATION: Resolution.DESTINATION,
    ConflictPolicy.KEEP_BOTH: Resolution.KEEP_BOTH,
    ConflictPolicy.NEWEST: Resolution.NEWER,
}


def decided(conflict: Conflict, policy: ConflictPolicy) -> Conflict:
    """Return *conflict* with the resolution that *policy* gives it; open under the manual policy."""
    if policy is ConflictPolicy.MANUAL:
        return conflict
    resolution = _BY_POLICY[policy]
    if conflict.kind is ConflictKind.KIND_CLASH:
        # Whoever wins elsewhere: nothing below a directory is given up for a file, so the directory keeps the name.
        known = bool(conflict.inside)
        return (
            evolve(conflict, resolution=Resolution.KEEP_BOTH, decided_by=f"rule:{policy.value}") if known else conflict
        )
    if conflict.kind is ConflictKind.DELETE_MODIFY and resolution in (Resolution.NEWER, Resolution.KEEP_BOTH):
        # A deletion has no time and nothing to keep: the edit wins.
        survivor = Resolution.SOURCE if conflict.source is not None else Resolution.DESTINATION
        return evolve(conflict, resolution=survivor, decided_by=f"rule:{policy.value}")
    if resolution is Resolution.NEWER:
        resolution = newer(conflict)
    return evolve(conflict, resolution=resolution, decided_by=f"rule:{policy.value}")


def newest(source_ns: Optional[int], destination_ns: Optional[int], *, tolerance_ns: int = TOLERANCE_NS) -> Resolution:
    """Return the side whose content has the later time; keeping both on a tie or where a time is missing."""
    if source_ns is None or destination_ns is None or abs(source_ns - destination_ns) <= tolerance_ns:
        return Resolution.KEEP_BOTH
    return Resolution.SOURCE if source_ns > destination_ns else Resolution.DESTINATION


def newer(conflict: Conflict) -> Resolution:
    """Return the side whose file is known to be newer, and keeping both where none is."""
    return conflict.newer or Resolution.KEEP_BOTH


def winner_of(conflict: Conflict) -> Side:
    """Return the side whose version keeps, or takes, the plain name; on a tie the source."""
    resolution = newer(conflict) if conflict.resolution is Resolution.NEWER else conflict.resolution
    if resolution is Resolution.KEEP_BOTH:
        resolution = newer(conflict)
    return Side.DESTINATION if resolution is Resolution.DESTINATION else Side.SOURCE


def loser_of(conflict: Conflict) -> Side:
    """Return the side whose version makes room: a file that faces a directory, or else the one that does not win."""
    return file_side(conflict) if conflict.kind is ConflictKind.KIND_CLASH else winner_of(conflict).other


def keeps_both(conflict: Conflict) -> bool:
    """Say whether the losing version gets a name of its own beside the winner."""
    if conflict.kind is ConflictKind.KIND_CLASH:
        return conflict.resolution in (Resolution.KEEP_BOTH, Resolution.NEWER)
    tie = conflict.resolution is Resolution.NEWER and newer(conflict) is Resolution.KEEP_BOTH
    both_exist = conflict.source is not None and conflict.destination is not None
    return both_exist and (tie or conflict.resolution is Resolution.KEEP_BOTH)


def operations_for(
    conflict: Conflict, *, retain: Retain, identity: Optional[str] = None, number: int = 1, copied: bool = False
) -> Tuple[Operation, ...]:
    """Return the operations that carry out the resolution of *conflict*; none while it is open.

    Where both are kept, *identity* and *number* name the copy; *copied* says that it stands there already.
    """
    if conflict.open:
        return ()
    if conflict.kind is ConflictKind.KIND_CLASH:
        copies = {side: copy_name(conflict, side, identity, number) for side in Side}
        return clash_operations(conflict, copies, retain=retain, copied=copied)
    if not keeps_both(conflict):
        return (_carried(conflict, _survivor(conflict), retain),)
    return (_over(conflict, retain, copied=copied),) if copied else _keeping_both(conflict, retain, identity, number)


def _survivor(conflict: Conflict) -> Side:
    """Return whose state reaches the other side; what was removed on one side cannot be kept beside itself."""
    if conflict.resolution in (Resolution.KEEP_BOTH, Resolution.NEWER) and None in (
        conflict.source,
        conflict.destination,
    ):
        return Side.SOURCE if conflict.source is not None else Side.DESTINATION
    return winner_of(conflict)


def _carried(conflict: Conflict, winner: Side, retain: Retain) -> Operation:
    """Return the operation by which the winner's state, which may be absence, reaches the other side."""
    target = winner.other
    arriving, standing = conflict.stamp(winner), conflict.stamp(target)
    action = Action.DELETE if arriving is None else (Action.CREATE if standing is None else Action.UPDATE)
    link = conflict.link(target if arriving is None else winner)
    return Operation(
        action,
        Kind.FILE if link is None else Kind.SYMLINK,
        target,
        conflict.path_at(target),
        origin=None if arriving is None else (winner, conflict.path_at(winner)),
        expect_target=standing,
        expect_origin=arriving,
        retain=standing is not None and retain is not Retain.NONE,
        size=(arriving.size or 0) if arriving is not None else 0,
        reason=Reason.CONFLICT,
        chosen_by=conflict.decided_by,
        key=conflict.key or (conflict.path if conflict.source_path is not None else None),
        link=None if arriving is None else link,
    )


def _over(conflict: Conflict, retain: Retain, *, copied: bool) -> Operation:
    """Return the operation that puts the winner in the loser's place, which needs no trash where it has its copy.

    A copy that stood there before was not made by this plan, so the loser is retained as well.
    """
    over = _carried(conflict, winner_of(conflict), Retain.NONE)
    return evolve(over, retain=copied and retain is not Retain.NONE, group=group_of(conflict))


def _keeping_both(conflict: Conflict, retain: Retain, identity: Optional[str], number: int) -> Tuple[Operation, ...]:
    """Return three operations: the loser's copy beside it, that copy across, and the winner over the loser.

    The copy is read before the winner overwrites its origin; executing derives that order from the origins.
    """
    loser = winner_of(conflict).other
    losing, link = conflict.stamp(loser), conflict.link(loser)
    assert losing is not None
    beside = Operation(
        Action.COPY,
        Kind.FILE if link is None else Kind.SYMLINK,
        loser,
        copy_name(conflict, loser, identity, number),
        origin=(loser, conflict.path_at(loser)),
        expect_origin=losing,
        reason=Reason.CONFLICT,
        chosen_by=conflict.decided_by,
        group=group_of(conflict),
        link=link,
    )
    name_there = copy_name(conflict, loser.other, identity, number)
    across = evolve(beside, action=Action.CREATE, target=loser.other, path=name_there, size=losing.size or 0)
    return (beside, across, _over(conflict, retain, copied=False))


def copy_name(conflict: Conflict, side: Side, identity: Optional[str], number: int = 1) -> str:
    """Return the name that the losing version gets on *side*."""
    losing = conflict.stamp(loser_of(conflict))
    assert losing is not None
    return conflict_copy(conflict.path_at(side), identity or _identity(losing), number)


def conflict_copy(path: str, identity: str, number: int = 1) -> str:
    """Return the name under which the losing version of *path* is kept; *number* where that name is taken.

    >>> conflict_copy("a/report.tar.gz", "sha256:0123456789")
    'a/report.tar.conflict-01234567.gz'
    """
    value = identity.rpartition(":")[2][:8] + (f"-{number}" if number > 1 else "")
    folder, name = parent(path), path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    named = f"{stem}.conflict-{value}{dot}{suffix}"
    return f"{folder}/{named}" if folder else named


def _identity(stamp: Stamp) -> str:
    """Return a text that names the version where its content was not read."""
    if stamp.digests:
        return stamp.digests[0]
    return sha256(f"{stamp.size}|{stamp.etag}|{stamp.version}|{stamp.mtime_ns}".encode()).hexdigest()


def resolved(plan: Plan, chosen: Callable[[Any], bool], *, to: Union[str, bytes, Side, Resolution], by: str) -> Plan:
    """Return *plan* with the chosen conflicts decided; operations that decided them before are replaced."""
    if isinstance(to, bytes):
        return _merged(plan, chosen, to, by)
    resolution = resolution_of(to, "to")
    if resolution is Resolution.MERGED:
        raise RecipeError("what a conflict is merged into is given as bytes: resolve(match, to=b'...')")
    conflicts: List[Conflict] = []
    replaced: List[Conflict] = []
    added: List[Operation] = []
    for conflict in plan.conflicts:
        if not chosen(conflict) or not _can_be_decided(conflict, plan):
            conflicts.append(conflict)
            continue
        if resolution is Resolution.NEWER:
            _refuse_unknown_times(conflict)
        decided_conflict = evolve(conflict, resolution=resolution, decided_by=f"user:{by}")
        conflicts.append(decided_conflict)
        replaced.append(conflict)
        added += operations_for(decided_conflict, retain=plan.settings.retain)
    if not replaced:
        _refuse_kind_clashes(plan, chosen)
        return plan
    return plan.edited([*_without(plan.operations, replaced), *added], conflicts=tuple(conflicts))


def _merged(plan: Plan, chosen: Callable[[Any], bool], content: bytes, by: str) -> Plan:
    """Return *plan* with one content for both sides of the chosen conflicts; raises RecipeError where none can be."""
    merged = [conflict for conflict in plan.conflicts if chosen(conflict)]
    for conflict in merged:
        refused = merge_refusal(conflict, content, plan.settings)
        if refused is not None:
            raise RecipeError(f"{shown(conflict.path)} cannot be merged: {refused}")
    if not merged:
        return plan
    paths = {conflict.path for conflict in merged}
    conflicts = tuple(
        evolve(each, resolution=Resolution.MERGED, decided_by=f"user:{by}") if each.path in paths else each
        for each in plan.conflicts
    )
    made = (merged_operations(each, content, plan.settings.retain) for each in conflicts if each.path in paths)
    return plan.edited([*_without(plan.operations, merged), *chain.from_iterable(made)], conflicts=conflicts)


def _refuse_unknown_times(conflict: Conflict) -> None:
    """Raise RecipeError where the time of an upload would be taken for the time of an edit."""
    both_exist = None not in (conflict.source, conflict.destination)
    if both_exist and conflict.kind is not ConflictKind.KIND_CLASH and conflict.newer is None:
        raise RecipeError(
            f"which version of {shown(conflict.path)} is newer is not known: a side does not keep the modification "
            "times of its content, or was not asked for them; resolve it to keep-both, source or destination"
        )


def _can_be_decided(conflict: Conflict, plan: Plan) -> bool:
    """Say whether the plan knows all that a decision would touch; one-way modes never replace a kind on request."""
    if conflict.kind is not ConflictKind.KIND_CLASH:
        return True
    return bool(conflict.inside) and plan.settings.mode.is_bidirectional


def _refuse_kind_clashes(plan: Plan, chosen: Callable[[Any], bool]) -> None:
    clashes = [conflict.path for conflict in plan.conflicts if chosen(conflict)]
    if clashes:
        raise RecipeError(
            f"{shown(clashes[0])} is a file on one side and a directory on the other, which cannot be resolved by "
            "editing a plan: rename or remove one of them, and plan again"
        )


def _without(operations: Iterable[Operation], conflicts: List[Conflict]) -> Iterable[Operation]:
    groups = {group_of(conflict) for conflict in conflicts}
    places = {(side, conflict.path_at(side)) for conflict in conflicts for side in Side}
    return (
        operation
        for operation in operations
        if operation.group not in groups
        and not (operation.reason is Reason.CONFLICT and (operation.target, operation.path) in places)
    )


def resolution_of(to: Union[str, Side, Resolution], name: str) -> Resolution:
    """Return the resolution that *to* names; raises RecipeError, which speaks of *name*, where it names none."""
    if isinstance(to, Side):
        return Resolution(to.value)
    try:
        return choice(Resolution, to, name)
    except RecipeError:
        if str(to) == "newest":
            return Resolution.NEWER
        raise
