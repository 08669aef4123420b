"""The planner: changes become operations, agreements and conflicts. Nothing is read here, nothing is written.

A path is decided by the table in ``reconcile.py`` and put into words by ``drafts.py``; what no single path knows
(directories, files that face a directory) is in ``directories.py``, what a conflict becomes in ``conflicts.py``.
"""

from __future__ import annotations

from typing import Container, List, Mapping, Optional, Union

from attrs import Factory, define, evolve, field

from .blocks import Block
from .clashes import Clash, Clashes, file_side
from .comparator import Change, Equality, SideChange
from .conflicts import Conflicts, Decided
from .directories import Directories
from .directory_renames import DirectoryRename
from .drafts import Drafts
from .entry import Base, Entry, Extent, Kind, Problem, ProblemKind, Side
from .merge import Views
from .modes import OnlyIf, Retain
from .paths import parents, shown
from .plan_parts import Action, Agreement, AgreementKind, Conflict, ConflictKind, Operation, Resolution, Settings
from .reconcile import Decision, Effect, Policy, reconcile
from .renames import Ground, Rename, ground_of
from .tally import Tally


@define(eq=False)
class Planner:
    """Collects changes and turns them into the parts of a plan.

    Feed it with ``take`` in the order of the diff, then call ``finish``.
    """

    drafts: Drafts
    policy: Policy
    stateful: bool = True
    deciding: Conflicts = field(default=Factory(lambda self: Conflicts(self.drafts), takes_self=True))
    tally: Tally = field(factory=Tally)
    operations: List[Operation] = field(factory=list, init=False)
    agreements: List[Agreement] = field(factory=list, init=False)
    conflicts: List[Conflict] = field(factory=list, init=False)
    problems: List[Problem] = field(factory=list, init=False)
    _directories: Directories = field(
        default=Factory(lambda self: Directories(self.drafts), takes_self=True), init=False
    )
    _clashes: Clashes = field(
        default=Factory(
            lambda self: Clashes({side: traits.real_directories for side, traits in self.drafts.traits.items()}),
            takes_self=True,
        ),
        init=False,
    )

    @property
    def settings(self) -> Settings:
        """The settings that decide."""
        return self.drafts.settings

    def take(self, changed: Union[Change, Views, Block]) -> None:
        """Plan one path, or the files of a block."""
        if isinstance(changed, Block):
            self._block(changed)
            return
        self.tally.changes += 1
        if isinstance(changed, Views):
            self._out_of_bounds(changed)
        elif self._clashes.take(changed) or self._directories.is_frozen(changed.path):
            self._leave_alone(changed)
        elif changed.clash:
            self._clash(changed)
        elif changed.kind is Kind.DIRECTORY:
            self._directory(changed)
        else:
            self._file(changed)

    def finish(self) -> None:
        """Decide the directories, and what of a file and a directory of one name stays."""
        blocked = {change.path for change in self._directories.blocked_replacements()}
        clashes = (*self._clashes.frozen(), *self._clashes.at(blocked))
        decided = {clash.change.path: self._decided(clash) for clash in clashes}
        # Something survives below, so the file cannot take the name: the subtree is decided as a whole.
        if decided:
            self.operations = [each for each in self.operations if not self._is_taken_back(each, decided)]
        self.conflicts = [each for each in self.conflicts if not _lies_in(each.path, blocked)]
        self.operations += (each for each in self._directories.operations() if not _lies_in(each.path, blocked))
        for conflict, operations, problems in decided.values():
            self.conflicts.append(conflict)
            self.operations.extend(operations)
            self.problems.extend(problems)

    def _is_taken_back(self, operation: Operation, decided: Mapping[str, Decided]) -> bool:
        """Say whether *operation* lies where a clash was decided; a move to where the directory comes goes on."""
        where = next(
            (path for path in (*parents(operation.compared_as), operation.compared_as) if path in decided), None
        )
        if where is None:
            return False
        conflict = decided[where][0]
        if operation.action is not Action.MOVE or operation.origin is None:
            return True
        if conflict.resolution is Resolution.KEEP_BOTH and operation.target is file_side(conflict):
            return False
        self._directories.hold(operation.origin[1], operation.target)
        return True

    # ---------------------------------------------------------- out of bounds

    def _out_of_bounds(self, views: Views) -> None:
        self._directories.survives(views)
        self._clashes.keep(views)
        if views.collision:
            self.problems.append(views.problem)
            return
        assert views.region is not None
        if not views.region.excluded:
            return
        self.tally.excluded += 1
        if views.base is not None and views.base.live:
            self._agree(AgreementKind.DORMANT, views.path, views.base.kind, evolve(views.base, live=False))

    # ------------------------------------------------------------------ files

    def _file(self, change: Change) -> None:
        decision = reconcile(change, self.policy)
        if decision.refused is not None:
            self._refused(change, decision.refused)
        if decision.effect is Effect.CONFLICT:
            self._conflict(change, decision)
        elif decision.effect.deletes:
            self._delete(change, decision)
        elif decision.effect.target is not None:
            self._carry(change, decision)
        else:
            self._record(change, decision)
            self._directories.survives(change)

    def _refused(self, change: Change, why: str) -> None:
        if self.settings.only_if is OnlyIf.IMMUTABLE:
            message = f"{shown(change.path)} is not replaced: {why}"
            self.problems.append(Problem(ProblemKind.CHANGED, change.path, message, "plan"))

    def _carry(self, change: Change, decision: Decision) -> None:
        target = decision.effect.target
        assert target is not None
        group = self._directories.group_of(change.path, target)
        drafted = self.drafts.carried(change, decision, group=group)
        if isinstance(drafted, Problem):
            self.problems.append(drafted)
            self._directories.leave_out(change)
            return
        self._directories.hold(drafted.path, target)
        self._directories.hold(change.path, target.other)
        self.operations.append(drafted)

    def _delete(self, change: Change, decision: Decision) -> None:
        target = decision.effect.target
        assert target is not None
        group = self._directories.group_of(change.path, target)
        self.operations.append(self.drafts.deletion(change, decision, group=group))

    def _block(self, block: Block) -> None:
        """Plan files that one side alone has: new ones in one go, where nothing around them matters."""
        decision = None if self._is_decided_apart(block) else reconcile(block.first_change(), self.policy)
        target = None if decision is None or decision.effect.deletes else decision.effect.target
        drafted = None if decision is None or target is None else self.drafts.carried_together(block, decision)
        if drafted is None or target is None:
            for change in block.changes():
                self.take(change)
            return
        self.tally.changes += len(drafted)
        for side in Side:
            self._directories.hold(block.folder, side)
        self.operations += drafted

    def _is_decided_apart(self, block: Block) -> bool:
        """Say whether the files of *block* may be decided each in another way than the first.

        The table sees the same in all that are new. Only the preference of a first sync may govern some of them.
        """
        governed_in_parts = self.policy.initial is not None and any(self.policy.todo)
        return block.rows is not None or governed_in_parts or bool(self._clashes) or self._directories.any_replaced

    # ---------------------------------------------------------------- renames

    def follow(self, rename: Rename) -> bool:
        """Plan that the other side follows a rename; False, with nothing planned, where it cannot or should not.

        It cannot where it does not hold such a name, and should not where nothing shows that it is a rename, or where
        a copy under the new name would have to travel.
        """
        ground = self._ground(rename)
        if ground is None and not rename.edited:
            return False
        backup = self.settings.mode.is_backup
        if backup and not self.drafts.traits[rename.side.other].copies:
            return False
        drafted = self.drafts.renamed(rename, Action.COPY if backup else Action.MOVE, ground)
        if isinstance(drafted, Problem):
            return False
        self.operations.append(drafted)
        self._directories.hold(rename.new, drafted.target)
        self._directories.hold(rename.new, rename.side)
        decision = reconcile(rename.change, self.policy)
        if decision.effect.target is rename.side:
            followed = self.drafts.carried(rename.change, decision, group=drafted.group)
            assert isinstance(followed, Operation), "the renaming side holds that name already"
            # What an unproved new name holds may never have been on the other side.
            unproved = ground is not Ground.CONTENT and self.settings.retain is not Retain.NONE
            retain = followed.retain or unproved
            self.operations.append(evolve(followed, retain=retain))
        if backup and rename.base.live:
            # Nothing may disappear in a backup, not even by a wrong guess: the old name stays.
            self._directories.hold(rename.old, drafted.target)
            self._agree(AgreementKind.DORMANT, rename.old, rename.base.kind, evolve(rename.base, live=False))
        return True

    def follow_directory(self, rename: DirectoryRename) -> bool:
        """Plan that the other side renames a directory as a whole; False, with nothing planned, where it cannot."""
        drafted = self.drafts.renamed_directory(rename)
        if isinstance(drafted, Problem):
            return False
        self.operations.append(drafted)
        for side in Side:
            self._directories.hold(rename.new, side)
        return True

    def _ground(self, rename: Rename) -> Optional[Ground]:
        by_download = self.settings.hash_by_download
        reads = {side for side, traits in self.drafts.traits.items() if traits.cheap_reads or by_download}
        return ground_of(rename, self.deciding.digest_of, reads)

    # ------------------------------------------------------------- agreements

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
        if change.kind is not Kind.DIRECTORY:
            self.tally.unchanged += 1
        self._keep_modes_in_step(change, source, destination)
        respelled = self.drafts.respelled(change) if self.drafts.folding else None
        if respelled is not None:
            self.operations.append(respelled)
        row = self.drafts.row(change, source, destination)
        if decision.row == "T6" and base is not None and not _refreshes(change, base, row):
            return
        kind = {"T4": AgreementKind.ADOPT, "T9": AgreementKind.CONVERGE}.get(decision.row, AgreementKind.TOUCH)
        self._agree(kind, change.path, source.kind, row)

    def _keep_modes_in_step(self, change: Change, source: Entry, destination: Entry) -> None:
        drafted = self.drafts.new_mode(change, source, destination) if self.settings.metadata else None
        if drafted is not None:
            self.operations.append(drafted)

    def _agree(self, kind: AgreementKind, path: str, entry_kind: Kind, row: Optional[Base]) -> None:
        if not self.stateful:
            return
        stamps = (row.source, row.destination) if row is not None else (None, None)
        self.agreements.append(Agreement(kind, path, entry_kind, row, *stamps))

    # -------------------------------------------------------------- conflicts

    def _conflict(self, change: Change, decision: Decision) -> None:
        assert decision.conflict is not None
        conflict, operations, problems = self.deciding.decided(change, decision.conflict)
        self.conflicts.append(conflict)
        self.problems.extend(problems)
        self.operations.extend(operations)
        arriving = [operation for operation in operations if operation.action is not Action.DELETE]
        if arriving or not operations:
            self._directories.survives(change)
        for operation in arriving:
            self._directories.hold(operation.compared_as, operation.target)

    def _decided(self, clash: Clash) -> Decided:
        """Return what becomes of a file and the directory that faces it, now that everything below is known."""
        # A backup never replaces one kind by another, and under a mapping one directory may be many elsewhere.
        decidable = self.settings.mode.is_bidirectional and not (self.drafts.path_map or self.drafts.folding)
        inside = clash.inside(self.drafts) if decidable else ()
        conflict, operations, problems = self.deciding.decided(clash.change, ConflictKind.KIND_CLASH, inside=inside)
        if self.drafts.folding and conflict.open:
            problems = (*problems, _undecidable(conflict))
        return conflict, operations, problems

    # ------------------------------------------------------- kinds, directories

    def _clash(self, change: Change) -> None:
        """Plan a path that is a file on one side and a directory on the other.

        The file alone is decided first. Where it goes, a directory takes its place; where it comes, it waits for
        everything below the directory to go. A backup never replaces one kind by another.
        """
        if self.settings.mode.is_backup:
            self._freeze(change)
            return
        file_side = Side.DESTINATION if change.kind is Kind.DIRECTORY else Side.SOURCE
        alone = change.without(file_side.other)
        decision = reconcile(alone, self.policy)
        if decision.effect.target is None:
            self._freeze(change)
        elif decision.effect.deletes:
            self._make_room_for_directory(alone, decision, decision.effect.target)
        else:
            self._replace_directory(change, alone, decision)

    def _freeze(self, change: Change) -> None:
        """Leave the subtree alone until everything below the directory was seen."""
        self._clashes.open(change, frozen=True)
        self._leave_alone(_of_agreed_kind(change))

    def _leave_alone(self, change: Change) -> None:
        """Plan nothing at a path, but remember the deletion that a backup skips there: two-way would make up for it."""
        self._directories.survives(change)
        if change.kind is Kind.DIRECTORY and not self._directories.takes_part(change):
            return
        decision = reconcile(change, self.policy)
        if decision.dormant:
            self._record(change, decision)

    def _make_room_for_directory(self, alone: Change, decision: Decision, target: Side) -> None:
        if not self.drafts.traits[target].real_directories:
            self._delete(alone, decision)  # a file and names below it can stand side by side there
            return
        self.operations.append(self._directories.file_becomes_directory(alone, decision))

    def _replace_directory(self, change: Change, alone: Change, decision: Decision) -> None:
        self._clashes.open(change, frozen=False)
        drafted = self._directories.directory_becomes_file(change, alone, decision)
        if isinstance(drafted, Problem):
            self.problems.append(drafted)
        else:
            self.operations.append(drafted)

    def _directory(self, change: Change) -> None:
        """Plan a directory; it takes part only where both sides have real ones."""
        if not self._directories.takes_part(change):
            return
        decision = reconcile(change, evolve(self.policy, force=False))
        refused = self._unholdable(change, decision)
        if refused is not None:
            self.problems.append(refused)
        elif not self._directories.wait(change, decision):
            self._record(change, decision)

    def _unholdable(self, change: Change, decision: Decision) -> Optional[Problem]:
        target = decision.effect.target
        arriving = None if target is None or decision.effect.deletes else change.entry(target.other)
        return (
            None if target is None or arriving is None else self.drafts.unholdable(change.path, arriving.kind, target)
        )


