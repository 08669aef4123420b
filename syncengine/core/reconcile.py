"""The decision table: what becomes of one path, given what happened on each side and the mode.

The table is ``TABLE`` below, one line for each row. Columns are the five modes. A cell says: ``→D`` the source's
content goes to the destination, ``→S`` the reverse, ``✗D`` / ``✗S`` delete there, ``!`` a conflict, ``—`` nothing;
``ʳ`` the version that is destroyed must be retained, because nobody agreed to lose it.

Two rules stand above the table. Equal content is tested first in every mode: agreeing costs no transfer and is never
a conflict. And an answer that could not be had is never taken for equal.
"""

from __future__ import annotations

from enum import Enum
from typing import Dict, Optional, Tuple

from attrs import evolve, frozen

from .comparator import Change, Equality, SideChange
from .entry import Kind, Side, Stamp
from .modes import InitialSyncPreference, OnlyIf, Retain, SyncMode
from .paths import is_within
from .plan_parts import ConflictKind


class Effect(str, Enum):
    """What a row of the table asks for."""

    NOTHING = "—"
    TO_DESTINATION = "→D"
    TO_SOURCE = "→S"
    DELETE_DESTINATION = "✗D"
    DELETE_SOURCE = "✗S"
    CONFLICT = "!"
    ADOPT = "adopt"
    CONVERGE = "converge"
    FORGET = "forget"

    @property
    def target(self) -> Optional[Side]:
        """The side that is written; None where none is."""
        return _TARGETS.get(self)

    @property
    def deletes(self) -> bool:
        """Whether the effect is a deletion."""
        return self in (Effect.DELETE_DESTINATION, Effect.DELETE_SOURCE)


_TARGETS = {
    Effect.TO_DESTINATION: Side.DESTINATION,
    Effect.DELETE_DESTINATION: Side.DESTINATION,
    Effect.TO_SOURCE: Side.SOURCE,
    Effect.DELETE_SOURCE: Side.SOURCE,
}

MODES = (
    SyncMode.TWO_WAY,
    SyncMode.SOURCE_TO_DESTINATION,
    SyncMode.SOURCE_BACKUP,
    SyncMode.DESTINATION_TO_SOURCE,
    SyncMode.DESTINATION_BACKUP,
)

# row:    TWO_WAY     MIRROR →   BACKUP →   MIRROR ←   BACKUP ←
TABLE: Dict[str, Tuple[str, str, str, str, str]] = {
    "T1": ("—", "—", "—", "—", "—"),
    "T2": ("→D", "→D", "→D", "✗Sʳ", "—"),
    "T3": ("→S", "✗Dʳ", "—", "→S", "→S"),
    "T4": ("adopt", "adopt", "adopt", "adopt", "adopt"),
    "T5": ("!", "→Dʳ", "→Dʳ", "→Sʳ", "→Sʳ"),
    "T6": ("—", "—", "—", "—", "—"),
    "T7": ("→D", "→D", "→D", "→Sʳ", "→Sʳ"),
    "T8": ("→S", "→Dʳ", "→Dʳ", "→S", "→S"),
    "T9": ("converge", "converge", "converge", "converge", "converge"),
    "T10": ("!", "→Dʳ", "→Dʳ", "→Sʳ", "→Sʳ"),
    "T11": ("✗D", "✗D", "—", "→S", "→S"),
    "T12": ("✗S", "→D", "→D", "✗S", "—"),
    "T13": ("forget", "forget", "forget", "forget", "forget"),
    "T14": ("!", "✗Dʳ", "—", "→S", "→S"),
    "T15": ("!", "→D", "→D", "✗Sʳ", "—"),
}

# A dormant base says what was agreed, but absence proves nothing: two-way restores instead of deleting.
DORMANT: Dict[str, str] = {"T11": "→S", "T14": "→S", "T12": "→D", "T15": "→D"}

