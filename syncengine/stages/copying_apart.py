"""Small new files between local disks, copied by a second process while this one records what became of them.

Which operations may go there is decided here, in the words of the plan; each is done exactly as it would be in this
process, and whatever is out of the ordinary is done in this process. An operation that was handed over and never
answered, because the second process was killed or nobody wants to wait, is looked at before anything is said of it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Callable, Deque, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from attrs import define, field

from ..core.comparator import is_racy
from ..core.entry import Kind, Side, Stamp
from ..core.paths import is_kept
from ..core.plan import Action, Operation
from ..core.report import Outcome, Status
from ..storage.local import LocalStorageClient
from ..storage.local_small import SMALL_BYTES

if TYPE_CHECKING:
    from ..storage.local_second import SecondProcess
    from ..storage.local_small import Look, Request
    from .execute import SyncOperations

MANY = 2_000
"""From this many small new files on a second process is worth its start."""

BATCH = 128
"""Files in one message."""

AHEAD = 32
"""Messages on their way: enough to bridge the time that one of two processes waits for a busy processor."""

_Handed = Tuple[Operation, Optional["Request"]]
"""An operation, and what the second process was asked for; None where it is done here."""


@define(eq=False)
class CopyingApart:
    """Performs operations in their order, those that it may hand over in a second process.

    *one* performs an operation here, or withholds it; *stopped* says that nothing more is to be begun.
    """

    operations: SyncOperations
    one: Callable[[Operation], Outcome]
    stopped: Callable[[], bool]
    _clients: Mapping[Side, Optional[LocalStorageClient]] = field(init=False)
    _handed: Deque[_Handed] = field(factory=deque, init=False)
    _second: Optional[SecondProcess] = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Find the clients for which a second process can work."""
        # A class that is derived from ours may do more in its ``read`` and ``write``.
        clients = {side: self.operations.client(side) for side in Side}
        self._clients = {
            side: client if isinstance(client, LocalStorageClient) and client.__class__ is LocalStorageClient else None
            for side, client in clients.items()
        }

    def is_of_use(self, operations: Sequence[Operation]) -> bool:
        """Say whether enough of *operations* could be done by a second process, and there can be one."""
        source, destination = self._clients[Side.SOURCE], self._clients[Side.DESTINATION]
        limits = self.operations.limits
        if len(operations) < MANY or limits.bandwidth is not None or limits.requests_per_second is not None:
            return False
        if source is None or destination is None or source.identity == destination.identity:
            return False
        if sum(1 for _ in islice(filter(_is_small_and_new, operations), MANY)) < MANY:
            return False
        from ..storage import local_second

        return local_second.is_of_use()

    def perform(self, operations: Iterable[Operation]) -> Iterator[Outcome]:
        """Yield one outcome for each of *operations*, in their order."""
        from ..storage.local_second import SecondProcess

        left = iter(operations)
        with suppress(OSError):  # where there is no room for another process everything is done in this one
            self._second = SecondProcess()
        try:
            if self._second is not None:
                yield from self._in_step(left, self._second)
            yield from self.unanswered()
            yield from map(self.one, left)
        finally:
            self._end()

    def unanswered(self) -> Iterator[Outcome]:
        """Yield how operations ended that were handed over, once the second process is gone and will not answer."""
        self._end()
        while self._handed:
            operation, request = self._handed.popleft()
            arrived = None if request is None else self.operations.arrived(operation)
            yield self.one(operation) if arrived is None else arrived

    def _end(self) -> None:
        if self._second is not None:
            self._second.end()

    def _in_step(self, left: Iterator[Operation], second: SecondProcess) -> Iterator[Outcome]:
        """Hand over, and yield what is answered, until nothing is left or nobody answers."""
        waiting, most = 0, min(AHEAD, second.room // BATCH) or 1
        while True:
            while waiting < most and not self.stopped() and self._hand_over(list(islice(left, BATCH)), second):
                waiting += 1
            if not waiting:
                return
            answers = second.answers()
            if answers is None:
                return
            waiting -= 1
            yield from self._answered(*answers)

    def _hand_over(self, operations: Sequence[Operation], second: SecondProcess) -> bool:
        """Ask for what can be done elsewhere; say whether there was anything at all."""
        now = int(self.operations.clock() * 1e9)
        requests = [self._request(operation, now) for operation in operations]
        self._handed.extend(zip(operations, requests))
        if operations:
            second.ask([request for request in requests if request is not None], len(requests))
        return bool(operations)

    def _request(self, operation: Operation, now: int) -> Optional[Request]:
        """Return what the second process needs to perform *operation*; None where it is done here."""
        if not _is_small_and_new(operation):
            return None
        assert operation.origin is not None
        assert operation.expect_origin is not None
        side, path = operation.origin
        origin, target, expected = self._clients[side], self._clients[operation.target], operation.expect_origin
        assert origin is not None
        assert target is not None
        if is_racy(expected, now, origin.capabilities.mtime_granularity_ns):
            return None
        sent_ns, mode = expected.mtime_ns, operation.mode
        return target.small_copy(origin, path, operation.path, expect_origin=expected, mtime_ns=sent_ns, mode=mode)

    def _answered(self, looks: List[Optional[Look]], seconds: float, count: int) -> Iterator[Outcome]:
        """Yield the outcomes of the *count* operations of one message."""
        answers = iter(looks)
        for _ in range(count):
            operation, request = self._handed.popleft()
            made = None if request is None else next(answers)
            yield self.one(operation) if made is None else _done(operation, made, seconds)


def _is_small_and_new(operation: Operation) -> bool:
    return (
        operation.action is Action.CREATE
        and operation.kind is Kind.FILE
        and operation.expect_target is None
        and operation.group is None
        and operation.expect_origin is not None
        and operation.origin is not None
        and operation.origin[0] is not operation.target
        and (operation.expect_origin.size or 0) <= SMALL_BYTES
        and not is_kept(operation.origin[1])
    )


def _done(operation: Operation, made: Look, seconds: float) -> Outcome:
    size, mtime_ns, number = made
    after = Stamp(size, mtime_ns, None, None, (), number)
    return Outcome(operation, Status.DONE, None, 1, size, seconds, None, after, operation.expect_origin)
