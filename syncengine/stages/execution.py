"""Execution: the operations of a whole plan, in an order in which a failure stops only what depends on it.

Several run at once where their order does not matter. A change of kind is one unit: it happens as a whole, or what it
had moved out of the way is put back.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from attrs import define, evolve, field

from ..core.entry import Kind, Problem, ProblemKind, Side
from ..core.paths import shown
from ..core.plan_parts import Action, Operation
from ..core.report import Outcome, Status
from ..core.schedule import Schedule, Unit, schedule
from ..events import OperationFinished
from .bulk_deletion import BulkDeletion, batches, split
from .copying_apart import CopyingApart
from .held_together import HeldTogether

if TYPE_CHECKING:
    from queue import SimpleQueue

    from .operations import SyncOperations

Ended = Union[Outcome, None, BaseException]
"""What a worker hands over: an outcome, that there is nothing left for it, or what it died of."""


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
    _elsewhere: Union[CopyingApart, HeldTogether, None] = field(default=None, init=False)
    _threads: List[threading.Thread] = field(factory=list, init=False)
    _unheard: List[Outcome] = field(factory=list, init=False)
    """How operations ended that a second interrupt may keep from whoever reads ``run``; some were heard of."""
    _latest: Optional[Outcome] = field(default=None, init=False)

    def run(self, operations: Sequence[Operation], *, failed: Sequence[Outcome] = ()) -> Iterator[Outcome]:
        """Perform *operations* and yield their outcomes as they come; *failed* were given up before."""
        for outcome in failed:
            self._note_failure(outcome)
        order, emitter = schedule(operations), self.operations.emitter
        for outcome in self._in_order(order):
            self._latest = outcome
            if outcome.status is not Status.DONE:
                self._note_failure(outcome)
            if emitter.heard:
                emitter.emit(OperationFinished(outcome))
            yield outcome

    def _in_order(self, order: Schedule) -> Iterator[Outcome]:
        for unit in order.units:
            yield from self._unit(unit)
        yield from self._writes(order.writes)
        for operation, waits_for in order.late:
            yield self._late(operation, waits_for)
        if order.deletes:
            self.before_deleting()
        files = [operation for operation in order.deletes if operation.kind is not Kind.DIRECTORY]
        yield from self._deletions(files)
        # Directories go one after the other: each must be empty before the one above it can go.
        for operation in order.deletes[len(files) :]:
            yield self._one(operation)

    def _writes(self, writes: Sequence[Operation]) -> Iterator[Outcome]:
        together = HeldTogether(self.operations, self._one, self._is_stopped)
        while together.is_of_use(writes):
            self._elsewhere = together
            yield from together.perform(writes)
            if together.gave_up:
                yield from self._all(together.failed)
                together.failed.clear()
            writes = (*together.failed, *together.left)
            if not together.gave_up:
                break
            may_be_apart = together.may_be_apart
            together = HeldTogether(self.operations, self._one, self._is_stopped, may_be_apart)
        apart = CopyingApart(self.operations, self._one, self._is_stopped)
        if self.workers > 1 or not apart.is_of_use(writes):
            yield from self._all(writes)
            return
        self._elsewhere = apart
        yield from apart.perform(writes)

    def unanswered(self) -> Iterator[Outcome]:
        """Yield how operations ended that were under way when ``run`` was broken off, some of them once more."""
        for thread in self._threads:
            thread.join()
        yield from self._unheard
        if self._latest is not None:
            yield self._latest
        if self._elsewhere is not None:
            yield from self._elsewhere.unanswered()

    def _is_stopped(self) -> bool:
        return self.interrupted or self.operations.cancel.is_set()

    def _deletions(self, files: Sequence[Operation]) -> Iterator[Outcome]:
        """Delete files by one request where the storage takes many, and the others each by itself."""
        many, single = split(files, self.operations)
        for side, operations in many.items():
            deletion = BulkDeletion(self.operations, side, self.workers)
            for batch in batches(operations):
                withheld = {operation.path: self._withheld(operation) for operation in batch}
                yield from (outcome for outcome in withheld.values() if outcome is not None)
                yield from self._bulk(deletion, [each for each in batch if withheld[each.path] is None])
        yield from self._all(single)

    def _bulk(self, deletion: BulkDeletion, batch: Sequence[Operation]) -> Iterator[Outcome]:
        ended: Set[str] = set()
        try:
            for outcome in deletion.perform(batch):
                ended.add(outcome.operation.path)
                yield outcome
        except KeyboardInterrupt:
            self.interrupt()
            yield from (deletion.interrupted(each) for each in batch if each.path not in ended)
        except GeneratorExit:
            self._unheard += (deletion.interrupted(each) for each in batch if each.path not in ended)
            raise

    def _note_failure(self, outcome: Outcome) -> None:
        operation = outcome.operation
        self._undone.add(operation.id)
        if operation.action is not Action.DELETE:
            self._failed_on.add(operation.target)
        if operation.group is not None:
            self._broken_groups.add(operation.group)

    def _withheld(self, operation: Operation) -> Optional[Outcome]:
        """Return why *operation* is not even tried; None where it is."""
        if self._is_stopped():
            self.interrupted = True
            return self.operations.cancelled(operation)
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
            kept = self.operations.retention.settle(operation, done=False)
            return Outcome(operation, Status.CANCELLED, retained_at=kept)

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
        yield from self._at_once(iter(tuple(operations)))

    def _at_once(self, waiting: Iterator[Operation]) -> Iterator[Outcome]:
        """Have the workers take operations from *waiting* by themselves; outcomes come as they are done.

        An outcome costs one queue and no lock of ours: with many small files anything more is what the workers would
        wait for. To take the next item of a tuple is one step, which no two workers can share.
        """
        from queue import SimpleQueue

        done: SimpleQueue[Ended] = SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            try:
                for operation in waiting:
                    outcome = self._one(operation)
                    self._unheard.append(outcome)
                    done.put(outcome)
                    if stop.is_set():
                        break
                done.put(None)
            except BaseException as error:  # noqa: BLE001 - raised again by who waits for the outcomes
                done.put(error)

        try:
            for number in range(self.workers):
                thread = threading.Thread(target=work, name=f"syncengine-transfer_{number}")
                thread.start()
                self._threads.append(thread)
            yield from self._collected(done, len(self._threads))
        finally:
            stop.set()
            for thread in self._threads:
                thread.join()
        self._threads.clear()
        self._unheard.clear()

    def _collected(self, done: SimpleQueue[Ended], working: int) -> Iterator[Outcome]:
        while working:
            try:
                ended = done.get()
            except KeyboardInterrupt:
                self.interrupt()
                continue
            if isinstance(ended, Outcome):
                yield ended
            elif ended is None:
                working -= 1
            else:
                raise ended

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
        self._unheard += (*outcomes.values(), last)
        yield from outcomes.values()
        yield last
        self._unheard.clear()

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
        if change.kind is Kind.DIRECTORY:
            return self._file_became_directory(change)
        free = evolve(change, expect_target=None, retain=False)
        removal = evolve(change, action=Action.DELETE, kind=Kind.DIRECTORY, origin=None, retain=False)
        emptied = self._performed(removal)
        if emptied.status is not Status.DONE:
            return evolve(emptied, operation=change)
        outcome = self._performed(free)
        if outcome.status is not Status.DONE:
            self.operations.restore_directory(change)
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
            self.operations.restore_directory(operation)
        return self.operations.retention.put_all_back(aside)

    def _drop_unkept(self, aside: Iterable[Tuple[Operation, str]]) -> None:
        for operation, place in aside:
            if not operation.retain:
                self.operations.retention.discard(operation, place)


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


@contextmanager
def interrupting(interrupt: Callable[[], None]) -> Iterator[None]:
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
