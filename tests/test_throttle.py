"""The budget of a run: what was asked for is held, and what a storage asks for is held by all workers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest

import syncengine
from syncengine.core.entry import Entry, Kind, Side, Stamp
from syncengine.core.report import Status
from syncengine.errors import AccessDenied, PreconditionFailed, StorageError, Throttled, Unavailable
from syncengine.stages.throttle import LONGEST_RETRY_SECONDS, PAGE, Limits, Pace, Rate, RequestBudget
from syncengine.storage.filesystem import FsspecStorageClient
from syncengine.storage.location import locate


class Clock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget(clock: Clock, workers: int = 8, **limits: Any) -> RequestBudget:
    return RequestBudget(
        Limits(**limits), workers=workers, clock=clock, wait=clock.wait, between=lambda low, high: high
    )


def throttled(retry_after: Optional[float] = None) -> Throttled:
    return Throttled("slow down", path="a", retry_after=retry_after)


# ------------------------------------------------------------------------------------------------------------- rates


def test_calls_keep_the_rate_that_was_asked_for(clock: Clock) -> None:
    shared = budget(clock, requests_per_second=4)
    for _ in range(9):
        shared.end(shared.begin())

    assert clock.now == 2.0


def test_bytes_keep_the_bandwidth_however_large_a_block_is(clock: Clock) -> None:
    shared = budget(clock, bandwidth=100)
    for size in (500, 100, 1):
        shared.bytes.take(size)

    assert clock.now == 6.0


@pytest.mark.parametrize(
    ("entries", "directories", "calls"), [(0, 0, 1), (PAGE - 1, 0, 1), (PAGE, 0, 2), (2 * PAGE + 5, 0, 3), (3, 3, 4)]
)
def test_a_listing_draws_on_the_rate_for_its_start_its_pages_and_its_directories(
    clock: Clock, entries: int, directories: int, calls: int
) -> None:
    rate = Rate(1, clock=clock, sleep=clock.wait)
    listed = [number < directories for number in range(entries)]

    assert list(rate.paced(listed, bool)) == listed
    rate.take(1)
    assert clock.now == calls


# -------------------------------------------------------------------------------------------------------------- pace


def test_a_storage_that_complains_halves_the_pace_once_for_all_that_ran_into_the_same() -> None:
    pace = Pace(16)
    for began_at in (1.0, 1.5, 1.9):
        pace.slow_down(2.0, began_at, None)

    assert pace.limit == 8

    pace.slow_down(3.0, 2.5, None)
    assert pace.limit == 4


def test_the_pace_never_falls_below_one() -> None:
    pace = Pace(3)
    for now in range(5):
        pace.slow_down(now, now, None)

    assert pace.limit == 1


def test_the_pace_recovers_by_one_after_as_many_successes_as_it_allows() -> None:
    pace = Pace(4)
    pace.slow_down(1.0, 0.5, None)
    limits = []
    for _ in range(6):
        pace.went_well(2.0)
        limits.append(pace.limit)

    assert limits == [2, 3, 3, 3, 4, 4]
    assert not pace.slowed


def test_success_of_what_began_before_the_storage_complained_proves_nothing() -> None:
    pace = Pace(2)
    pace.slow_down(1.0, 0.5, None)
    pace.went_well(0.9)

    assert pace.limit == 1


@pytest.mark.parametrize(
    ("now", "running", "waits"), [(5.0, 0, 5.0), (9.5, 7, 0.5), (10.0, 3, 0.0), (10.0, 4, None), (99.0, 5, None)]
)
def test_nobody_begins_before_the_storage_wants_to_hear_from_anybody(
    now: float, running: int, waits: Optional[float]
) -> None:
    pace = Pace(8)
    pace.slow_down(3.0, 2.0, 7.0)

    assert pace.must_wait(now, running) == waits


# ------------------------------------------------------------------------------------------------------------ budget


def test_all_workers_wait_as_long_as_one_of_them_was_told_to(clock: Clock) -> None:
    shared = budget(clock)
    shared.end(shared.begin(), throttled(7.0))
    shared.begin()

    assert clock.waited == [7.0]


def test_no_more_operations_run_than_a_storage_that_complained_can_take() -> None:
    shared = RequestBudget(Limits(), workers=4)
    shared.end(shared.begin(), throttled())
    turns = [shared.begin(), shared.begin()]
    third = threading.Thread(target=lambda: shared.end(shared.begin()), daemon=True)
    third.start()

    third.join(0.05)  # however long it takes, it cannot end
    assert third.is_alive()

    shared.end(turns[0])
    third.join(60)
    assert not third.is_alive()


def test_a_cancelled_run_does_not_wait() -> None:
    cancel = threading.Event()
    shared = RequestBudget(Limits(), workers=1, cancel=cancel)
    shared.end(shared.begin(), throttled(100.0))
    cancel.set()
    shared.begin()

    assert shared.patience(throttled(), 1) is None


@pytest.mark.parametrize(
    ("error", "attempts", "seconds"),
    [
        (Unavailable("no answer"), 1, 0.4),
        (Unavailable("no answer"), 2, 0.8),
        (Unavailable("no answer"), 30, 30.0),
        (throttled(), 3, 1.6),
        (throttled(5.0), 1, 5.0),
        (throttled(0.1), 1, 0.4),
        (throttled(LONGEST_RETRY_SECONDS), 1, LONGEST_RETRY_SECONDS),
        (throttled(LONGEST_RETRY_SECONDS + 1), 1, None),
        (Unavailable("no answer"), 41, None),
        (AccessDenied("no"), 1, None),
        (PreconditionFailed("changed"), 1, None),
    ],
)
def test_only_what_may_pass_is_tried_again_and_never_earlier_than_asked(
    clock: Clock, error: StorageError, attempts: int, seconds: Optional[float]
) -> None:
    assert budget(clock, retries=40).patience(error, attempts) == seconds


# -------------------------------------------------------------------------------------------------------------- runs


class Crowded(FsspecStorageClient):
    """Memory that takes two writes at once and refuses every other; it counts how many were tried together."""

    def __init__(self, url: str) -> None:
        location = locate(url)
        opened = location.open()
        assert isinstance(opened, FsspecStorageClient)
        self.__dict__.update(vars(opened))
        self._gate = threading.Lock()
        self._writing = 0
        self.refused = 0
        self.looks = 0

    def write(self, path: str, content: Any, **options: Any) -> Stamp:
        with self._gate:
            self._writing += 1
            crowded = self._writing > 2
            self.refused += crowded
        try:
            if crowded:
                raise Throttled("slow down", path=path, retry_after=0.001)
            return super().write(path, content, **options)
        finally:
            with self._gate:
                self._writing -= 1


def test_a_crowded_storage_gets_everything_in_the_end(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for number in range(60):
        (tmp_path / "s" / f"{number:02}").write_text(str(number))
    destination = Crowded("memory://crowded")

    report = syncengine.sync(str(tmp_path / "s"), destination, workers=8, retries=20)

    assert {outcome.status for outcome in report.outcomes} == {Status.DONE}
    assert sum(outcome.attempts - 1 for outcome in report.outcomes) == destination.refused


def test_listings_and_looks_of_a_network_draw_on_the_requests_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[float] = []
    monkeypatch.setattr(Rate, "take", lambda self, units: drawn.append(units) if self.limited else None)
    entries = [Entry(f"{number:05}", Kind.FILE, Stamp(size=1, etag="x")) for number in range(2 * PAGE)]
    far = Distant(entries)

    with syncengine.SyncEngine(far, str(tmp_path), requests_per_second=5) as engine:
        engine.plan()

    assert sum(drawn) == 1 + 1 + 2  # the look at the root, the start of the listing, two full pages


class Distant:
    """A storage behind a network, which only lists."""

    identity = "distant"

    def __init__(self, entries: list[Entry]) -> None:
        from syncengine.storage.protocol import Capabilities

        self.capabilities = Capabilities(stamps=("size", "etag"), listing_sorted=True)
        self._entries = entries

    def list(self, prefix: str = "", *, prune: Optional[Callable[[str], bool]] = None) -> Iterator[Entry]:
        return iter(self._entries)

    def stat(self, path: str) -> Optional[Entry]:
        return Entry("", Kind.DIRECTORY, Stamp())

    def read(self, path: str, *, expect: Optional[Stamp] = None) -> Any:
        raise AccessDenied("only lists", path=path)

    def write(self, path: str, content: Any, *, expect: Any, mtime_ns: Optional[int] = None) -> Stamp:
        raise AccessDenied("only lists", path=path)

    def delete(self, path: str, *, expect: Any) -> None:
        raise AccessDenied("only lists", path=path)


def test_local_disks_are_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    monkeypatch.setattr(Rate, "take", lambda self, units: drawn.append(units) if self.limited else None)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a").write_text("a")

    with syncengine.SyncEngine(tmp_path / "s", tmp_path / "d", requests_per_second=5) as engine:
        plan = engine.plan()

    assert drawn == []
    assert [operation.target for operation in plan.operations] == [Side.DESTINATION]
