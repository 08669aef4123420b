"""Conflicts while planning: each is listed, decided by the policy, and turned into operations where it was decided."""

from __future__ import annotations

from typing import Callable, Optional, Tuple

from attrs import evolve, field, frozen

from .comparator import Change, Question
from .drafts import Drafts
from .entry import Entry, Kind, Side
from .modes import ConflictPolicy, Retain
from .plan import Conflict, ConflictKind, Operation
from .resolve import copy_name, decided, keeps_both, operations_for, winner_of

Digest = Callable[[Question], Optional[str]]
Look = Callable[[Side, str], Optional[Entry]]

_ALGORITHM = "sha256"


@frozen(eq=False)
class Conflicts:
    """Decides conflicts as the settings ask; *digest_of* and *look* answer for names that keep the losing version."""

    drafts: Drafts
    digest_of: Digest = field(default=lambda _: None)
    look: Look = field(default=lambda *_: None)

    def decided(self, change: Change, kind: ConflictKind) -> Tuple[Conflict, Tuple[Operation, ...]]:
        """Return the conflict that *change* is, and the operations that resolve it."""
        settings = self.drafts.settings
        times_count = all(traits.true_mtime for traits in self.drafts.traits.values())
        conflict = decided(self.drafts.conflict(change, kind), self._policy(), times_count=times_count)
        if not keeps_both(conflict):
            return conflict, self._sized(operations_for(conflict, retain=settings.retain))
        number, copied = 1, False
        loser = change.entry(winner_of(conflict).other)
        assert loser is not None
        identity = self._digest(winner_of(conflict).other, loser)
        while not copied:
            taken = self._taken(conflict, identity, number)
            if not taken:
                break
            copied = all(self._is_copy(side, entry, loser, identity) for side, entry in taken)
            number += not copied
        operations = operations_for(conflict, retain=settings.retain, identity=identity, number=number, copied=copied)
        return conflict, self._sized(operations)

    def _policy(self) -> ConflictPolicy:
        """Without a trash the loser of ``newest`` could not be recovered, so both are kept."""
        settings = self.drafts.settings
        unsafe = settings.retain is Retain.NONE and settings.conflict is ConflictPolicy.NEWEST
        return ConflictPolicy.KEEP_BOTH if unsafe else settings.conflict

    def _sized(self, operations: Tuple[Operation, ...]) -> Tuple[Operation, ...]:
        """Return *operations* with the bytes that travel: none where both sides are one storage."""
        return tuple(
            evolve(operation, size=0) if self.drafts.traits[operation.target].same_storage else operation
            for operation in operations
        )

    def _digest(self, side: Side, entry: Entry) -> Optional[str]:
        """Return the digest of a file where its content can be had cheaply."""
        known = entry.stamp.digest(_ALGORITHM)
        if known is not None or entry.kind is not Kind.FILE or not self.drafts.traits[side].cheap_reads:
            return known
        return self.digest_of(Question(side, entry, _ALGORITHM))

    def _taken(self, conflict: Conflict, identity: Optional[str], number: int) -> Tuple[Tuple[Side, Entry], ...]:
        """Return what stands where the copy would go, on both sides."""
        looks = ((side, self.look(side, copy_name(conflict, side, identity, number))) for side in Side)
        return tuple((side, entry) for side, entry in looks if entry is not None)

    def _is_copy(self, side: Side, entry: Entry, loser: Entry, identity: Optional[str]) -> bool:
        """Say whether *entry* is the copy that a killed run made; its own row then carries it to the other side."""
        if entry.kind is not loser.kind or entry.link != loser.link or entry.stamp.size != loser.stamp.size:
            return False
        found = self._digest(side, entry)
        # Where no digest can be had, the name was made of the losing version's stamp, and the loser is retained.
        return identity is None or found is None or found == identity
