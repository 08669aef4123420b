"""Diff: two snapshots and the state become a stream of what changed, in constant memory.

Unchanged paths are counted and forgotten. What stamps cannot settle is settled by digests, a few paths ahead of the
stream and without leaving its order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Iterable, Iterator, Mapping, Optional, Tuple, Union

from attrs import define, evolve, field, frozen

from ..core.blocks import Block
from ..core.comparator import STORED, Change, Comparison, FileComparator, Question
from ..core.entry import Base, Entry, Kind, Pack, Seen, Side, Snapshot
from ..core.folding import folded
from ..core.merge import Joined, Joiner, Views, join
from ..core.packs import Rows
from ..core.paths import encoded
from ..core.tally import Tally
from ..errors import NotFound, PreconditionFailed, StorageError
from ..events import Emitter, ScanProgressed
from ..storage.digests import digest
from ..storage.protocol import StorageClientProtocol, SupportsStoredDigests
from .job import Changed, Changes, Job
from .scan import mapped, without_strays

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Settle = Callable[[Question], Optional[str]]
Answer = Callable[[Question], Tuple[str, ...]]

LOOKAHEAD = 64
"""How many paths may wait for a digest; bounds memory while the stream goes on."""

_ROUNDS = 3
"""One answer may open the next question: a side's own past, what a storage keeps, what the other has of that."""

PROGRESS_EVERY = 5_000

_Settled = Union[Changed, Block]
_Waiting = Union[_Settled, "Future[Changed]"]
_SETTLED = (Change, Views, Block)


def changes(
    state: Iterable[Union[Base, Rows]],
    source: Iterable[Union[Seen, Pack]],
    destination: Iterable[Union[Seen, Pack]],
    *,
    comparator: FileComparator,
    joiner: Joiner,
    answer: Answer,
    tally: Tally,
    emitter: Optional[Emitter] = None,
    look_at_all: bool = False,
    blocks: bool = False,
) -> Iterator[Union[Changed, Block]]:
    """Yield a Change for every path that is not simply unchanged, and Views where a path is out of bounds.

    *look_at_all* also yields paths whose content is unchanged (to force them, or to compare their metadata). With
    *blocks*, files that one side alone has may come as blocks.
    """
    progress = _Progress(tally, emitter or Emitter())
    # Only here unchanged files are left out before they are entries; everything below decides by entries alone.
    triples = join(state, source, destination, None if look_at_all else progress.agreed, blocks=blocks)
    moved_on = _moved_on(triples, progress, look_at_all=look_at_all)
    with _Settler(answer) as settler:
        for views in joiner.views(moved_on):
            if isinstance(views, Block):
                yield from settler.later(views)
                continue
            if views.region is not None or views.collision:
                yield from settler.later(views)
                continue
            comparison = comparator(views.base, views.source, views.destination)
            yield from settler.compare(views, comparison, comparator)
        yield from settler.rest()


@define(eq=False)
class _Progress:
    """Counts paths and tells of every PROGRESS_EVERY of them."""

    tally: Tally
    emitter: Emitter
    _due: int = field(factory=lambda: PROGRESS_EVERY)

    def agreed(self, number: int) -> None:
        """Count files that stand on both sides as the state has them."""
        self.tally.agreed(number)
        if self.tally.paths >= self._due:
            self._tell()

    def met(self, number: int = 1) -> None:
        """Count paths of any other kind."""
        self.tally.paths += number
        if self.tally.paths >= self._due:
            self._tell()

    def _tell(self) -> None:
        while self._due <= self.tally.paths:
            self.emitter.emit(ScanProgressed(self._due, self.tally.changes))
            self._due += PROGRESS_EVERY


