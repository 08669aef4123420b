"""Single operations: each performed with its preconditions, tried again where that helps, ending in one outcome.

What a plan expects is checked right before each write, by the storage itself where it can. A version that has to be
kept is safe in the trash before its path is touched. An attempt whose answer was lost is settled by a look.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from io import BytesIO
from typing import Callable, Mapping, Optional, Set, Tuple

from attrs import define, evolve, field

from ..core.comparator import is_racy
from ..core.entry import Kind, Problem, ProblemKind, Side, Stamp
from ..core.merging import content_of
from ..core.paths import is_kept, shown
from ..core.plan_parts import Action, Operation
from ..core.report import Outcome, Status
from ..errors import PreconditionFailed, StorageError, Unsupported
from ..events import BytesMoved, Emitter
from ..storage.protocol import (
    StorageClientProtocol,
    SupportsDirectories,
    SupportsLinks,
    SupportsMetadata,
    SupportsMove,
    exactly,
    expecting,
)
from ..storage.routes import Transferred, transfer, workers
from .directory_moves import move_directory
from .lost_answers import LostAnswers, Written
from .retention import Retention, border
from .scan import problem_of
from .throttle import Limits, RequestBudget

_PROGRESS_BYTES = 1 << 20
_SETTLING_SECONDS = (0.2, 0.5, 1.0)
"""Pauses between looks at what may be a write of our own whose answer was lost."""
_UNSETTLED = "; an earlier attempt was not answered, and nothing proves that this is its work"


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
    budget: Optional[RequestBudget] = None
    retention: Retention = field(init=False)
    _budget: RequestBudget = field(init=False)
    _lost_answers: LostAnswers = field(init=False)
    _doubtful: Set[Tuple[Side, str]] = field(factory=set, init=False)
    """Targets to which an attempt was made whose answer was lost."""

    def __attrs_post_init__(self) -> None:
        """Share one trash, and one budget of bytes and calls, among all workers."""
        self.retention = Retention(self.clients, self.run_id, self.trash)
        workers = workers_for(self.clients, self.limits.workers)
        self._lost_answers = LostAnswers(self.clients, self.origin_client)
        self._budget = self.budget or RequestBudget(self.limits, workers=workers, cancel=self.cancel)

    @property
    def budget_of_run(self) -> RequestBudget:
        """The budget that every call of this run draws on."""
        return self._budget

    def perform(self, operation: Operation) -> Outcome:
        """Perform one operation and return its outcome; never raises for a failing storage."""
        started, looked_ns = time.perf_counter(), int(self.clock() * 1e9)
        answers_lost = self._is_doubtful(operation)
        attempts = int(answers_lost)
        patience: Optional[float] = None
        while True:
            attempts += 1
            written, error = self._tried(operation)
            if error is None:
                break
            answers_lost = answers_lost or error.retryable
            patience = self._budget.patience(error, attempts)
            if patience is None:
                break
            self._budget.rest(patience)
        retained_at = self.retention.settle(operation, done=written is not None)
        if written is None and answers_lost:
            written = self._found_written(operation, settling=isinstance(error, PreconditionFailed))
        if written is None:
            assert error is not None
            if answers_lost and isinstance(error, PreconditionFailed):
                error = PreconditionFailed(f"{error}{_UNSETTLED}", path=error.path)
            return self._undone(operation, error, attempts, time.perf_counter() - started, retained_at)
        return _written(operation, written, looked_ns, attempts, time.perf_counter() - started, retained_at)

    def _tried(self, operation: Operation) -> Tuple[Optional[Written], Optional[StorageError]]:
        """Try once, in a turn of the budget; return what was written, or why it was not."""
        turn = self._budget.begin()
        failure: Optional[StorageError] = None
        try:
            with border(operation.path):
                return self._do(operation), None
        except StorageError as error:
            failure = error
            return None, error
        finally:
            self._budget.end(turn, failure)

    def _found_written(self, operation: Operation, *, settling: bool) -> Optional[Written]:
        """Return what an attempt without an answer has written; *settling* says that something stands there.

        A server may give up the answer and still be at work, so that a look right then finds part of the content.
        """
        written = self._lost_answers.written(operation)
        for pause in _SETTLING_SECONDS if settling else ():
            if written is not None or self.cancel.is_set():
                break
            self._budget.rest(pause)
            written = self._lost_answers.written(operation)
        return written

    @staticmethod
    def _undone(
        operation: Operation, error: StorageError, attempts: int, seconds: float, retained_at: Optional[str]
    ) -> Outcome:
        stale = isinstance(error, PreconditionFailed)
        return Outcome(
            operation,
            Status.STALE if stale else Status.FAILED,
            _changed(operation, error) if stale else _failed(operation, error),
            attempts=attempts,
            seconds=seconds,
            before=operation.expect_target,
            retained_at=retained_at,
        )

    def _do(self, operation: Operation) -> Written:
        if operation.action is Action.DELETE:
            return self._delete(operation)
        if operation.action is Action.TOUCH:
            return self._touch(operation)
        if operation.action is Action.MOVE:
            return self._move(operation)
        if operation.kind is Kind.DIRECTORY:
            return self._make_directory(operation)
        return self._replacing(operation)

    def client(self, side: Side) -> StorageClientProtocol:
        """Return the client of *side*."""
        return self.clients[side]

    def origin_client(self, side: Side, path: str) -> StorageClientProtocol:
        """Return the client that reads *path*: a retained version lies where the trash of *side* is."""
        return self.retention.trash_of(side) if is_kept(path) else self.clients[side]

    # ------------------------------------------------------------------ writing

    def _replacing(self, operation: Operation) -> Written:
        """Keep the standing version first where that is asked, then write."""
        if operation.retain and operation.destroys:
            self.retention.keep(operation)
        return self._write(operation)

    def _write(self, operation: Operation) -> Written:
        content = content_of(operation)
        if content is not None:
            return self._write_content(operation, content)
        assert operation.origin is not None
        side, path = operation.origin
        if operation.kind is Kind.SYMLINK:
            return self._write_link(operation)
        return _as_written(self._transfer(operation, self.origin_client(side, path), path))

    def _write_content(self, operation: Operation, content: bytes) -> Written:
        """Write what the plan itself carries."""
        target = self.client(operation.target)
        stamp = target.write(operation.path, _Carried(content), expect=expecting(operation.expect_target))
        self._progress(operation)(len(content))
        return Written(stamp, None, len(content), operation.digest)

    def _transfer(self, operation: Operation, origin: StorageClientProtocol, path: str) -> Transferred:
        expected = operation.expect_origin
        granularity = origin.capabilities.mtime_granularity_ns
        racy = expected is not None and is_racy(expected, int(self.clock() * 1e9), granularity)
        target = self.client(operation.target)
        # A copy that the plan promises to leave inside the storage is not read for its digest's sake.
        racy = racy and not (operation.action is Action.COPY and origin is target)
        return transfer(
            origin,
            path,
            target,
            operation.path,
            expect_origin=expected,
            expect_target=expecting(operation.expect_target),
            mtime_ns=expected.mtime_ns if expected is not None else None,
            mode=operation.mode,
            racy=racy,
            on_bytes=self._progress(operation) if self.emitter.heard or self._budget.bytes.limited else None,
        )

    def _progress(self, operation: Operation) -> Callable[[int], None]:
        waiting = 0

        def on_bytes(moved: int) -> None:
            nonlocal waiting
            self._budget.bytes.take(moved)
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

    def restore_directory(self, operation: Operation) -> None:
        """Make a directory again that was removed for nothing; it was empty, so no bytes are lost where that fails."""
        with suppress(StorageError), border(operation.path):
            self.make_directory(operation)

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
        if operation.kind is Kind.DIRECTORY:
            move_directory(client, operation)
            return Written(Stamp(), Stamp())
        if operation.respells:
            return Written(self._respell(operation, client), expected)
        if isinstance(client, SupportsMove):
            stamp = client.move(old, operation.path, expect=expecting(operation.expect_target), expect_origin=expected)
            return Written(stamp, expected)
        moved = self._transfer(operation, client, old)
        client.delete(old, expect=exactly(moved.origin))
        return _as_written(moved)

    @staticmethod
    def _respell(operation: Operation, client: StorageClientProtocol) -> Stamp:
        """Give a file another spelling of its name by one rename.

        Both spellings find the file, so copying to the new one and deleting the old one would delete the only file.
        """
        assert operation.origin is not None
        assert operation.expect_origin is not None
        if not isinstance(client, SupportsMove):
            raise Unsupported(f"{shown(operation.path)}: nothing can be renamed there", path=operation.path)
        expected = operation.expect_origin
        return client.move(operation.origin[1], operation.path, expect=exactly(expected), expect_origin=expected)

    # ---------------------------------------------------------------- deleting

    def _delete(self, operation: Operation) -> Written:
        if operation.kind is Kind.DIRECTORY:
            self._directories(operation.target, operation.path).remove_directory(operation.path)
            return Written()
        if operation.retain:
            self.retention.set_aside(operation)
        else:
            self.client(operation.target).delete(operation.path, expect=expecting(operation.expect_target))
        return Written()

    # ------------------------------------------------------------ lost answers

    def note_lost_answer(self, operation: Operation, error: Exception) -> None:
        """Take note that *operation* was tried elsewhere, and that nobody knows what became of it."""
        self._doubtful.add((operation.target, operation.path))
        # A storage that asked there to slow down means everybody.
        if isinstance(error, StorageError):
            self._budget.end(self._budget.turn(), error)

    def cancelled(self, operation: Operation) -> Outcome:
        """Return the outcome of an operation that is not begun here any more; it may have been done elsewhere."""
        arrived = self.arrived(operation) if self._is_doubtful(operation) else None
        return arrived or Outcome(operation, Status.CANCELLED)

    def _is_doubtful(self, operation: Operation) -> bool:
        return bool(self._doubtful) and (operation.target, operation.path) in self._doubtful

    def transferred(self, operation: Operation, made: Transferred, looked_ns: int, seconds: float) -> Outcome:
        """Return the outcome of an operation whose content was transferred elsewhere, at the first attempt."""
        return _written(operation, _as_written(made), looked_ns, 1, seconds)

    def arrived(self, operation: Operation) -> Optional[Outcome]:
        """Return the outcome of an operation that was begun and never answered, where it is proven to be done."""
        looked_ns = int(self.clock() * 1e9)
        written = self._lost_answers.written(operation)
        return None if written is None else _written(operation, written, looked_ns, 1, 0.0)


def _as_written(made: Transferred) -> Written:
    return Written(made.target, made.origin, made.bytes, made.digest)


class _Carried:
    """Content that comes from a plan; nothing can change it meanwhile."""

    local_path: Optional[str] = None

    def __init__(self, content: bytes) -> None:
        self.size: Optional[int] = len(content)
        self._stream = BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def verify(self) -> Stamp:
        return Stamp(size=self.size)


def _written(
    operation: Operation,
    written: Written,
    looked_ns: int,
    attempts: int,
    seconds: float,
    retained_at: Optional[str] = None,
) -> Outcome:
    before, after = operation.expect_target, written.after
    origin, proof = written.origin, written.digest
    moved = written.bytes
    return Outcome(
        operation, Status.DONE, None, attempts, moved, seconds, before, after, origin, proof, retained_at, looked_ns
    )


def _changed(operation: Operation, error: StorageError) -> Problem:
    return Problem(ProblemKind.CHANGED, operation.path, str(error), "execute", operation.target)


def _failed(operation: Operation, error: StorageError) -> Problem:
    return evolve(problem_of(error, stage="execute", side=operation.target), path=operation.path)


def workers_for(clients: Mapping[Side, StorageClientProtocol], asked: Optional[int]) -> int:
    """Return how many operations run at once between two clients."""
    return workers(clients[Side.SOURCE], clients[Side.DESTINATION], asked)
