"""What a plan is made of: operations, agreements, conflicts, and what says where and how; values without behaviour."""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from itertools import islice
from operator import lt
from typing import Iterable, Optional, Sequence, Tuple

from attrs import field, frozen

from .entry import Base, Kind, Side, Stamp
from .guards import Guards
from .modes import ComparisonMode, ConflictPolicy, InitialSyncPreference, OnlyIf, Retain, SymlinkPolicy, SyncMode
from .paths import encoded


class Action(str, Enum):
    """What an operation does to its target; TOUCH changes metadata only."""

    CREATE = "create"
    UPDATE = "update"
    COPY = "copy"
    MOVE = "move"
    DELETE = "delete"
    TOUCH = "touch"


class Reason(str, Enum):
    """Why an operation is in the plan; a closed set."""

    ONLY_AT_SOURCE = "only_at_source"
    ONLY_AT_DESTINATION = "only_at_destination"
    CHANGED_AT_SOURCE = "changed_at_source"
    CHANGED_AT_DESTINATION = "changed_at_destination"
    CHANGED_ON_BOTH_SIDES = "changed_on_both_sides"
    REMOVED_AT_SOURCE = "removed_at_source"
    REMOVED_AT_DESTINATION = "removed_at_destination"
    CONTENT_DIFFERS = "content_differs"
    CANNOT_COMPARE = "cannot_compare"
    KIND_CHANGED = "kind_changed"
    RENAMED_AT_SOURCE = "renamed_at_source"
    RENAMED_AT_DESTINATION = "renamed_at_destination"
    MODE_DIFFERS = "mode_differs"
    FORCED = "forced"
    CONFLICT = "conflict"
    PREFERENCE = "preference"
    UNDONE = "undone"
    RESTORED = "restored"
    PRUNED = "pruned"


class Purpose(str, Enum):
    """What a plan is for: a sync, or one of the three things that are done with the versions that syncs retained."""

    SYNC = "sync"
    RESTORE = "restore"
    UNDO = "undo"
    PRUNE = "prune"


@frozen
class Operation:
    """One thing a run will do to one path of one side.

    ``path`` is spelled as the target spells it; ``origin`` says where the content comes from. The expected stamps
    are those of before the plan's first operation; ``expect_target`` None means that the path is free. ``size`` is
    the number of bytes that travel: 0 for deletions, moves and copies within one storage. ``retain`` says that the
    version on the target is kept. An update of reason KIND_CHANGED replaces a directory by a file or the reverse.
    """

    action: Action
    kind: Kind
    target: Side
    path: str
    origin: Optional[Tuple[Side, str]] = None
    expect_target: Optional[Stamp] = None
    expect_origin: Optional[Stamp] = None
    digest: Optional[str] = None
    retain: bool = False
    size: int = 0
    reason: Reason = Reason.CONTENT_DIFFERS
    chosen_by: str = ""
    group: Optional[str] = None
    key: Optional[str] = None
    """The path under which both sides are compared, where it is not ``path`` or not how the origin is spelled."""
    mode: Optional[int] = None
    link: Optional[str] = None
    counterpart: Optional[Stamp] = None
    """What the other side holds under the new name of a move or copy, so that both can be remembered as agreed."""
    files: Optional[int] = None
    """How many files go along with a directory that is moved as a whole."""
    content: Optional[str] = None
    """The bytes to write, in base64, where they come from neither side: what a conflict was merged into."""

    @property
    def id(self) -> str:
        """A short text that names target and path; stable over re-planning."""
        return sha256(self.target.value.encode() + b"\0" + encoded(self.path)).hexdigest()[:16]

    @property
    def purpose(self) -> Purpose:
        """What it is done for, as ``chosen_by`` says: ``undo:RUN`` and the like, anything else is part of a sync."""
        return _PURPOSES.get(self.chosen_by.partition(":")[0], Purpose.SYNC)

    @property
    def destroys(self) -> bool:
        """Whether bytes on the target are lost or retained."""
        return self.expect_target is not None and self.action in _REPLACING and self.kind_before is not Kind.DIRECTORY

    @property
    def kind_before(self) -> Optional[Kind]:
        """What stands at the path before this operation; None where it is free."""
        if self.expect_target is None:
            return None
        if self.reason is Reason.KIND_CHANGED and self.action is Action.UPDATE:
            return Kind.FILE if self.kind is Kind.DIRECTORY else Kind.DIRECTORY
        return self.kind

    @property
    def respells(self) -> bool:
        """Whether a file only gets another spelling of its name, on a side that takes both for one."""
        return self.key is not None and self.action is Action.MOVE and not self.chosen_by.startswith(_FOLLOWING)

    @property
    def removes_file(self) -> bool:
        """Whether a file disappears from its path; a move is not a deletion, an emptied directory neither."""
        return self.action is Action.DELETE and self.kind is not Kind.DIRECTORY

    @property
    def overwrites(self) -> bool:
        """Whether a file is replaced by other content."""
        return self.action in OVERWRITING and self.destroys

    @property
    def rests_on_stamp(self) -> bool:
        """Whether only an equal stamp shows that what is moved is what the other side renamed."""
        return self.chosen_by.endswith(BY_STAMP)

    @property
    def compared_as(self) -> str:
        """The key under which both sides are compared."""
        return self.path if self.key is None else self.key

    @property
    def moved_from(self) -> Optional[str]:
        """The old path of a move or of a copy within one side."""
        if self.origin is None or self.action not in _WITHIN_A_SIDE:
            return None
        return self.origin[1]


