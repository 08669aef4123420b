"""Forty small files with names that need care, and what is said and found of them after a copy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Tuple

from object_servers import S3Server

from syncengine import SyncEngine
from syncengine.core.report import Outcome

LONG_AGO = 1_500_000_000_123_456_789
FILES = 40


def contents() -> Dict[str, bytes]:
    names = [f"{number // 10}/file {number:02} ü.html" for number in range(FILES)]
    return {name: b"%d" % number * (number % 7) for number, name in enumerate(names)}


def fill(folder: Path) -> Path:
    for number, (name, content) in enumerate(contents().items()):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, ns=(LONG_AGO + number, LONG_AGO + number))
    return folder


def engine(source: Any, destination: Any, server: S3Server, **options: Any) -> SyncEngine:
    sides = {"source_options": source, "destination_options": destination}
    own = {name: server.options for name, place in sides.items() if str(place).startswith("s3:")}
    return SyncEngine(source, destination, mode="source-to-destination", progress=False, **own, **options)


def told(outcome: Outcome) -> Tuple[Any, ...]:
    """Return what one outcome says, without what no two runs share."""
    after = outcome.after and (outcome.after.size, outcome.after.etag, outcome.after.digests)
    origin = outcome.origin and (outcome.origin.size, outcome.origin.etag)
    message = outcome.problem and (outcome.problem.kind, outcome.problem.message)
    place = outcome.operation.path
    return (
        place,
        outcome.status,
        message,
        outcome.bytes,
        outcome.before,
        after,
        origin,
        outcome.digest,
    )


def here(folder: Path) -> Dict[str, Tuple[bytes, int]]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: (path.read_bytes(), path.stat().st_mtime_ns) for name, path in found.items()}
