"""What each step of a run with nothing to do costs for a file, beside the least that Python and SQLite can do it for.

Times are processor time of this process, the best of several rounds, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Callable, Iterable, List, Tuple

import syncengine
from syncengine import LocalStorageClient
from syncengine.core.merge import join
from syncengine.core.packs import Rows, Run

PER_FOLDER = 100
_Measured = List[Tuple[str, float]]


def make_tree(root: Path, files: int) -> None:
    """Make *files* small files of a fixed age, a hundred to a folder."""
    for number in range(files):
        folder = root / f"{number // PER_FOLDER // 20:03}" / f"{number // PER_FOLDER % 20:02}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
        path = folder / f"file-{number % PER_FOLDER:02}.txt"
        path.write_bytes(b"x" * (number % 97))
        os.utime(path, ns=(10**18, 10**18 + number))


def look_at_all(place: str) -> None:
    """List and look at everything with nothing but os.scandir, the least that this can cost."""
    places = [place]
    while places:
        above = places.pop()
        descriptor = os.open(above, os.O_RDONLY)
        with os.scandir(descriptor) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    places.append(f"{above}/{entry.name}")
                else:
                    entry.stat(follow_symlinks=False)
        os.close(descriptor)


def read_all(database: Path) -> None:
    """Read every row in the order of paths, the least that a state can cost."""
    connection = sqlite3.connect(database)
    exhaust(connection.execute("select position, seal, payload from rows order by position"))
    connection.close()


def exhaust(items: Iterable[object]) -> None:
    """Read *items* to their end and keep nothing."""
    deque(items, maxlen=0)


def anew(runs: Iterable[Run]) -> List[Run]:
    """Return *runs* as they were when they were read."""
    return [Run(run.inside, run.names, run.modes, run.stamps) for run in runs]


def best(step: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of several rounds, in seconds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return min(times)


def measured(base: Path, files: int, rounds: int) -> _Measured:
    """Return what each step takes for a file, in microseconds."""
    source, destination, state = base / "source", base / "destination", base / "state"
    make_tree(source, files)
    syncengine.sync(source, destination, mode="source-to-destination", state=state, progress=False)
    clients = [LocalStorageClient(str(root)) for root in (source, destination)]
    engine = syncengine.SyncEngine(source, destination, state=state, progress=False)
    manager = engine.job().state
    assert manager is not None
    sides = [[item for item in client.list().packs() if isinstance(item, Run)] for client in clients]
    rows = [rows for rows in manager.packs() if isinstance(rows, Rows)]
    steps: List[Tuple[str, Callable[[], object]]] = [
        ("scan of one side", lambda: exhaust(clients[0].list().packs())),
        ("its limit: os.scandir and a stat of each file", lambda: look_at_all(str(source))),
        ("scan of one side, entry by entry", lambda: exhaust(clients[0].list())),
        ("state", lambda: exhaust(manager.packs())),
        ("its limit: one SELECT in path order", lambda: read_all(next(state.glob("*/state.sqlite")))),
        ("join and compare, of what was read before", lambda: exhaust(join(rows, *map(anew, sides), lambda _: None))),
        ("a whole plan, in one process", lambda: engine.plan()),
    ]
    return [(says, best(step, rounds) / files * 1e6) for says, step in steps]


def main() -> None:
    """Print a table of microseconds for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    # What a second process would take off this one is to be seen as well.
    from syncengine.storage import local_ahead

    local_ahead.can_fork = lambda: False
    with tempfile.TemporaryDirectory() as directory:
        print("| step | µs a file |\n|---|--:|")
        for says, microseconds in measured(Path(directory), given.files, given.rounds):
            print(f"| {says} | {microseconds:.2f} |")


if __name__ == "__main__":
    main()