def _lies_in(path: str, folders: Container[str]) -> bool:
    return path in folders or any(folder in folders for folder in parents(path))


def _of_agreed_kind(clash: Change) -> Change:
    """Return the clash without the side whose kind is not the agreed one: that side has lost what was agreed on."""
    if clash.base is None:
        return clash
    was_directory = clash.base.kind is Kind.DIRECTORY
    kinds = {side: entry.kind for side in Side for entry in (clash.entry(side),) if entry is not None}
    return clash.without(next(side for side, kind in kinds.items() if (kind is Kind.DIRECTORY) is not was_directory))


def _undecidable(conflict: Conflict) -> Problem:
    message = (
        f"{shown(conflict.path)} is a file on one side and a directory on the other; where names are folded neither is "
        "moved out of the way, since what lies in the directory is spelled in two ways: rename one of them"
    )
    return Problem(ProblemKind.COLLISION, conflict.path, message, "plan", extent=Extent.SUBTREE)


def _refreshes(change: Change, base: Base, row: Base) -> bool:
    """Say whether an agreement that still holds is worth writing again: new stamps, or a row that was in doubt.

    A stamp that was too young, and still stands when it is not, is that of whatever stood there first or of an edit
    within that tick; the next one will have another, so from now on it tells of every edit.
    """
    touched = SideChange.TOUCHED in (change.comparison.source, change.comparison.destination)
    return touched or not base.live or not set(base.racy) <= set(row.racy)
