"""gitignore-style patterns over single paths, by the ``pathspec`` library; for selecting, not for filtering a scan."""

from __future__ import annotations

from typing import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a path, or a directory above it, matches one of *patterns*.

    >>> matcher(["raw/**", "*.tmp"])("raw/2026/a.csv")
    True
    """
    from pathspec import GitIgnoreSpec  # imported where patterns are used: it costs 40 ms

    spec = GitIgnoreSpec.from_lines(patterns)
    return lambda path: spec.match_file(path)
