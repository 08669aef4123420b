"""Whether a directory of this machine takes composed and decomposed characters for one name, as those of a Mac do.

Nothing is written to find out. A name that has two forms is looked up in the other one; where there is no such name
yet, the kind of the file system tells, so that the first accent that arrives does not look like another file when the
disk lists it as it stores it.
"""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import Optional, Tuple
from unicodedata import normalize

from .local_times import kind_of_file_system

_MOST_NAMES = 1_000
"""How many names of a large root are looked at for one that has two forms."""

_DECOMPOSING = frozenset({"apfs", "hfs", "hfsplus"})


def unicode_form_of(directory: str) -> Optional[str]:
    """Return the form of the names in *directory* if both forms find one file there, None if they are two names."""
    try:
        name = _telling_name(directory)
        if name is not None:
            return _form_of(directory, name)
    except OSError:
        pass  # missing as yet, or unreadable: then what it lies on has to tell
    return "NFD" if _decomposes(directory) else None


def _telling_name(directory: str) -> Optional[str]:
    with os.scandir(directory) as entries:
        names = (entry.name for entry in islice(entries, _MOST_NAMES))
        return next((name for name in names if not name.isascii() and len({*_forms(name)}) == 2), None)


def _forms(name: str) -> Tuple[str, str]:
    return normalize("NFC", name), normalize("NFD", name)


def _form_of(directory: str, name: str) -> Optional[str]:
    """Look *name* up in its other form; two links to one file are two names, and both are listed."""
    composed, decomposed = _forms(name)
    other = composed if name == decomposed else decomposed
    try:
        same = os.path.samestat(os.lstat(os.path.join(directory, other)), os.lstat(os.path.join(directory, name)))
    except FileNotFoundError:
        return None
    if not same or {name, other} <= set(os.listdir(directory)):
        return None
    return "NFD" if name == decomposed else "NFC"


def _decomposes(directory: str) -> bool:
    """Say whether *directory*, or the nearest one above it that exists, lies on a disk that is known for it."""
    if sys.platform == "darwin":
        return True
    place = directory
    while not os.path.isdir(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    return kind_of_file_system(place) in _DECOMPOSING
