"""Conflicts while planning: each is listed, decided by the policy, and turned into operations where it was decided."""

from __future__ import annotations

from itertools import count
from typing import Callable, Iterable, Iterator, Optional, Tuple, Union

from attrs import evolve, field, frozen

from ..errors import RecipeError
from .comparator import Change, Question
from .drafts import Drafts
from .entry import Entry, Kind, Problem, ProblemKind, Side
from .merging import merge_refusal, merged_operations
from .modes import ConflictPolicy, Retain
from .paths import shown
from .plan_parts import Conflict, ConflictKind, Inside, Operation, Resolution
from .reconcile import kept_by_only_if
from .resolve import (
    TOLERANCE_NS,
    copy_name,
    decided,
    keeps_both,
    loser_of,
    newer,
    newest,
    operations_for,
    resolution_of,
)

Digest = Callable[[Question], Optional[str]]
Look = Callable[[Side, str], Optional[Entry]]
ContentTime = Callable[[Side, Entry], Optional[int]]

Read = Callable[[Union[Side, str]], bytes]
"""Reads what one side of a conflict holds, of exactly the version that is in conflict; nothing where nothing stands."""

Chooser = Callable[[Conflict, Read], Union[str, bytes]]
"""A function of the user's that decides one conflict: it returns the name of a resolution, or merged content."""

Ask = Callable[[Conflict], Union[str, bytes, Problem]]
"""Puts a conflict to such a function; a problem says why it could not decide."""

Decided = Tuple[Conflict, Tuple[Operation, ...], Tuple[Problem, ...]]
"""A conflict with the operations that resolve it, and with what stands in the way of that."""

_ALGORITHM = "sha256"


