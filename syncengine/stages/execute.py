"""Execute: the operations of a plan are performed, each with its preconditions, and nothing else is written.

What a plan expects is checked right before each write, by the storage itself where it can. A version that has to be
kept is safe in the trash before its path is touched. Each operation ends in exactly one outcome; a failure stops
only what depends on it.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import define, evolve, field, frozen

from ..core.comparator import is_racy
from ..core.entry import Kind, Problem, ProblemKind, Side, Stamp
from ..core.guards import Blocker
from ..core.paths import parents, shown
from ..core.plan import Action, Operation, Plan
from ..core.report import Outcome, Report, Status
from ..core.schedule import Schedule, Unit, schedule
from ..errors import GuardError, PreconditionFailed, StorageError, SyncError, Unsupported
from ..events import ApplyFinished, ApplyStarted, BytesMoved, Emitter, OperationFinished
from ..state.trash import run_id, trash_path
from ..storage.protocol import (
    ABSENT,
    ANYTHING,
    StorageClientProtocol,
    SupportsCopy,
    SupportsDirectories,
    SupportsLinks,
    SupportsMetadata,
    SupportsMove,
    SupportsPreserve,
    SupportsSweep,
    exactly,
    expecting,
)
from ..storage.routes import Transferred, transfer, workers
from .commit import Recorder
from .job import Job, Limits
from .scan import problem_of
from .throttle import Rate

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 30.0
_PROGRESS_BYTES = 1 << 20


@frozen
class Written:
    """What an operation left behind on its target."""

    after: Optional[Stamp] = None
    origin: Optional[Stamp] = None
    bytes: int = 0
    digest: Optional[str] = None
    retained_at: Optional[str] = None


@define(eq=False)
class SyncOperations:
    """Performs single operations: upload, download, copy, move, delete, make and remove directories, touch.

    *trash* is where retained versions go: below each side's own root where it is None.
    """

    clients: Mapping[Side, StorageClientProtocol]
    run_id: str
    emitter: Emitter = field(factory=Emitter)
    limits: Limits = field(factory=Limits)
    trash: Optional[StorageClientProtocol] = None
    cancel: threading.Event = field(factory=threading.Event)
    clock: Callable[[], float] = time.time
    _bytes: Rate = field(init=False)
    _requests: Rate = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Share one budget of bytes and calls among all workers."""
        self._bytes = Rate(self.limits.bandwidth)
        self._requests = Rate(self.limits.requests_per_second)

    def perform(self, operation: Operation) -> Outcome:
        """Perform one operation and return its outcome; never raises for a failing storage."""
        started = time.perf_counter()
        attempts, problem, status, written = 0, None, Status.DONE, Written()
        while True:
            attempts += 1
            try:
                self._requests.take(1)
                with _border(operation.path):
                    written = self._do(operation)
                problem, status = None, Status.DONE
            except PreconditionFailed as error:
                status, problem = Status.STALE, _changed(operation, error)
            except StorageError as error:
                status, problem = Status.FAILED, _failed(operation, error)
                if error.retryable and attempts <= self.limits.retries and not self.cancel.is_set():
                    self._back_off(attempts)
                    continue
            break
        return Outcome(
            operation,
            status,
            problem,
            attempts=attempts,
            bytes=written.bytes,
            seconds=time.perf_counter() - started,
            before=operation.expect_target,
            after=written.after,
            origin=written.origin,
            digest=written.digest,
            retained_at=written.retained_at,
        )

    def _back_off(self, attempts: int) -> None:
        """Wait longer after each try, by a random part of it so that workers do not come back in step."""
        import random

        longest = min(_LONGEST_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2**attempts)
        self.cancel.wait(random.uniform(longest / 2, longest))  # noqa: S311 - spreads retries, guards no secret

    def _do(self, operation: Operation) -> Written:
        if operation.action is Action.DELETE:
            return self._delete(operation)
        if operation.action is Action.TOUCH:
            return self._touch(operation)
        if operation.action is Action.MOVE:
            return self._move(operation)
        if operation.kind is Kind.DIRECTORY:
            return self._make_directory(operation)
        return self._replacing(operation, self._write)

    def client(self, side: Side) -> StorageClientProtocol:
        """Return the client of *side*."""
        return self.clients[side]

    # ------------------------------------------------------------------ writing

    def _replacing(self, operation: Operation, write: Callable[[Operation], Written]) -> Written:
        """Keep the standing version first where that is asked, then write; take the kept copy back on failure."""
        if not (operation.retain and operation.destroys):
            return write(operation)
        kept = self.keep(operation)
        try:
            return evolve(write(operation), retained_at=kept)
        except (Exception, KeyboardInterrupt):
            # The old version still stands at its path, so the copy in the trash would be reported by nobody.
            with suppress(StorageError), _border(kept):
                self.discard(operation, kept)
            raise

    def _write(self, operation: Operation) -> Written:
        assert operation.origin is not None
        side, path = operation.origin
        if operation.kind is Kind.SYMLINK:
            return self._write_link(operation)
        moved = self._transfer(operation, self.client(side), path)
        return Written(moved.target, moved.origin, moved.bytes, moved.digest)

    def _transfer(self, operation: Operation, origin: StorageClientProtocol, path: str) -> Transferred:
        expected = operation.expect_origin
        granularity = origin.capabilities.mtime_granularity_ns
        racy = expected is not None and is_racy(expected, int(self.clock() * 1e9), granularity)
        return transfer(
            origin,
            path,
            self.client(operation.target),
            operation.path,
            expect_origin=expected,
            expect_target=expecting(operation.expect_target),
            mtime_ns=expected.mtime_ns if expected is not None else None,
            mode=operation.mode,
            racy=racy,
            on_bytes=self._progress(operation),
        )

    def _progress(self, operation: Operation) -> Callable[[int], None]:
        waiting = 0

        def on_bytes(moved: int) -> None:
            nonlocal waiting
            self._bytes.take(moved)
            waiting += moved
            if waiting >= _PROGRESS_BYTES:
                self.emitter.emit(BytesMoved(operation.path, waiting))
                waiting = 0

        return on_bytes

    def _write_link(self, operation: Operation) -> Written:
        target = self.client(operation.target)
        if not isinstance(target, SupportsLinks) or operation.link is None:
            raise Unsupported(f"{shown(operation.path)}: symbolic links cannot be written there", path=operation.path)
        stamp = target.write_link(operation.path, operation.link, expect=expecting(operation.expect_target))
        return Written(stamp, operation.expect_origin)

    def _touch(self, operation: Operation) -> Written:
        target = self.client(operation.target)
        if not isinstance(target, SupportsMetadata) or operation.mode is None:
            raise Unsupported(f"{shown(operation.path)}: permission bits cannot be set there", path=operation.path)
        stamp = target.set_mode(operation.path, operation.mode, expect=expecting(operation.expect_target))
        return Written(stamp)

    def _make_directory(self, operation: Operation) -> Written:
        self.make_directory(operation)
        return Written(Stamp(), Stamp())

    def make_directory(self, operation: Operation) -> None:
        """Make the directory that *operation* names, parents included."""
        self._directories(operation.target, operation.path).make_directory(operation.path)

    def _directories(self, side: Side, path: str) -> SupportsDirectories:
        client = self.client(side)
        if isinstance(client, SupportsDirectories):
            return client
        raise Unsupported(f"{shown(path)}: the {side.value} has no directories", path=path)

    # ------------------------------------------------------------------ moving

    def _move(self, operation: Operation) -> Written:
        """Rename within one side; where the storage cannot, copy, and delete only the version that was copied."""
        assert operation.origin is not None
        _, old = operation.origin
        client = self.client(operation.target)
        expected = operation.expect_origin
        if isinstance(client, SupportsMove):
            stamp = client.move(old, operation.path, expect=expecting(operation.expect_target), expect_origin=expected)
            return Written(stamp, expected)
        moved = self._transfer(operation, client, old)
        client.delete(old, expect=exactly(moved.origin))
        return Written(moved.target, moved.origin, moved.bytes, moved.digest)

    # ---------------------------------------------------------------- deleting

    def _delete(self, operation: Operation) -> Written:
        if operation.kind is Kind.DIRECTORY:
            self._directories(operation.target, operation.path).remove_directory(operation.path)
            return Written()
        if operation.retain:
            return Written(retained_at=self.set_aside(operation))
        self.client(operation.target).delete(operation.path, expect=expecting(operation.expect_target))
        return Written()

    def keep(self, operation: Operation) -> str:
        """Make the standing version also available in the trash, and return where."""
        client, trash = self.client(operation.target), self._trash_of(operation.target)
        path, expected, place = operation.path, operation.expect_target, self._free_place(operation)
        assert expected is not None
        if trash is client and isinstance(client, SupportsPreserve):
            client.preserve(path, place, expect=exactly(expected))
        elif trash is client and isinstance(client, SupportsCopy):
            client.copy(path, place, expect=ABSENT, expect_origin=expected)
        else:
            mtime_ns = expected.mtime_ns
            transfer(client, path, trash, place, expect_origin=expected, expect_target=ABSENT, mtime_ns=mtime_ns)
        return place

    def set_aside(self, operation: Operation) -> str:
        """Move the standing version to the trash, and return where."""
        client, trash = self.client(operation.target), self._trash_of(operation.target)
        expected = operation.expect_target
        assert expected is not None
        if trash is client and isinstance(client, SupportsMove):
            place = self._free_place(operation)
            client.move(operation.path, place, expect=ABSENT, expect_origin=expected)
            return place
        place = self.keep(operation)
        try:
            client.delete(operation.path, expect=exactly(expected))
        except StorageError:
            with suppress(StorageError):
                trash.delete(place, expect=ANYTHING)
            raise
        return place

    def put_back(self, operation: Operation, place: str) -> None:
        """Bring a version that was set aside back to its path, unless something else stands there by now."""
        client, trash = self.client(operation.target), self._trash_of(operation.target)
        if trash is client and isinstance(client, SupportsMove):
            client.move(place, operation.path, expect=ABSENT)
        else:
            stamp = operation.expect_target
            mtime_ns = stamp.mtime_ns if stamp is not None else None
            transfer(trash, place, client, operation.path, expect_origin=None, expect_target=ABSENT, mtime_ns=mtime_ns)
            trash.delete(place, expect=ANYTHING)
        self._tidy(trash, place)

    def put_all_back(self, aside: Iterable[Tuple[Operation, str]]) -> Dict[str, str]:
        """Bring back what was set aside; return by operation where a version still is that could not be."""
        stranded: Dict[str, str] = {}
        for operation, place in aside:
            try:
                with _border(place):
                    self.put_back(operation, place)
            except StorageError:
                stranded[operation.id] = place
        return stranded

    def discard(self, operation: Operation, place: str) -> None:
        """Delete a version that was only set aside until its path had been written."""
        trash = self._trash_of(operation.target)
        trash.delete(place, expect=ANYTHING)
        self._tidy(trash, place)

    def _tidy(self, trash: StorageClientProtocol, place: str) -> None:
        """Remove the folders of the trash that became empty; the innermost that is not ends it."""
        if isinstance(trash, SupportsDirectories):
            with suppress(StorageError), _border(place):
                for folder in reversed(tuple(parents(place))):
                    trash.remove_directory(folder)

    def _trash_of(self, side: Side) -> StorageClientProtocol:
        return self.client(side) if self.trash is None else self.trash

    def _free_place(self, operation: Operation) -> str:
        """Return a free name in the trash; a resumed run may find its own from before."""
        trash = self._trash_of(operation.target)
        path = operation.path if self.trash is None else f"{operation.target.value}/{operation.path}"
        copy = 1
        while True:
            place = trash_path(self.run_id, path, copy=copy)
            if trash.stat(place) is None:
                return place
            copy += 1


