"""Limits that refuse a whole plan before anything is changed.

The share of deletions is taken of what the side holds after filtering (its live state entries, or its visible files
where there is no state). The default limit has a floor of ten entries; a limit that was asked for has none.
Accidents behind each guard: Unison ``confirmbigdel``, rclone bisync ``--max-delete``, Mutagen ``safety.go``.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Optional, Tuple, Union

from attrs import field, fields, frozen

from ..errors import RecipeError
from .entry import Side
from .paths import shown
from .synonyms import nearest
from .units import counted, flag, size

if TYPE_CHECKING:
    from .plan_parts import Operation

DEFAULT_FLOOR = 10


@frozen
class Limit:
    """A bound on a number of files: a count, or a share of what the side holds; never a bare number.

    >>> Limit.parse("5%").allows(6, of=100)
    False
    >>> Limit.parse("25").allows(25, of=30)
    True
    """

    count: Optional[int] = None
    fraction: Optional[float] = None
    floor: int = 0

    @classmethod
    def share(cls, fraction: float, *, floor: int = 0) -> Limit:
        """Return a limit that is a share between 0 and 1 of what the side holds."""
        if not 0 <= fraction <= 1:
            raise RecipeError(f"a share lies between 0 and 1, not {fraction!r}")
        return cls(fraction=fraction, floor=floor)

    @classmethod
    def parse(cls, text: Union[str, Limit]) -> Limit:
        """Return the limit that *text* names: ``"25"`` files or ``"5%"`` of the side."""
        if isinstance(text, Limit):
            return text
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", str(text))
        if match is None or isinstance(text, bool):
            raise RecipeError(f'a limit is a count such as "25" or a share such as "5%", not {text!r}')
        if match.group(2):
            return cls.share(float(match.group(1)) / 100)
        if "." in match.group(1):
            raise RecipeError(f'a count of files is a whole number, not {text!r}; a share ends in "%"')
        return cls(count=int(match.group(1)))

    def allows(self, number: int, *, of: int) -> bool:
        """Say whether *number* out of *of* files stays within the limit."""
        if self.count is not None:
            return number <= self.count
        # The floor is for sides that hold little, not for sides of which little is remembered.
        if self.fraction is None or max(number, of) < self.floor:
            return True
        return number <= self.fraction * of

    def __str__(self) -> str:
        if self.count is not None:
            return f"{self.count:,}"
        return f"{100 * (self.fraction or 0):g}%"


DEFAULT_MAX_DELETE = Limit.share(0.5, floor=DEFAULT_FLOOR)


def _limit(value: Union[str, Limit, None]) -> Optional[Limit]:
    return None if value is None else Limit.parse(value)


def _patterns(value: Union[str, Iterable[str]]) -> Tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    try:
        return tuple(value)
    except TypeError:
        raise RecipeError(f"protect is a pattern or a list of patterns, not {value!r}") from None


def _bytes(value: Union[int, str, None]) -> Optional[int]:
    return None if value is None else size(value, "max_transfer_bytes")


def _switch(value: bool) -> bool:  # noqa: FBT001 - the value of an attribute
    return flag(value, "stop_if_emptied")


def _marker(value: Optional[str]) -> Optional[str]:
    if value is None or isinstance(value, str):
        return value
    raise RecipeError(f"require_marker is the path of a file, not {value!r}")


def check_names(given: Iterable[str], known: Iterable[Any], what: str) -> None:
    """Raise RecipeError for the first name that is none of the *known* attributes, with the nearest one."""
    names = [str(attribute.alias) for attribute in known if attribute.init]
    for name in given:
        if name not in names:
            near = nearest(str(name), names)
            raise RecipeError(f"unknown {what} {name!r}" + (f"; did you mean {near!r}?" if near else ""))


@frozen
class Guards:
    """The limits of one sync.

    ``protect`` are gitignore-style patterns that no operation may destroy; ``require_marker`` names a file that both
    sides must hold; ``stop_if_emptied`` refuses to spread the emptiness of a side that held something before.
    """

    max_delete: Optional[Limit] = field(default=DEFAULT_MAX_DELETE, converter=_limit)
    max_overwrite: Optional[Limit] = field(default=None, converter=_limit)
    max_transfer_bytes: Optional[int] = field(default=None, converter=_bytes)
    protect: Tuple[str, ...] = field(default=(), converter=_patterns)
    stop_if_emptied: bool = field(default=True, converter=_switch)
    require_marker: Optional[str] = field(default=None, converter=_marker)

    def __new__(cls, *_: Any, **given: Any) -> Guards:
        """Refuse an unknown name as every other wrong argument is refused."""
        check_names(given, fields(cls), "guard")
        return object.__new__(cls)

    @classmethod
    def off(cls) -> Guards:
        """Return guards that refuse nothing."""
        return cls(max_delete=None, stop_if_emptied=False)


class BlockerKind(str, Enum):
    """Why a plan is refused."""

    ROOT_MISSING = "root_missing"
    SIDE_EMPTIED = "side_emptied"
    AUTHORITY_EMPTY = "authority_empty"
    MAX_DELETE = "max_delete"
    MAX_OVERWRITE = "max_overwrite"
    MAX_TRANSFER = "max_transfer_bytes"
    PROTECTED = "protected"
    MARKER_MISSING = "marker_missing"
    INCOMPLETE = "incomplete"
    UNRESOLVED = "unresolved"


@frozen
class Blocker:
    """One reason why ``apply`` refuses a plan: the message names the numbers and the cure."""

    kind: BlockerKind
    message: str
    side: Optional[Side] = None


def guard_blockers(
    operations: Iterable[Operation], guards: Guards, live: Mapping[Side, int], *, allow_mass_delete: bool = False
) -> Iterator[Blocker]:
    """Yield every limit that *operations* exceed; *live* is what each side holds."""
    deleted, overwritten, transfer = [0, 0], [0, 0], 0
    destroying = []
    source, limits_overwrites, protects = Side.SOURCE, guards.max_overwrite is not None, bool(guards.protect)
    for operation in operations:
        transfer += operation.size
        if operation.removes_file:
            deleted[operation.target is not source] += 1
        elif limits_overwrites and operation.overwrites:
            overwritten[operation.target is not source] += 1
        if protects and operation.destroys:
            destroying.append(operation)
    deletes, overwrites = dict(zip(Side, deleted)), dict(zip(Side, overwritten))
    for side in Side:
        if not allow_mass_delete and guards.max_delete is not None:
            yield from _exceeded(
                BlockerKind.MAX_DELETE,
                "delete",
                deletes[side],
                guards.max_delete,
                live.get(side, 0),
                side,
                "allow_mass_delete",
            )
        if guards.max_overwrite is not None:
            yield from _exceeded(
                BlockerKind.MAX_OVERWRITE,
                "overwrite",
                overwrites[side],
                guards.max_overwrite,
                live.get(side, 0),
                side,
                None,
            )
    if guards.max_transfer_bytes is not None and transfer > guards.max_transfer_bytes:
        yield Blocker(
            BlockerKind.MAX_TRANSFER,
            f"would transfer {counted(transfer, 'byte')}; the limit is {guards.max_transfer_bytes:,}. "
            "Drop operations from the plan, or raise guards.max_transfer_bytes.",
        )
    yield from _protected(destroying, guards.protect)


def _exceeded(
    kind: BlockerKind, verb: str, number: int, limit: Limit, of: int, side: Side, override: Optional[str]
) -> Iterator[Blocker]:
    if not number or limit.allows(number, of=of):
        return
    cure = f"to accept for one run, pass {override}=True (--{override.replace('_', '-')}), or " if override else "or "
    yield Blocker(
        kind,
        f"would {verb} {number:,} of {counted(of, 'file')} ({number / max(of, 1):.0%}) at the {side.value}; "
        f"the limit is {limit}. Check that the other side is mounted and complete; {cure}raise guards.{kind.value}.",
        side,
    )


def _protected(destroying: Iterable[Operation], patterns: Tuple[str, ...]) -> Iterator[Blocker]:
    if not patterns:
        return
    from .patterns import matcher  # the pattern library is only imported where patterns are used

    protects = matcher(patterns)
    for operation in destroying:
        if protects(operation.path):
            yield Blocker(
                BlockerKind.PROTECTED,
                f"would {operation.action.value} {shown(operation.path)} at the {operation.target.value}, which "
                "guards.protect holds. Drop that operation from the plan, or change guards.protect.",
                operation.target,
            )


def emptied_blockers(
    side: Side, seen: Mapping[Side, int], remembered: int, *, alone_decides: bool, below: str = ""
) -> Iterator[Blocker]:
    """Yield a blocker where *side* shows nothing, and its emptiness would spread to the other side.

    *remembered* are the live files of the state; *alone_decides* says that this side counts without any state.
    *below* is the scope prefix that the numbers are of, where they are not of the whole side.
    """
    if seen[side] or not seen[side.other]:
        return
    place = f"the {side.value} below {shown(below)}" if below else f"the {side.value}"
    cure = "to accept for one run, pass allow_emptied=True (--allow-emptied)."
    if remembered >= 2:
        yield Blocker(
            BlockerKind.SIDE_EMPTIED,
            f"{place} is empty but held {counted(remembered, 'file')} at the last sync, and "
            f"{counted(seen[side.other], 'file')} would be deleted at the {side.other.value}. "
            f"Check that it is mounted; {cure}",
            side,
        )
    elif alone_decides:
        yield Blocker(
            BlockerKind.AUTHORITY_EMPTY,
            f"{place} is empty and {counted(seen[side.other], 'file')} would be deleted at the {side.other.value}. "
            f"Check that it is the right place; {cure}",
            side,
        )
