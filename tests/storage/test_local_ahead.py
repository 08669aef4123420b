"""A listing that a second process reads ahead says what the listing itself says, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any, Iterator, List

import pytest

from syncengine import Entry, Kind, LocalStorageClient, Problem, Stamp
from syncengine.core.entry import ProblemKind
from syncengine.core.packs import Run
from syncengine.errors import NotFound, Unavailable
from syncengine.storage import local_ahead
from syncengine.storage.local_ahead import can_fork, read_ahead

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of all threads")

ITEMS: List[Any] = [
    Run("", ["a", "b\udcff"], [0o100644, 0o100755], [b"1" * 24, b"2" * 24]),
    Entry("d", Kind.DIRECTORY, Stamp()),
    Entry("d/link", Kind.SYMLINK, Stamp(1, 2, file_id="3"), None, "elsewhere"),
    Problem(ProblemKind.DENIED, "d/\xe9", "no"),
]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """Let the process of the tests fork, threads or not, and note whom it made."""
    made: List[int] = []
    fork = os.fork

    def noted() -> int:
        made.append(fork())
        return made[-1]

    monkeypatch.setattr(os, "fork", noted)
    monkeypatch.setattr(local_ahead, "can_fork", lambda: True)
    return made


def flat(items: Iterator[Any]) -> List[Any]:
    return [entry for item in items for entry in (item if isinstance(item, Run) else [item])]


def is_gone(process: int) -> bool:
    return not os.path.exists(f"/proc/{process}")


def test_what_is_listed_arrives_as_it_was_found(children):
    found = list(read_ahead(lambda prune: iter(ITEMS), None))

    assert flat(iter(found)) == flat(iter(ITEMS))
    assert isinstance(found[0], Run)
    assert is_gone(children[0])


def test_many_files_arrive_in_more_than_one_load(children, tmp_path, monkeypatch):
    monkeypatch.setattr(local_ahead, "_BATCH", 10)
    for folder in range(20):
        (tmp_path / f"{folder:02}").mkdir()
        for name in range(7):
            (tmp_path / f"{folder:02}" / str(name)).write_text("x")
    client = LocalStorageClient(str(tmp_path))

    assert flat(client.list().packs(ahead=True)) == list(client.list())
    assert len(children) == 1


def test_an_error_of_the_listing_is_raised_here(children):
    def read(prune: Any) -> Iterator[Any]:
        yield ITEMS[0]
        raise NotFound("the root disappeared", path="x")

    told = read_ahead(read, None)
    assert isinstance(next(told), Run)
    with pytest.raises(NotFound, match="disappeared") as caught:
        next(told)
    assert caught.value.path == "x"
    assert is_gone(children[0])


def test_a_killed_reader_is_an_error_and_never_a_short_listing(children):
    def read(prune: Any) -> Iterator[Any]:
        yield ITEMS[0]
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(Unavailable, match="was killed"):
        list(read_ahead(read, None))


def test_a_defect_of_the_reader_is_an_error_and_never_a_short_listing(children):
    def read(prune: Any) -> Iterator[Any]:
        yield ITEMS[0]
        raise ZeroDivisionError

    with pytest.raises(Unavailable):
        list(read_ahead(read, None))


def test_a_listing_that_is_given_up_leaves_no_process_behind(children):
    def read(prune: Any) -> Iterator[Any]:
        while True:
            yield ITEMS[0]

    told = read_ahead(read, None)
    next(told)
    told.close()  # type: ignore[attr-defined]

    assert is_gone(children[0])


def test_a_process_with_threads_is_not_forked():
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        ends.set()
        thread.join()


def test_a_process_of_its_own_is_used_where_there_are_two_processors():
    script = "from syncengine.storage.local_ahead import can_fork; print(can_fork())"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert answer.strip() == str(len(os.sched_getaffinity(0)) > 1)