@contextmanager
def _border(path: str) -> Iterator[None]:
    """Let nothing but our own errors pass: one file must not stop the others, whatever a client raises."""
    try:
        yield
    except SyncError:
        raise
    except Exception as error:
        from ..storage.translation import translated

        raise translated(error, path) from error


def _changed(operation: Operation, error: PreconditionFailed) -> Problem:
    return Problem(ProblemKind.CHANGED, operation.path, str(error), "execute", operation.target)


def _failed(operation: Operation, error: StorageError) -> Problem:
    return evolve(problem_of(error, stage="execute", side=operation.target), path=operation.path)


@define(eq=False)
class Execution:
    """Performs a whole plan in the order its schedule gives, and yields one outcome for each operation.

    After an interrupt the running operations finish, the others come out as cancelled, and ``interrupted`` is set.
    """

    operations: SyncOperations
    workers: int = 1
    before_deleting: Callable[[], None] = field(default=lambda: None)
    interrupted: bool = False
    interrupted_here: bool = False
    """The interrupt came from the keyboard, not from the caller's token."""
    _failed_on: Set[Side] = field(factory=set, init=False)
    _undone: Set[str] = field(factory=set, init=False)
    _broken_groups: Set[str] = field(factory=set, init=False)

    def run(self, operations: Sequence[Operation], *, failed: Sequence[Outcome] = ()) -> Iterator[Outcome]:
        """Perform *operations* and yield their outcomes as they come; *failed* were given up before."""
        for outcome in failed:
            self._note_failure(outcome)
        order = schedule(operations)
        for outcome in self._in_order(order):
            if outcome.status is not Status.DONE:
                self._note_failure(outcome)
            self.operations.emitter.emit(OperationFinished(outcome))
            yield outcome

    def _in_order(self, order: Schedule) -> Iterator[Outcome]:
        for unit in order.units:
            yield from self._unit(unit)
        yield from self._all(order.writes)
        for operation, waits_for in order.late:
            yield self._late(operation, waits_for)
        if order.deletes:
            self.before_deleting()
        files = [operation for operation in order.deletes if operation.kind is not Kind.DIRECTORY]
        yield from self._all(files)
        # Directories go one after the other: each must be empty before the one above it can go.
        for operation in order.deletes[len(files) :]:
            yield self._one(operation)

    def _note_failure(self, outcome: Outcome) -> None:
        operation = outcome.operation
        self._undone.add(operation.id)
        if operation.action is not Action.DELETE:
            self._failed_on.add(operation.target)
        if operation.group is not None:
            self._broken_groups.add(operation.group)

    def _withheld(self, operation: Operation) -> Optional[Outcome]:
        """Return why *operation* is not even tried; None where it is."""
        if self.interrupted or self.operations.cancel.is_set():
            self.interrupted = True
            return Outcome(operation, Status.CANCELLED)
        if operation.action is Action.DELETE and operation.target in self._failed_on:
            return _held_back(operation, f"a write to the {operation.target.value} was not done")
        if operation.group is not None and operation.group in self._broken_groups:
            return _held_back(operation, "another part of the same change was not done")
        return None

    def _one(self, operation: Operation) -> Outcome:
        return self._withheld(operation) or self._performed(operation)

    def _performed(self, operation: Operation) -> Outcome:
        try:
            return self.operations.perform(operation)
        except KeyboardInterrupt:
            self.interrupt()
            return Outcome(operation, Status.CANCELLED)

    def interrupt(self) -> None:
        """Let the running operations finish and begin no other."""
        self.interrupted = self.interrupted_here = True
        self.operations.cancel.set()

    def _late(self, operation: Operation, waits_for: Sequence[Operation]) -> Outcome:
        if any(other.id in self._undone for other in waits_for):
            return _held_back(operation, "what still had to read the old version was not done")
        return self._one(operation)

    # ------------------------------------------------------------ many at once

    def _all(self, operations: Sequence[Operation]) -> Iterator[Outcome]:
        if self.workers <= 1 or len(operations) <= 1:
            for operation in operations:
                yield self._one(operation)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.workers, thread_name_prefix="syncengine-transfer") as pool:
            yield from self._pooled(pool, operations)

    def _pooled(self, pool: ThreadPoolExecutor, operations: Sequence[Operation]) -> Iterator[Outcome]:
        """Keep the workers busy without queueing a million operations; outcomes come as they are done."""
        from concurrent.futures import FIRST_COMPLETED, wait

        running: Dict[Future[Outcome], Operation] = {}
        waiting = iter(operations)
        while True:
            for operation in waiting:
                running[pool.submit(self._one, operation)] = operation
                if len(running) >= 4 * self.workers:
                    break
            if not running:
                return
            try:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                self.interrupt()
                continue
            for future in done:
                del running[future]
                yield future.result()

    # -------------------------------------------------------------------- units

    def _unit(self, unit: Unit) -> Iterator[Outcome]:
        """Free a path and write it: everything is put back where the write, or anything before it, fails."""
        *freeing, change = unit.operations
        aside: List[Tuple[Operation, str]] = []
        removed: List[Operation] = []
        outcomes: Dict[str, Outcome] = {}
        failed = False
        for operation in freeing:
            outcome = self._freed(operation, aside, removed) if not failed else _held_back(operation, _UNIT_FAILED)
            failed = failed or outcome.status is not Status.DONE
            outcomes[operation.id] = outcome
        last = self._withheld(change) or (_held_back(change, _UNIT_FAILED) if failed else self._changed_kind(change))
        if last.status is not Status.DONE:
            stranded = self._put_all_back(aside, removed)
            outcomes = {name: _taken_back(outcome, stranded.get(name)) for name, outcome in outcomes.items()}
        else:
            self._drop_unkept(aside)
        yield from outcomes.values()
        yield last

    def _freed(self, operation: Operation, aside: List[Tuple[Operation, str]], removed: List[Operation]) -> Outcome:
        withheld = self._withheld(operation)
        if withheld is not None:
            return withheld
        if operation.kind is Kind.DIRECTORY:
            outcome = self._performed(operation)
            if outcome.status is Status.DONE:
                removed.append(operation)
            return outcome
        outcome = self._performed(evolve(operation, retain=True))
        if outcome.status is not Status.DONE or outcome.retained_at is None:
            return evolve(outcome, operation=operation)
        aside.append((operation, outcome.retained_at))
        return evolve(outcome, operation=operation, retained_at=outcome.retained_at if operation.retain else None)

    def _changed_kind(self, change: Operation) -> Outcome:
        """Replace a directory by a file, or the reverse; the path is free of contents by now."""
        if change.kind_before in (None, change.kind):
            return self._performed(change)  # the storage has no directories: none stands at the path
        client = self.operations.client(change.target)
        if change.kind is Kind.DIRECTORY:
            return self._file_became_directory(change)
        free = evolve(change, expect_target=None, retain=False)
        removal = evolve(change, action=Action.DELETE, kind=Kind.DIRECTORY, origin=None, retain=False)
        emptied = self._performed(removal)
        if emptied.status is not Status.DONE:
            return evolve(emptied, operation=change)
        outcome = self._performed(free)
        if outcome.status is not Status.DONE and isinstance(client, SupportsDirectories):
            with suppress(StorageError), _border(change.path):
                client.make_directory(change.path)
        return evolve(outcome, operation=change)

    def _file_became_directory(self, change: Operation) -> Outcome:
        removal = evolve(change, action=Action.DELETE, kind=Kind.FILE, retain=True)
        gone = self._performed(removal)
        if gone.status is not Status.DONE or gone.retained_at is None:
            return evolve(gone, operation=change)
        outcome = self._performed(evolve(change, expect_target=None, retain=False))
        aside = [(change, gone.retained_at)]
        if outcome.status is not Status.DONE:
            stranded = self._put_all_back(aside, [])
            return evolve(outcome, operation=change, retained_at=stranded.get(change.id))
        self._drop_unkept(aside)
        return evolve(outcome, operation=change, retained_at=gone.retained_at if change.retain else None)

    def _put_all_back(self, aside: Iterable[Tuple[Operation, str]], removed: Iterable[Operation]) -> Dict[str, str]:
        for operation in reversed(list(removed)):
            with suppress(StorageError), _border(operation.path):
                self.operations.make_directory(operation)
        return self.operations.put_all_back(aside)

    def _drop_unkept(self, aside: Iterable[Tuple[Operation, str]]) -> None:
        for operation, place in aside:
            if not operation.retain:
                with suppress(StorageError), _border(place):
                    self.operations.discard(operation, place)


