"""Where a version that would otherwise be lost is kept: names only, no storage is touched here.

Below a side's root (or a trash elsewhere) a version is kept at ``.syncengine-trash/<run id>/<path>``. A second version
of one path in one run, or a file where an earlier one needs a directory, goes to ``<run id>~2``, ``<run id>~3`` and so
on: the suffix belongs to the folder, so a kept name is never altered, lengthened or taken for another.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from hashlib import sha256
from typing import Optional

from attrs import frozen

from ..core.paths import TRASH_FOLDER, encoded

_FOLDER = re.compile(r"^(\d{8}T\d{6}Z-[0-9a-f]{8})(?:~(\d+))?(~long)?$")
_EXTENSION_BYTES = 16


@frozen
class Kept:
    """One version in the trash; ``path`` is None where the original key was too long to be kept as a name."""

    run_id: str
    path: Optional[str]
    copy: int = 1


def run_id(started_at: datetime, plan_digest: str) -> str:
    """Return the name of a run: its start in UTC and the beginning of its plan's digest.

    >>> run_id(datetime(2026, 11, 22, 13, 52, 16, tzinfo=timezone.utc), "sha256:1a2b3c4d5e6f")
    '20261122T135216Z-1a2b3c4d'
    """
    digest = plan_digest.rpartition(":")[2][:8].lower()
    return f"{started_at.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}-{digest}"


def trash_path(run_id: str, path: str, *, copy: int = 1, max_key_bytes: Optional[int] = None) -> str:
    """Return the key at which the version of *path* replaced by a run is kept.

    *copy* is raised by the caller, one by one from 1, while something stands at the key or at one of its parents.
    Where the key would exceed *max_key_bytes* it is named by the digest of the path; the journal says which it is.

    >>> trash_path("20261122T135216Z-1a2b3c4d", "raw/x.csv", copy=2)
    '.syncengine-trash/20261122T135216Z-1a2b3c4d~2/raw/x.csv'
    """
    folder = f"{TRASH_FOLDER}/{run_id}" + (f"~{copy}" if copy > 1 else "")
    key = f"{folder}/{path}"
    if max_key_bytes is None or len(encoded(key)) <= max_key_bytes:
        return key
    return f"{folder}~long/{sha256(encoded(path)).hexdigest()}{_extension(path)}"


def _extension(path: str) -> str:
    name = path.rpartition("/")[2]
    extension = name[name.rfind(".") :] if "." in name.lstrip(".") else ""
    return extension if len(encoded(extension)) <= _EXTENSION_BYTES else ""


def parse(key: str) -> Optional[Kept]:
    """Return which version a key of the trash holds, or None where the key is none of ours.

    >>> parse(".syncengine-trash/20261122T135216Z-1a2b3c4d/raw/x.csv")
    Kept(run_id='20261122T135216Z-1a2b3c4d', path='raw/x.csv', copy=1)
    """
    root, _, below = key.partition("/")
    folder, _, path = below.partition("/")
    match = _FOLDER.match(folder)
    if root != TRASH_FOLDER or match is None or not path:
        return None
    return Kept(match.group(1), None if match.group(3) else path, int(match.group(2) or 1))
