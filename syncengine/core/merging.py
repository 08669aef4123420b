"""Merged content: what a user made of both versions of a conflict, which a plan carries to both sides.

The content is part of the plan, so that it is reviewed, covered by the digest, and written by whoever applies the plan.
Both versions that it replaces are kept wherever anything is.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Optional, Tuple

from .clashes import group_of
from .entry import Kind, Side
from .modes import OnlyIf, Retain
from .plan_parts import Action, Conflict, ConflictKind, Operation, Reason, Settings

MOST_BYTES = 4 << 20
"""A plan is a document that people review; what is larger is better merged where it lies."""


def merge_refusal(conflict: Conflict, content: bytes, settings: Settings) -> Optional[str]:
    """Return why *content* cannot take the place of both versions, None where it can."""
    if not settings.mode.is_bidirectional:
        return "only a two-way sync writes both sides"
    if conflict.kind is ConflictKind.KIND_CLASH:
        return "a file and a directory have no merged content"
    if conflict.source_link is not None or conflict.destination_link is not None:
        return "a symbolic link has no content to merge"
    if settings.only_if is not OnlyIf.ALWAYS:
        return f"only_if={settings.only_if.value} keeps what stands there"
    if len(content) > MOST_BYTES:
        return f"a plan carries at most {MOST_BYTES:,} bytes, and these are {len(content):,}"
    return None


def merged_operations(conflict: Conflict, content: bytes, retain: Retain) -> Tuple[Operation, ...]:
    """Return the two operations by which *content* takes the place of what each side holds."""
    carried, digest = b64encode(content).decode("ascii"), f"sha256:{sha256(content).hexdigest()}"
    return tuple(
        Operation(
            Action.CREATE if conflict.stamp(side) is None else Action.UPDATE,
            Kind.FILE,
            side,
            conflict.path_at(side),
            expect_target=conflict.stamp(side),
            digest=digest,
            retain=conflict.stamp(side) is not None and retain is not Retain.NONE,
            size=len(content),
            reason=Reason.CONFLICT,
            chosen_by=conflict.decided_by,
            group=group_of(conflict),
            key=conflict.key or (conflict.path if conflict.source_path is not None else None),
            content=carried,
        )
        for side in Side
    )


def content_of(operation: Operation) -> Optional[bytes]:
    """Return the bytes that the operation itself carries, None where they come from a side."""
    return None if operation.content is None else b64decode(operation.content)
