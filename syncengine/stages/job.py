"""What is known of a sync so far: the value that travels through the stages."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable, FrozenSet, Iterable, Iterator, Mapping, Optional, Tuple, Union

from attrs import Factory, evolve, field, frozen

from ..core.blocks import Block
from ..core.comparator import Change, SideFacts
from ..core.entry import Side, Snapshot
from ..core.folding import Folding
from ..core.merge import Views
from ..core.path_map import PathMap
from ..core.plan import Plan
from ..core.plan_parts import Endpoint, Operation, Settings
from ..core.report import Outcome, Report
from ..core.tally import Tally
from ..events import Emitter
from ..state.manager import SyncStateManager
from ..storage.protocol import StorageClientProtocol, SupportsStoredDigests
from .throttle import Limits, Rate

if TYPE_CHECKING:
    from .filter import IgnoreFileManager


Changed = Union[Change, Views]
ReadChanges = Callable[..., Iterator[Union[Changed, Block]]]


class Changes:
    """A stream of changes that can be read with blocks instead, once, one way or the other."""

    def __init__(self, read: ReadChanges) -> None:
        self._read = read

    def with_blocks(self) -> Iterator[Union[Changed, Block]]:
        """Read the stream with files that one side alone has in blocks, where they come so."""
        return self._read(blocks=True)

    def __iter__(self) -> Iterator[Changed]:
        return self._read(blocks=False)  # type: ignore[return-value]


@frozen(eq=False, repr=False)
class Job:
    """Everything that is known of one sync; each stage returns it with a little more.

    ``changes`` is a stream that may be read once; ``tally`` fills while it is read.
    """

    settings: Settings
    clients: Mapping[Side, StorageClientProtocol]
    endpoints: Mapping[Side, Endpoint]
    now: datetime
    limits: Limits = field(factory=Limits)
    path_map: PathMap = field(factory=PathMap)
    folding: Folding = field(factory=Folding)
    """Under which names both sides are compared, where one of them knows several spellings of a name."""
    emitter: Emitter = field(factory=Emitter)
    cancel: threading.Event = field(factory=threading.Event)
    state: Optional[SyncStateManager] = None
    state_place: Optional[str] = None
    """How the plan names the place of its state."""
    filter: Optional[IgnoreFileManager] = None
    snapshots: Mapping[Side, Snapshot] = field(factory=dict)
    excludes: Optional[Callable[..., Optional[str]]] = None
    changes: Iterable[Changed] = ()
    tally: Tally = field(factory=Tally)
    plan: Optional[Plan] = None
    stale: Tuple[Tuple[Operation, Outcome], ...] = ()
    """Operations that a preflight found stale, with the outcomes they already have."""
    leftovers: Tuple[Tuple[Side, str], ...] = ()
    """Temporary files of killed runs that the scan met."""
    run_id: Optional[str] = None
    recorder: Any = None
    """Takes outcomes to the state while they come; None where nothing is recorded."""
    report: Optional[Report] = None
    trash: Optional[StorageClientProtocol] = None
    apart: Mapping[Side, FrozenSet[str]] = field(factory=dict)
    """Folders of reserved names below a root that hold the trash, the state or the other side."""
    recipe_digest: Optional[str] = None
    requests: Rate = field(
        default=Factory(lambda job: Rate(job.limits.requests_per_second, sleep=job.cancel.wait), takes_self=True)
    )
    """What listings, looks and operations draw on alike where ``requests_per_second`` is given."""

    def __repr__(self) -> str:
        urls = {side: endpoint.url for side, endpoint in self.endpoints.items()}
        known = [name for name in ("snapshots", "plan", "report") if getattr(self, name)]
        so_far = f", with {' and '.join(known)}" if known else ""
        return f"<Job {urls.get(Side.SOURCE)}, {urls.get(Side.DESTINATION)} ({self.settings.mode.value}){so_far}>"

    def requests_to(self, side: Side) -> Optional[Rate]:
        """Return what calls to *side* draw on; None where they are not limited, or cost no network."""
        free = self.clients[side].capabilities.cheap_reads or not self.requests.limited
        return None if free else self.requests

    def draw(self, side: Side) -> None:
        """Wait until one more call to *side* may be made."""
        requests = self.requests_to(side)
        if requests is not None:
            requests.take(1)

    def with_(self, **changes: Any) -> Job:
        """Return this job with more known."""
        return evolve(self, **changes)

    def facts(self, side: Side) -> SideFacts:
        """Return what a comparison must know of *side*."""
        capabilities = self.clients[side].capabilities
        return SideFacts(
            true_mtime=capabilities.mtime_is_content_time,
            mtime_granularity_ns=capabilities.mtime_granularity_ns,
            cheap_reads=capabilities.cheap_reads,
            stored_digests=isinstance(self.clients[side], SupportsStoredDigests),
        )

    @property
    def observed_ns(self) -> int:
        """When this job began to look, in nanoseconds since the epoch."""
        return int(self.now.timestamp() * 1_000_000_000)

    @property
    def scope(self) -> Tuple[str, ...]:
        """The prefixes this job is about, without those that lie in others; empty for everything."""
        return self.settings.scope
