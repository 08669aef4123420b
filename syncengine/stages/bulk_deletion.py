"""Deletions that go to an object store many by one request, each with its own look before and its own answer after.

Only where the service cannot check a condition in the deletion itself: there a single deletion looks first as well, so
that many by one request save half of the requests and keep the promise. The look is right before, the answer is per
key, and a key whose answer was lost is looked at again: the report says what happened to each.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

from attrs import define, evolve, field

from ..core.entry import Kind, Problem, ProblemKind, Side
from ..core.plan_parts import Operation
from ..core.report import Outcome, Status
from ..errors import PreconditionFailed, StorageError, Unavailable
from ..storage.protocol import StorageClientProtocol, SupportsBulkDelete, SupportsProof, expecting
from .retention import border
from .scan import problem_of

if TYPE_CHECKING:
    from .operations import SyncOperations

BATCH = 200
"""Deletions by one request: few enough that the first look is not old when the request is sent."""


_Step = Callable[[Operation], Optional[Outcome]]
_UNANSWERED = Unavailable("the request was not answered")


def split(
    operations: Iterable[Operation], operations_of: SyncOperations
) -> Tuple[Dict[Side, List[Operation]], List[Operation]]:
    """Return the deletions that may go by one request, by side, and all others."""
    many: Dict[Side, List[Operation]] = {}
    single: List[Operation] = []
    for operation in operations:
        may = not operation.retain and operation.kind is Kind.FILE and operation.expect_target is not None
        client = operations_of.client(operation.target)
        if may and isinstance(client, SupportsBulkDelete) and not _checks_deletions(client):
            many.setdefault(operation.target, []).append(operation)
        else:
            single.append(operation)
    return many, single


def _checks_deletions(client: StorageClientProtocol) -> bool:
    """Say whether each deletion can name its version, which not every storage knows before it was tried out."""
    if isinstance(client, SupportsProof):
        try:
            client.prove()
        except StorageError:
            return True  # one by one, each deletion says what keeps it from happening
    return client.capabilities.delete_if_unchanged


def batches(operations: Sequence[Operation]) -> Iterator[Sequence[Operation]]:
    """Cut *operations* into what one request takes."""
    for start in range(0, len(operations), BATCH):
        yield operations[start : start + BATCH]


@define(eq=False)
class BulkDeletion:
    """Deletes files of one side by one request at a time."""

    operations: SyncOperations
    side: Side
    workers: int
    _sent: FrozenSet[str] = field(default=frozenset(), init=False)
    """What the last request named."""

    def perform(self, batch: Sequence[Operation]) -> Iterator[Outcome]:
        """Look at each path, delete those that hold what the plan expects, and yield one outcome for each."""
        started = time.perf_counter()
        standing: List[Operation] = []
        for operation, outcome in zip(batch, self._each(self._look, batch)):
            if outcome is None:
                standing.append(operation)
            else:
                yield outcome
        answers = self._delete(standing)
        seconds = (time.perf_counter() - started) / max(1, len(batch))
        again: List[Operation] = []
        for operation in standing:
            answer = answers.get(operation.path, _UNANSWERED)
            if answer is None:
                yield _done(operation, seconds)
            elif answer.retryable:
                again.append(operation)
            else:
                yield _refused(operation, answer, seconds)
        yield from (outcome for outcome in self._each(self._again, again) if outcome is not None)

    def _client(self) -> StorageClientProtocol:
        return self.operations.client(self.side)

    def _each(self, function: _Step, batch: Sequence[Operation]) -> List[Optional[Outcome]]:
        if self.workers <= 1 or len(batch) <= 1:
            return [function(operation) for operation in batch]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.workers, thread_name_prefix="syncengine-look") as pool:
            return list(pool.map(function, batch))

    def _look(self, operation: Operation) -> Optional[Outcome]:
        """Return why nothing is to be deleted there, None where exactly the expected version stands.

        RACE: a version that appears between this look and the request is deleted; it is the window that a single
        deletion has there as well, as long as looking at the rest of a batch takes.
        """
        turn = self.operations.budget_of_run.begin()
        failure: Optional[StorageError] = None
        try:
            with border(operation.path):
                found = self._client().stat(operation.path)
        except StorageError as error:
            failure = error
        finally:
            self.operations.budget_of_run.end(turn, failure)
        if failure is not None:
            # A single deletion looks again, as often as limits allow, and says what is wrong.
            return self.operations.perform(operation)
        granularity = self._client().capabilities.mtime_granularity_ns
        try:
            expecting(operation.expect_target).check(found, operation.path, granularity_ns=granularity)
        except PreconditionFailed as error:
            return _refused(operation, error, 0.0)
        return None

    def _delete(self, standing: Sequence[Operation]) -> Dict[str, Optional[StorageError]]:
        """Send one request and return its answers; where it failed as a whole nobody was answered."""
        client = self._client()
        assert isinstance(client, SupportsBulkDelete)
        if not standing:
            return {}
        turn = self.operations.budget_of_run.begin()
        failure: Optional[StorageError] = None
        try:
            with border(standing[0].path):
                paths = [operation.path for operation in standing]
                self._sent = frozenset(paths)
                return client.delete_many(paths)
        except StorageError as error:
            failure = error
            return {}
        finally:
            self.operations.budget_of_run.end(turn, failure)

    def interrupted(self, operation: Operation) -> Outcome:
        """Return how a deletion ended whose batch was broken off.

        What the request named stood there right before, so where it is gone by now it went with the request: somebody
        who deleted it in the same instant cannot be told apart, and left the same. What no request named is not ours.
        """
        if operation.path not in self._sent:
            return Outcome(operation, Status.CANCELLED)
        try:
            with border(operation.path):
                gone = self._client().stat(operation.path) is None
        except StorageError:
            gone = False
        return _done(operation, 0.0) if gone else Outcome(operation, Status.CANCELLED)

    def _again(self, operation: Operation) -> Optional[Outcome]:
        """Delete by itself what a request left open; what is gone by now went with that request."""
        try:
            with border(operation.path):
                if self._client().stat(operation.path) is None:
                    return _done(operation, 0.0)
        except StorageError:
            pass  # the deletion below asks again, and says what is wrong
        outcome = self.operations.perform(operation)
        return evolve(outcome, attempts=outcome.attempts + 1)


def _done(operation: Operation, seconds: float) -> Outcome:
    return Outcome(operation, Status.DONE, attempts=1, seconds=seconds, before=operation.expect_target)


def _refused(operation: Operation, error: StorageError, seconds: float) -> Outcome:
    before = operation.expect_target
    if isinstance(error, PreconditionFailed):
        problem = Problem(ProblemKind.CHANGED, operation.path, str(error), "execute", operation.target)
        return Outcome(operation, Status.STALE, problem, attempts=1, seconds=seconds, before=before)
    problem = evolve(problem_of(error, stage="execute", side=operation.target), path=operation.path)
    return Outcome(operation, Status.FAILED, problem, attempts=1, seconds=seconds, before=before)
