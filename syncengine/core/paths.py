"""Relative keys: what a path may be, how paths are ordered, and how they are shown.

A key is relative, separated by ``/``, without empty, ``.`` or ``..`` parts and without NUL. Keys are ordered by the
bytes of their UTF-8 form; undecodable names travel as surrogate escapes (PEP 383). A directory stands where its
contents stand: its position is ``path + "/"``, so that walking a tree depth first gives key order.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Iterator, Optional

from ..errors import RecipeError

RESERVED_PREFIX = ".syncengine-"
"""Names that start like this are ours (temporary files, the trash, markers) and never part of a comparison."""

TEMPORARY_PREFIX = RESERVED_PREFIX + "tmp-"
TRASH_FOLDER = RESERVED_PREFIX + "trash"

_DRIVE = re.compile(r"^[A-Za-z]:")


def encoded(path: str) -> bytes:
    """Return the bytes by which *path* is ordered and stored."""
    return path.encode("utf-8", "surrogateescape")


def decoded(path: bytes) -> str:
    """Return the key whose bytes are *path*."""
    return path.decode("utf-8", "surrogateescape")


def precedes(first: str, second: str) -> bool:
    """Say whether *first* comes before *second* in byte order.

    For ASCII the order of code points is the order of bytes; only other names pay for an encoding.
    """
    if first.isascii() and second.isascii():
        return first < second
    return encoded(first) < encoded(second)


def path_text(path: object) -> str:
    """Return a path that somebody gave as a text; raises RecipeError for what is none."""
    text = path.__fspath__() if hasattr(path, "__fspath__") else path
    if isinstance(text, str):
        return text
    raise RecipeError(f"a path is given as a text, not as {path!r}")


def name_refusal(name: str) -> Optional[str]:
    """Return why no file of this machine can be called *name*, or None where one could."""
    if "\0" in name:
        return "cannot hold a NUL character"
    try:
        encoded(name)
    except UnicodeEncodeError:
        return "cannot hold half a character"
    return None


def refusal(path: str) -> Optional[str]:
    """Return why *path* cannot be a key, or None where it can.

    >>> refusal("a/b.txt") is None
    True
    >>> refusal("../etc/passwd")
    "has a '..' part"
    """
    if (
        path.isascii()
        and path
        and path[0] not in "./"
        and path[-1] != "/"
        and path[1:2] != ":"
        and "/." not in path
        and "//" not in path
        and "\0" not in path
    ):
        return None  # nearly every path, for a third of a microsecond
    return _refusal(path)


def _refusal(path: str) -> Optional[str]:
    if not path:
        return "is empty"
    if "\0" in path:
        return "holds a NUL character"
    if path.startswith("/"):
        return "is absolute"
    if _DRIVE.match(path):
        return "starts with a drive letter"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has a {part!r} part" if part else "has an empty part"
    try:
        encoded(path)
    except UnicodeEncodeError:
        return "cannot be encoded"
    return None


def without_empty_parts(name: str) -> str:
    """Return a name that can be no key as filter rules are asked about it: no pattern spells an empty part.

    >>> without_empty_parts("a//b"), without_empty_parts("../c/")
    ('a/b', '../c')
    """
    return "/".join(filter(None, name.split("/")))


def is_reserved(path: str) -> bool:
    """Say whether *path* is one of this package's own names or lies below one."""
    return path.startswith(RESERVED_PREFIX) or ("/" + RESERVED_PREFIX) in path


def is_kept(path: str) -> bool:
    """Say whether *path* is one of the trash.

    >>> is_kept(".syncengine-trash/20261122T135216Z-1a2b3c4d/a"), is_kept("a/.syncengine-trash/b")
    (True, False)
    """
    return path.startswith(TRASH_FOLDER + "/")


def parents(path: str) -> Iterator[str]:
    """Yield the directories above *path*, outermost first.

    >>> list(parents("a/b/c"))
    ['a', 'a/b']
    """
    position = path.find("/")
    while position != -1:
        yield path[:position]
        position = path.find("/", position + 1)


def upwards(directory: str) -> Iterator[str]:
    """Yield *directory* and the directories above it, innermost first; the root, the empty string, is last.

    >>> list(upwards("a/b"))
    ['a/b', 'a', '']
    """
    while directory:
        yield directory
        directory = parent(directory)
    yield ""


def parent(path: str) -> str:
    """Return the directory that holds *path*; the root is the empty string."""
    return path.rpartition("/")[0]


def is_within(path: str, prefix: str) -> bool:
    """Say whether *path* is *prefix* or lies below it; the empty prefix holds everything."""
    return not prefix or path == prefix or path.startswith(prefix + "/")


def fold(path: str, form: Optional[str], *, case: bool = False) -> str:
    """Return the form of *path* under which a side that folds names finds it (NFC or NFD, case folding)."""
    folded = path
    if form is not None:
        # The table of normal forms is applied to text only; undecodable bytes pass through unchanged.
        folded = unicodedata.normalize("NFC" if form == "NFC" else "NFD", folded)
    return folded.casefold() if case else folded


def shown(path: str) -> str:
    r"""Escape what could move the cursor, colour the terminal or break a line.

    >>> shown("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if path.isprintable():
        return path
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in path
    )
