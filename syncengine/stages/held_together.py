"""Small new files to, from and within S3, copied by one thread that waits for many answers at once.

Which operations may go that way is decided here, in the words of the plan; each is done as it would be by itself, and
whatever is out of the ordinary is left for the usual way. An operation that was begun and never answered is looked at
before anything is said of it. Where many files come to this machine, another process puts them in their places.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from attrs import define, field

from ..core.comparator import is_racy
from ..core.entry import Kind, Side
from ..core.paths import is_kept
from ..core.plan_parts import Action, Operation
from ..core.report import Outcome
from ..errors import StorageError, Throttled
from ..storage.protocol import SupportsHeaders
from .retention import border

if TYPE_CHECKING:
    from ..storage.objects.conversation import Conversation
    from ..storage.routes import Transferred
    from ..storage.small_objects import Copied, Fetched, Route
    from .operations import SyncOperations
    from .placing_apart import Placed, PlacingApart

AT_ONCE = 64
"""Operations at once where nobody asked for fewer: each is one connection, and no thread."""

MANY = 500
"""From this many files on another process that puts what arrives in its place is worth its start."""

PATIENCE = 64
"""After so many failures, and more than went well, nothing is begun until these were tried again the usual way."""

_Begun = Tuple[Operation, int]
"""An operation, and when (ns) it was begun, which comes before any look."""


@define(eq=False)
class HeldTogether:
    """Performs those operations that it may; the others come to be ``left``, or have ``failed``.

    *one* performs an operation the usual way, or withholds it; *stopped* says that nothing more is to be begun.
    """

    operations: SyncOperations
    one: Callable[[Operation], Outcome]
    stopped: Callable[[], bool]
    may_be_apart: bool = True
    """Whether another process may put files in their places; none is started after one that died."""
    left: List[Operation] = field(factory=list, init=False)
    """Those that were not begun."""
    failed: List[Operation] = field(factory=list, init=False)
    """Those that were begun and refused, or of which nobody knows; the usual way tries again and says what is wrong."""
    gave_up: bool = field(default=False, init=False)
    """Whether some were not begun only because others had failed."""
    _routes: Dict[Tuple[Side, Side], Optional[Route]] = field(factory=dict, init=False)
    _under_way: Dict[int, _Begun] = field(factory=dict, init=False)
    _went_well: int = field(default=0, init=False)
    _apart: Optional[PlacingApart[_Begun]] = field(default=None, init=False)
    """Who puts in their places what arrives on this machine, None where this process does."""
    _in_doubt: int = field(default=0, init=False)
    """How many of the failed are no fault of a storage: the process that wrote them is gone."""

    def is_of_use(self, operations: Sequence[Operation]) -> bool:
        """Say whether several of *operations* can be performed here."""
        limits = self.operations.limits
        if len(operations) < 2 or limits.bandwidth is not None or limits.requests_per_second is not None:
            return False
        # What is tried here and again the usual way are two attempts.
        if limits.retries < 1 or self.operations.budget_of_run.held:
            return False
        # Only storages of objects take headers; for no other the modules of requests are worth loading.
        if not any(isinstance(self.operations.client(side), SupportsHeaders) for side in Side):
            return False
        return sum(1 for _ in islice(filter(self._route, operations), 2)) == 2

    def perform(self, operations: Sequence[Operation]) -> Iterator[Outcome]:
        """Yield the outcomes of those of *operations* that are done here, as they come."""
        from ..storage.objects.together import Together
        from ..storage.small_objects import Fetched

        most = min(self.operations.limits.workers or AT_ONCE, AT_ONCE, len(operations))
        together: Together[_Begun, Copied] = Together(most)
        self.may_be_apart = self.may_be_apart and len(operations) >= MANY
        try:
            for said in together.said(self._conversations(operations)):
                self._went_well += said.result is not None
                if isinstance(said.result, Fetched):
                    yield from self._placed(said.key, said.result, said.seconds)
                else:
                    yield from self._ended(said.key, said.result, said.error, said.seconds)
            if self._apart is not None:
                yield from self._placed_apart(self._apart.rest())
        finally:
            self._end()

    def _placed(self, begun: _Begun, fetched: Fetched, seconds: float) -> Iterator[Outcome]:
        """Have another process put what has arrived in its place, this one where there are few files."""
        if self.may_be_apart and self._apart is None:
            from .placing_apart import placing_apart

            self._apart = placing_apart()
            self.may_be_apart = self._apart is not None
        if self._apart is not None:
            yield from self._placed_apart(self._apart.place(begun, fetched, seconds))
            return
        yield from self._placed_here(begun, fetched, seconds)

    def _placed_apart(self, placed: Iterable[Placed[_Begun]]) -> Iterator[Outcome]:
        for key, fetched, seconds, made in placed:
            if isinstance(made, StorageError):
                self.may_be_apart = False
                self._in_doubt += 1
                yield from self._ended(key, None, made, seconds)
            elif made is None:
                yield from self._placed_here(key, fetched, seconds)
            else:
                yield from self._ended(key, fetched.placed_apart(made), None, seconds)

    def _placed_here(self, begun: _Begun, fetched: Fetched, seconds: float) -> Iterator[Outcome]:
        made: Optional[Transferred] = None
        error: Optional[StorageError] = None
        try:
            with border(begun[0].path):
                made = fetched.placed()
        except StorageError as failure:
            error = failure
        yield from self._ended(begun, made, error, seconds)

    def _ended(
        self, begun: _Begun, made: Optional[Transferred], error: Optional[Exception], seconds: float
    ) -> Iterator[Outcome]:
        operation, begun_ns = begun
        if made is None:
            self._leave(operation, error)
        else:
            yield self.operations.transferred(operation, made, begun_ns, seconds)
        del self._under_way[id(operation)]

    def _end(self) -> None:
        if self._apart is not None:
            self._apart.end()

    def unanswered(self) -> Iterator[Outcome]:
        """Yield how operations ended whose end nobody waited for, and those that were left and not tried again."""
        self._end()
        for operation, _ in self._under_way.values():
            yield self.operations.arrived(operation) or self.one(operation)
        yield from map(self.operations.cancelled, (*self.failed, *self.left))

    def _conversations(self, operations: Iterable[Operation]) -> Iterator[Tuple[_Begun, Conversation[Copied]]]:
        from ..storage.small_objects import NewFile

        for operation in operations:
            route, expected, origin = self._route(operation), operation.expect_origin, operation.origin
            if route is None or expected is None or origin is None or self.gave_up or self.stopped():
                self.left.append(operation)
                continue
            begun_ns = int(self.operations.clock() * 1e9)
            if is_racy(expected, begun_ns, self.operations.client(origin[0]).capabilities.mtime_granularity_ns):
                self.left.append(operation)
                continue
            begun = operation, begun_ns
            self._under_way[id(operation)] = begun
            yield begun, route(NewFile(origin[1], operation.path, expected, expected.mtime_ns, operation.mode))

    def _route(self, operation: Operation) -> Optional[Route]:
        """Return how a small new file is copied here; None for any other operation."""
        from ..storage.small_objects import MOST_BYTES, route

        origin, expected = operation.origin, operation.expect_origin
        if operation.action is not Action.CREATE or operation.kind is not Kind.FILE or origin is None:
            return None
        if expected is None or expected.size is None or expected.size > MOST_BYTES or operation.content is not None:
            return None
        if operation.expect_target is not None or operation.group is not None or is_kept(origin[1]):
            return None
        way = origin[0], operation.target
        if way not in self._routes:
            self._routes[way] = route(*(self.operations.client(side) for side in way))
        return self._routes[way]

    def _leave(self, operation: Operation, error: Optional[Exception]) -> None:
        self.failed.append(operation)
        # What is no error of a storage may have been raised after a write was done.
        if error is not None and (not isinstance(error, StorageError) or error.retryable):
            self.operations.note_lost_answer(operation, error)
        if isinstance(error, Throttled) or len(self.failed) - self._in_doubt > max(PATIENCE, self._went_well):
            self.gave_up = True
