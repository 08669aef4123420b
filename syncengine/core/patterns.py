"""gitignore-style patterns over single paths; for selecting, not for filtering a scan."""

from __future__ import annotations

from typing import Callable, Iterable

from .gitignore import Rules, rules_of_patterns, text_of
from .paths import parents


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a file, or a directory above it, matches one of *patterns*.

    >>> matcher(["raw/**", "*.tmp"])("raw/2026/a.csv")
    True

    Raises RecipeError for text that no path could equal.
    """
    rules = rules_of_patterns(patterns, "pattern")
    return lambda path: _matches(rules, path)


def _matches(rules: Rules, path: str) -> bool:
    """Ask as git does: from the top, and nothing below a directory that matches can be taken out again."""
    for folder in parents(path):
        rule = rules.last_match(text_of(folder, directory=True))
        if rule is not None and not rule.negated:
            return True
    rule = rules.last_match(text_of(path, directory=False))
    return rule is not None and not rule.negated
