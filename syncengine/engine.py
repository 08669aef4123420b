"""SyncEngine, and the functions plan, apply, sync, scan, check and explain that use it once.

The engine turns arguments into values (locations, settings, filters), opens clients and state, and sends a Job
through the pipeline. It decides nothing about files.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, Iterator, Mapping, Optional, Tuple, Union

from attrs import define, evolve, field, fields

from . import arguments as given
from .arguments import DEFAULT_STATE
from .core.conflicts import Chooser
from .core.entry import Entry, Kind, Side, Snapshot
from .core.guards import Guards
from .core.modes import (
    ComparisonMode,
    ConflictPolicy,
    InitialSyncPreference,
    OnlyIf,
    OnStale,
    Retain,
    SymlinkPolicy,
    SyncMode,
    choice,
)
from .core.object_headers import ObjectHeaders
from .core.path_map import PathMap
from .core.paths import refusal, shown
from .core.plan import Plan
from .core.plan_parts import Endpoint, Settings
from .core.pruning import Keep
from .core.report import Report
from .core.synonyms import meant
from .errors import NotFound, PlanFormatError, RecipeError, ScanError, StorageError, SyncInterrupted
from .events import Emitter, Observer
from .pipeline import Pipeline
from .places import Live, open_state
from .signatures import same_as, taking
from .stages.filter import IgnoreFileManager
from .stages.job import Job
from .stages.scan import normal_scope
from .stages.throttle import Limits
from .state.manager import SyncStateManager
from .storage.location import Location, locate, overlap, reserved_for
from .storage.protocol import StorageClientProtocol, SupportsClose

if TYPE_CHECKING:
    from .core.check import CheckResult

_last_report: Optional[Report] = None


def last_report() -> Optional[Report]:
    """Return the report of the last run in this process, also of one that was interrupted."""
    return _last_report


def _remember(report: Report) -> Report:
    global _last_report
    _last_report = report
    return report


@define(eq=False, kw_only=True, repr=False)
class SyncEngine:
    """Plans and performs syncs between one source and one destination; a context manager.

    *source* and *destination* are a URL, a path, a ``UPath``, a (filesystem, root) pair or a storage client. The
    arguments are those of ``plan`` and ``sync``; nothing is looked at before one of the methods is called.
    ``conflict`` may be a function that takes a Conflict, and if it likes what reads one side of it
    (``read("source")`` gives bytes); it returns ``source``, ``destination``, ``newer``, ``keep-both`` or ``skip``,
    or the merged content as bytes, which both sides then get. ``workers``, ``bandwidth`` and
    ``requests_per_second`` are upper bounds: between local disks one worker writes.
    """

    source: Any = field(kw_only=False)
    destination: Any = field(kw_only=False)
    mode: SyncMode = field(default=SyncMode.SOURCE_BACKUP, converter=given.mode)
    ignore: Tuple[str, ...] = field(default=(), converter=given.texts)
    include: Tuple[str, ...] = field(default=(), converter=given.texts)
    ignore_files: Tuple[str, ...] = field(default=(".syncignore",), converter=given.texts)
    min_size: Union[int, str, None] = None
    max_size: Union[int, str, None] = None
    newer_than: Any = None
    older_than: Any = None
    predicate: Optional[Callable[[Entry], bool]] = field(default=None, converter=given.predicate)
    files_from: Optional[FrozenSet[str]] = field(default=None, converter=given.files_from)
    compare: ComparisonMode = field(default=ComparisonMode.HASH_THEN_MTIME, converter=given.compare)
    conflict: Union[ConflictPolicy, Chooser] = field(default=ConflictPolicy.NEWEST, converter=given.conflict)
    initial: Optional[InitialSyncPreference] = field(default=None, converter=given.initial)
    renames: bool = field(default=True, validator=given.is_flag)
    scope: Tuple[str, ...] = field(default=(), converter=given.texts)
    guards: Guards = field(factory=Guards, converter=given.guards)
    retain: Retain = field(default=Retain.UNSYNCED, converter=given.retain)
    trash: Optional[Any] = field(default=None)
    symlinks: SymlinkPolicy = field(default=SymlinkPolicy.SKIP, converter=given.symlinks)
    state: Optional[Any] = field(default=DEFAULT_STATE, converter=given.place_or_none)
    state_single_writer: bool = field(default=False, validator=given.is_flag)
    source_options: Optional[Mapping[str, Any]] = field(default=None, converter=given.options)
    destination_options: Optional[Mapping[str, Any]] = field(default=None, converter=given.options)
    source_profile: Optional[str] = None
    destination_profile: Optional[str] = None
    force: bool = field(default=False, validator=given.is_flag)
    prune: Optional[Keep] = field(default=None, converter=given.keep)
    path_map: PathMap = field(default=None, converter=given.path_map)
    metadata: Tuple[str, ...] = field(default=(), converter=given.texts)
    object_headers: ObjectHeaders = field(default=None, converter=given.object_headers)
    only_if: OnlyIf = field(default=OnlyIf.ALWAYS, converter=given.only_if)
    require_complete: bool = field(default=False, validator=given.is_flag)
    require_resolved: bool = field(default=False, validator=given.is_flag)
    allow_emptied: bool = field(default=False, validator=given.is_flag)
    allow_mass_delete: bool = field(default=False, validator=given.is_flag)
    hash_by_download: bool = field(default=False, validator=given.is_flag)
    workers: Optional[int] = field(default=None, converter=given.worker_count)
    bandwidth: Union[int, str, None] = None
    requests_per_second: Optional[float] = field(default=None, converter=given.requests)
    retries: int = field(default=3, converter=given.retry_count)
    observer: Optional[Observer] = field(default=None, converter=given.observing)
    progress: Optional[bool] = None
    pipeline: Pipeline = field(factory=Pipeline, converter=given.pipeline)
    cancel: threading.Event = field(factory=threading.Event, converter=given.cancelling)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(timezone.utc), converter=given.clock)
    recipe_digest: Optional[str] = None
    _locations: Dict[Side, Location] = field(factory=dict, init=False)
    _clients: Dict[Side, StorageClientProtocol] = field(factory=dict, init=False)
    _state: Optional[SyncStateManager] = field(default=None, init=False)
    _trash_client: Optional[StorageClientProtocol] = field(default=None, init=False)
    _scope: Tuple[str, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        """Check what can be checked without looking at any storage."""
        if self.initial is not None and not self.mode.is_bidirectional:
            raise RecipeError(f"initial={self.initial.value!r} is for two-way syncs; the mode is {self.mode.value}")
        if self.initial is not None and self._stateless:
            raise RecipeError(
                f"initial={self.initial.value!r} needs a state: without one every sync would be the first, and the "
                "preference would delete what is new on the other side each time"
            )
        if self.metadata and self.mode.is_bidirectional:
            raise RecipeError("metadata is for one-way syncs: two-way cannot tell on which side permissions changed")
        if not isinstance(self.conflict, ConflictPolicy):
            self.pipeline = self.pipeline.choosing(self.conflict)
        unknown = [name for name in self.metadata if name != "mode"]
        if unknown:
            raise RecipeError(f"metadata cannot be {unknown[0]!r}; only 'mode' (permission bits) is kept in step")
        for prefix in self.scope:
            reason = refusal(prefix.strip("/")) if prefix.strip("/") else None
            if reason is not None:
                raise RecipeError(f"scope holds a path that {reason}: {shown(prefix)!r}")
        self._scope = normal_scope(self.scope)

    def __repr__(self) -> str:
        source, destination = given.shown_place(self.source), given.shown_place(self.destination)
        return f"<SyncEngine {source}, {destination} ({self.mode.value})>"

    def __enter__(self) -> SyncEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state and of the connections this engine opened."""
        self.close_state()
        for side in tuple(self._clients):
            self._disconnect(self._clients.pop(side), getattr(self, side.value))
        if self._trash_client is not None:
            self._disconnect(self._trash_client, self.trash)
            self._trash_client = None

    @staticmethod
    def _disconnect(client: StorageClientProtocol, given: Any) -> None:
        """Close *client*, unless it is the one that the caller gave."""
        if client is not given and isinstance(client, SupportsClose):
            with suppress(StorageError):
                client.close()

    def close_state(self) -> None:
        """Let go of the state alone; the connections stay for the plan that was made with them."""
        if self._state is not None:
            self._state.close()
            self._state = None

    # ----------------------------------------------------------------- methods

    def plan(self) -> Plan:
        """Look at both sides and return what a sync would do; writes nothing.

        Raises ScanError where a root is missing or cannot be listed, RecipeError for bad arguments.
        """
        job = self.pipeline(self._writing_job(), until="plan")
        if job.plan is None:
            raise RecipeError(f"the pipeline made no plan; its stages are: {', '.join(self.pipeline.names)}")
        return evolve(job.plan, live_clients=self._live(job))

    def _live(self, job: Job) -> Live:
        # The clients are shared, not copied: once this engine is closed they are gone, and are opened again.
        trash = None if self.trash is None else locate(self.trash)
        return Live(self._clients, dict(self._locations), job.leftovers, trash, self.state, self.state_single_writer)

    def apply(self, plan: Plan, *, on_stale: Union[OnStale, str] = OnStale.SKIP, preflight: bool = True) -> Report:
        """Perform *plan* and return what happened; raises GuardError before anything is changed.

        Without *preflight* nothing is looked at before the check right before each write, as in ``sync``: for a plan
        that this engine has just made.
        """
        return apply(
            plan,
            engine=self,
            on_stale=on_stale,
            preflight=preflight,
            observer=self.observer,
            progress=self.progress,
            cancel=self.cancel,
        )

    def sync(self) -> Report:
        """Plan and apply in one go; operations that became stale meanwhile are reported and left alone."""
        return self._finished(self.pipeline(self._writing_job()))

    def _writing_job(self) -> Job:
        """Return the job of a run that is meant to write; raises RecipeError where a side it writes cannot be."""
        self._locate()
        for side, writes in ((Side.SOURCE, self.mode.allows_download), (Side.DESTINATION, self.mode.allows_upload)):
            if writes and not self._clients[side].capabilities.writable:
                raise RecipeError(f"the {side.value} is read only: nothing can be written to {self._locations[side]}")
        return self.job()

    def scan(self, side: Union[Side, str]) -> Snapshot:
        """Return a stream of what one side holds, filters applied."""
        job = self.pipeline(self.job(), until="filter")
        return job.snapshots[choice(Side, side, "side")]

    def check(self, *, download: bool = False) -> CheckResult:
        """Compare the content of both sides; with *download* also where that means reading a remote side."""
        compare = self.compare
        if compare is ComparisonMode.HASH_THEN_MTIME:
            compare = ComparisonMode.HASH_ONLY  # equal times prove nothing about content
        job = evolve(self.job(), state=None)
        settings = evolve(job.settings, compare=compare, hash_by_download=download or self.hash_by_download)
        job = self.pipeline(evolve(job, settings=evolve(settings, mode=SyncMode.TWO_WAY)), until="diff")
        from .core.check import checked

        return checked(job.changes, _problems(job))

    def explain(self, path: str) -> str:
        """Say what happens to *path* and why: both sides, the state, the filters and the rule that decides."""
        from .explaining import explained

        return explained(self, path)

    # ------------------------------------------------------------------ values

    @property
    def settings(self) -> Settings:
        """Everything that decides what happens, as the plan will carry it."""
        return Settings(
            mode=self.mode,
            compare=self.compare,
            # A function cannot be saved: the plan holds what it decided, and leaves the rest to a reviewer.
            conflict=self.conflict if isinstance(self.conflict, ConflictPolicy) else ConflictPolicy.MANUAL,
            initial=self.initial,
            renames=self.renames,
            scope=self._scope,
            guards=self.guards,
            retain=self.retain,
            trash=None if self.trash is None else locate(self.trash).url,
            symlinks=self.symlinks,
            only_if=self.only_if,
            path_map=self.path_map.pairs,
            metadata=self.metadata,
            object_headers=self.object_headers.rules,
            force=self.force,
            require_complete=self.require_complete,
            require_resolved=self.require_resolved,
            allow_emptied=self.allow_emptied,
            allow_mass_delete=self.allow_mass_delete,
            hash_by_download=self.hash_by_download,
        )

    def job(self) -> Job:
        """Return the job that a run starts with: settings, clients, state and filters."""
        self._locate()
        now = self.clock()
        return Job(
            settings=self.settings,
            clients=dict(self._clients),
            endpoints={side: self._endpoint(side) for side in Side},
            now=now,
            limits=self.limits,
            path_map=self.path_map,
            emitter=Emitter(self._observer()),
            cancel=self.cancel,
            state=self._opened_state(),
            state_place=self._state_place(),
            filter=self._filter(now),
            trash=self._opened_trash(),
            apart={side: frozenset(self._apart(side)) for side in Side},
            recipe_digest=self.recipe_digest,
        )

    @property
    def limits(self) -> Limits:
        """How hard a run may work."""
        return given.limits_of(self.workers, self.bandwidth, self.requests_per_second, self.retries)

    def _observer(self) -> Optional[Observer]:
        if self.observer is not None or self.progress is False:
            return self.observer
        if self.progress is None and not _may_show_progress():
            return None
        from .render.progress import automatic

        return automatic(self.progress)

    def _filter(self, now: datetime) -> IgnoreFileManager:
        return IgnoreFileManager(
            ignore=self.ignore,
            include=self.include,
            ignore_files=self.ignore_files,
            min_size=self.min_size,
            max_size=self.max_size,
            newer_than=self.newer_than,
            older_than=self.older_than,
            predicate=self.predicate,
            files_from=self.files_from,
            now=now,
        )

    # ---------------------------------------------------------- places and state

    def _locate(self) -> None:
        if self._clients:
            return
        try:
            self._open_both()
        except BaseException:
            self.close()  # so that another try begins anew
            raise

    def _open_both(self) -> None:
        for side in Side:
            options = self.source_options if side is Side.SOURCE else self.destination_options
            profile = self.source_profile if side is Side.SOURCE else self.destination_profile
            self._locations[side] = locate(getattr(self, side.value), options=options, profile=profile)
        why = overlap(self._locations[Side.SOURCE], self._locations[Side.DESTINATION])
        if why is not None:
            raise RecipeError(f"the two sides overlap: {why}. Sync two separate places.")
        for side in Side:
            self._clients[side] = self._opened(side)
        self._reroot_single_files()

    def _reroot_single_files(self) -> None:
        """Take the folder of a source file as the root, with the file's name as the scope."""
        for side in Side:
            entry = self._root(side)
            if entry is None or entry.kind is Kind.DIRECTORY:
                continue
            if side is Side.DESTINATION:
                raise RecipeError(f"the destination {self._locations[side]} is a file; a destination is a directory")
            if self.scope:
                raise RecipeError(f"the source {self._locations[side]} is one file, which has no scope inside")
            self._locations[side], name = self._locations[side].parent_and_name()
            self._disconnect(self._clients[side], getattr(self, side.value))
            self._clients[side] = self._opened(side)
            self._scope = (name,)

    def _opened(self, side: Side) -> StorageClientProtocol:
        location = self._locations[side]
        try:
            return location.open(symlinks=self.symlinks)
        except StorageError as error:
            raise ScanError(f"the {side.value} {location} cannot be opened: {error}", side=side.value) from error

    def _root(self, side: Side) -> Optional[Entry]:
        try:
            return self._clients[side].stat("")
        except StorageError as error:
            url = self._locations[side].url
            reason = "root_missing" if isinstance(error, NotFound) else "unlistable"
            message = f"the {side.value} {url} cannot be looked at: {error}"
            raise ScanError(message, side=side.value, reason=reason) from error

    def _endpoint(self, side: Side) -> Endpoint:
        location = self._locations[side]
        return Endpoint(
            location.url,
            location.identity,
            location.profile,
            location.option_names,
            self._clients[side].capabilities.stamps,
        )

    def _opened_state(self) -> Optional[SyncStateManager]:
        if self._stateless:
            return None
        # Every run looks anew: another run, of this engine's own plans too, may have written since.
        self.close_state()
        self._state = open_state(
            self.state,
            {side: self._endpoint(side) for side in Side},
            self._clients,
            single_writer=self.state_single_writer,
        )
        return self._state

    @property
    def _stateless(self) -> bool:
        return self.state is None or str(self.state).lower() == "none"

    def _apart(self, side: Side) -> Iterator[str]:
        """Yield the folders of reserved names below the root of *side* that this sync puts to use."""
        others = [self._locations[side.other]]
        others += [locate(place) for place in (self.trash, self.state) if place not in (None, DEFAULT_STATE)]
        found = (reserved_for(other, self._locations[side]) for other in others)
        yield from (folder for folder in found if folder is not None)

    def _state_place(self) -> Optional[str]:
        """Return how the plan names the place of its state, without secrets; None where it has none."""
        if self.state is None or self._stateless:
            return None
        text = self.state if isinstance(self.state, str) else os.fsdecode(self.state)
        return text if text == DEFAULT_STATE else locate(text).url

    def _opened_trash(self) -> Optional[StorageClientProtocol]:
        if self.trash is None:
            return None
        location = locate(self.trash)
        for side in Side:
            why = overlap(self._locations[side], location)
            if why is not None:
                raise RecipeError(f"the trash would be part of the sync: {why}. Choose a place outside both sides.")
        if self._trash_client is None:
            self._trash_client = location.open()
        return self._trash_client

    def _finished(self, job: Job) -> Report:
        report = job.report
        if report is None:
            raise RecipeError(f"the pipeline ended without a report; its stages are: {', '.join(self.pipeline.names)}")
        report = _remember(evolve(report, plan=evolve(report.plan, live_clients=self._live(job))))
        if report.interrupted:
            raise SyncInterrupted("the sync was interrupted; run it again to finish", report)
        return report


