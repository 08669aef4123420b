import hashlib
import os
from datetime import datetime, timezone

import fsspec
import pytest
from attrs import evolve

from syncengine.core.entry import Base, Kind, Stamp
from syncengine.errors import PreconditionFailed, StateError
from syncengine.state.lock import EXPIRY
from syncengine.state.manager import SyncStateManager
from syncengine.state.records import Ended, Run

AT = datetime(2026, 11, 22, 13, 52, 16, tzinfo=timezone.utc)


class StoredFile:
    """A file of an fsspec memory filesystem with the conditions of an object store."""

    def __init__(self, path):
        self.filesystem = fsspec.filesystem("memory", skip_instance_cache=True)
        self.path = path
        self.fetches = 0

    def stamp(self):
        if not self.filesystem.exists(self.path):
            return None
        return hashlib.sha256(self.filesystem.cat_file(self.path)).hexdigest()

    def fetch(self):
        self.fetches += 1
        stamp = self.stamp()
        return None if stamp is None else (self.filesystem.cat_file(self.path), stamp)

    def put(self, content, expected):
        self._demand(expected)
        self.filesystem.pipe_file(self.path, content)
        return self.stamp()

    def delete(self, expected):
        self._demand(expected)
        self.filesystem.rm_file(self.path)

    def _demand(self, expected):
        if self.stamp() != expected:
            raise PreconditionFailed(f"{self.path}: it has changed", path=self.path)


class Place:
    def __init__(self, url, *, conditional=True):
        self.conditional = conditional
        self.shown = f"memory://{url}"
        self.database = StoredFile(f"{url}/state.sqlite")
        self.lock = StoredFile(f"{url}/lock")

    def prove(self):
        return self.conditional


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def url(tmp_path):
    return f"/states{tmp_path}"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def machine(tmp_path, url, clock):
    """Open the pair as one of several machines, each with its own cache and its own view of the place."""

    def open_on(name, **options):
        place = options.pop("place", None) or Place(url)
        return SyncStateManager(str(tmp_path / name), "here", "there", remote=place, clock=clock, **options)

    return open_on


def run(number=1):
    return Run(f"run-{number}", AT, "two-way", f"plan-{number}", "root")


def file(path, size=1):
    return Base(path, Kind.FILE, Stamp(size, size), Stamp(size, size))


def record(state, rows, number=1):
    state.begin(run(number))
    state.commit(rows)
    state.finish(AT, {"done": 1})


def paths(state):
    return [row.path for row in state.rows()]


def test_what_one_machine_recorded_the_other_finds(machine):
    with machine("first") as state:
        record(state, [file("a")])
        lineage = state.lineage
    with machine("second") as state:
        assert (paths(state), state.lineage, state.generation) == (["a"], lineage, 1)
        record(state, [file("b")], 2)
    with machine("first") as state:
        assert (paths(state), state.lineage, state.generation) == (["a", "b"], lineage, 2)
        assert [found.run_id for found in state.runs()] == ["run-2", "run-1"]
        assert state.reference.place.startswith("memory://")


def test_planning_without_a_state_creates_nothing_anywhere(machine, tmp_path, url):
    with machine("first") as state:
        assert not state.exists
        assert list(state.rows()) == []
    assert not os.listdir(tmp_path)
    assert Place(url).database.stamp() is None


def test_an_unchanged_state_is_not_fetched_again(machine, url):
    place = Place(url)
    with machine("first") as state:
        record(state, [file("a")])
    with machine("second") as state:
        assert paths(state) == ["a"]
    with machine("second", place=place) as state:
        assert paths(state) == ["a"]
    assert place.database.fetches == 0


def test_the_copy_of_a_crashed_run_goes_on_where_it_stopped(machine):
    with machine("first") as state:
        record(state, [file("a")])
        state.begin(run(2))
        state.commit([file("b")])
    with machine("second") as state:
        assert paths(state) == ["a"]
    with machine("first") as state:
        assert paths(state) == ["a", "b"]
        assert state.run("run-2").ended is Ended.CRASHED
        record(state, [file("c")], 3)
    with machine("second") as state:
        assert paths(state) == ["a", "b", "c"]


def test_the_copy_of_a_crash_before_anything_was_put_goes_on_as_well(machine):
    with machine("first") as state:
        state.begin(run())
        state.commit([file("a")])
    with machine("first") as state:
        assert paths(state) == ["a"]
        record(state, [file("b")], 2)
    with machine("second") as state:
        assert paths(state) == ["a", "b"]


def test_the_copy_of_a_crashed_run_gives_way_to_what_another_machine_put_since(machine):
    with machine("first") as state:
        record(state, [file("a")])
        state.begin(run(2))
        state.commit([file("lost")])
    with machine("second") as state:
        record(state, [file("b")], 3)
    with machine("first") as state:
        assert paths(state) == ["a", "b"]


