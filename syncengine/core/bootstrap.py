"""The first two-way sync of a pair: which paths a preference still governs (semantics 1.4, S7).

Without a memory of what was agreed, "only here" may mean new or deleted. A preference answers that once; a run that
ends normally leaves it in force only for what it could not see, a crashed one for everything.
"""

from __future__ import annotations

from typing import Iterable, Iterator, Optional, Sequence, Tuple

from ..errors import RecipeError
from .entry import Extent, Problem, ProblemKind
from .modes import InitialSyncPreference
from .paths import is_within

MOST_PATHS = 1_000
"""More paths that were not done are kept as the prefix they lie in: every path of a plan is held against each."""


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
