"""Directories that are renamed as a whole: the proof while planning, and the one listing before the rename is done."""

from __future__ import annotations

from typing import Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from attrs import define, field

from ..core.blocks import Block
from ..core.comparator import COARSE_WINDOW_NS, RACE_WINDOW_NS, Question
from ..core.directory_renames import DirectoryRename, Met, Pair, directory_renames, listing_digest
from ..core.entry import Entry, Extent, Kind, Problem, Side, Stamp
from ..core.packs import Listing, Run, is_empty
from ..core.paths import is_within, shown
from ..core.plan_parts import Operation
from ..core.renames import DigestOf, Ground, ground_of, rename_of
from ..errors import PreconditionFailed, StorageError, Unsupported
from ..state.manager import SyncStateManager
from ..storage.protocol import Capabilities, StorageClientProtocol, SupportsChangeTimes, SupportsMoveDirectory
from .job import Job


def renamed_directories(
    job: Job, changes: Sequence[Met], side: Side, *, digest_of: DigestOf
) -> Iterator[DirectoryRename]:
    """Yield the directories that *side* renamed and the other side can rename by one call."""
    if job.state is None or not isinstance(job.clients[side.other], SupportsMoveDirectory):
        return
    by_download = job.settings.hash_by_download
    reads = {each for each in Side if job.clients[each].capabilities.cheap_reads or by_download}
    yield from directory_renames(changes, side, proved=_Proof(job.clients, job.state, digest_of, reads))


def tells_by_time(capabilities: Capabilities) -> bool:
    """Say whether a storage keeps the times of contents finely, and tells nothing else that a rename leaves alone."""
    finely = capabilities.mtime_is_content_time and capabilities.mtime_granularity_ns <= COARSE_WINDOW_NS
    return finely and not {"file_id", "etag", "version"}.intersection(capabilities.stamps)


@define(eq=False)
class _Proof:
    """Proves that files are those that were agreed on: nobody touched them since, or their content says so.

    Untouched means that the inode has not changed since the run ended that recorded it. Between that run's look at a
    file and its end an inode may have been given to another file of the same size and time; whoever compares the file
    under its old name takes the same risk.
    """

    clients: Mapping[Side, StorageClientProtocol]
    state: SyncStateManager
    digest_of: DigestOf
    reads: Collection[Side]
    """Whose content can be had to prove a rename."""
    _times: Dict[str, Dict[str, int]] = field(factory=dict, init=False)
    _moments: Optional[Dict[int, int]] = field(default=None, init=False)

    def untouched(self, side: Side, new: str, gone: Sequence[Block], arrived: Sequence[Block]) -> bool:
        """Say whether nobody touched the files of these blocks, of one folder, since they were agreed on."""
        times = self._times_below(side, new)
        paths = (block.run.inside + name for block in arrived for name in block.run.names)
        stamps = (stamp for block in arrived for stamp in block.run.stamps)
        generations = (generation for block in gone for generation in block.generations())
        return all(
            is_empty(stamp) or self._is_older(times.get(path), generation)
            for path, stamp, generation in zip(paths, stamps, generations)
        )

    def _is_older(self, changed: Optional[int], generation: int) -> bool:
        agreed = self._agreed_ns(generation)
        return agreed is not None and changed is not None and changed < agreed - RACE_WINDOW_NS

    def by_time(self, side: Side) -> bool:
        """Say whether the size and the time of a file have to do for *side*, which tells no ids of files."""
        return tells_by_time(self.clients[side].capabilities)

    def files(self, side: Side, new: str, pairs: Sequence[Pair]) -> Optional[Ground]:
        """Return what shows that the files of all pairs are those that were agreed on, None where nothing does."""
        times = self._times_below(side, new) if pairs else {}
        weakest = Ground.CONTENT
        for pair in pairs:
            ground = Ground.CONTENT if self._untouched(pair, side, times) else self._ground(pair, side)
            if ground is None:
                return None
            weakest = weakest if ground is Ground.CONTENT else ground
        return weakest

    def _untouched(self, pair: Pair, side: Side, times: Mapping[str, int]) -> bool:
        base, path = pair[0].base, pair[1].path
        assert base is not None
        if base.kind is Kind.DIRECTORY or not base.stamp(side).size:
            return True  # a directory has no content, nor has an empty file
        return side not in base.racy and self._is_older(times.get(path), base.generation)

    def _ground(self, pair: Pair, side: Side) -> Optional[Ground]:
        gone, new = pair
        standing, arrived = gone.entry(side.other), new.entry(side)
        if arrived is None or standing is None or arrived.kind is not Kind.FILE:
            same_link = arrived is not None and standing is not None and arrived.link == standing.link
            return Ground.CONTENT if same_link else None
        return ground_of(rename_of(gone, new, side), self._answer, self.reads)

    def _answer(self, question: Question) -> Optional[str]:
        return self.digest_of(question)

    def _times_below(self, side: Side, directory: str) -> Mapping[str, int]:
        known = next((outer for outer in self._times if is_within(directory, outer)), None)
        if known is None:
            self._times[directory] = self._read(side, directory)
            known = directory
        return self._times[known]

    def _read(self, side: Side, directory: str) -> Dict[str, int]:
        client = self.clients[side]
        if not isinstance(client, SupportsChangeTimes):
            return {}
        try:
            return dict(client.change_times(directory) or ())
        except StorageError:
            return {}  # it changed meanwhile: the contents decide

    def _agreed_ns(self, generation: int) -> Optional[int]:
        """Return when the run ended that wrote the rows of *generation*; None for one that was killed."""
        if self._moments is None:
            self._moments = {
                written: int(run.finished_at.timestamp() * 1e9)
                for run in self.state.runs()
                if run.finished_at is not None
                for written in run.generations
            }
        return self._moments.get(generation)


def directory_difference(client: StorageClientProtocol, directory: str, expected: Optional[Stamp]) -> Optional[str]:
    """Return why *directory* does not hold what *expected*, of a directory that is moved, says; None where it does."""
    found: List[Union[Entry, Run]] = []
    listed = client.list(directory)
    for item in listed.packs() if isinstance(listed, Listing) else listed:
        if isinstance(item, (Entry, Run)):
            found.append(item)
        elif isinstance(item, Problem) and item.extent is not Extent.NOTHING:
            return "something in it cannot be seen"
    same = expected is not None and listing_digest(found, directory) in expected.digests
    return None if same else "something in it has changed"


def move_directory(client: StorageClientProtocol, operation: Operation) -> None:
    """Rename a directory that is still as planned.

    RACE: what is written into it between this listing and the rename goes along under the new name. The state then
    holds older stamps than the side does, so the next run takes it for the edit it is; nothing is lost.
    """
    assert operation.origin is not None
    _, old = operation.origin
    if not isinstance(client, SupportsMoveDirectory):
        raise Unsupported(f"{shown(old)}: directories cannot be renamed there", path=operation.path)
    failure = directory_difference(client, old, operation.expect_origin)
    if failure is not None:
        raise PreconditionFailed(f"{shown(old)}: {failure}", path=old)
    client.move_directory(old, operation.path)