def _moved_on(triples: Iterable[Joined], progress: _Progress, *, look_at_all: bool) -> Iterator[Joined]:
    """Count every triple and pass on those that are not unchanged: the one loop that runs for every path."""
    tally = progress.tally
    at_source = at_destination = shared = remembered = unchanged = 0
    directory = Kind.DIRECTORY  # looked up once: an enum answers slowly
    try:
        for triple in triples:
            if isinstance(triple, Block):
                progress.met(len(triple))
                tally.seen[triple.side] += len(triple)
                tally.remembered += 0 if triple.rows is None else len(triple)
                yield triple
                continue
            _, base, source, destination = triple
            progress.met()
            # Equal stamps on both sides: whoever agreed on them agrees still. Nearly every path ends here.
            if (
                base is not None
                and type(source) is Entry
                and type(destination) is Entry
                and source.stamp == base.source
                and destination.stamp == base.destination
                and base.live
                and not base.racy
                and not look_at_all
                and source.kind is base.kind is destination.kind
            ):
                if base.kind is not directory:
                    unchanged += 1
                continue
            here = type(source) is Entry and source.kind is not directory
            there = type(destination) is Entry and destination.kind is not directory
            at_source += here
            at_destination += there
            shared += here and there
            remembered += base is not None and base.live and base.kind is not directory
            yield triple
    finally:
        tally.unchanged += unchanged
        tally.remembered += remembered + unchanged
        tally.shared += shared + unchanged
        tally.seen[Side.SOURCE] += at_source + unchanged
        tally.seen[Side.DESTINATION] += at_destination + unchanged