def _problems(job: Job) -> Iterator[Any]:
    for snapshot in job.snapshots.values():
        yield from snapshot.problems


def _may_show_progress() -> bool:
    import sys

    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


# ------------------------------------------------------------------------- functions


@same_as(SyncEngine)
def plan(source: Any, destination: Any, **arguments: Any) -> Plan:
    """Look at both sides and return what a sync would do; writes nothing.

    The arguments are those of :class:`SyncEngine`. Raises ScanError where a root is missing, RecipeError for bad
    arguments.
    """
    return planned(engine_of(source, destination, arguments), SyncEngine.plan)


def planned(engine: SyncEngine, make: Callable[[SyncEngine], Plan]) -> Plan:
    """Return the plan that *make* makes with *engine*, whose connections last as long as the plan."""
    try:
        made = make(engine)
    except BaseException:
        engine.close()
        raise
    engine.close_state()
    # The plan keeps the connections it was made with, to be applied over them; they go when it goes.
    weakref.finalize(made.live_clients, engine.close).atexit = False
    return made


@same_as(SyncEngine)
def sync(source: Any, destination: Any, **arguments: Any) -> Report:
    """Plan and apply in one go, and return what happened; raises GuardError before anything is changed."""
    with engine_of(source, destination, arguments) as engine:
        return engine.sync()


