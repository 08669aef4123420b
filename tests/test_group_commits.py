"""Rows of the state wait for the flush of what they tell of, and nothing else waits for it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Iterable, Optional

import pytest

from syncengine import SyncEngine
from syncengine.core.entry import Base, Kind, Stamp
from syncengine.errors import NoSpace, StorageError
from syncengine.stages import commit
from syncengine.state.manager import SyncStateManager
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import Precondition, Source

FILES = 30


class SlowlyDurable(LocalStorageClient):
    """A disk whose flush ends only after more was written, or all; it knows what a power cut would spare."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.written: set[str] = set()
        self.durable: set[str] = set()
        self.flushes = 0
        self.fails_at: Optional[int] = None
        self._more = threading.Condition()

    def write(
        self,
        path: str,
        content: Source,
        *,
        expect: Precondition,
        mtime_ns: Optional[int] = None,
        mode: Optional[int] = None,
    ) -> Stamp:
        stamp = super().write(path, content, expect=expect, mtime_ns=mtime_ns, mode=mode)
        with self._more:
            self.written.add(path)
            self._more.notify_all()
        return stamp

    def flush(self) -> None:
        self.flushes += 1
        if self.flushes == self.fails_at:
            raise NoSpace("the disk is full after all", path="")
        with self._more:
            covered = set(self.written)
            enough = min(len(covered) + 2, FILES)
            assert self._more.wait_for(lambda: len(self.written) >= enough, timeout=60)
        self.durable |= covered


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, SlowlyDurable]:
    (tmp_path / "s").mkdir()
    for number in range(FILES):
        (tmp_path / "s" / f"{number:02}").write_text(str(number))
    monkeypatch.setattr(commit, "GROUP", 4)
    return str(tmp_path / "s"), SlowlyDurable(str(tmp_path / "d"))


def test_no_row_is_committed_before_its_file_is_durable_while_copying_goes_on(
    sides: tuple[str, SlowlyDurable], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = sides
    committed: list[str] = []
    ahead: list[str] = []
    commit_rows = SyncStateManager.commit

    def watched(self: SyncStateManager, rows: Iterable[Base] = (), **options: Any) -> int:
        paths = [row.path for row in rows if row.kind is Kind.FILE]
        committed.extend(paths)
        ahead.extend(path for path in paths if path not in destination.durable)
        return commit_rows(self, rows, **options)

    monkeypatch.setattr(SyncStateManager, "commit", watched)
    with SyncEngine(source, destination, mode="source-to-destination") as engine:
        report = engine.sync()

    assert ahead == []
    assert sorted(committed) == [f"{number:02}" for number in range(FILES)]
    assert report.ok
    assert report.recorded == FILES
    assert destination.flushes > 1


def test_a_flush_that_fails_leaves_a_state_that_lags(sides: tuple[str, SlowlyDurable]) -> None:
    source, destination = sides
    destination.fails_at = 2
    with SyncEngine(source, destination, mode="source-to-destination") as engine:
        with pytest.raises(StorageError, match="full after all"):
            engine.sync()

        again = engine.plan()

    assert len(again.operations) + len(again.agreements) > 0
    assert {agreement.path for agreement in again.agreements} >= destination.written - destination.durable