_UNIT_FAILED = "another part of the same change was not done"


def _held_back(operation: Operation, why: str) -> Outcome:
    message = f"{shown(operation.path)} was left as it is: {why}"
    problem = Problem(ProblemKind.CHANGED, operation.path, message, "execute", operation.target)
    return Outcome(operation, Status.WITHHELD, problem)


def _taken_back(outcome: Outcome, stranded: Optional[str]) -> Outcome:
    """Return the outcome of an operation that was undone; *stranded* is where its old version had to stay."""
    if outcome.status is not Status.DONE:
        return outcome
    if stranded is None:
        return _held_back(outcome.operation, _UNIT_FAILED)
    operation = outcome.operation
    message = f"{shown(operation.path)} was set aside and could not be put back; it is kept in {shown(stranded)}"
    problem = Problem(ProblemKind.INTERNAL, operation.path, message, "execute", operation.target)
    return evolve(outcome, status=Status.FAILED, problem=problem, retained_at=stranded)


def workers_for(clients: Mapping[Side, StorageClientProtocol], asked: Optional[int]) -> int:
    """Return how many operations run at once between two clients."""
    return workers(clients[Side.SOURCE], clients[Side.DESTINATION], asked)


@frozen
class Execute:
    """The fifth stage: refuses a blocked plan, then performs it and reports what happened."""

    name: str = field(default="execute", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with its report; raises GuardError before anything is changed."""
        plan = job.plan
        assert plan is not None, "a plan comes before its execution"
        refuse_blocked(plan.blockers)
        job = job if job.run_id is not None else job.with_(run_id=_fresh_run_id(job, plan))
        recorder = self._recorder(job, plan)
        if recorder is not None:
            recorder.begin()
        outcomes, interrupted = self._performed(job, plan, recorder)
        report = Report(
            plan,
            outcomes,
            str(job.run_id),
            started_at=_text(job.now),
            finished_at=_text(datetime.now(timezone.utc)),
            interrupted=interrupted,
        )
        job.emitter.emit(ApplyFinished(report))
        return job.with_(report=report, recorder=recorder)

    def _recorder(self, job: Job, plan: Plan) -> Optional[Recorder]:
        if job.state is None or not (plan.operations or plan.agreements):
            return None
        if not all(client.capabilities.identifies_versions for client in job.clients.values()):
            return None  # a side without stamps cannot be recognised again, so nothing is recorded of it
        assert job.run_id is not None
        return Recorder(job.state, plan, job.run_id, job.now, job.clients)

    def _performed(self, job: Job, plan: Plan, recorder: Optional[Recorder]) -> Tuple[Tuple[Outcome, ...], bool]:
        assert job.run_id is not None
        operations = SyncOperations(job.clients, job.run_id, job.emitter, job.limits, job.trash, job.cancel)
        barrier = recorder.barrier if recorder is not None else _nothing
        execution = Execution(operations, workers_for(job.clients, job.limits.workers), barrier)
        job.emitter.emit(ApplyStarted(job.run_id, len(plan.operations), plan.totals.transfer_bytes))
        self._sweep(job)
        outcomes: Dict[str, Outcome] = {operation.id: outcome for operation, outcome in job.stale}
        for outcome in outcomes.values():
            job.emitter.emit(OperationFinished(outcome))
        left = [operation for operation in plan.operations if operation.id not in outcomes]
        cancelled_before = job.cancel.is_set()
        with suppress(KeyboardInterrupt), _interrupting(execution.interrupt):
            for outcome in execution.run(left, failed=tuple(outcomes.values())):
                outcomes[outcome.operation.id] = outcome
                if recorder is not None:
                    recorder.take(outcome)
        if not cancelled_before and execution.interrupted_here:
            job.cancel.clear()  # the engine can be used again
        ended = tuple(outcomes.get(each.id) or Outcome(each, Status.CANCELLED) for each in plan.operations)
        return ended, execution.interrupted or len(outcomes) < len(ended)

    def _sweep(self, job: Job) -> None:
        """Delete temporary files that killed runs left behind; those of living runs stay."""
        for side, path in job.leftovers:
            client = job.clients[side]
            if isinstance(client, SupportsSweep):
                with suppress(StorageError):
                    client.sweep(path)


@contextmanager
def _interrupting(interrupt: Callable[[], None]) -> Iterator[None]:
    """Turn the first Ctrl-C into a call of *interrupt*, so that no step is torn; the second one raises as ever.

    Only the main thread can do that, and only where nobody else has taken the signal.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _is_main_thread():
        yield
        return

    def first(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _fresh_run_id(job: Job, plan: Plan) -> str:
    """Return an id that no finished run has: the same plan may be tried again within one second."""
    started = job.now
    while True:
        name = run_id(started, plan.digest)
        if job.state is None or job.state.run(name) is None:
            return name
        started += timedelta(seconds=1)


def refuse_blocked(blockers: Sequence[Blocker]) -> None:
    """Raise GuardError with every reason at once, or return where there is none."""
    if not blockers:
        return
    reasons = "\n".join(f"  - {blocker.message}" for blocker in blockers)
    raise GuardError(f"the plan is refused, nothing was changed:\n{reasons}", blockers)


def _nothing() -> None:
    return None


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
