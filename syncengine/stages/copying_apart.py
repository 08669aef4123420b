"""Small new files between local disks, copied by other processes while this one records what became of them.

Which operations may go there is decided here, in the words of the plan; each is done exactly as it would be in this
process, and whatever is out of the ordinary is done in this process. An operation that was handed over and never
answered, because a process was killed or nobody wants to wait, is looked at before anything is said of it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import cycle, groupby, islice
from typing import TYPE_CHECKING, Callable, Deque, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from attrs import define, field

from ..core.comparator import COARSE_WINDOW_NS, is_racy
from ..core.entry import Kind, Side, Stamp
from ..core.paths import is_kept, parent
from ..core.plan_parts import Action, Operation
from ..core.report import Outcome, Status
from ..storage.local import CAPABILITIES, LocalStorageClient, small_file
from ..storage.local_small import COPY, SMALL_BYTES

if TYPE_CHECKING:
    from ..storage.local_second import SecondProcess
    from ..storage.local_small import File, Folders, Look, Request
    from .operations import SyncOperations

MANY = 2_000
"""From this many small new files on other processes are worth their start."""

COPIERS = 2
"""Processes that copy: recording takes less than copying, so with one a processor would have nothing to do."""

BATCH = 128
"""Files in one message."""

AHEAD = 32
"""Messages on their way: enough to bridge the time that one of the processes waits for a busy processor."""

_Handed = Tuple[Operation, int]
"""An operation, and when (ns) another process was asked for it, which comes before it looks; 0: it is done here."""

_Way = Tuple[Side, Side, str, str]
"""From which side to which, and the folders there."""


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
    _copiers: List[SecondProcess] = field(factory=list, init=False)
    _asked: Deque[SecondProcess] = field(factory=deque, init=False)
    """Who was asked, in the order of the questions."""

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
        try:
            with suppress(OSError):  # where there is no room for another process those that are there do everything
                self._copiers.extend(SecondProcess() for _ in range(COPIERS))
            if self._copiers:
                yield from self._in_step(left)
            yield from self.unanswered()
            yield from map(self.one, left)
        finally:
            self._end()

    def unanswered(self) -> Iterator[Outcome]:
        """Yield how operations ended that were handed over, once the other processes are gone and will not answer."""
        self._end()
        while self._handed:
            operation, asked = self._handed.popleft()
            arrived = self.operations.arrived(operation) if asked else None
            yield self.one(operation) if arrived is None else arrived

    def _end(self) -> None:
        for copier in self._copiers:
            copier.end()

    def _in_step(self, left: Iterator[Operation]) -> Iterator[Outcome]:
        """Hand over, to each process in turn, and yield what is answered, until nothing is left or one is dead."""
        turns, most = cycle(self._copiers), AHEAD
        for copier in self._copiers:
            most = min(most, len(self._copiers) * copier.room // BATCH) or 1
        while True:
            while len(self._asked) < most and not self.stopped() and self._hand_over(list(islice(left, BATCH)), turns):
                pass
            if not self._asked:
                return
            answers = self._asked.popleft().answers()
            if answers is None:
                return
            yield from self._answered(*answers)

    def _hand_over(self, operations: Sequence[Operation], turns: Iterator[SecondProcess]) -> bool:
        """Ask for what can be done elsewhere; say whether there was anything at all."""
        if not operations:
            return False
        now = int(self.operations.clock() * 1e9)
        requests: List[Request] = []
        for way, together in groupby(operations, _way):
            group = list(together)
            files = [self._file(operation, now) for operation in group]
            folders = self._folders(way) if any(files) else None
            self._handed.extend(
                (each, 0 if folders is None or file is None else now) for each, file in zip(group, files)
            )
            if folders is not None:
                requests.append((COPY, folders, [file for file in files if file is not None]))
        copier = next(turns)
        copier.ask(requests, len(operations))
        self._asked.append(copier)
        return True

    def _file(self, operation: Operation, now: int) -> Optional[File]:
        """Return what another process needs to know of the file of *operation*; None where it is done here."""
        expected = operation.expect_origin
        if operation.origin is None or expected is None or not _is_small_and_new(operation):
            return None
        sent_ns = expected.mtime_ns
        if sent_ns is None or (
            sent_ns > now - COARSE_WINDOW_NS and is_racy(expected, now, CAPABILITIES.mtime_granularity_ns)
        ):
            return None
        return small_file(operation.origin[1], operation.path, expected, sent_ns, operation.mode)

    def _folders(self, way: _Way) -> Optional[Folders]:
        side, target_side, old, new = way
        origin, target = self._clients[side], self._clients[target_side]
        assert origin is not None
        assert target is not None
        return target.small_folders(origin, old, new)

    def _answered(self, looks: List[Optional[Look]], seconds: float, count: int) -> Iterator[Outcome]:
        """Yield the outcomes of the *count* operations of one message."""
        answers = iter(looks)
        for _ in range(count):
            operation, asked = self._handed.popleft()
            made = next(answers) if asked else None
            yield self.one(operation) if made is None else _done(operation, made, seconds, asked)


def _way(operation: Operation) -> _Way:
    """Return between which folders *operation* copies; of one without an origin nothing is asked."""
    side, path = operation.origin or (operation.target, operation.path)
    folder = parent(operation.path)
    return side, operation.target, folder if path == operation.path else parent(path), folder


_CREATE, _FILE, _DONE = Action.CREATE, Kind.FILE, Status.DONE  # looked up once: an enum answers slowly


def _is_small_and_new(operation: Operation) -> bool:
    return (
        operation.action is _CREATE
        and operation.kind is _FILE
        and operation.expect_target is None
        and operation.group is None
        and operation.expect_origin is not None
        and operation.origin is not None
        and operation.origin[0] is not operation.target
        and (operation.expect_origin.size or 0) <= SMALL_BYTES
        and not is_kept(operation.origin[1])
    )


def _done(operation: Operation, made: Look, seconds: float, looked_ns: int) -> Outcome:
    size, mtime_ns, number = made
    after = Stamp(size, mtime_ns, None, None, (), number)
    expected = operation.expect_origin
    return Outcome(operation, _DONE, None, 1, size, seconds, None, after, expected, None, None, looked_ns)
