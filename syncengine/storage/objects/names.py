"""Which keys no service of a kind can hold; everything else is sent as it is."""

from __future__ import annotations

import re
from typing import Optional


def key_refusal(key: str, limit: int, forbidden: str = "") -> Optional[str]:
    """Return why no object can have *key*, at most *limit* bytes long and without the *forbidden* characters.

    >>> key_refusal("a\\rb", 1024, "\\r\\n")
    "holds '\\\\r'"
    >>> key_refusal("a?versionId=1.txt", 1024) is None
    True
    """
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "holds bytes that are not text"
    if length > limit:
        return f"is {length} bytes long with the root, and this storage allows {limit}"
    if not forbidden:
        return None
    found = next((character for character in key if character in forbidden), None)
    return None if found is None else f"holds {found!r}"


def identifier(name: str) -> str:
    """Return a name of metadata as Azure takes it; other services allow dashes and dots.

    >>> identifier("7-made.by")
    '_7_made_by'
    """
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{plain}" if plain[:1].isdigit() else plain
