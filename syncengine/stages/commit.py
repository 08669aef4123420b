"""Commit: the state learns what is true now, and never more than that.

A row is written only for what this run copied and verified, or compared and found equal; it is dropped only where
both sides are proven empty. Effects become durable before the rows that tell of them, group by group, so that a crash
at any moment leaves a state that lags behind reality and never runs ahead of it.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import define, evolve, field, frozen

from ..core.bootstrap import still_to_see
from ..core.canonical import record
from ..core.comparator import is_racy
from ..core.entry import Base, Kind, Side, Stamp
from ..core.paths import is_within, parent, parents
from ..core.plan import Action, Agreement, AgreementKind, Operation, Plan, Purpose, Reason
from ..core.report import Outcome, Report, Status
from ..errors import StorageError
from ..serial import outcome_line
from ..state.journal import JournalWriter, Started
from ..state.manager import Intent, Run, SyncStateManager
from ..storage.protocol import StorageClientProtocol, SupportsFlush, exactly
from .flushing import Flushing
from .job import Job
from .retention import border

_NOTHING = Stamp()

GROUP = 2_000
"""Outcomes in one group commit: a flush of the disk for each."""

GROUP_SECONDS = 5.0

MOST_WAITING = 20 * GROUP
"""Outcomes that may wait while the flush of the group before goes on; then copying waits for the disk."""

LINES = 64
"""Created files whose lines go to the journal at once; the line of anything that can destroy goes by itself.

