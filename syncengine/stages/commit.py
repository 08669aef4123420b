"""Commit: the state learns what is true now, and never more than that.

A row is written only for what this run copied and verified, or compared and found equal; it is dropped only where
both sides are proven empty. Effects become durable before the rows that tell of them, group by group, so that a crash
at any moment leaves a state that lags behind reality and never runs ahead of it.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Callable, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import define, evolve, field, frozen

from ..core.bootstrap import still_to_see
from ..core.canonical import record
from ..core.entry import Base, Kind, Side
from ..core.plan import Plan
from ..core.plan_parts import Action, Agreement, AgreementKind, Purpose
from ..core.report import Outcome, Report, Status
from ..errors import StorageError
from ..serial import outcome_line
from ..state.journal import JournalWriter, Started
from ..state.manager import SyncStateManager
from ..state.records import Intent, Run
from ..storage.protocol import StorageClientProtocol, SupportsFlush, exactly
from .flushing import Flushing
from .job import Job
from .learned import Learned, follows_rename
from .retention import border

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
    _learned: Learned = field(init=False)
    _lines: List[str] = field(factory=list, init=False)
    _pending: int = field(default=0, init=False)
    _flushing: Optional[Flushing] = field(default=None, init=False)
    _last: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin without having learned anything."""
        self._learned = Learned(self.plan, self.clients, self._row, self._rows_below)

    def _row(self, path: str) -> Optional[Base]:
        """Return the row of a path that waits for the disk, or that the state has."""
        waiting = None if self._flushing is None else self._flushing.rows.get(path)
        return waiting or self.state.row(path)

    def _rows_below(self, directory: str) -> Iterable[Base]:
        return self.state.rows((directory,))

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
                "rename" if each.group is not None and follows_rename(each) else "move",
                (self._learned.key(str(each.moved_from)), self._learned.key(each.path)),
                {"side": each.target.other.value},
            )
            for each in moves
            if each.group is None or follows_rename(each)
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
                self._learned.rows[position] = agreement.row
            elif agreement.kind is AgreementKind.FORGET:
                self._learned.forgotten.add(position)
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
        self._learned.note(outcome)
        self._pending += 1
        if self._pending >= GROUP or self.clock() - self._last >= GROUP_SECONDS:
            self._turn()

    def _turn(self) -> None:
        """Commit the group whose flush has ended and begin that of the current one; copying goes on meanwhile."""
        if self._flushing is not None and not self._flushing.ended and self._pending < MOST_WAITING:
            return
        self._settle()
        clients = self._to_flush()
        if not clients or self._learned.moved:
            self._write(flush=bool(clients))
            return
        self._flushing = Flushing(clients, self._learned.rows, self._learned.forgotten)
        self._begin_group()

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
        self._commit(self._learned.rows, self._learned.forgotten, self._learned.moved)
        self._begin_group()

    def _begin_group(self) -> None:
        self._learned.clear()
        self._pending, self._last = 0, self.clock()

    def _commit(
        self, rows: Mapping[str, Base], forgotten: Set[str], moved: Sequence[Tuple[str, str, bool]] = ()
    ) -> None:
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