class _Settler:
    """Answers questions in worker threads and hands changes on in order."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._waiting: Deque[_Waiting] = deque()
        self._pool: Optional[ThreadPoolExecutor] = None

    def __enter__(self) -> _Settler:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def later(self, item: _Waiting) -> Iterator[_Settled]:
        """Queue *item* and yield what is ready before it."""
        if not self._waiting and isinstance(item, _SETTLED):
            yield item
            return
        self._waiting.append(item)
        while self._waiting and (len(self._waiting) > LOOKAHEAD or _ready(self._waiting[0])):
            yield _value(self._waiting.popleft())

    def compare(self, views: Views, comparison: Comparison, comparator: FileComparator) -> Iterator[_Settled]:
        """Queue the change of one path, with its questions on their way to an answer."""
        if not comparison.questions:
            yield from self.later(_change(views, comparison))
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="syncengine-digest")
        yield from self.later(self._pool.submit(self._settled, views, comparison, comparator))

    def rest(self) -> Iterator[_Settled]:
        """Yield everything that still waits."""
        while self._waiting:
            yield _value(self._waiting.popleft())

    def _settled(self, views: Views, comparison: Comparison, comparator: FileComparator) -> Change:
        for _ in range(_ROUNDS):
            answered = self._answered(views, comparison.questions)
            if answered is views:
                break  # nothing new was learned, and asking again would not help
            views = answered
            comparison = comparator(views.base, views.source, views.destination)
            if not comparison.questions:
                return _change(views, comparison)
        return _change(views, comparator(views.base, views.source, views.destination, settled=True))

    def _answered(self, views: Views, questions: Tuple[Question, ...]) -> Views:
        for question in questions:
            entry = views.entry(question.side)
            assert entry is not None, "a question is about what stands on a side"
            told = {*entry.stamp.digests, *self._answer(question)}
            if len(told) > len(entry.stamp.digests):
                stamp = evolve(entry.stamp, digests=tuple(sorted(told)))
                views = views.with_entry(question.side, evolve(entry, stamp=stamp))
        return views


def _ready(item: _Waiting) -> bool:
    return isinstance(item, _SETTLED) or item.done()


def _value(item: _Waiting) -> _Settled:
    return item if isinstance(item, _SETTLED) else item.result()


def _change(views: Views, comparison: Comparison) -> Change:
    return Change(views.path, views.base, views.source, views.destination, comparison)


def settling(clients: Mapping[Side, StorageClientProtocol], draw: Callable[[Side], None] = lambda _: None) -> Settle:
    """Return a function that answers questions by asking the side's client; None where it cannot be had.

    *draw* waits until one more call to a side may be made.
    """

    def settle(question: Question) -> Optional[str]:
        stamp = evolve(question.entry.stamp, digests=())
        draw(question.side)
        try:
            return digest(clients[question.side], question.entry.own_path, question.algorithm, expect=stamp)
        except StorageError:
            return None  # unreadable or changed meanwhile: the comparison stays unknown, which is never equal

    return settle


def answering(clients: Mapping[Side, StorageClientProtocol], draw: Callable[[Side], None] = lambda _: None) -> Answer:
    """Return a function that answers all questions of a comparison; empty where an answer cannot be had."""
    settle = settling(clients, draw)

    def answer(question: Question) -> Tuple[str, ...]:
        if question.algorithm != STORED:
            computed = settle(question)
            return () if computed is None else (computed,)
        client = clients[question.side]
        assert isinstance(client, SupportsStoredDigests)
        draw(question.side)
        try:
            return client.stored_digests(question.entry.own_path, expect=evolve(question.entry.stamp, digests=()))
        except StorageError:
            return ()

    return answer


@frozen
class Diff:
    """The third stage: compares both snapshots with the state and with each other."""

    comparator: Optional[FileComparator] = None
    name: str = field(default="diff", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with its stream of changes."""
        source, destination = job.snapshots[Side.SOURCE], job.snapshots[Side.DESTINATION]
        if job.path_map:
            source = Snapshot(source.location, mapped(iter(source), job.path_map, job.scope))
            destination = Snapshot(destination.location, without_strays(iter(destination), job.path_map))
        if job.folding:
            source = self._folded(source, job, Side.SOURCE)
            destination = self._folded(destination, job, Side.DESTINATION)
        clients = job.clients
        both_flat = not any(client.capabilities.real_directories for client in clients.values())
        look_at_all = job.settings.force or bool(job.settings.metadata) or bool(job.folding)
        own_rules = self.comparator is None and not look_at_all

        def read(*, blocks: bool) -> Iterator[Union[Changed, Block]]:
            return changes(
                self._rows(job),
                source.packs(),
                destination.packs(),
                comparator=self.comparator or self._comparator(job),
                joiner=Joiner(job.excludes, both_flat, holding_below(clients), _filtering(job)),
                answer=answering(clients, job.draw),
                tally=job.tally,
                emitter=job.emitter,
                look_at_all=look_at_all,
                # A block is what the comparator would say of each of its files: not of one that decides otherwise.
                blocks=blocks and own_rules,
            )

        return job.with_(changes=Changes(read), snapshots={Side.SOURCE: source, Side.DESTINATION: destination})

    @staticmethod
    def _folded(snapshot: Snapshot, job: Job, side: Side) -> Snapshot:
        row_at = job.state.row if job.state is not None else lambda _: None
        return Snapshot(snapshot.location, folded(iter(snapshot), job.folding, side, row_at))

    def _comparator(self, job: Job) -> FileComparator:
        return FileComparator(
            job.settings.compare, job.facts(Side.SOURCE), job.facts(Side.DESTINATION), job.settings.hash_by_download
        )

    def _rows(self, job: Job) -> Iterable[Rows]:
        return () if job.state is None else job.state.packs([job.folding.key(prefix) for prefix in job.scope])


def _filtering(job: Job) -> Callable[[], bool]:
    """Return a function that says whether the rules of *job* can exclude anything, as far as they were met."""
    manager = job.filter
    return (lambda: True) if manager is None else (lambda: manager.active)


def holding_below(clients: Mapping[Side, StorageClientProtocol]) -> Callable[[Side, str], bool]:
    """Return a function that says whether a side without directories holds names below a file's."""

    def holds(side: Side, path: str) -> bool:
        if clients[side].capabilities.real_directories:
            return False
        try:
            return next(iter(clients[side].list(path)), None) is not None
        except (NotFound, PreconditionFailed):
            return False  # a prefix without keys, or a name that lists as the file alone
        except StorageError:
            return True  # what cannot be seen may be there, so the name is left alone

    return holds


def in_key_order(items: Iterable[Seen]) -> Iterable[Seen]:
    """Return *items* sorted by position, for users who build a snapshot by hand."""
    return sorted(items, key=lambda item: encoded(item.position))