BY_STAMP = " by stamp"
"""Ends ``chosen_by`` of a rename that no content proves."""


_FOLLOWING = "rule:R"
"""Begins ``chosen_by`` of a move to another name, as against another spelling of the same."""


_PURPOSES = {purpose.value: purpose for purpose in Purpose}


OVERWRITING = (Action.UPDATE, Action.COPY, Action.MOVE)


_REPLACING = (*OVERWRITING, Action.DELETE)


_WITHIN_A_SIDE = (Action.MOVE, Action.COPY)


class AgreementKind(str, Enum):
    """Why a row of the state changes without a side being written."""

    ADOPT = "adopt"
    CONVERGE = "converge"
    FORGET = "forget"
    TOUCH = "touch"
    DORMANT = "dormant"


@frozen
class Agreement:
    """A row this run writes to the state without touching a side, with the stamps it rests on.

    ``row`` None removes the row.
    """

    kind: AgreementKind
    path: str
    entry_kind: Kind
    row: Optional[Base]
    source: Optional[Stamp] = None
    destination: Optional[Stamp] = None


class ConflictKind(str, Enum):
    """How the two sides disagree."""

    CREATE_CREATE = "create_create"
    MODIFY_MODIFY = "modify_modify"
    DELETE_MODIFY = "delete_modify"
    KIND_CLASH = "kind_clash"


class Resolution(str, Enum):
    """How a conflict was decided."""

    SOURCE = "source"
    DESTINATION = "destination"
    NEWER = "newer"
    KEEP_BOTH = "keep-both"
    MERGED = "merged"
    SKIP = "skip"


@frozen
class Inside:
    """What stands at or below a directory that faces a file, on the directory's own side.

    ``removed`` says that both sides had agreed on it, and that the side of the file removed it; ``holdable`` is False
    for a directory that the side of the file is not to get, because it has none or because something is hidden in it.
    """

    path: str
    kind: Kind
    stamp: Stamp
    removed: bool = False
    holdable: bool = True
    link: Optional[str] = None


