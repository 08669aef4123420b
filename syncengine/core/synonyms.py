"""What was probably meant: other tools' words for what we call otherwise, and the nearest name that is safe to name.

A suggestion is followed without a second thought, so none leads to what switches a guard off, nor to the opposite of
what was asked for: such a name is suggested only where it was all but spelled out.
"""

from __future__ import annotations

from typing import Dict, Iterable, Optional

from attrs import frozen

DARING = frozenset({"allow_emptied", "allow_mass_delete", "state_single_writer"})
"""Arguments that take a protection away."""

ALL_BUT_SPELLED_OUT = 0.9


@frozen
class Meant:
    """An argument of a sync, or with *value* one choice of it; ``guards.`` begins the names of guards.

    >>> meant("max_delete", ["allow_mass_delete"]).as_argument
    "guards={'max_delete': ...}"
    """

    name: str
    value: Optional[str] = None

    @property
    def as_argument(self) -> str:
        """How Python spells it."""
        if self.name == PLAN:
            return "syncengine.plan, which says what a sync would do"
        if self.value is not None:
            return f"{self.name}={self.value!r}"
        guard = self.name.partition(_GUARD)[2]
        return f"guards={{{guard!r}: ...}}" if guard else repr(self.name)

    @property
    def as_option(self) -> str:
        """How the command line spells it."""
        if self.name == PLAN:
            return "`syncengine plan`, which says what a sync would do"
        return self.option if self.value is None else f"{self.option} {self.value}"

    @property
    def option(self) -> str:
        """The option of the command line that it is, without a value."""
        return "--" + self.name.replace(_GUARD, "").replace("_", "-")

    @property
    def as_key(self) -> str:
        """How a recipe spells it."""
        if self.name == PLAN:
            return "`syncengine plan`, which says what the recipe would do"
        return repr(self.name) if self.value is None else f'{self.name} = "{self.value}"'

    def hint(self, spelled: str) -> str:
        """Return the end of a message that suggests it, as it is *spelled* there."""
        return f"use {spelled}" if self.name == PLAN else f"did you mean {spelled}?"


PLAN = "plan"
_GUARD = "guards."

# Ours first, then what rsync, rclone, the object services' own tools, Unison and people call it.
_WORDS = {
    "plan": "dry_run dryrun n simulate preview",
    "ignore": "exclude excludes exclude_from exclude_pattern exclude_patterns skip",
    "include": "includes include_from include_only",
    "mode=source-to-destination": "delete delete_after delete_before delete_delay delete_during mirror",
    "mode=source-backup": "no_delete",
    "mode=two-way": "bidirectional bisync",
    "compare=size-only": "size_only",
    "compare=hash-only": "checksum checksums",
    "only_if=missing": "ignore_existing skip_existing no_clobber no_overwrite",
    "only_if=newer": "update update_only newer_only",
    "only_if=immutable": "immutable",
    "symlinks=follow": "copy_links follow_links follow_symlinks",
    "symlinks=preserve": "links preserve_links",
    "symlinks=skip": "no_follow_symlinks no_links skip_links",
    "retain=all": "backup keep_versions",
    "trash": "backup_dir",
    "initial": "resync",
    "conflict": "conflict_resolve conflict_policy on_conflict prefer",
    "force": "ignore_times",
    "renames": "track_renames detect_renames",
    "older_than": "min_age",
    "newer_than": "max_age",
    "workers": "transfers checkers jobs parallel concurrency max_workers threads",
    "bandwidth": "bwlimit limit_rate max_bandwidth",
    "requests_per_second": "tpslimit",
    "guards.max_delete": "max_delete max_deletes max_deletions delete_limit",
    "guards.max_overwrite": "max_overwrite max_overwrites",
    "guards.max_transfer_bytes": "max_transfer max_transfer_bytes",
    "guards.protect": "protect",
    "guards.require_marker": "require_marker check_access",
    "guards.stop_if_emptied": "stop_if_emptied",
}


def _table() -> Dict[str, Meant]:
    table: Dict[str, Meant] = {}
    for ours, words in _WORDS.items():
        name, sign, value = ours.partition("=")
        table.update(dict.fromkeys(words.split(), Meant(name, value if sign else None)))
    return table


WORDS: Dict[str, Meant] = _table()
"""What other tools call an argument, and what it is here."""


def meant(name: str, known: Iterable[str]) -> Optional[Meant]:
    """Return what *name* was probably meant to be: another tool's word, or the nearest of those and the *known*."""
    word, names = plain(name), list(known)
    if word in WORDS and word not in names:
        return WORDS[word]
    near = nearest(word, [*names, *(each for each in WORDS if each not in names)])
    return None if near is None else Meant(near) if near in names else WORDS[near]


def plain(name: str) -> str:
    """Return a name without what makes it an option."""
    return name.lstrip("-").replace("-", "_").lower()


def nearest(name: str, known: Iterable[str]) -> Optional[str]:
    """Return the nearest of the *known* names that may be suggested for *name*, or None where none is near."""
    from difflib import get_close_matches

    safe = [each for each in known if each not in DARING or _is_all_but(name, each)]
    return next(iter(get_close_matches(name, safe, n=1)), None)


def _is_all_but(name: str, known: str) -> bool:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, name, known).ratio() >= ALL_BUT_SPELLED_OUT
