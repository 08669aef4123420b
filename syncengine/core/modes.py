"""The closed sets of choices a sync is asked with."""

from __future__ import annotations

from enum import Enum
from typing import Dict, Type, TypeVar, Union

from ..errors import RecipeError


class SyncMode(str, Enum):
    """Which way changes travel, and whether deletions do."""

    TWO_WAY = "two-way"
    SOURCE_TO_DESTINATION = "source-to-destination"
    SOURCE_BACKUP = "source-backup"
    DESTINATION_TO_SOURCE = "destination-to-source"
    DESTINATION_BACKUP = "destination-backup"

    @property
    def allows_upload(self) -> bool:
        """Whether content may travel from the source to the destination."""
        return self in (SyncMode.TWO_WAY, SyncMode.SOURCE_TO_DESTINATION, SyncMode.SOURCE_BACKUP)

    @property
    def allows_download(self) -> bool:
        """Whether content may travel from the destination to the source."""
        return self in (SyncMode.TWO_WAY, SyncMode.DESTINATION_TO_SOURCE, SyncMode.DESTINATION_BACKUP)

    @property
    def allows_source_delete(self) -> bool:
        """Whether files may be deleted at the source."""
        return self in (SyncMode.TWO_WAY, SyncMode.DESTINATION_TO_SOURCE)

    @property
    def allows_destination_delete(self) -> bool:
        """Whether files may be deleted at the destination."""
        return self in (SyncMode.TWO_WAY, SyncMode.SOURCE_TO_DESTINATION)

    @property
    def is_bidirectional(self) -> bool:
        """Whether both sides may be written."""
        return self is SyncMode.TWO_WAY

    @property
    def is_backup(self) -> bool:
        """Whether the mode promises that nothing ever disappears from the side it writes."""
        return self in (SyncMode.SOURCE_BACKUP, SyncMode.DESTINATION_BACKUP)

    @classmethod
    def from_string(cls, text: Union[str, SyncMode]) -> SyncMode:
        """Return the mode that *text* names: a value, an enum name, camel case or an abbreviation.

        >>> SyncMode.from_string("sb") is SyncMode.from_string("sourceBackup") is SyncMode.SOURCE_BACKUP
        True

        Raises RecipeError, with the nearest valid name, where there is none.
        """
        if isinstance(text, cls):
            return text
        try:
            return _MODE_NAMES[_plain(str(text))]
        except KeyError:
            raise unknown_choice("mode", str(text), [mode.value for mode in cls]) from None


def _plain(text: str) -> str:
    return text.strip().replace("-", "").replace("_", "").casefold()


def _mode_names() -> Dict[str, SyncMode]:
    names = {_plain(mode.value): mode for mode in SyncMode}
    abbreviations = {
        "tw": SyncMode.TWO_WAY,
        "std": SyncMode.SOURCE_TO_DESTINATION,
        "sb": SyncMode.SOURCE_BACKUP,
        "dts": SyncMode.DESTINATION_TO_SOURCE,
        "db": SyncMode.DESTINATION_BACKUP,
        "localToCloud": SyncMode.SOURCE_TO_DESTINATION,
        "cloudToLocal": SyncMode.DESTINATION_TO_SOURCE,
        "localBackup": SyncMode.SOURCE_BACKUP,
        "cloudBackup": SyncMode.DESTINATION_BACKUP,
        "ltc": SyncMode.SOURCE_TO_DESTINATION,
        "ctl": SyncMode.DESTINATION_TO_SOURCE,
        "lb": SyncMode.SOURCE_BACKUP,
        "cb": SyncMode.DESTINATION_BACKUP,
    }
    return {**names, **{_plain(name): mode for name, mode in abbreviations.items()}}


_MODE_NAMES = _mode_names()


class ComparisonMode(str, Enum):
    """How the two sides' files are found to hold the same content."""

    HASH_THEN_MTIME = "hash-then-mtime"
    SIZE_ONLY = "size-only"
    HASH_ONLY = "hash-only"
    MTIME_ONLY = "mtime-only"
    SIZE_AND_MTIME = "size-and-mtime"


class ConflictPolicy(str, Enum):
    """Who wins where both sides changed."""

    NEWEST = "newest"
    SOURCE = "source"
    DESTINATION = "destination"
    KEEP_BOTH = "keep-both"
    MANUAL = "manual"


class InitialSyncPreference(str, Enum):
    """Whose files count on the first two-way run."""

    MERGE = "merge"
    SOURCE_WINS = "source-wins"
    DESTINATION_WINS = "destination-wins"


class Retain(str, Enum):
    """Which replaced or deleted versions are kept in the trash."""

    UNSYNCED = "unsynced"
    ALL = "all"
    NONE = "none"


class SymlinkPolicy(str, Enum):
    """What happens to symbolic links."""

    SKIP = "skip"
    FOLLOW = "follow"
    PRESERVE = "preserve"


class OnlyIf(str, Enum):
    """When an existing file may be replaced."""

    ALWAYS = "always"
    MISSING = "missing"
    NEWER = "newer"
    IMMUTABLE = "immutable"


class OnStale(str, Enum):
    """What ``apply`` does where the world has changed since the plan was made."""

    STOP = "stop"
    SKIP = "skip"


_Choice = TypeVar("_Choice", bound=Enum)


def choice(enum: Type[_Choice], text: Union[str, _Choice], name: str) -> _Choice:
    """Return the member of *enum* whose value is *text*; underscores and case do not matter."""
    if isinstance(text, enum):
        return text
    wanted = _plain(str(text))
    for member in enum:
        if _plain(str(member.value)) == wanted:
            return member
    raise unknown_choice(name, str(text), [str(member.value) for member in enum])


def unknown_choice(name: str, text: str, valid: list[str]) -> RecipeError:
    """Return the error for a value that is none of *valid*, naming the nearest."""
    from difflib import get_close_matches

    near = get_close_matches(str(text), valid, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return RecipeError(f"{name} cannot be {text!r}{hint} Valid: {', '.join(valid)}.")