@frozen
class Conflict:
    """A path on which the sides disagree; it stays listed beside the operations that resolve it.

    ``source_path`` is how the source spells the path where a mapping makes that differ; the links are the targets of
    symbolic links, where one stands there. ``inside`` is what a directory holds that faces a file: first the directory
    itself, where its side has real ones.
    """

    path: str
    kind: ConflictKind
    base: Optional[Stamp] = None
    source: Optional[Stamp] = None
    destination: Optional[Stamp] = None
    resolution: Optional[Resolution] = None
    decided_by: str = ""
    source_path: Optional[str] = None
    source_link: Optional[str] = None
    destination_link: Optional[str] = None
    inside: Tuple[Inside, ...] = ()
    key: Optional[str] = None
    """The path under which both sides are compared, where a side knows several spellings of a name."""
    newer: Optional[Resolution] = None
    """What ``newer`` comes to: the side whose content is newer, ``keep-both`` on a tie or where a time is missing; None
    where a side keeps no times of its content, or was not asked for them."""

    def stamp(self, side: Side) -> Optional[Stamp]:
        """Return what *side* holds; None where it was removed there."""
        return self.source if side is Side.SOURCE else self.destination

    def link(self, side: Side) -> Optional[str]:
        """Return where the symbolic link of *side* points; None where none stands there."""
        return self.source_link if side is Side.SOURCE else self.destination_link

    def path_at(self, side: Side) -> str:
        """Return the path as *side* spells it."""
        return self.path if side is Side.DESTINATION or self.source_path is None else self.source_path

    @property
    def open(self) -> bool:
        """Whether it still needs a decision."""
        return self.resolution in (None, Resolution.SKIP)


@frozen
class Endpoint:
    """One location of a plan, without secrets: a redacted URL, a profile's name, the names of options."""

    url: str
    identity: str
    profile: Optional[str] = None
    options: Tuple[str, ...] = ()
    stamps: Tuple[str, ...] = ()


@frozen
class StateRef:
    """Which state a plan was computed from: its place (``default``, a redacted URL or None), lineage and generation."""

    place: Optional[str] = None
    lineage: Optional[str] = None
    generation: int = 0


@frozen
class Settings:
    """Everything that decides what happens; part of the digest that a reviewer approves."""

    mode: SyncMode = SyncMode.SOURCE_BACKUP
    compare: ComparisonMode = ComparisonMode.HASH_THEN_MTIME
    conflict: ConflictPolicy = ConflictPolicy.NEWEST
    initial: Optional[InitialSyncPreference] = None
    renames: bool = True
    scope: Tuple[str, ...] = ()
    guards: Guards = field(factory=Guards)
    retain: Retain = Retain.UNSYNCED
    trash: Optional[str] = None
    symlinks: SymlinkPolicy = SymlinkPolicy.SKIP
    only_if: OnlyIf = OnlyIf.ALWAYS
    path_map: Tuple[Tuple[str, str], ...] = ()
    metadata: Tuple[str, ...] = ()
    object_headers: Tuple[Tuple[str, str, str], ...] = ()
    """Pattern, name and value of what objects are to carry; see ``core/object_headers.py``."""
    force: bool = False
    require_complete: bool = False
    require_resolved: bool = False
    allow_emptied: bool = False
    allow_mass_delete: bool = False
    hash_by_download: bool = False


@frozen
class Approval:
    """A signature record over the digest of a plan."""

    by: str
    note: str
    digest: str


def in_order(operations: Iterable[Operation]) -> Tuple[Operation, ...]:
    """Return *operations* in the order of a plan: by the bytes of the path, then by side."""
    found = tuple(operations)
    return found if ascends(found) else tuple(sorted(found, key=order_of))


def ascends(operations: Sequence[Operation]) -> bool:
    """Say whether each path comes after the one before it, as those of a first copy do."""
    paths = [encoded(operation.path) for operation in operations]
    return all(map(lt, paths, islice(paths, 1, None)))


def order_of(operation: Operation) -> Tuple[bytes, str]:
    """Return what the operations of a plan are sorted by."""
    return encoded(operation.path), operation.target
