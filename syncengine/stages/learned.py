"""What the outcomes of a run teach the state: rows to write, positions to forget, directories that moved.

A row says what both sides hold, so an outcome makes one only where it shows both ends of a path; what shows one end
waits for the other. Nothing here is durable: ``commit`` decides when what was learned may be told.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from attrs import define, field

from ..core.comparator import is_racy, racy_since
from ..core.entry import Base, Kind, Side, Stamp
from ..core.folding import Folding
from ..core.paths import is_within, parent, parents
from ..core.plan import Plan
from ..core.plan_parts import Action, Operation, Purpose, Reason
from ..core.report import Outcome
from ..storage.protocol import StorageClientProtocol
from .scan import folding_of

_NOTHING = Stamp()
_FILE, _SOURCE = Kind.FILE, Side.SOURCE  # looked up once: an enum answers slowly


@define(eq=False)
class Learned:
    """Turns outcomes into rows, and holds them until they are taken.

    *committed* returns the row of a path that was handed over before, or that the state has; *committed_below* returns
    all that the state has in a directory.
    """

    plan: Plan
    clients: Mapping[Side, StorageClientProtocol]
    committed: Callable[[str], Optional[Base]]
    committed_below: Callable[[str], Iterable[Base]]
    rows: Dict[str, Base] = field(factory=dict, init=False)
    forgotten: Set[str] = field(factory=set, init=False)
    moved: List[Tuple[str, str, bool]] = field(factory=list, init=False)
    """Directories whose rows follow them to another name, and whether they are weak from then on."""
    _directories: Set[str] = field(factory=set, init=False)
    _halves: Dict[str, Dict[Side, Outcome]] = field(factory=dict, init=False)
    _coarsest_ns: int = field(default=1, init=False)
    _real_directories: bool = field(default=False, init=False)
    _changed_kind: Set[str] = field(factory=set, init=False)
    _folding: Folding = field(factory=Folding, init=False)

    def __attrs_post_init__(self) -> None:
        """Ask the clients and the plan once what every copied file needs to know."""
        capabilities = [client.capabilities for client in self.clients.values()]
        self._coarsest_ns = max(each.mtime_granularity_ns for each in capabilities)
        self._real_directories = all(each.real_directories for each in capabilities)
        changed = (each for each in self.plan.operations if each.reason is Reason.KIND_CHANGED)
        self._changed_kind = {each.compared_as for each in changed}
        self._folding = folding_of(self.clients)

    def key(self, path: str) -> str:
        """Return what the state knows *path* under, however a side spells it."""
        return self._folding.key(path)

    def clear(self) -> None:
        """Begin anew: what was learned so far is in other hands."""
        self.rows, self.forgotten, self.moved = {}, set(), []

    def note(self, outcome: Outcome) -> None:
        """Learn what one operation that was done has made true."""
        operation = outcome.operation
        purpose = operation.purpose
        if purpose is Purpose.RESTORE:
            return  # an edit of that side, as the next sync will see by itself
        if purpose is Purpose.UNDO:
            self._note_undone(operation)
        elif operation.action is Action.DELETE:
            position = operation.compared_as + ("/" if operation.kind is Kind.DIRECTORY else "")
            self.forgotten.add(position)
            self.rows.pop(position, None)
        elif operation.action is Action.TOUCH:
            self._note_touch(outcome)
        elif operation.respells:
            pass  # another spelling of the same key: what was agreed on stays
        elif operation.moved_from is not None:
            self._note_rename(outcome, operation.moved_from)
        elif follows_rename(operation) or operation.content is not None:
            self._note_half(outcome)
        elif operation.origin is not None and _carries_its_key(operation):
            self._note_copy(outcome)
        elif operation.action is Action.CREATE and operation.origin is not None:
            self._note_half(outcome)
        elif operation.reason is Reason.KIND_CHANGED and operation.kind is Kind.DIRECTORY:
            self.remember(Base(operation.compared_as, Kind.DIRECTORY, Stamp(), Stamp()))

    def _note_undone(self, operation: Operation) -> None:
        """Forget what was agreed: the sides differ again, and a row would let the next sync spread the undoing.

        Without one it copies what only one side has, and where both differ it asks, so nothing is lost or deleted.
        """
        if operation.moved_from is not None:
            self.forgotten.add(self.key(operation.moved_from))
        if operation.moved_from is not None and operation.kind is Kind.DIRECTORY:
            self.forgotten.update(row.position for row in self.committed_below(operation.moved_from))
        kinds = {operation.kind, operation.kind_before or operation.kind}
        self.forgotten.update(self.key(operation.path) + ("/" if kind is Kind.DIRECTORY else "") for kind in kinds)

    def _note_rename(self, outcome: Outcome, old: str) -> None:
        """Remember a followed rename under its new name; a move takes the old name from both sides."""
        operation, old, path = outcome.operation, self.key(old), self.key(outcome.operation.path)
        if operation.kind is Kind.DIRECTORY:
            self.moved.append((old, path, operation.rests_on_stamp))
            self._note_directories(operation, path)
            return
        before = self._row(old)
        if operation.action is Action.MOVE:
            self.forgotten.add(old)
            self.rows.pop(old, None)
        if outcome.after is None:
            return
        if operation.counterpart is None:
            self._note_half(outcome)
            return
        stamps = {operation.target: outcome.after, operation.target.other: operation.counterpart}
        self.remember(
            Base(
                path,
                operation.kind,
                stamps[Side.SOURCE],
                stamps[Side.DESTINATION],
                weak=operation.rests_on_stamp or (before is not None and before.weak),
                racy=self._racy(operation.kind, stamps, outcome.looked_ns),
                digest=outcome.digest or _digest_before(before, operation),
            )
        )
        self._note_directories(operation, path)

    def _row(self, path: str) -> Optional[Base]:
        """Return the newest row of a file, committed or not."""
        return self.rows.get(path) or self.committed(path)

    def _note_half(self, outcome: Outcome) -> None:
        """Remember once both sides have it: a conflict copy, a merged file, or a renamed file with its edit.

        Until the second half is done the row would run ahead of what the other side holds under that name.
        """
        operation = outcome.operation
        path = self.key(operation.compared_as)
        halves = self._halves.setdefault(path, {})
        halves[operation.target] = outcome
        if len(halves) < len(Side):
            return
        stamps = {side: half.after or Stamp() for side, half in halves.items()}
        self.remember(
            Base(
                path,
                operation.kind,
                stamps[Side.SOURCE],
                stamps[Side.DESTINATION],
                racy=self._racy(operation.kind, stamps, min(half.looked_ns for half in halves.values())),
                digest=next((half.digest for half in halves.values() if half.digest is not None), None),
            )
        )
        self._note_directories(operation, path)

    def _note_copy(self, outcome: Outcome) -> None:
        operation = outcome.operation
        assert operation.origin is not None
        path, kind, read, made = operation.compared_as, operation.kind, outcome.origin, outcome.after
        if kind is _FILE and (read is None or made is None):
            return
        source, destination = read or _NOTHING, made or _NOTHING
        if operation.origin[0] is not _SOURCE:
            source, destination = destination, source
        racy = self._racy_sides(kind, source, destination, outcome.looked_ns)
        self.remember(Base(path, kind, source, destination, racy=racy, digest=outcome.digest))
        self._note_directories(operation, path)

    def _racy_sides(self, kind: Kind, source: Stamp, destination: Stamp, looked_ns: int) -> Tuple[Side, ...]:
        if kind is not _FILE:
            return ()
        window = racy_since(looked_ns, self._coarsest_ns)
        if (source.mtime_ns or 0) < window and (destination.mtime_ns or 0) < window:
            return ()  # nearly every file was written long ago
        return self._racy(kind, {Side.SOURCE: source, Side.DESTINATION: destination}, looked_ns)

    def _racy(self, kind: Kind, stamps: Mapping[Side, Stamp], looked_ns: int) -> Tuple[Side, ...]:
        """Return the sides whose stamp was too young when it was looked at; when it is recorded is of no matter."""
        if kind is not Kind.FILE:
            return ()
        return tuple(
            side
            for side, stamp in stamps.items()
            if is_racy(stamp, looked_ns, self.clients[side].capabilities.mtime_granularity_ns)
        )

    def _note_directories(self, operation: Operation, path: str) -> None:
        """Remember the directories above a copied file: both sides hold them now, or the file could not be there."""
        if operation.key is not None or not self._real_directories or parent(path) in self._directories:
            return
        for directory in parents(path):
            if directory not in self._directories and self._in_scope(directory):
                self._directories.add(directory)
                self.remember(Base(directory, Kind.DIRECTORY, Stamp(), Stamp()))

    def _in_scope(self, path: str) -> bool:
        scope = self.plan.settings.scope
        return not scope or any(is_within(path, prefix) for prefix in scope)

    def _note_touch(self, outcome: Outcome) -> None:
        operation = outcome.operation
        base = self._row(operation.compared_as)
        if base is None or outcome.after is None:
            return
        source = outcome.after if operation.target is Side.SOURCE else base.source
        destination = outcome.after if operation.target is Side.DESTINATION else base.destination
        self.remember(Base(base.path, base.kind, source, destination, base.live, base.weak, base.racy, base.digest))

    def remember(self, row: Base) -> None:
        """Queue a row; a path is a file or a directory, never both, so the row of the other kind goes."""
        position = row.position
        self.rows[position] = row
        self.forgotten.discard(position)
        other = row.path + "/" if position == row.path else row.path
        if other in self.rows:
            del self.rows[other]
        if row.path in self._changed_kind:
            self.forgotten.add(other)


def follows_rename(operation: Operation) -> bool:
    """Say whether the operation brings an edit to the new name of a file that the other side has yet to rename."""
    return operation.group is not None and operation.group == f"rename:{operation.compared_as}"


def _digest_before(before: Optional[Base], operation: Operation) -> Optional[str]:
    """Return the digest that was agreed under the old name, where the very version it is of was moved."""
    if before is None or operation.expect_origin is None:
        return None
    same = operation.expect_origin.same_version(before.stamp(operation.target))
    return before.digest if same else None


def _carries_its_key(operation: Operation) -> bool:
    """Say whether the operation brings a path to the other side under its own key, so that both sides agree on it."""
    assert operation.origin is not None
    if operation.origin[0] is operation.target:
        return False
    return operation.key is not None or operation.origin[1] == operation.path