# Paths without a base while a first two-way sync with a preference is not finished. Its deletions have no evidence,
# so they are retained whatever the settings say.
PREFERENCES: Dict[InitialSyncPreference, Dict[str, str]] = {
    InitialSyncPreference.SOURCE_WINS: {"T2": "→D", "T3": "✗Dʳ", "T5": "→Dʳ"},
    InitialSyncPreference.DESTINATION_WINS: {"T2": "✗Sʳ", "T3": "→S", "T5": "→Sʳ"},
}

_CELLS = {cell for row in (*TABLE.values(), DORMANT.values(), *map(dict.values, PREFERENCES.values())) for cell in row}
_MEANINGS = {cell: (Effect(cell.rstrip("ʳ")), cell.endswith("ʳ")) for cell in _CELLS}

_CONFLICTS = {
    "T5": ConflictKind.CREATE_CREATE,
    "T10": ConflictKind.MODIFY_MODIFY,
    "T14": ConflictKind.DELETE_MODIFY,
    "T15": ConflictKind.DELETE_MODIFY,
}


@frozen
class Policy:
    """What the table needs to know besides the change: the settings that decide.

    ``initial`` is the preference in force for paths without a base, or None once the first sync is finished.
    """

    mode: SyncMode
    retain: Retain = Retain.UNSYNCED
    initial: Optional[InitialSyncPreference] = None
    only_if: OnlyIf = OnlyIf.ALWAYS
    force: bool = False
    todo: Tuple[str, ...] = ("",)
    """The prefixes that the first sync has not seen yet; its preference governs nothing else."""

    def governs(self, path: str) -> bool:
        """Say whether the first sync still decides *path*."""
        return any(is_within(path, prefix) for prefix in self.todo)


@frozen
class Decision:
    """The outcome for one path: the row that decided, its effect, and whether the lost version is retained."""

    row: str
    effect: Effect
    retain: bool = False
    dormant: bool = False
    """The base becomes dormant: a backup skipped a deletion, so absence proves nothing any more."""
    refused: Optional[str] = None
    """Why a wanted replacement is not made (``only_if``)."""
    by_preference: bool = False

    @property
    def conflict(self) -> Optional[ConflictKind]:
        """The kind of conflict this row is, where its effect is one."""
        return _CONFLICTS.get(self.row) if self.effect is Effect.CONFLICT else None


def row_of(change: Change) -> str:
    """Return the row of the table that *change* falls into."""
    here, there = change.comparison.source, change.comparison.destination
    both_present = change.source is not None and change.destination is not None
    equal = both_present and change.comparison.equality is Equality.EQUAL
    if change.base is None:
        return _WITHOUT_BASE[(change.source is not None, change.destination is not None, equal)]
    if equal and SideChange.MODIFIED in (here, there):
        return "T9"
    return _WITH_BASE[(_plain(here), _plain(there))]


_WITHOUT_BASE = {
    (False, False, False): "T1",
    (True, False, False): "T2",
    (False, True, False): "T3",
    (True, True, True): "T4",
    (True, True, False): "T5",
}
_WITH_BASE = {
    (SideChange.SAME, SideChange.SAME): "T6",
    (SideChange.MODIFIED, SideChange.SAME): "T7",
    (SideChange.SAME, SideChange.MODIFIED): "T8",
    (SideChange.MODIFIED, SideChange.MODIFIED): "T10",
    (SideChange.REMOVED, SideChange.SAME): "T11",
    (SideChange.SAME, SideChange.REMOVED): "T12",
    (SideChange.REMOVED, SideChange.REMOVED): "T13",
    (SideChange.REMOVED, SideChange.MODIFIED): "T14",
    (SideChange.MODIFIED, SideChange.REMOVED): "T15",
}


def _plain(change: SideChange) -> SideChange:
    """Return the change without the difference between untouched and only touched."""
    return SideChange.SAME if change is SideChange.TOUCHED else change


