"""How a decision about one path reads in a plan: as an operation, a row of the state, a conflict or a problem."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Tuple, Union

from attrs import evolve, field, frozen

from .blocks import Block
from .comparator import Change, Equality, SideChange, is_racy
from .directory_renames import DirectoryRename
from .entry import Base, Entry, Kind, Problem, ProblemKind, Side, Stamp
from .folding import Folding
from .modes import SyncMode
from .path_map import PathMap
from .paths import encoded, fold, parent, shown
from .plan_parts import BY_STAMP, Action, Conflict, ConflictKind, Operation, Reason, Settings
from .reconcile import Decision, Effect
from .renames import Ground, Rename

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


def ruled(rule: str, ground: Optional[Ground]) -> str:
    """Return by what a rename was chosen; see ``Operation.rests_on_stamp``."""
    return f"rule:{rule}{BY_STAMP}" if ground is Ground.STAMP else f"rule:{rule}"


@frozen
class SideTraits:
    """What planning must know of a side: what it can hold, and what its listings say."""

    real_directories: bool = True
    symlinks: bool = False
    keeps_modes: bool = False
    listing_digests: Tuple[str, ...] = ()
    cheap_reads: bool = False
    true_mtime: bool = False
    keeps_mtime: bool = False
    """The time of the content is kept with it, though listings do not tell it."""
    mtime_granularity_ns: int = 1
    max_name_bytes: Optional[int] = None
    unicode_form: Optional[str] = None
    name_refusal: Callable[[str], Optional[str]] = lambda _: None
    """Says why nothing of a name can be written there, None where it can."""
    copies: bool = False
    """It copies within itself by one call."""
    stays_inside: Callable[[str], bool] = lambda _: False
    """Says whether what is written at a path comes from within the storage, so that no byte travels."""


@frozen
class Drafts:
    """Puts decisions into the words of a plan; knows the sides, and nothing of any other path."""

    settings: Settings
    traits: Mapping[Side, SideTraits]
    path_map: PathMap = field(factory=PathMap)
    observed_ns: int = 0
    folding: Folding = field(factory=Folding)

    # ------------------------------------------------------------- operations

    def carried(self, change: Change, decision: Decision, *, group: Optional[str] = None) -> Union[Operation, Problem]:
        """Return the operation by which one side's content reaches the other; a problem where it cannot be held."""
        target = decision.effect.target
        assert target is not None
        arriving, standing = change.entry(target.other), change.entry(target)
        assert arriving is not None
        path = standing.own_path if standing is not None else self._spelled(change.path, target, arriving)
        if path is None:
            return _unmapped(change.path)
        return self.unholdable(path, arriving.kind, target) or Operation(
            Action.CREATE if standing is None else Action.UPDATE,
            arriving.kind,
            target,
            path,
            origin=(target.other, arriving.own_path),
            expect_target=None if standing is None else self.stamp(target, standing),
            expect_origin=self.stamp(target.other, arriving),
            digest=_strong(arriving.stamp),
            retain=decision.retain,
            size=0 if self.traits[target].stays_inside(path) else arriving.stamp.size or 0,
            reason=self._reason(change, decision),
            chosen_by=f"rule:{decision.row}",
            group=group,
            key=change.path if (path, arriving.own_path) != (change.path, change.path) else None,
            mode=self._mode(arriving),
            link=arriving.link,
        )

    def carried_together(self, block: Block, decision: Decision) -> Optional[List[Operation]]:
        """Return what ``carried`` returns for each file of a block of new ones; None where one of them is a problem.

        The files differ in path, stamp and permission bits alone, so everything else is said once.
        """
        first = self.carried(block.first_change(), decision)
        if isinstance(first, Problem) or first.key is not None:
            return None
        action, kind, target, side = first.action, first.kind, first.target, block.side
        reason, chosen_by, has_mode = first.reason, first.chosen_by, first.mode is not None
        stays_inside = self.traits[target].stays_inside
        told = list(block.run.told())
        if any(self.unholdable(path, kind, target) is not None for path, _, _ in told):
            return None
        return [
            Operation(
                action,
                kind,
                target,
                path,
                (side, path),
                expect_origin=stamp,
                size=0 if stays_inside(path) else stamp.size or 0,
                reason=reason,
                chosen_by=chosen_by,
                mode=mode if has_mode else None,
            )
            for path, stamp, mode in told
        ]

    def deletion(self, change: Change, decision: Decision, *, group: Optional[str] = None) -> Operation:
        """Return the operation that removes what stands at the path."""
        target, standing = self._standing(change, decision)
        return Operation(
            Action.DELETE,
            standing.kind,
            target,
            standing.own_path,
            expect_target=self.stamp(target, standing),
            retain=decision.retain,
            reason=self._reason(change, decision),
            chosen_by=f"rule:{decision.row}",
            group=group,
            key=change.path if standing.own_path != change.path else None,
        )

    def renamed(self, rename: Rename, action: Action, ground: Optional[Ground] = None) -> Union[Operation, Problem]:
        """Return the operation that makes the other side follow a rename: a move, or in a backup a copy.

        *ground* is what shows that it is one; the plan names a stamp, which proves less than content.
        """
        target = rename.side.other
        standing, arrived = rename.change.entry(target), rename.change.entry(rename.side)
        assert standing is not None
        assert arrived is not None
        at_source = rename.side is Side.SOURCE
        path = self._spelled(rename.new, target, arrived) or rename.new
        return self.unholdable(path, standing.kind, target) or Operation(
            action,
            standing.kind,
            target,
            path,
            origin=(target, standing.own_path),
            expect_origin=self.stamp(target, standing),
            reason=Reason.RENAMED_AT_SOURCE if at_source else Reason.RENAMED_AT_DESTINATION,
            chosen_by=ruled("R4" if rename.edited else "R1", ground),
            group=f"rename:{rename.new}" if rename.edited else None,
            key=rename.new if path != rename.new else None,
            counterpart=None if rename.edited else self.stamp(rename.side, arrived),
        )

    def renamed_directory(self, rename: DirectoryRename) -> Union[Operation, Problem]:
        """Return the one operation by which the other side follows the rename of a directory with all that is in it."""
        target = rename.side.other
        at_source = rename.side is Side.SOURCE
        return self.unholdable(rename.new, Kind.DIRECTORY, target) or Operation(
            Action.MOVE,
            Kind.DIRECTORY,
            target,
            rename.new,
            origin=(target, rename.old),
            expect_origin=rename.expected,
            reason=Reason.RENAMED_AT_SOURCE if at_source else Reason.RENAMED_AT_DESTINATION,
            chosen_by=ruled("R8", rename.ground),
            files=rename.files,
        )

    def new_directory(self, change: Change, decision: Decision, *, group: Optional[str] = None) -> Operation:
        """Return the operation that makes an empty directory."""
        target = decision.effect.target
        assert target is not None
        arriving = change.entry(target.other)
        assert arriving is not None
        path = self._spelled(change.path, target, arriving) or change.path
        return Operation(
            Action.CREATE,
            Kind.DIRECTORY,
            target,
            path,
            origin=(target.other, arriving.own_path),
            expect_origin=Stamp(),
            key=change.path if (path, arriving.own_path) != (change.path, change.path) else None,
            reason=self._reason(change, decision),
            chosen_by=f"rule:{decision.row}",
            group=group,
        )

    def directory_for_file(self, change: Change, decision: Decision, *, group: str) -> Operation:
        """Return the operation that replaces a file by a directory; what is in it follows by its own operations."""
        return evolve(
            self.deletion(change, decision, group=group),
            action=Action.UPDATE,
            kind=Kind.DIRECTORY,
            reason=Reason.KIND_CHANGED,
            key=None,
        )

    def respelled(self, change: Change) -> Optional[Operation]:
        """Return the rename by which a side that folds names takes over a new spelling of the other's; None as a rule.

        Only the side that tells spellings apart can have chosen one.
        """
        leading = self.folding.leading()
        if leading is None or change.kind is not Kind.FILE or not _writes(self.settings.mode, leading.other):
            return None
        chosen, standing = change.entry(leading), change.entry(leading.other)
        if chosen is None or standing is None:
            return None
        above, name = parent(standing.own_path), chosen.own_path.rpartition("/")[2]
        path = f"{above}/{name}" if above else name
        form = self.traits[leading.other].unicode_form
        if fold(path, form) == fold(standing.own_path, form):
            return None
        return Operation(
            Action.MOVE,
            Kind.FILE,
            leading.other,
            path,
            origin=(leading.other, standing.own_path),
            expect_origin=self.stamp(leading.other, standing),
            reason=Reason.RENAMED_AT_SOURCE if leading is Side.SOURCE else Reason.RENAMED_AT_DESTINATION,
            chosen_by="rule:N2",
            key=change.path,
        )

    def new_mode(self, change: Change, source: Entry, destination: Entry) -> Optional[Operation]:
        """Return a change of permission bits where one side leads; two-way cannot tell who changed them."""
        mode = self.settings.mode
        if "mode" not in self.settings.metadata or mode.is_bidirectional or source.kind is not Kind.FILE:
            return None
        target = Side.DESTINATION if mode.allows_upload else Side.SOURCE
        standing, leading = (destination, source) if target is Side.DESTINATION else (source, destination)
        if leading.mode is None or standing.mode is None or leading.mode == standing.mode:
            return None
        return Operation(
            Action.TOUCH,
            Kind.FILE,
            target,
            standing.own_path,
            expect_target=self.stamp(target, standing),
            reason=Reason.MODE_DIFFERS,
            chosen_by="rule:metadata",
            key=change.path if standing.own_path != change.path else None,
            mode=leading.mode,
        )

    def _standing(self, change: Change, decision: Decision) -> Tuple[Side, Entry]:
        target = decision.effect.target
        assert target is not None
        standing = change.entry(target)
        assert standing is not None
        return target, standing

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

    def _spelled(self, path: str, side: Side, arriving: Optional[Entry] = None) -> Optional[str]:
        """Return how *side* spells the key *path*; None where a mapping by function cannot be turned around."""
        if self.folding:
            return self.folding.spelled(path if arriving is None else arriving.own_path, side)
        if side is Side.DESTINATION or not self.path_map:
            return path
        return self.path_map.backward(path)

    def unholdable(self, path: str, kind: Kind, target: Side) -> Optional[Problem]:
        """Return why the target cannot hold what is of that *kind* and name."""
        traits = self.traits[target]
        if kind is Kind.SYMLINK and not traits.symlinks:
            message = f"{shown(path)} is a symbolic link, which the {target.value} cannot hold"
            return Problem(ProblemKind.UNSUPPORTED, path, message, "plan", target)
        longest = traits.max_name_bytes
        # What is short as a whole, at four bytes for a character, has no long name in it.
        if longest is not None and 4 * len(path) > longest and _longest_name(path) > longest:
            message = f"the name {shown(path)} is longer than the {longest} bytes that the {target.value} holds"
            return Problem(ProblemKind.BAD_NAME, path, message, "plan", target)
        refused = traits.name_refusal(path)
        if refused is not None:
            message = f"the {target.value} cannot hold {shown(path)}: the name {refused}"
            return Problem(ProblemKind.BAD_NAME, path, message, "plan", target)
        return None

    def _mode(self, arriving: Entry) -> Optional[int]:
        both = all(traits.keeps_modes for traits in self.traits.values())
        return arriving.mode if both and arriving.kind is Kind.FILE else None

    # ------------------------------------------------------------------- rows

    def row(self, change: Change, source: Entry, destination: Entry) -> Base:
        """Return what the state remembers of content that both sides hold."""
        both = ((Side.SOURCE, source), (Side.DESTINATION, destination))
        known = _common_digest(source.stamp, destination.stamp)
        still = change.base is not None and change.comparison.source is not SideChange.MODIFIED
        return Base(
            change.path,
            source.kind,
            self.stamp(Side.SOURCE, source),
            self.stamp(Side.DESTINATION, destination),
            weak=change.comparison.weak,
            racy=tuple(side for side, entry in both if self._racy(side, entry)),
            digest=known or (change.base.digest if still and change.base is not None else None),
        )

    def stamp(self, side: Side, entry: Entry) -> Stamp:
        """Return the stamp as the listing gives it, without digests that this run computed or asked for."""
        stamp, listed = entry.stamp, self.traits[side].listing_digests
        if not stamp.digests:
            return stamp
        return evolve(stamp, digests=tuple(text for text in stamp.digests if text.partition(":")[0] in listed))

    def _racy(self, side: Side, entry: Entry) -> bool:
        granularity = self.traits[side].mtime_granularity_ns
        return entry.kind is Kind.FILE and is_racy(entry.stamp, self.observed_ns, granularity)

    # -------------------------------------------------------------- conflicts

    def conflict(self, change: Change, kind: ConflictKind) -> Conflict:
        """Return the conflict that *change* is, undecided."""
        entry = change.destination
        path = entry.own_path if entry is not None else self._spelled(change.path, Side.DESTINATION, change.source)
        return Conflict(
            path if self.folding and path is not None else change.path,
            kind,
            base=None if change.base is None else change.base.source,
            source=self._stamp_at(change, Side.SOURCE),
            destination=self._stamp_at(change, Side.DESTINATION),
            source_path=self._source_path(change),
            source_link=None if change.source is None else change.source.link,
            destination_link=None if change.destination is None else change.destination.link,
            key=change.path if self.folding else None,
        )

    def _source_path(self, change: Change) -> Optional[str]:
        arriving = change.destination
        path = (
            change.source.own_path if change.source is not None else self._spelled(change.path, Side.SOURCE, arriving)
        )
        return None if path == change.path else path

    def _stamp_at(self, change: Change, side: Side) -> Optional[Stamp]:
        entry = change.entry(side)
        return None if entry is None else self.stamp(side, entry)


def _writes(mode: SyncMode, side: Side) -> bool:
    return mode.allows_upload if side is Side.DESTINATION else mode.allows_download


def _unmapped(path: str) -> Problem:
    message = f"path_map is a function, so the source's name for {shown(path)} is not known; use pairs of paths"
    return Problem(ProblemKind.UNSUPPORTED, path, message, "plan", Side.SOURCE)


def _common_digest(first: Stamp, second: Stamp) -> Optional[str]:
    return next((digest for digest in first.digests if digest in second.digests), None)


def _longest_name(path: str) -> int:
    return max(len(encoded(part)) for part in path.split("/"))


def _strong(stamp: Stamp) -> Optional[str]:
    if not stamp.digests:
        return None
    return next((found for found in (stamp.digest(name) for name in ("sha256", "md5", "crc64nvme")) if found), None)
