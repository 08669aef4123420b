"""Which retained versions may go: a decision over names and times, made for each path alone.

The rules are those of restic's ``forget`` and borg's ``prune``. Each ``keep`` rule marks versions by itself, and a
version that any rule marks is kept. A calendar rule keeps the newest version of each of the last so many days, weeks or
months that have one; where there are fewer, the oldest version is kept too, so that a history that just began does not
lose its beginning. Days begin at midnight UTC, weeks on Monday (ISO 8601).
(https://restic.readthedocs.io/en/stable/060_forget.html, https://borgbackup.readthedocs.io/en/stable/usage/prune.html)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from attrs import Attribute, asdict, field, fields, frozen

from ..errors import RecipeError
from .guards import check_names
from .units import whole


def _count(_: Any, attribute: Attribute[Optional[int]], value: Optional[int]) -> None:
    if value is not None:
        whole(value, attribute.name, least=1)


@frozen
class Keep:
    """How many versions of each path are kept; None: the rule is not used.

    ``keep_last`` counts versions, ``keep_days`` is an age in days since the version was replaced; ``keep_daily``,
    ``keep_weekly`` and ``keep_monthly`` are the son, the father and the grandfather.
    """

    keep_last: Optional[int] = field(default=None, validator=_count)
    keep_days: Optional[int] = field(default=None, validator=_count)
    keep_daily: Optional[int] = field(default=None, validator=_count)
    keep_weekly: Optional[int] = field(default=None, validator=_count)
    keep_monthly: Optional[int] = field(default=None, validator=_count)

    @classmethod
    def of(cls, rules: Mapping[str, Optional[int]]) -> Keep:
        """Return the rules of these names; raises RecipeError for an unknown one, a wrong number, or none at all."""
        check_names(rules, fields(cls), "rule")
        made = cls(**rules)
        if made.empty:
            raise RecipeError(f"say what is to be kept: {', '.join(each.name for each in fields(cls))}")
        return made

    @property
    def empty(self) -> bool:
        """Whether no rule is used: then nothing would be kept, which nobody means."""
        return not any(asdict(self).values())


@frozen
class Candidate:
    """One retained version: ``of`` names the path it is of, ``replaced_at`` is when it was replaced or deleted.

    ``order`` tells apart versions of one moment: the later is the higher.
    """

    of: Tuple[str, ...]
    replaced_at: datetime
    place: str
    order: int = 0


def prunable(
    candidates: Iterable[Candidate],
    keep: Keep,
    *,
    now: datetime,
    unresolved: Collection[Tuple[str, ...]] = (),
) -> List[Candidate]:
    """Return the versions that no rule keeps, in order; of each path in *unresolved* the newest one stays."""
    by_path: Dict[Tuple[str, ...], List[Candidate]] = {}
    for candidate in candidates:
        by_path.setdefault(candidate.of, []).append(candidate)
    found: List[Candidate] = []
    for path, versions in sorted(by_path.items()):
        versions.sort(key=lambda each: (each.replaced_at, each.order), reverse=True)
        kept = set(_kept(versions, keep, now))
        if path in unresolved:
            kept.add(versions[0].place)
        found += (each for each in versions if each.place not in kept)
    return found


def _kept(versions: List[Candidate], keep: Keep, now: datetime) -> Iterator[str]:
    """Yield the places that any rule keeps; *versions* are of one path, the newest first."""
    yield from (each.place for each in versions[: keep.keep_last or 0])
    if keep.keep_days is not None:
        begin = now - timedelta(days=keep.keep_days)
        yield from (each.place for each in versions if each.replaced_at >= begin)
    for number, period in ((keep.keep_daily, _day), (keep.keep_weekly, _week), (keep.keep_monthly, _month)):
        if number is not None:
            yield from _one_for_each(versions, number, period)


def _one_for_each(
    versions: List[Candidate], number: int, period: Callable[[datetime], Tuple[int, ...]]
) -> Iterator[str]:
    seen: Set[Tuple[int, ...]] = set()
    for each in versions:
        when = period(each.replaced_at)
        if when in seen:
            continue
        if len(seen) == number:
            return
        seen.add(when)
        yield each.place
    if len(seen) < number:
        yield versions[-1].place


def _day(moment: datetime) -> Tuple[int, ...]:
    return moment.year, moment.month, moment.day


def _week(moment: datetime) -> Tuple[int, ...]:
    calendar = moment.isocalendar()
    return calendar[0], calendar[1]


def _month(moment: datetime) -> Tuple[int, ...]:
    return moment.year, moment.month
