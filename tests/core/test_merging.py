"""What merged content becomes in a plan, and where it is refused."""

from __future__ import annotations

from typing import Any, List, Optional

import pytest
from attrs import evolve

from syncengine.core.entry import Side, Stamp
from syncengine.core.merging import MOST_BYTES, content_of, merge_refusal, merged_operations
from syncengine.core.modes import OnlyIf, Retain, SyncMode
from syncengine.core.plan_parts import Action, Conflict, ConflictKind, Resolution, Settings

MINE, THEIRS = Stamp(size=1, mtime_ns=1), Stamp(size=2, mtime_ns=2)
EDITED = Conflict("f", ConflictKind.MODIFY_MODIFY, None, MINE, THEIRS, Resolution.MERGED, "function:merge")
REMOVED = evolve(EDITED, kind=ConflictKind.DELETE_MODIFY, source=None)
TWO_WAY = Settings(mode=SyncMode.TWO_WAY)


@pytest.mark.parametrize(
    ("conflict", "retain", "expected"),
    [
        (
            EDITED,
            Retain.UNSYNCED,
            {"source": (Action.UPDATE, MINE, True), "destination": (Action.UPDATE, THEIRS, True)},
        ),
        (EDITED, Retain.NONE, {"source": (Action.UPDATE, MINE, False), "destination": (Action.UPDATE, THEIRS, False)}),
        (REMOVED, Retain.ALL, {"source": (Action.CREATE, None, False), "destination": (Action.UPDATE, THEIRS, True)}),
    ],
    ids=["both edited", "nothing kept", "removed on one side"],
)
def test_both_sides_get_the_content_and_keep_what_it_replaces(
    conflict: Conflict, retain: Retain, expected: List[Any]
) -> None:
    operations = merged_operations(conflict, b"merged\n", retain)

    assert {each.target.value: (each.action, each.expect_target, each.retain) for each in operations} == expected
    assert {(each.path, each.size, each.origin, content_of(each)) for each in operations} == {
        ("f", 7, None, b"merged\n")
    }
    assert {each.group for each in operations} != {None}
    assert len({each.group for each in operations}) == 1


@pytest.mark.parametrize(
    ("conflict", "settings", "content", "refused"),
    [
        (EDITED, TWO_WAY, b"", None),
        (REMOVED, TWO_WAY, b"x" * MOST_BYTES, None),
        (EDITED, TWO_WAY, b"x" * (MOST_BYTES + 1), "a plan carries at most 4,194,304 bytes, and these are 4,194,305"),
        (EDITED, Settings(mode=SyncMode.SOURCE_BACKUP), b"", "only a two-way sync writes both sides"),
        (EDITED, evolve(TWO_WAY, only_if=OnlyIf.MISSING), b"", "only_if=missing keeps what stands there"),
        (evolve(EDITED, kind=ConflictKind.KIND_CLASH), TWO_WAY, b"", "a file and a directory have no merged content"),
        (evolve(EDITED, destination_link="x"), TWO_WAY, b"", "a symbolic link has no content to merge"),
    ],
)
def test_what_cannot_be_merged_is_said(
    conflict: Conflict, settings: Settings, content: bytes, refused: Optional[str]
) -> None:
    assert merge_refusal(conflict, content, settings) == refused


def test_a_side_spells_its_own_path() -> None:
    mapped = evolve(EDITED, source_path="s/f")

    assert {each.target: (each.path, each.key) for each in merged_operations(mapped, b"", Retain.ALL)} == {
        Side.SOURCE: ("s/f", "f"),
        Side.DESTINATION: ("f", "f"),
    }
