"""The trees that are synced, and how a tree is proven to be what a job asks for."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, Tuple

from measuring import WrongResult

SEED = 20261122
FILES_PER_FOLDER = 100
CHUNK_BYTES = 1 << 20
MAIN = "main"
"""The folder that holds everything but a few files; the job that renames a directory renames this one."""


@dataclass(frozen=True)
class Size:
    """A tree to sync: so many files of so many bytes each, drawn evenly between the two."""

    files: int
    least_bytes: int
    most_bytes: int
    on_disk: bool = True


SIZES: Dict[str, Size] = {
    "100-files": Size(100, 500, 20_000),
    "300-files": Size(300, 500, 20_000),
    "1k-files": Size(1_000, 500, 20_000),
    "10k-files": Size(10_000, 500, 20_000),
    "100k-files": Size(100_000, 200, 2_000),
    "200k-files": Size(200_000, 200, 2_000),
    "1m-files": Size(1_000_000, 0, 100),
    "1m-generated": Size(1_000_000, 0, 0, on_disk=False),
    "10m-generated": Size(10_000_000, 0, 0, on_disk=False),
    "16mib": Size(1, 16 << 20, 16 << 20),
    "1gib": Size(1, 1 << 30, 1 << 30),
    "2gib": Size(1, 2 << 30, 2 << 30),
}


def make_tree(root: Path, size: Size) -> None:
    """Write the files of *size* below *root*; the same bytes every time."""
    if not size.on_disk:
        return
    generator = random.Random(SEED)
    for number in range(size.files):
        folder = root / MAIN / f"folder-{number // FILES_PER_FOLDER:05}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        left = generator.randint(size.least_bytes, size.most_bytes)
        with open(folder / f"file-{number:07}.bin", "wb") as file:
            while left:
                chunk = min(left, CHUNK_BYTES)
                file.write(generator.randbytes(chunk))
                left -= chunk
    for number in range(10):
        (root / f"beside-{number}.txt").write_text(f"beside {number}\n", encoding="utf-8")


def change_some(root: Path, share: float = 0.01) -> int:
    """Write new content to an even *share* of the files, and return how many that are."""
    paths = sorted(_files(str(root)))
    every = max(1, round(1 / share))
    for path in paths[::every]:
        with open(path, "ab") as file:
            file.write(b"changed")
    return len(paths[::every])


def rename_main(root: Path) -> None:
    """Give the folder that holds nearly everything another name."""
    (root / MAIN).rename(root / f"{MAIN}-renamed")


def contents(root: Path) -> Dict[str, str]:
    """Return the SHA-256 of every file below *root* by its path."""
    start = len(str(root)) + 1
    return {path[start:]: _digest(path) for path in _files(str(root))}


def stamps(root: Path) -> Dict[str, Tuple[int, int, int]]:
    """Return size, inode and change time of every file below *root*: whatever writes a file changes one of them."""
    found = {}
    for path in _files(str(root)):
        status = os.stat(path)
        found[path] = (status.st_size, status.st_ino, status.st_ctime_ns)
    return found


def must_equal(tool: str, expected: Dict[str, str], root: Path) -> None:
    """Raise WrongResult unless *root* holds exactly what is *expected*."""
    found = contents(root)
    if found != expected:
        wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise WrongResult(f"{tool} left {len(wrong)} wrong paths behind, the first is {wrong[0]!r}")


def _files(root: str) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        if not _is_own(folder):
            yield from (os.path.join(folder, name) for name in names if not _is_own(name))


def _is_own(path: str) -> bool:
    """Say whether a tool keeps this for itself beside the files it syncs."""
    return ".syncengine-" in path or "/.unison" in path


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()