def test_two_machines_cannot_both_win(machine, url):
    with machine("first") as first, machine("second") as second:
        record(first, [file("a")])
        first.begin(run(2))
        first.commit([file("first")])
        # The lock fails to keep the second out: its object is removed by hand.
        lock = Place(url).lock
        content, stamp = lock.fetch()
        lock.delete(stamp)
        record(second, [file("second")], 3)
        lock.put(content, None)
        with pytest.raises(StateError, match="Another machine replaced the state"):
            first.finish(AT, {})
    with machine("first") as first:
        assert paths(first) == ["a", "second"]
        record(first, [file("again")], 4)
    with machine("second") as second:
        assert paths(second) == ["a", "again", "second"]


def test_the_remote_state_is_replaced_now_and_then_and_at_the_end(machine, clock, url):
    with machine("first", push_every=30.0) as state:
        state.begin(run())
        state.commit([file("a")])
        assert Place(url).database.stamp() is None
        clock.now += 31
        state.commit([file("b")])
        with machine("second") as second:
            assert paths(second) == ["a", "b"]
        state.commit([file("c")])
        with machine("third") as third:
            assert paths(third) == ["a", "b"]
        state.finish(AT, {})
    with machine("second") as second:
        assert paths(second) == ["a", "b", "c"]


def test_a_run_on_another_machine_keeps_this_one_out(machine, url):
    with machine("first") as first, machine("second") as second:
        first.begin(run())
        with pytest.raises(StateError, match="Another run on this pair is going on"):
            second.begin(run(2))
        first.commit([file("a")])
        first.finish(AT, {})
        assert Place(url).lock.stamp() is None
        record(second, [file("b")], 2)
        assert paths(second) == ["a", "b"]


def test_a_machine_that_fell_silent_is_taken_over_by_exactly_one_and_notices(machine, url, clock):
    first, second = machine("first"), machine("second")
    record(first, [file("a")])
    first.begin(run(2))
    pretend_elsewhere(Place(url).lock)
    with pytest.raises(StateError, match="Another run"):
        second.acquire()
    clock.now += EXPIRY + 1
    second.acquire()
    with machine("third") as third, pytest.raises(StateError, match="Another run"):
        third.acquire()
    with pytest.raises(StateError, match="lost the lock"):
        first.commit([file("b")])
    second.close()
    first.close()
    with machine("third") as third:
        assert paths(third) == ["a"]


def pretend_elsewhere(lock):
    """Rewrite the lock object as if its holder ran on another machine."""
    content, stamp = lock.fetch()
    lock.put(content.replace(b'"host": "', b'"host": "elsewhere-'), stamp)


def test_a_lock_object_that_changes_between_look_and_take_is_looked_at_again(machine, url):
    class Contended(StoredFile):
        rivals = 2

        def put(self, content, expected):
            if self.rivals:
                self.rivals -= 1
                raise PreconditionFailed("a rival was faster", path=self.path)
            return super().put(content, expected)

    place = Place(url)
    place.lock = Contended(place.lock.path)
    with machine("first", place=place) as state:
        record(state, [file("a")])
    place.lock.rivals = 1000
    with machine("first", place=place) as state, pytest.raises(StateError, match="changes too fast"):
        state.acquire()


def test_a_place_without_conditions_is_refused_unless_one_machine_vouches_for_itself(machine, url):
    with pytest.raises(StateError, match="state_single_writer=True"):
        machine("first", place=Place(url, conditional=False))
    with machine("first", place=Place(url, conditional=False), single_writer=True) as state:
        record(state, [file("a")])
        assert Place(url).lock.stamp() is None
    with machine("second") as state:
        assert paths(state) == ["a"]


def test_a_state_that_was_reset_elsewhere_is_forgotten_here(machine):
    with machine("first") as state:
        record(state, [file("a")])
    with machine("second") as state:
        state.reset()
    with machine("first") as state:
        assert not state.exists
        record(state, [file("b")], 2)
    with machine("second") as state:
        assert paths(state) == ["b"]
        state.erase()
        assert not state.exists


def test_a_damaged_remote_state_is_refused_until_it_is_reset(machine, url):
    with machine("first") as state:
        record(state, [file("a")])
    database = Place(url).database
    database.put(b"hello" * 1000, database.stamp())

    for _ in range(2):
        with machine("first") as state, pytest.raises(StateError, match="damaged"):
            paths(state)
    with machine("first") as state:
        state.reset()
        record(state, [file("b")], 2)
    with machine("second") as state:
        assert paths(state) == ["b"]


def test_a_damaged_working_copy_is_replaced_by_the_remote_state(machine, tmp_path):
    with machine("first") as state:
        record(state, [file("a")])
        copy = tmp_path / "first" / state.pair_id / "state.sqlite"
    copy.write_bytes(b"hello" * 1000)

    with machine("first") as state, pytest.raises(StateError, match="fetch the state anew"):
        paths(state)
    with machine("first") as state:
        assert paths(state) == ["a"]


def test_the_rows_of_a_remote_state_are_what_was_recorded(machine):
    rows = [evolve(file("é\n\udcff", 2**40), digest="sha256:1"), file("z")]
    with machine("first") as state:
        record(state, rows)
    with machine("second") as state:
        state.check()
        assert list(state.rows()) == [evolve(row, generation=1) for row in reversed(rows)]