def reconcile(change: Change, policy: Policy) -> Decision:
    """Decide one path."""
    row = row_of(change)
    cell, by_preference = _cell(row, change, policy)
    effect, retained = _MEANINGS[cell]
    decision = Decision(row, effect, retained, by_preference=by_preference)
    if row in ("T4", "T6", "T9") and policy.force:
        forced = _judged_by_only_if(evolve(decision, effect=_forced(policy.mode)), change, policy)
        decision = decision if forced.refused else forced
    else:
        decision = _judged_by_only_if(decision, change, policy)
    if effect is Effect.NOTHING and row in ("T11", "T12", "T14", "T15"):
        return evolve(decision, dormant=True)
    retain = _retain(decision, change, policy)
    return decision if retain is decision.retain else evolve(decision, retain=retain)


def _cell(row: str, change: Change, policy: Policy) -> Tuple[str, bool]:
    if policy.mode is SyncMode.TWO_WAY:
        if change.base is None and policy.initial is not None and policy.governs(change.path):
            preferred = PREFERENCES.get(policy.initial, {}).get(row)
            if preferred is not None:
                return preferred, True
        if change.base is not None and not change.base.live and row in DORMANT:
            return DORMANT[row], False
    return TABLE[row][MODES.index(policy.mode)], False


def _forced(mode: SyncMode) -> Effect:
    return Effect.TO_SOURCE if mode.allows_download and not mode.allows_upload else Effect.TO_DESTINATION


def _retain(decision: Decision, change: Change, policy: Policy) -> bool:
    """Say whether the version that is destroyed is kept; the table's mark, sharpened by what is known of it."""
    target = decision.effect.target
    if target is None or change.entry(target) is None or change.kind is Kind.DIRECTORY:
        return False
    if decision.by_preference and decision.effect.deletes:
        return True
    if policy.retain is not Retain.UNSYNCED:
        return policy.retain is Retain.ALL
    if decision.retain or (change.comparison.weak and change.comparison.equality is Equality.EQUAL):
        return True
    if change.base is None:
        # Forced replacement of what was proved equal destroys nothing that is not also on the other side.
        return False
    # A weak agreement was never proved by content, and a dormant version was promised to be kept.
    return change.base.weak or not change.base.live


def _judged_by_only_if(decision: Decision, change: Change, policy: Policy) -> Decision:
    target = decision.effect.target
    if policy.only_if is OnlyIf.ALWAYS or target is None or decision.effect.deletes:
        return decision
    standing, arriving = change.entry(target), change.entry(target.other)
    if standing is None or arriving is None:
        return decision
    why = kept_by_only_if(policy.only_if, arriving.stamp, standing.stamp)
    return decision if why is None else evolve(decision, effect=Effect.NOTHING, refused=why)


def kept_by_only_if(only_if: OnlyIf, arriving: Stamp, standing: Stamp) -> Optional[str]:
    """Return why *only_if* lets *standing* not be replaced by *arriving*; None where it may be."""
    if only_if is OnlyIf.ALWAYS:
        return None
    if only_if is OnlyIf.NEWER:
        return None if _newer(arriving.mtime_ns, standing.mtime_ns) else "it is not newer"
    if only_if is OnlyIf.IMMUTABLE:
        return "it is immutable, and the other side differs"
    return "it exists already"


def _newer(arriving: Optional[int], standing: Optional[int]) -> bool:
    return arriving is not None and standing is not None and arriving > standing


def leading_sides(mode: SyncMode) -> Tuple[Side, ...]:
    """Return the sides whose absences spread to the other side in *mode*."""
    leading = []
    if mode.allows_destination_delete:
        leading.append(Side.SOURCE)
    if mode.allows_source_delete:
        leading.append(Side.DESTINATION)
    return tuple(leading)


def prefers(initial: Optional[InitialSyncPreference], side: Side) -> bool:
    """Say whether a first-sync preference lets *side* win."""
    return initial is (
        InitialSyncPreference.SOURCE_WINS if side is Side.SOURCE else InitialSyncPreference.DESTINATION_WINS
    )
