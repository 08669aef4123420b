"""What the arguments limit a sync to: the paths ``include`` and ``files_from`` name, and limits on a file itself.

Ignore rules are another matter (``core.gitignore``): they exclude by the last match, a selection by the lack of one.
"""

from __future__ import annotations

from typing import Callable, Dict, FrozenSet, Optional, Pattern, Tuple

from attrs import field, frozen

from .entry import Entry, Kind
from .gitignore import Rules, directories_towards, rules_of_patterns, text_of
from .paths import parent, parents, upwards

NOT_INCLUDED = "not included"
NOT_LISTED = "not in files_from"

_REMEMBERED = 4096


@frozen
class Selection:
    """What ``include`` and ``files_from`` limit a sync to."""

    rules: Rules
    towards: Optional[Tuple[Pattern[str], ...]]
    """The directories below which ``include`` may match; None means all."""
    paths: Optional[FrozenSet[str]]
    above: FrozenSet[str]
    limited_by_rules: bool
    included: Dict[str, bool] = field(factory=dict, eq=False)

    @classmethod
    def of(cls, include: Tuple[str, ...], paths: Optional[FrozenSet[str]]) -> Selection:
        """Return the selection by patterns of gitignore and by a set of paths; None for *paths* means all."""
        rules = rules_of_patterns(include, "include")
        towards = [directories_towards(rule) for rule in rules.rules if not rule.negated]
        narrowed = tuple(pattern for pattern in towards if pattern is not None)
        above = frozenset(place for path in paths or () for place in parents(path))
        return cls(rules, narrowed if len(narrowed) == len(towards) else None, paths, above, bool(include))

    @property
    def limited(self) -> bool:
        """Whether anything can be outside the selection."""
        return self.limited_by_rules or self.paths is not None

    def leaves_out(self, path: str, *, directory: bool) -> Optional[str]:
        """Return why *path* is outside the selection, or None where it is inside."""
        if self.limited_by_rules and not self._includes(path, directory=directory):
            return NOT_INCLUDED
        return NOT_LISTED if self.paths is not None and not self._lists(path) else None

    def leads_on(self, directory: str) -> bool:
        """Say whether something below *directory* may be inside the selection."""
        if self.paths is not None and directory not in self.above and not self._lists(directory):
            return False
        if not self.limited_by_rules or self.towards is None or self._includes(directory, directory=True):
            return True
        text = text_of(directory, directory=True)
        return any(pattern.fullmatch(text) for pattern in self.towards)

    def _includes(self, path: str, *, directory: bool) -> bool:
        rule = self.rules.last_match(text_of(path, directory=directory))
        if rule is not None:
            return not rule.negated
        above = parent(path)
        return bool(above) and self._directory_is_included(above)

    def _directory_is_included(self, directory: str) -> bool:
        if directory not in self.included:
            if len(self.included) >= _REMEMBERED:
                self.included.clear()
            rules = (self.rules.last_match(text_of(place, directory=True)) for place in upwards(directory) if place)
            rule = next((rule for rule in rules if rule is not None), None)
            self.included[directory] = rule is not None and not rule.negated
        return self.included[directory]

    def _lists(self, path: str) -> bool:
        paths = self.paths or frozenset()
        return path in paths or any(place in paths for place in parents(path))


@frozen
class Measures:
    """The limits that look at a file itself: bytes, and nanoseconds since the epoch."""

    min_size: Optional[int]
    max_size: Optional[int]
    newer_than: Optional[int]
    older_than: Optional[int]
    predicate: Optional[Callable[[Entry], bool]]

    @property
    def limited(self) -> bool:
        """Whether any limit was given."""
        limits = (self.min_size, self.max_size, self.newer_than, self.older_than, self.predicate)
        return any(limit is not None for limit in limits)

    def excludes(self, entry: Entry) -> Optional[str]:
        """Return the limit that a file is outside of, or None; what is no file has no size and no age."""
        if entry.kind is not Kind.FILE:
            return None
        return (
            _below("min_size", entry.stamp.size, self.min_size)
            or _above("max_size", entry.stamp.size, self.max_size)
            # A time is outside where it equals the limit: neither newer nor older.
            or _below("newer_than", entry.stamp.mtime_ns, None if self.newer_than is None else self.newer_than + 1)
            or _above("older_than", entry.stamp.mtime_ns, None if self.older_than is None else self.older_than - 1)
            or ("predicate" if self.predicate is not None and not self.predicate(entry) else None)
        )


def _below(name: str, value: Optional[int], limit: Optional[int]) -> Optional[str]:
    if limit is None or (value is not None and value >= limit):
        return None
    return name if value is not None else f"{name} (the storage does not tell)"


def _above(name: str, value: Optional[int], limit: Optional[int]) -> Optional[str]:
    if limit is None or (value is not None and value <= limit):
        return None
    return name if value is not None else f"{name} (the storage does not tell)"
