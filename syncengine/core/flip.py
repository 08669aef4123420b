"""Reverse the direction of operations in a reviewed two-way plan, on the stamps that were recorded.

Nothing is looked at again: what an operation expected of its origin is what the inverse expects of its target. The
inverse destroys a version that nobody had chosen to lose, so it always retains it, and guards count it.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from attrs import evolve

from ..errors import RecipeError
from .entry import Kind, Stamp
from .paths import shown
from .plan import Plan
from .plan_parts import Action, Operation, Purpose, Reason


def flipped(plan: Plan, chosen: Callable[[Any], bool], *, by: str) -> Plan:
    """Return *plan* with the chosen operations the other way round.

    Raises RecipeError for a plan that is not two-way, and for operations that have no inverse of their own.
    """
    if not plan.settings.mode.is_bidirectional:
        raise RecipeError(f"only operations of a two-way plan can be flipped; the mode is {plan.settings.mode.value}")
    return plan.edited(_inverse(operation, by) if chosen(operation) else operation for operation in plan.operations)


def _inverse(operation: Operation, by: str) -> Operation:
    refused = _without_inverse(operation)
    if refused is not None:
        raise RecipeError(f"{shown(operation.path)} cannot be flipped: {refused}")
    arriving = operation.expect_target
    return evolve(
        operation,
        action=_INVERSE[operation.action],
        target=operation.target.other,
        origin=None if arriving is None else (operation.target, operation.path),
        expect_target=operation.expect_origin,
        expect_origin=arriving,
        digest=None,
        retain=operation.expect_origin is not None,
        size=_size(arriving),
        chosen_by=f"user:{by}",
    )


_INVERSE = {Action.CREATE: Action.DELETE, Action.DELETE: Action.CREATE, Action.UPDATE: Action.UPDATE}


def _without_inverse(operation: Operation) -> Optional[str]:
    if operation.purpose is not Purpose.SYNC:
        return f"it is part of a plan to {operation.purpose.value}, which goes one way only"
    if operation.reason is Reason.CONFLICT:
        return "it resolves a conflict; use resolve(path, to=...)"
    if operation.action not in _INVERSE:
        return f"a {operation.action.value} has no inverse"
    if operation.kind is not Kind.FILE or operation.group is not None or operation.key is not None:
        return "it is part of a larger change; drop it instead"
    return None


def _size(stamp: Optional[Stamp]) -> int:
    return (stamp.size or 0) if stamp is not None else 0