@taking(SyncEngine)
def check(source: Any, destination: Any, *, download: bool = False, **arguments: Any) -> CheckResult:
    """Compare the content of both sides: equal, different and unverified are three answers.

    With *download* a remote side is read where nothing else can tell.
    """
    with engine_of(source, destination, {"state": None, **arguments}) as engine:
        return engine.check(download=download)


@taking(SyncEngine)
def explain(source: Any, destination: Any, path: str, **arguments: Any) -> str:
    """Say what a sync would do with *path*, and why."""
    with engine_of(source, destination, arguments) as engine:
        return engine.explain(path)


def engine_of(source: Any, destination: Any, arguments: Mapping[str, Any]) -> SyncEngine:
    """Return the engine with these arguments; raises RecipeError for a name that is none."""
    names = [str(attribute.alias) for attribute in fields(SyncEngine) if attribute.init]
    for name in arguments:
        if name not in names:
            near = meant(name, names)
            raise RecipeError(f"unknown argument {name!r}" + (f"; {near.hint(near.as_argument)}" if near else ""))
    return SyncEngine(source, destination, **arguments)


def apply(
    plan: Union[Plan, str, os.PathLike[str]],
    *,
    source_options: Optional[Mapping[str, Any]] = None,
    destination_options: Optional[Mapping[str, Any]] = None,
    profiles: Optional[Mapping[str, str]] = None,
    state: Any = DEFAULT_STATE,
    state_single_writer: bool = False,
    guards: Optional[Guards] = None,
    on_stale: Union[OnStale, str] = OnStale.STOP,
    expect_digest: Optional[str] = None,
    relocate: Optional[Mapping[str, Any]] = None,
    engine: Optional[SyncEngine] = None,
    preflight: bool = True,
    **limits: Any,
) -> Report:
    """Perform a plan, given as a value or as the file it was saved in, and return what happened.

    Everything that decides what happens is in the plan; this takes credentials and limits. *guards* are held on top
    of the plan's own. *relocate* applies the plan elsewhere, given as ``{"source": URL}``; then no state is recorded.
    *preflight* may be turned off where stale operations are skipped: the check right before each write finds them.

    Raises StalePlanError where the world has changed since (with ``on_stale="skip"`` those operations are reported
    as stale and the rest goes on), GuardError where a guard refuses, PlanFormatError where the digest is not the
    expected one; in all these cases nothing was changed.
    """
    from .applying import Application

    if not isinstance(plan, (Plan, str, os.PathLike)):
        raise RecipeError(f"a plan, or the file it was saved in, is expected, not {plan!r}")
    for name, by_side in (("profiles", profiles), ("relocate", relocate)):
        if by_side is not None and not isinstance(by_side, Mapping):
            raise RecipeError(f"{name} are given by side, such as {{'source': ...}}, not as {by_side!r}")
    loaded = plan if isinstance(plan, Plan) else Plan.load(plan)
    if expect_digest is not None and loaded.digest != expect_digest:
        raise PlanFormatError(f"the plan's digest is {loaded.digest}, not the expected {expect_digest}")
    application = Application(
        loaded,
        options={Side.SOURCE: given.options(source_options), Side.DESTINATION: given.options(destination_options)},
        profiles={choice(Side, side, "profiles").value: name for side, name in (profiles or {}).items()},
        state=given.place_or_none(state),
        single_writer=state_single_writer,
        guards=None if guards is None else given.guards(guards),
        on_stale=choice(OnStale, on_stale, "on_stale"),
        relocate={choice(Side, side, "relocate"): spec for side, spec in (relocate or {}).items()},
        engine=engine,
        preflight=preflight,
        limits=limits,
    )
    report = _remember(application.run())
    if report.interrupted:
        raise SyncInterrupted("the run was interrupted; apply report.remaining() to finish", report)
    return report
