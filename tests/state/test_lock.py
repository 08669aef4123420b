import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from syncengine.errors import StateError
from syncengine.state.lock import EXPIRY, FileCell, MemoryCell, PairLock

TAKE = """
import sys
from syncengine.errors import StateError
from syncengine.state.lock import FileCell, PairLock
lock = PairLock(FileCell(sys.argv[1]), "lock")
print("ready", flush=True)
sys.stdin.readline()
try:
    lock.acquire()
    print("won", flush=True)
except StateError as error:
    print("refused", flush=True)
sys.stdin.readline()
"""


class Clock:
    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture(params=["file", "memory"])
def cell(request, tmp_path):
    return FileCell(str(tmp_path / "lock")) if request.param == "file" else MemoryCell()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


def taker(path):
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def say(process):
    return process.stdout.readline().strip()


def end(process):
    process.communicate("\n", timeout=30)


def written(path, **changes):
    """Make the lock look as if another process had taken it."""
    lock = PairLock(FileCell(path), path)
    lock.acquire()
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    lock.release()
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**document, **changes}, file)


def test_a_second_run_in_this_process_is_refused_by_name_and_told_the_cure(cell):
    first, second = PairLock(cell, "place"), PairLock(cell, "place")
    first.acquire()

    with pytest.raises(StateError, match=f"process {os.getpid()} on .* since .*syncengine state unlock"):
        second.acquire()
    assert second.holder().pid == os.getpid()
    first.release()
    second.acquire()
    second.release()
    assert first.holder() is None


def test_waiting_ends_when_the_time_is_over_or_the_holder_is_done(cell):
    clock = Clock()
    first = PairLock(cell, "place", clock=clock)
    first.acquire()
    second = PairLock(cell, "place", clock=clock, wait=clock.wait)

    with pytest.raises(StateError):
        second.acquire(timeout=3)
    assert clock.now >= 1_000_003
    waiting = PairLock(cell, "place", clock=clock, wait=lambda seconds: first.release())
    waiting.acquire(timeout=3)
    assert waiting.held
    waiting.release()


def test_of_several_processes_exactly_one_wins(path):
    processes = [taker(path) for _ in range(3)]
    for process in processes:
        go(process)

    assert sorted(say(process) for process in processes) == ["refused", "refused", "won"]
    for process in processes:
        end(process)


def test_a_killed_holder_locks_nobody_out_and_exactly_one_takes_over(path):
    holder = taker(path)
    go(holder)
    assert say(holder) == "won"
    with pytest.raises(StateError, match=f"process {holder.pid}"):
        PairLock(FileCell(path), path).acquire()
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=30)

    takers = [taker(path) for _ in range(2)]
    for process in takers:
        go(process)
    assert sorted(say(process) for process in takers) == ["refused", "won"]
    for process in takers:
        end(process)


def test_a_zombie_is_dead(path):
    holder = taker(path)
    go(holder)
    assert say(holder) == "won"
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)

    lock = PairLock(FileCell(path), path)
    lock.acquire()
    lock.release()
    holder.communicate(timeout=30)


def test_another_process_under_the_same_number_is_not_the_holder(path):
    written(path, pid=os.getppid(), process_started="1")

    lock = PairLock(FileCell(path), path)
    assert lock.holder() is None
    lock.acquire()
    lock.release()


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"namespace": "another boot"}])
def test_a_holder_that_cannot_be_asked_is_believed_until_its_heart_stops(path, changes):
    clock = Clock()
    written(path, **changes, pid=1 << 22, heartbeat=clock.now)
    lock = PairLock(FileCell(path), path, clock=clock)

    clock.now += EXPIRY
    with pytest.raises(StateError, match="Another run"):
        lock.acquire()
    clock.now += 1
    lock.acquire()
    assert lock.held
    lock.release()


def test_a_beating_heart_keeps_the_lock(path):
    clock = Clock()
    lock = PairLock(FileCell(path), path, clock=clock)
    lock.acquire()
    clock.now += 1000
    lock.beat()

    with open(path, encoding="utf-8") as file:
        assert json.load(file)["heartbeat"] == clock.now
    lock.ensure_held()
    lock.release()


def test_who_was_taken_over_notices_and_leaves_the_lock_to_its_new_holder(path):
    lock = PairLock(FileCell(path), path)
    lock.acquire()
    written_over = PairLock(FileCell(path + "2"), path)
    written_over.acquire()
    with open(path + "2", "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content)

    with pytest.raises(StateError, match="lost the lock"):
        lock.ensure_held()
    lock.beat()
    assert not lock.held
    lock.release()
    with open(path, "rb") as file:
        assert file.read() == content
    written_over.release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"pid": 1}', b"\xff"])
def test_what_no_writer_finished_is_no_lock(path, content):
    with open(path, "wb") as file:
        file.write(content)

    lock = PairLock(FileCell(path), path)
    assert lock.holder() is None
    lock.acquire()
    lock.release()


def test_unlocking_removes_a_distant_holder_but_never_one_that_is_alive_here(path):
    clock = Clock()
    written(path, host="elsewhere", namespace="another boot", heartbeat=clock.now)
    lock = PairLock(FileCell(path), path, clock=clock)

    assert lock.unlock().host == "elsewhere"
    assert lock.holder() is None
    assert lock.unlock() is None
    lock.acquire()
    with pytest.raises(StateError, match="Another run"):
        PairLock(FileCell(path), path, clock=clock).unlock()
    lock.release()


def test_a_run_without_the_lock_may_not_commit(path):
    with pytest.raises(StateError, match="lost the lock"):
        PairLock(FileCell(path), path).ensure_held()


def test_a_released_lock_leaves_no_thread_behind(path):
    lock = PairLock(FileCell(path), path)
    lock.acquire()
    renewers = [thread for thread in threading.enumerate() if thread.name == "state-lock"]
    lock.release()

    for renewer in renewers:
        renewer.join(timeout=10)
        assert not renewer.is_alive()


def test_a_release_that_does_not_reach_its_place_locks_nobody_out(tmp_path):
    place, away = tmp_path / "place", tmp_path / "away"
    place.mkdir()
    lock = PairLock(FileCell(str(place / "lock")), "place")
    lock.acquire()
    place.rename(away)
    lock.release()
    away.rename(place)

    again = PairLock(FileCell(str(place / "lock")), "place")
    assert again.holder() is None
    again.acquire()
    again.release()


def test_a_place_that_cannot_hold_a_lock_is_named(tmp_path):
    with pytest.raises(StateError, match="missing"):
        PairLock(FileCell(str(tmp_path / "missing" / "lock")), "place").acquire()
