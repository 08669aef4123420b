"""The first two-way sync of a pair: which paths a preference still governs (semantics 1.4, S7).

Without a memory of what was agreed, "only here" may mean new or deleted. A preference answers that once; a run that
ends normally leaves it in force only for what it could not see, a crashed one for everything.
"""

from __future__ import annotations

from typing import Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ..errors import RecipeError
from .entry import Extent, Problem, ProblemKind, Side
from .modes import InitialSyncPreference
from .paths import is_within
from .units import counted

MOST_PATHS = 1_000
"""More paths that were not done are kept as the prefix they lie in: every path of a plan is held against each."""


FEW = 10
"""Sides that hold fewer files than this are never called unequal: nobody needs a warning about those."""

UNEQUAL = 0.1
"""The share of the larger side's files below which a side is small, and of its own below which little is shared."""


def unequal(
    seen: Mapping[Side, int], shared: int, preference: Optional[InitialSyncPreference] = None
) -> Iterator[Problem]:
    """Yield what to say where the two sides of a first sync have so little in common that one may be the wrong place.

    *seen* are the files of each side, *shared* the names that both have. An empty side is the usual beginning.

    >>> [problem.message.partition(":")[0] for problem in unequal({Side.SOURCE: 500, Side.DESTINATION: 12}, 0)]
    ['the two sides look very unequal']
    """
    small, large = sorted(seen.values())
    nothing = not shared
    little = small < UNEQUAL * large and shared < UNEQUAL * small
    if not small or large < FEW or not (nothing or little):
        return
    loser = _LOSERS.get(preference) if preference is not None else None
    alone = {side: counted(seen[side] - shared, "file") for side in Side}
    outcome = (
        f"the {alone[loser]} that only the {loser.value} holds are moved to its trash"
        if loser is not None
        else f"{alone[Side.SOURCE]} go to the destination and {alone[Side.DESTINATION]} to the source"
    )
    message = (
        f"the two sides look very unequal: of {counted(seen[Side.SOURCE], 'file')} at the source and "
        f"{counted(seen[Side.DESTINATION], 'file')} at the destination {shared:,} have a name in common, and in this "
        f"first sync {outcome}; check that both are the places you mean"
    )
    yield Problem(ProblemKind.UNSUPPORTED, "", message, "plan", extent=Extent.NOTHING)


_LOSERS = {
    InitialSyncPreference.SOURCE_WINS: Side.DESTINATION,
    InitialSyncPreference.DESTINATION_WINS: Side.SOURCE,
}


def in_force(
    asked: Optional[InitialSyncPreference], begun: Optional[InitialSyncPreference], todo: Sequence[str]
) -> Optional[InitialSyncPreference]:
    """Return the preference that governs paths without a base, or None once everything has been seen.

    *begun* is the preference of a first sync that is not finished; another one cannot be asked for meanwhile.
    """
    if not todo:
        return None
    if begun is not None and asked is not None and asked is not begun:
        raise RecipeError(
            f"the first sync of this pair was begun with initial={begun.value!r} and is not finished; "
            f"finish it, or forget the state (syncengine state reset), before asking for {asked.value!r}"
        )
    return asked or begun


def without_effect(
    asked: Optional[InitialSyncPreference], governing: Optional[InitialSyncPreference]
) -> Iterator[Problem]:
    """Yield what to say of a preference that was asked for where none, *governing*, decides anything any more."""
    if asked is not None and asked is not InitialSyncPreference.MERGE and governing is None:
        message = (
            f"initial={asked.value!r} has no effect: the first sync of this pair is finished, and what it decided is "
            "remembered; to begin again, forget the state (syncengine state reset)"
        )
        yield Problem(ProblemKind.UNSUPPORTED, "", message, "plan", extent=Extent.NOTHING)


def still_to_see(
    todo: Sequence[str],
    scope: Sequence[str],
    problems: Iterable[Problem],
    *,
    undone: Sequence[str] = (),
    edited: bool = False,
) -> Tuple[str, ...]:
    """Return the prefixes that a run over *scope*, in which *problems* were met, has not seen or not finished.

    *undone* are the paths of operations that were not performed. Of an *edited* plan nobody knows what was taken
    out, so it finishes nothing.

    >>> still_to_see(("",), (), ())
    ()
    >>> still_to_see(("",), (), (), undone=("a/b",))
    ('a/b',)
    """
    if edited:
        return tuple(todo)
    hidden = [problem for problem in problems if problem.hides and problem.extent is not Extent.NOTHING]
    if any(problem.extent is Extent.REST for problem in hidden):
        return tuple(todo)
    left = set()
    for prefix in todo:
        if scope and not any(is_within(prefix, seen) for seen in scope):
            left.add(prefix)  # outside, or larger than what this run looked at
            continue
        failed = {path for path in undone if is_within(path, prefix)}
        left.update(failed if len(failed) <= MOST_PATHS else (prefix,))
        left.update(problem.path for problem in hidden if is_within(problem.path, prefix))
        left.update(prefix for problem in hidden if is_within(prefix, problem.path))
    return tuple(sorted(left))