@frozen(eq=False)
class Conflicts:
    """Decides conflicts as the settings ask.

    *digest_of* and *look* answer for names that keep the losing version; *content_time* for a side whose listings do
    not tell the time of the content though it is kept, by a request for each file. *ask* decides instead of the policy.
    """

    drafts: Drafts
    digest_of: Digest = field(default=lambda _: None)
    look: Look = field(default=lambda *_: None)
    ask: Optional[Ask] = None
    content_time: ContentTime = field(default=lambda *_: None)

    def decided(self, change: Change, kind: ConflictKind, *, inside: Tuple[Inside, ...] = ()) -> Decided:
        """Return the conflict that *change* is, with the operations that resolve it.

        It stays open, with problems that say why, where a side cannot hold what the resolution would bring to it.
        """
        open_conflict = evolve(self.drafts.conflict(change, kind), inside=inside, newer=self._newer(change, kind))
        if kind is ConflictKind.KIND_CLASH and not inside:
            return open_conflict, (), ()
        if self.ask is None:
            return self._carried_out(open_conflict, decided(open_conflict, self._policy()), change)
        answer, by = self.ask(open_conflict), f"function:{self.ask.__name__}"
        if isinstance(answer, Problem):
            return open_conflict, (), (answer,)
        if isinstance(answer, bytes):
            return self._merged(open_conflict, answer, by)
        return self._carried_out(open_conflict, self._chosen(open_conflict, answer, by), change)

    def _carried_out(self, open_conflict: Conflict, conflict: Conflict, change: Change) -> Decided:
        operations = self._operations(conflict, change)
        problems = (*self._kept(conflict, operations), *self._unholdable(operations))
        return (open_conflict, (), problems) if problems else (conflict, self._sized(operations), ())

    def _newer(self, change: Change, kind: ConflictKind) -> Optional[Resolution]:
        """Return which version is newer; None where times do not tell, or where nobody will ask for them."""
        if kind not in (ConflictKind.CREATE_CREATE, ConflictKind.MODIFY_MODIFY):
            return None
        traits = self.drafts.traits
        if not all(each.true_mtime or (each.keeps_mtime and self._time_decides) for each in traits.values()):
            return None
        mine, theirs = (self._time(side, change.entry(side)) for side in Side)
        if mine is None or theirs is None:
            return None
        tolerance_ns = max(TOLERANCE_NS, *(each.mtime_granularity_ns for each in traits.values()))
        return newest(mine, theirs, tolerance_ns=tolerance_ns)

    @property
    def _time_decides(self) -> bool:
        """Whether the answer is worth a request: it decides now, or a reviewer may ask for it."""
        return self.ask is not None or self._policy() in (ConflictPolicy.NEWEST, ConflictPolicy.MANUAL)

    def _time(self, side: Side, entry: Optional[Entry]) -> Optional[int]:
        if entry is None or self.drafts.traits[side].true_mtime:
            return None if entry is None else entry.stamp.mtime_ns
        return self.content_time(side, entry)

    def _merged(self, conflict: Conflict, content: bytes, by: str) -> Decided:
        refused = merge_refusal(conflict, content, self.drafts.settings)
        if refused is not None:
            message = f"{shown(conflict.path)} cannot be merged: {refused}"
            return conflict, (), (Problem(ProblemKind.UNSUPPORTED, conflict.path, message, "plan"),)
        merged = evolve(conflict, resolution=Resolution.MERGED, decided_by=by)
        operations = merged_operations(merged, content, self.drafts.settings.retain)
        found = (self.drafts.unholdable(each.path, each.kind, each.target) for each in operations)
        problems = tuple(problem for problem in found if problem is not None)
        return (conflict, (), problems) if problems else (merged, operations, ())

    def _chosen(self, conflict: Conflict, answer: str, by: str) -> Conflict:
        resolution = resolution_of(answer, "what the conflict function returns")
        if resolution is Resolution.MERGED:
            raise RecipeError("a conflict function returns the merged content itself, as bytes")
        if resolution is Resolution.NEWER:
            safe = self.drafts.settings.retain is not Retain.NONE
            resolution = newer(conflict) if safe else Resolution.KEEP_BOTH
        return evolve(conflict, resolution=resolution, decided_by=by)

    def _operations(self, conflict: Conflict, change: Change) -> Tuple[Operation, ...]:
        retain = self.drafts.settings.retain
        if not keeps_both(conflict):
            return operations_for(conflict, retain=retain)
        side = loser_of(conflict)
        loser = change.entry(side)
        assert loser is not None
        identity = self._digest(side, loser)
        number, copied = self._place(conflict, loser, identity)
        return operations_for(conflict, retain=retain, identity=identity, number=number, copied=copied)

    def _unholdable(self, operations: Iterable[Operation]) -> Iterator[Problem]:
        for operation in operations:
            if operation.origin is not None:
                problem = self.drafts.unholdable(operation.path, operation.kind, operation.target)
                yield from () if problem is None else (problem,)

    def _kept(self, conflict: Conflict, operations: Iterable[Operation]) -> Iterator[Problem]:
        """Yield a problem for a version that ``only_if`` keeps, whatever the policy would do with it."""
        for operation in operations:
            if operation.expect_target is None or operation.expect_origin is None:
                continue
            why = kept_by_only_if(self.drafts.settings.only_if, operation.expect_origin, operation.expect_target)
            if why is not None:
                message = f"{shown(conflict.path)} is in conflict and not replaced: {why}"
                yield Problem(ProblemKind.UNSUPPORTED, conflict.path, message, "plan")

    def _place(self, conflict: Conflict, loser: Entry, identity: Optional[str]) -> Tuple[int, bool]:
        """Return the number of the copy's name, and whether the copy stands there already."""
        names = ((number, self._taken(conflict, identity, number)) for number in count(1))
        return next(
            (number, bool(taken))
            for number, taken in names
            if all(self._is_copy(side, entry, loser, identity) for side, entry in taken)
        )

    def _policy(self) -> ConflictPolicy:
        """Without a trash the loser of ``newest`` could not be recovered, so both are kept."""
        settings = self.drafts.settings
        unsafe = settings.retain is Retain.NONE and settings.conflict is ConflictPolicy.NEWEST
        return ConflictPolicy.KEEP_BOTH if unsafe else settings.conflict

    def _sized(self, operations: Tuple[Operation, ...]) -> Tuple[Operation, ...]:
        """Return *operations* with the bytes that travel: none where both sides are one storage."""
        return tuple(
            evolve(operation, size=0)
            if self.drafts.traits[operation.target].stays_inside(operation.path)
            else operation
            for operation in operations
        )

    def _digest(self, side: Side, entry: Entry) -> Optional[str]:
        """Return the digest of a file where its content can be had cheaply."""
        known = entry.stamp.digest(_ALGORITHM)
        if known is not None or entry.kind is not Kind.FILE or not self.drafts.traits[side].cheap_reads:
            return known
        return self.digest_of(Question(side, entry, _ALGORITHM))

    def _taken(self, conflict: Conflict, identity: Optional[str], number: int) -> Tuple[Tuple[Side, Entry], ...]:
        """Return what stands where the copy would go, on both sides."""
        looks = ((side, self.look(side, copy_name(conflict, side, identity, number))) for side in Side)
        return tuple((side, entry) for side, entry in looks if entry is not None)

    def _is_copy(self, side: Side, entry: Entry, loser: Entry, identity: Optional[str]) -> bool:
        """Say whether *entry* is the copy that a killed run made; its own row then carries it to the other side."""
        if entry.kind is not loser.kind or entry.link != loser.link or entry.stamp.size != loser.stamp.size:
            return False
        found = self._digest(side, entry)
        # Where no digest can be had, the name was made of the losing version's stamp, and the loser is retained.
        return identity is None or found is None or found == identity
