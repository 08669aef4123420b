"""Totals: what the operations of a plan amount to, counted per side and action."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

from attrs import field, frozen

from .entry import Kind, Side
from .plan import Plan
from .plan_parts import OVERWRITING, Action
from .views import view


@frozen
class Count:
    """A number of files and of bytes."""

    files: int = 0
    bytes: int = 0


@frozen
class Totals:
    """What a plan amounts to; three sums of bytes are kept apart.

    ``transfer_bytes`` travel between the sides, ``removed_bytes`` are deleted, ``overwritten_bytes`` are replaced.
    ``live`` is what each side holds (the denominator of guards); ``requests`` estimates the calls per side.
    """

    counts: Mapping[Tuple[Side, Action], Count] = field(factory=dict)
    transfer_bytes: int = 0
    removed_bytes: int = 0
    overwritten_bytes: int = 0
    retained: int = 0
    unchanged: int = 0
    excluded: int = 0
    conflicts: int = 0
    unresolved: int = 0
    problems: int = 0
    to_record: int = 0
    live: Mapping[Side, int] = field(factory=dict)
    requests: Mapping[Side, int] = field(factory=dict)
    free_space: Mapping[Side, int] = field(factory=dict)

    def count(self, action: Action, side: Optional[Side] = None) -> Count:
        """Return files and bytes of one action, on one side or both."""
        picked = [count for (at, what), count in self.counts.items() if what is action and side in (None, at)]
        return Count(sum(count.files for count in picked), sum(count.bytes for count in picked))

    def __str__(self) -> str:
        sentence: str = view("totals_text")(self)
        return sentence

    def _repr_html_(self) -> str:
        page: str = view("totals_html")(self)
        return page


def totals_of(plan: Plan) -> Totals:
    """Count what the operations of *plan* amount to, and what was found beside them."""
    # A million operations are counted here: in lists of integers, without a value of its own for each step.
    sums: Dict[Tuple[Side, Action], List[int]] = {(side, action): [0, 0] for side in Side for action in Action}
    at = {side: {action: sums[side, action] for action in Action} for side in Side}
    into_source, into_destination = at[Side.SOURCE], at[Side.DESTINATION]
    requests = [0, 0]
    transfer = removed = overwritten = retained = 0
    source, delete = Side.SOURCE, Action.DELETE
    for operation in plan.operations:
        action, size, expected, origin = operation.action, operation.size, operation.expect_target, operation.origin
        to_source = operation.target is source
        moved = size
        if expected is not None and expected.size:
            if action is delete:
                moved = expected.size
                removed += moved
            elif action in OVERWRITING and operation.kind_before is not Kind.DIRECTORY:
                overwritten += expected.size
        counted = into_source[action] if to_source else into_destination[action]
        counted[0] += 1 if operation.files is None else operation.files
        counted[1] += moved
        transfer += size
        retained += operation.retain
        # A look, the call itself, and a look at what was written; reading costs a look and a read.
        requests[not to_source] += 2 if action is delete else 3
        if origin is not None:
            requests[origin[0] is not source] += 2
    counts = {where: Count(*found) for where, found in sums.items() if found[0]}
    return Totals(
        counts=counts,
        transfer_bytes=transfer,
        removed_bytes=removed,
        overwritten_bytes=overwritten,
        retained=retained,
        unchanged=plan.unchanged,
        excluded=plan.excluded,
        conflicts=len(plan.conflicts),
        unresolved=len(plan.unresolved),
        problems=len(plan.problems),
        to_record=len(plan.agreements),
        live=dict(plan.live),
        requests=dict(zip(Side, requests)),
    )
