"""Turn a conflict into operations: by the policy that was asked for, or by a reviewer. One place for both.

Keeping both makes the losing version an ordinary file beside the winner, named after its content, so that running
again after a crash gives the same name.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Callable, Iterable, List, Optional, Tuple, Union

from attrs import evolve

from ..errors import RecipeError
from .entry import Kind, Side, Stamp
from .modes import ConflictPolicy, Retain, choice
from .paths import parent
from .plan import Action, Conflict, ConflictKind, Operation, Plan, Reason, Resolution

TOLERANCE_NS = 2_000_000_000
"""Modification times closer than this are a tie: the coarsest common clock (FAT) ticks every two seconds."""

_BY_POLICY = {
    ConflictPolicy.SOURCE: Resolution.SOURCE,
    ConflictPolicy.DESTINATION: Resolution.DESTINATION,
    ConflictPolicy.KEEP_BOTH: Resolution.KEEP_BOTH,
    ConflictPolicy.NEWEST: Resolution.NEWER,
}


def decided(conflict: Conflict, policy: ConflictPolicy, *, times_count: bool) -> Conflict:
    """Return *conflict* with the resolution that *policy* gives it; open under the manual policy.

    *times_count* says that modification times of both sides are those of the content.
    """
    if policy is ConflictPolicy.MANUAL:
        return conflict
    resolution = _BY_POLICY[policy]
    if conflict.kind is ConflictKind.KIND_CLASH:
        return conflict
    if conflict.kind is ConflictKind.DELETE_MODIFY and resolution in (Resolution.NEWER, Resolution.KEEP_BOTH):
        # A deletion has no time and nothing to keep: the edit wins.
        survivor = Resolution.SOURCE if conflict.source is not None else Resolution.DESTINATION
        return evolve(conflict, resolution=survivor, decided_by=f"rule:{policy.value}")
    if resolution is Resolution.NEWER:
        resolution = newer(conflict) if times_count else Resolution.KEEP_BOTH
    return evolve(conflict, resolution=resolution, decided_by=f"rule:{policy.value}")


def newer(conflict: Conflict) -> Resolution:
    """Return the side whose file is newer; keeping both on a tie or where a time is missing."""
    mine = conflict.source.mtime_ns if conflict.source is not None else None
    theirs = conflict.destination.mtime_ns if conflict.destination is not None else None
    if mine is None or theirs is None or abs(mine - theirs) <= TOLERANCE_NS:
        return Resolution.KEEP_BOTH
    return Resolution.SOURCE if mine > theirs else Resolution.DESTINATION


def operations_for(conflict: Conflict, *, retain: Retain, loser_digest: Optional[str] = None) -> Tuple[Operation, ...]:
    """Return the operations that carry out the resolution of *conflict*; none while it is open."""
    if conflict.open or conflict.kind is ConflictKind.KIND_CLASH:
        return ()
    resolution = newer(conflict) if conflict.resolution is Resolution.NEWER else conflict.resolution
    if resolution is Resolution.KEEP_BOTH:
        if conflict.source is None or conflict.destination is None:
            survivor = Side.SOURCE if conflict.source is not None else Side.DESTINATION
            return (_carried(conflict, survivor, retain),)
        return _keeping_both(conflict, loser_digest)
    winner = Side.SOURCE if resolution is Resolution.SOURCE else Side.DESTINATION
    return (_carried(conflict, winner, retain),)


def _carried(conflict: Conflict, winner: Side, retain: Retain) -> Operation:
    """Return the operation by which the winner's state, which may be absence, reaches the other side."""
    target = winner.other
    arriving, standing = _stamp(conflict, winner), _stamp(conflict, target)
    action = Action.DELETE if arriving is None else (Action.CREATE if standing is None else Action.UPDATE)
    return Operation(
        action,
        Kind.FILE,
        target,
        conflict.path,
        origin=None if arriving is None else (winner, conflict.path),
        expect_target=standing,
        expect_origin=arriving,
        retain=standing is not None and retain is not Retain.NONE,
        size=(arriving.size or 0) if arriving is not None else 0,
        reason=Reason.CONFLICT,
        chosen_by=conflict.decided_by,
    )


def _keeping_both(conflict: Conflict, loser_digest: Optional[str]) -> Tuple[Operation, ...]:
    """Return three operations: the loser's copy beside it, that copy across, and the winner over the loser.

    The copy is read before the winner overwrites its origin; executing derives that order from the origins.
    """
    resolution = newer(conflict)
    winner = Side.DESTINATION if resolution is Resolution.DESTINATION else Side.SOURCE
    loser = winner.other
    losing, winning = _stamp(conflict, loser), _stamp(conflict, winner)
    assert losing is not None
    assert winning is not None
    copy_path = conflict_copy(conflict.path, loser_digest or _identity(losing))
    group = f"conflict:{conflict.path}"
    beside = Operation(
        Action.COPY,
        Kind.FILE,
        loser,
        copy_path,
        origin=(loser, conflict.path),
        expect_origin=losing,
        reason=Reason.CONFLICT,
        chosen_by=conflict.decided_by,
        group=group,
    )
    across = evolve(beside, action=Action.CREATE, target=winner, size=losing.size or 0)
    over = evolve(
        across,
        action=Action.UPDATE,
        target=loser,
        path=conflict.path,
        origin=(winner, conflict.path),
        expect_target=losing,
        expect_origin=winning,
        size=winning.size or 0,
    )
    return (beside, across, over)


def conflict_copy(path: str, identity: str) -> str:
    """Return the name under which the losing version of *path* is kept.

    >>> conflict_copy("a/report.tar.gz", "sha256:0123456789")
    'a/report.tar.conflict-01234567.gz'
    """
    value = identity.rpartition(":")[2][:8]
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


def _stamp(conflict: Conflict, side: Side) -> Optional[Stamp]:
    return conflict.source if side is Side.SOURCE else conflict.destination


def resolved(plan: Plan, chosen: Callable[[Any], bool], *, to: Union[str, Side, Resolution], by: str) -> Plan:
    """Return *plan* with the chosen conflicts decided; operations that decided them before are replaced."""
    resolution = _resolution(to)
    conflicts: List[Conflict] = []
    replaced: List[str] = []
    added: List[Operation] = []
    for conflict in plan.conflicts:
        if not chosen(conflict) or conflict.kind is ConflictKind.KIND_CLASH:
            conflicts.append(conflict)
            continue
        decided_conflict = evolve(conflict, resolution=resolution, decided_by=f"user:{by}")
        conflicts.append(decided_conflict)
        replaced.append(conflict.path)
        added += operations_for(decided_conflict, retain=plan.settings.retain)
    if not replaced:
        return plan
    return plan.edited([*_without(plan.operations, replaced), *added], conflicts=tuple(conflicts))


def _without(operations: Iterable[Operation], paths: List[str]) -> Iterable[Operation]:
    groups = {f"conflict:{path}" for path in paths}
    gone = set(paths)
    return (
        operation
        for operation in operations
        if not (operation.reason is Reason.CONFLICT and (operation.group in groups or operation.path in gone))
    )


def _resolution(to: Union[str, Side, Resolution]) -> Resolution:
    if isinstance(to, Side):
        return Resolution(to.value)
    try:
        return choice(Resolution, to, "to")
    except RecipeError:
        if str(to) == "newest":
            return Resolution.NEWER
        raise
