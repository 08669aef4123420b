"""Sync two storages whose listings are made up while they are read: what does a run with nothing to do need?

python benchmarks/generated.py record 10000000 STATE
python benchmarks/generated.py sync 10000000 STATE
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any, Iterator, Optional

from syncengine import Capabilities, Entry, Kind, Side, Stamp, SyncEngine, SyncStateManager
from syncengine.core.entry import Base
from syncengine.state.records import Run

_FILES_PER_FOLDER = 1000
_SOME_TIME_NS = 1_700_000_000_000_000_000


class Generated:
    """A storage of so many files, none of which may ever be asked for."""

    capabilities = Capabilities(listing_sorted=True, stamps=("size", "mtime_ns"))

    def __init__(self, identity: str, files: int) -> None:
        self.identity = identity
        self.files = files

    def list(self, prefix: str = "", *, prune: Any = None) -> Iterator[Entry]:
        for number in range(self.files):
            path = f"d{number // _FILES_PER_FOLDER:06d}/f{number % _FILES_PER_FOLDER:04d}.txt"
            yield Entry(path, Kind.FILE, Stamp(number, _SOME_TIME_NS + number))

    def stat(self, path: str) -> Optional[Entry]:
        if path:
            raise AssertionError(f"a request for the single file {path}")
        return Entry("", Kind.DIRECTORY, Stamp())

    def read(self, path: str, *, expect: Optional[Stamp] = None) -> Any:
        raise AssertionError(f"{path} was read")

    def write(self, path: str, content: Any, *, expect: Any, mtime_ns: Optional[int] = None) -> Stamp:
        raise AssertionError(f"{path} was written")

    def delete(self, path: str, *, expect: Any) -> None:
        raise AssertionError(f"{path} was deleted")


def main(step: str, files: int, place: str) -> None:
    """Write down that both sides agree, or sync what agrees."""
    source, destination = Generated("one", files), Generated("two", files)
    with SyncEngine(source, destination, mode="source-to-destination", state=place, progress=False) as engine:
        if step == "sync":
            report = engine.sync()
            assert (report.plan.unchanged, len(report.plan)) == (files, 0), report
            return
        endpoints = engine.job().endpoints
    with SyncStateManager(place, endpoints[Side.SOURCE].identity, endpoints[Side.DESTINATION].identity) as state:
        now = datetime.now(timezone.utc)
        state.begin(Run("recorded", now, "source-to-destination", "", ""))
        state.commit(Base(entry.path, entry.kind, entry.stamp, entry.stamp) for entry in source.list())
        state.finish(now, {})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