A killed run may lack the last of them: its files stand there, and the next run finds both sides equal.
"""


@define(eq=False)
class Recorder:
    """Takes the outcomes of a run as they come and commits them in groups.

    ``rows_written`` counts the rows of the state that changed.
    """

    state: SyncStateManager
    plan: Plan
    run_id: str
    started_at: datetime
    clients: Mapping[Side, StorageClientProtocol]
    clock: Callable[[], float] = time.time
    rows_written: int = 0
    _journal: Optional[JournalWriter] = field(default=None, init=False)
    _rows: Dict[str, Base] = field(factory=dict, init=False)
    _forgotten: Set[str] = field(factory=set, init=False)
    _directories: Set[str] = field(factory=set, init=False)
    _lines: List[str] = field(factory=list, init=False)
    _halves: Dict[str, Dict[Side, Outcome]] = field(factory=dict, init=False)
    _pending: int = field(default=0, init=False)
    _flushing: Optional[Flushing] = field(default=None, init=False)
    _last: float = field(default=0.0, init=False)
    _coarsest_ns: int = field(default=1, init=False)
    _real_directories: bool = field(default=False, init=False)
    _changed_kind: Set[str] = field(factory=set, init=False)
    _moved: List[Tuple[str, str]] = field(factory=list, init=False)
    """Directories whose rows follow them to another name."""

    def __attrs_post_init__(self) -> None:
        """Ask the clients once what every copied file needs to know."""
        capabilities = [client.capabilities for client in self.clients.values()]
        self._coarsest_ns = max(each.mtime_granularity_ns for each in capabilities)
        self._real_directories = all(each.real_directories for each in capabilities)

    def begin(self) -> None:
        """Take the lock, record the start of the run, and write the plan's agreements down."""
        plan = self.plan
        mode = plan.settings.mode.value if plan.purpose is Purpose.SYNC else plan.purpose.value
        self.state.acquire()
        newer = self._newer_paths()
        run = Run(self.run_id, self.started_at, mode, plan.digest, plan.root_digest)
        self.state.begin(run, preference=plan.settings.initial)
        self._journal = self.state.journal.start(
            Started(
                self.run_id,
                plan.digest,
                plan.root_digest,
                self.state.generation,
                self.started_at,
                source=plan.source.identity,
                mode=mode,
                trash=plan.settings.trash,
            )
        )
        self._intend()
        self._last = self.clock()
        self._changed_kind = {each.compared_as for each in plan.operations if each.reason is Reason.KIND_CHANGED}
        self._agree(agreement for agreement in plan.agreements if agreement.path not in newer)

    def _intend(self) -> None:
        """Note which renames are about to be followed.

        After a crash an edit that was to follow its rename looks like a conflict, and so does one that a user makes
        to what was moved already and not recorded.
        """
        if self.plan.purpose is not Purpose.SYNC:
            return
        moves = [each for each in self.plan.operations if each.action is Action.MOVE and not each.respells]
        intents = [
            Intent(
                each.id,
                "rename" if each.group is not None and _follows_rename(each) else "move",
                (str(each.moved_from), each.path),
                {"side": each.target.other.value},
            )
            for each in moves
            if each.group is None or _follows_rename(each)
        ]
        if intents:
            self.state.add_intents(*intents)

    def _newer_paths(self) -> Set[str]:
        """Return the paths whose rows were written by another plan since this one was made."""
        paths = [agreement.path for agreement in self.plan.agreements]
        if not paths or self.state.generation == self.plan.base.generation:
            return set()
        return set(self.state.newer_rows(self.plan.base.generation, self.plan.root_digest, paths))

    def _agree(self, agreements: Iterable[Agreement]) -> None:
        late = self.state.generation != self.plan.base.generation
        durable = False
        for agreement in agreements:
            if late and not self._still_holds(agreement):
                continue  # without its row the path is compared anew
            position = agreement.path + "/" if agreement.entry_kind is Kind.DIRECTORY else agreement.path
            self._journal_agreement(agreement)
            if agreement.row is not None:
                self._rows[position] = agreement.row
            elif agreement.kind is AgreementKind.FORGET:
                self._forgotten.add(position)
            self._pending += 1
            if self._pending >= GROUP:
                self._write(flush=not durable)
                durable = True

    def _journal_agreement(self, agreement: Agreement) -> None:
        """Write down what both users did alike: no operation tells of it, and a version ended there."""
        if agreement.kind in (AgreementKind.CONVERGE, AgreementKind.FORGET):
            assert self._journal is not None
            self._journal.agree(record(agreement))

    def _still_holds(self, agreement: Agreement) -> bool:
        """Say whether a fresh look finds both sides as an agreement of an older state describes them.

        A row that another run has dropped since leaves no trace, so an old agreement proves nothing by itself.
        """
        if agreement.kind is AgreementKind.DORMANT:
            return True  # absence proves nothing there, so nothing is ever deleted because of it
        return all(self._stands(side, agreement) for side in Side)

    def _stands(self, side: Side, agreement: Agreement) -> bool:
        client, row = self.clients[side], agreement.row
        try:
            with border(agreement.path):
                found = client.stat(agreement.path)
        except StorageError:
            return False
        if row is None or found is None:
            return row is None and found is None
        granularity = client.capabilities.mtime_granularity_ns
        same = exactly(row.stamp(side)).failure(found, granularity_ns=granularity) is None
        return same and found.kind is row.kind

    def barrier(self) -> None:
        """Make everything so far durable; called before anything is deleted."""
        self.flush()
        if self._journal is not None:
            self._journal.barrier()

    def take(self, outcome: Outcome) -> None:
        """Note one outcome, and commit the group when it is full or old."""
        self._lines.append(outcome_line(outcome))
        if outcome.operation.action is not Action.CREATE or len(self._lines) >= LINES:
            self._write_lines()
        if outcome.status is not Status.DONE:
            return
        self._note(outcome)
        self._pending += 1
        if self._pending >= GROUP or self.clock() - self._last >= GROUP_SECONDS:
            self._turn()

    def _turn(self) -> None:
        """Commit the group whose flush has ended and begin that of the current one; copying goes on meanwhile."""
        if self._flushing is not None and not self._flushing.ended and self._pending < MOST_WAITING:
            return
        self._settle()
        clients = self._to_flush()
        if not clients or self._moved:
            self._write(flush=bool(clients))
            return
        self._flushing = Flushing(clients, self._rows, self._forgotten)
        self._rows, self._forgotten, self._pending, self._last = {}, set(), 0, self.clock()

    def _settle(self) -> None:
        """Wait for the flush that is on its way, and commit what waits for it."""
        if self._flushing is not None:
            flushing, self._flushing = self._flushing, None
            flushing.wait()
            self._commit(flushing.rows, flushing.forgotten)

    def _write_lines(self) -> None:
        assert self._journal is not None
        lines, self._lines = self._lines, []
        self._journal.append_lines(lines)

    def flush(self) -> None:
        """Commit the current group: first the sides, then the rows."""
        self._write_lines()
        self._settle()
        if self._pending:
            self._write(flush=True)

    def _write(self, *, flush: bool) -> None:
        if flush:
            for client in self._to_flush():
                client.flush()
        self._commit(self._rows, self._forgotten, self._moved)
        self._rows, self._forgotten, self._moved, self._pending = {}, set(), [], 0
        self._last = self.clock()

    def _commit(self, rows: Mapping[str, Base], forgotten: Set[str], moved: Sequence[Tuple[str, str]] = ()) -> None:
        carried = self.state.commit(rows.values(), forgotten=sorted(forgotten), moved=moved)
        self.rows_written += len(rows) + len(forgotten) + carried

    def _to_flush(self) -> List[SupportsFlush]:
        clients = [self.clients[side] for side in Side if self._writes(side)]
        return [client for client in clients if isinstance(client, SupportsFlush)]

    def _writes(self, side: Side) -> bool:
        mode = self.plan.settings.mode
        if self.plan.purpose is not Purpose.SYNC:
            return True
        return mode.allows_upload if side is Side.DESTINATION else mode.allows_download

    # -------------------------------------------------------- outcomes to rows

    def _note(self, outcome: Outcome) -> None:
        operation = outcome.operation
        if operation.purpose is Purpose.RESTORE:
            return  # an edit of that side, as the next sync will see by itself
        if operation.purpose is Purpose.UNDO:
            self._note_undone(operation)
        elif operation.action is Action.DELETE:
            position = operation.compared_as + ("/" if operation.kind is Kind.DIRECTORY else "")
            self._forgotten.add(position)
            self._rows.pop(position, None)
        elif operation.action is Action.TOUCH:
            self._note_touch(outcome)
        elif operation.respells:
            pass  # another spelling of the same key: what was agreed on stays
        elif operation.moved_from is not None:
            self._note_rename(outcome, operation.moved_from)
        elif _follows_rename(operation):
            self._note_half(outcome)
        elif operation.origin is not None and _carries_its_key(operation):
            self._note_copy(outcome)
        elif operation.action is Action.CREATE and operation.origin is not None:
            self._note_half(outcome)
        elif operation.reason is Reason.KIND_CHANGED and operation.kind is Kind.DIRECTORY:
            self._remember(Base(operation.compared_as, Kind.DIRECTORY, Stamp(), Stamp()))

    def _note_undone(self, operation: Operation) -> None:
        """Forget what was agreed: the sides differ again, and a row would let the next sync spread the undoing.

        Without one it copies what only one side has, and where both differ it asks, so nothing is lost or deleted.
        """
        if operation.moved_from is not None:
            self._forgotten.add(operation.moved_from)
        if operation.moved_from is not None and operation.kind is Kind.DIRECTORY:
            self._forgotten.update(row.position for row in self.state.rows((operation.moved_from,)))
        kinds = {operation.kind, operation.kind_before or operation.kind}
        self._forgotten.update(operation.path + ("/" if kind is Kind.DIRECTORY else "") for kind in kinds)

    def _note_rename(self, outcome: Outcome, old: str) -> None:
        """Remember a followed rename under its new name; a move takes the old name from both sides."""
        operation, path = outcome.operation, outcome.operation.path
        if operation.kind is Kind.DIRECTORY:
            self._moved.append((old, path))
            self._note_directories(operation, path)
            return
        before = self._row(old)
        if operation.action is Action.MOVE:
            self._forgotten.add(old)
            self._rows.pop(old, None)
        if outcome.after is None:
            return
        if operation.counterpart is None:
            self._note_half(outcome)
            return
        stamps = {operation.target: outcome.after, operation.target.other: operation.counterpart}
        self._remember(
            Base(
                path,
                operation.kind,
                stamps[Side.SOURCE],
                stamps[Side.DESTINATION],
                weak=before is not None and before.weak,
                racy=self._racy(operation.kind, stamps),
                digest=outcome.digest or _digest_before(before, operation),
            )
        )
        self._note_directories(operation, path)

    def _row(self, path: str) -> Optional[Base]:
        """Return the newest row of a file, committed or not."""
        waiting = None if self._flushing is None else self._flushing.rows.get(path)
        return self._rows.get(path) or waiting or self.state.row(path)

    def _note_half(self, outcome: Outcome) -> None:
        """Remember once both sides have it: a conflict copy, or a renamed file together with the edit that follows.

        Until the second half is done the row would run ahead of what the other side holds under that name.
        """
        operation = outcome.operation
        halves = self._halves.setdefault(operation.path, {})
        halves[operation.target] = outcome
        if len(halves) < len(Side):
            return
        stamps = {side: half.after or Stamp() for side, half in halves.items()}
        self._remember(
            Base(
                operation.path,
                operation.kind,
                stamps[Side.SOURCE],
                stamps[Side.DESTINATION],
                racy=self._racy(operation.kind, stamps),
                digest=next((half.digest for half in halves.values() if half.digest is not None), None),
            )
        )
        self._note_directories(operation, operation.path)

    def _note_copy(self, outcome: Outcome) -> None:
        operation = outcome.operation
        assert operation.origin is not None
        path, read, made = operation.compared_as, outcome.origin, outcome.after
        if operation.kind is Kind.FILE and (read is None or made is None):
            return
        from_source = operation.origin[0] is Side.SOURCE
        source, destination = (
            (read or _NOTHING, made or _NOTHING) if from_source else (made or _NOTHING, read or _NOTHING)
        )
        self._remember(
            Base(
                path,
                operation.kind,
                source,
                destination,
                racy=self._racy_sides(operation.kind, source, destination),
                digest=outcome.digest,
            )
        )
        self._note_directories(operation, path)

    def _racy_sides(self, kind: Kind, source: Stamp, destination: Stamp) -> Tuple[Side, ...]:
        now = int(self.clock() * 1e9)
        coarsest = self._coarsest_ns
        if kind is not Kind.FILE or not (is_racy(source, now, coarsest) or is_racy(destination, now, coarsest)):
            return ()
        return self._racy(kind, {Side.SOURCE: source, Side.DESTINATION: destination})

    def _racy(self, kind: Kind, stamps: Mapping[Side, Stamp]) -> Tuple[Side, ...]:
        if kind is not Kind.FILE:
            return ()
        now = int(self.clock() * 1e9)
        return tuple(
            side
            for side, stamp in stamps.items()
            if is_racy(stamp, now, self.clients[side].capabilities.mtime_granularity_ns)
        )

    def _note_directories(self, operation: Operation, path: str) -> None:
        """Remember the directories above a copied file: both sides hold them now, or the file could not be there."""
        if operation.key is not None or not self._real_directories or parent(path) in self._directories:
            return
        for directory in parents(path):
            if directory not in self._directories and self._in_scope(directory):
                self._directories.add(directory)
                self._remember(Base(directory, Kind.DIRECTORY, Stamp(), Stamp()))

    def _in_scope(self, path: str) -> bool:
        scope = self.plan.settings.scope
        return not scope or any(is_within(path, prefix) for prefix in scope)

    def _note_touch(self, outcome: Outcome) -> None:
        operation = outcome.operation
        base = self.state.row(operation.compared_as)
        if base is None or outcome.after is None:
            return
        source = outcome.after if operation.target is Side.SOURCE else base.source
        destination = outcome.after if operation.target is Side.DESTINATION else base.destination
        self._remember(Base(base.path, base.kind, source, destination, base.live, base.weak, base.racy, base.digest))

    def _remember(self, row: Base) -> None:
        """Queue a row; a path is a file or a directory, never both, so the row of the other kind goes."""
        self._rows[row.position] = row
        self._forgotten.discard(row.position)
        other = row.path if row.kind is Kind.DIRECTORY else row.path + "/"
        if other in self._rows:
            del self._rows[other]
        if row.path in self._changed_kind:
            self._forgotten.add(other)

    def finish(self, report: Report, finished_at: datetime) -> None:
        """Commit what is left, record the end of the run, and let the lock go."""
        self.flush()
        if not report.interrupted and self.plan.purpose is Purpose.SYNC:
            self.state.set_bootstrap(self._still_to_see(report))
        ended = self._ended_intents(report)
        if ended:
            self.state.remove_intents(ended)
        counts = {status.value: len(outcomes) for status, outcomes in report.by_status.items()}
        assert self._journal is not None
        self._journal.finish(finished_at, applied_in_full=report.ok)
        self.state.finish(finished_at, counts, interrupted=report.interrupted)

    def _ended_intents(self, report: Report) -> List[str]:
        """Return the intents that nothing can follow from: their moves were done, or their old names are forgotten."""
        intents = self.state.intents()
        if not intents:
            return []
        status = {outcome.operation.id: outcome.status for outcome in report.outcomes}
        return [
            intent.operation
            for intent in intents
            if status.get(intent.operation) is Status.DONE
            or (intent.operation not in status and self.state.row(intent.paths[0]) is None)
        ]

    def _still_to_see(self, report: Report) -> Tuple[str, ...]:
        undone = {outcome.operation.compared_as for outcome in report.outcomes if outcome.status is not Status.DONE}
        return still_to_see(
            self.state.bootstrap.todo,
            self.plan.settings.scope,
            self.plan.problems,
            undone=sorted(undone),
            edited=self.plan.original_digest is not None,
        )


def _follows_rename(operation: Operation) -> bool:
    """Say whether the operation brings an edit to the new name of a file that the other side has yet to rename."""
    return operation.group == f"rename:{operation.path}"


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


@frozen
class CommitState:
    """The last stage: records what is true now, and ends the run."""

    name: str = field(default="commit", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with everything recorded."""
        if job.recorder is None or job.report is None:
            return job
        job.recorder.finish(job.report, _parsed(job.report.finished_at))
        return job.with_(report=evolve(job.report, recorded=job.recorder.rows_written), recorder=None)


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
