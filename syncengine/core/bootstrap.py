"""The first two-way sync of a pair: which paths a preference still governs (semantics 1.4, S7).

Without a memory of what was agreed, "only here" may mean new or deleted. A preference answers that once; a run that
ends normally leaves it in force only for what it could not see, a crashed one for everything.
"""

from __future__ import annotations

from typing import Iterable, Optional, Sequence, Tuple

from ..errors import RecipeError
from .entry import Extent, Problem
from .modes import InitialSyncPreference
from .paths import is_within


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


def still_to_see(todo: Sequence[str], scope: Sequence[str], problems: Iterable[Problem]) -> Tuple[str, ...]:
    """Return the prefixes that a run over *scope*, in which *problems* were met, has not seen.

    >>> still_to_see(("",), (), ())
    ()
    """
    hidden = [problem for problem in problems if problem.hides and problem.extent is not Extent.NOTHING]
    if any(problem.extent is Extent.REST for problem in hidden):
        return tuple(todo)
    left = set()
    for prefix in todo:
        if scope and not any(is_within(prefix, seen) for seen in scope):
            left.add(prefix)  # outside, or larger than what this run looked at
            continue
        left.update(problem.path for problem in hidden if is_within(problem.path, prefix))
        left.update(prefix for problem in hidden if is_within(prefix, problem.path))
    return tuple(sorted(left))
