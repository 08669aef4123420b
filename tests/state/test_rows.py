"""What a row of the state is stored as, what it comes back as, and which rows a listing is compared with as bytes."""

from __future__ import annotations

from datetime import datetime, timezone

import attrs
import pytest

from syncengine import Kind, Side, Stamp, SyncStateManager
from syncengine.core.entry import Base
from syncengine.core.packs import PLAIN_ROW, plain_of
from syncengine.state import schema
from syncengine.state.records import Run

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
HERE = Stamp(5, 10**18 + 1, file_id="18446744073709551615")
THERE = Stamp(5, -7, file_id="0")
USUAL = Base("d/f", Kind.FILE, HERE, THERE, generation=3)

PLAIN_ROWS = {
    "usual": USUAL,
    "found without reading content": attrs.evolve(USUAL, weak=True),
    "with a digest": attrs.evolve(USUAL, digest="sha256:00ff"),
    "not in any alphabet": attrs.evolve(USUAL, path="d/\udcff\xe9"),
    "empty": attrs.evolve(USUAL, source=attrs.evolve(HERE, size=0)),
}
RARE_ROWS = {
    "dormant": attrs.evolve(USUAL, live=False),
    "too young": attrs.evolve(USUAL, racy=(Side.SOURCE,)),
    "too young on the other side": attrs.evolve(USUAL, racy=(Side.DESTINATION,)),
    "a link": attrs.evolve(USUAL, kind=Kind.SYMLINK),
    "a directory": Base("d", Kind.DIRECTORY, Stamp(), Stamp(), generation=3),
    "without a time": attrs.evolve(USUAL, source=attrs.evolve(HERE, mtime_ns=None)),
    "without a size": attrs.evolve(USUAL, source=attrs.evolve(HERE, size=None)),
    "without a file id": attrs.evolve(USUAL, source=attrs.evolve(HERE, file_id=None)),
    "with an ETag": attrs.evolve(USUAL, source=attrs.evolve(HERE, etag="x")),
    "with a version": attrs.evolve(USUAL, source=attrs.evolve(HERE, version="x")),
    "with a digest in its stamp": attrs.evolve(USUAL, source=attrs.evolve(HERE, digests=("md5:00",))),
    "with a file id that is no number": attrs.evolve(USUAL, source=attrs.evolve(HERE, file_id="1:2")),
    "with a file id of other digits": attrs.evolve(USUAL, source=attrs.evolve(HERE, file_id="\u0663")),
    "with a superscript for a file id": attrs.evolve(USUAL, source=attrs.evolve(HERE, file_id="\xb2")),
    "with a padded file id": attrs.evolve(USUAL, source=attrs.evolve(HERE, file_id="007")),
    "with a file id beyond 64 bits": attrs.evolve(USUAL, source=attrs.evolve(HERE, file_id=str(1 << 64))),
    "with a time beyond 64 bits": attrs.evolve(USUAL, source=attrs.evolve(HERE, mtime_ns=1 << 63)),
    "of a generation beyond 32 bits": attrs.evolve(USUAL, generation=1 << 32),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("says", [*PLAIN_ROWS, *RARE_ROWS])
def test_a_row_comes_back_as_it_was_stored(says, swapped):
    row = {**PLAIN_ROWS, **RARE_ROWS}[says]
    position = row.position.encode("utf-8", "surrogateescape")

    payload = schema.row_bytes(row, row.generation, swapped=swapped)

    assert schema.base_from(position, payload, swapped=swapped) == row
    assert schema.generation_of(payload) == row.generation
    assert schema.is_live(payload) == row.live
    assert payload.startswith(PLAIN_ROW) == (says in PLAIN_ROWS)


@pytest.mark.parametrize("swapped", [False, True])
def test_rows_agree_with_exactly_the_stamps_that_were_stored(tmp_path, swapped):
    rows = [attrs.evolve(USUAL, path=name, generation=1) for name in ("a", "b", "c")]
    rows[1] = attrs.evolve(rows[1], live=False)
    sides = ("2", "1") if swapped else ("1", "2")
    with SyncStateManager(str(tmp_path), *sides) as state:
        state.begin(Run("one", NOW, "two-way", "", ""))
        state.commit(rows)
        state.finish(NOW, {})
        (together,) = state.packs()
    here, there = plain_of(HERE), plain_of(THERE)

    assert list(together) == rows
    assert together.positions == [b"a", b"b", b"c"]
    assert together.agree(0, [here], [there])
    assert not together.agree(0, [there], [here])
    assert not together.agree(1, [here], [there])
    assert together.agree(2, [here], [there])
    assert not together.agree(2, [here, here], [there, there])


def test_a_database_of_the_first_format_is_read_and_becomes_the_present_one_with_the_first_write(tmp_path, monkeypatch):
    rows = [attrs.evolve(row, path=f"{number:02}") for number, row in enumerate(PLAIN_ROWS.values())]
    monkeypatch.setattr("syncengine.state.database.ROWS_AT_A_TIME", 2)
    with SyncStateManager(str(tmp_path), "1", "2") as state:
        state.begin(Run("one", NOW, "two-way", "", ""))
        with monkeypatch.context() as old:
            old.setattr(schema, "plain_of", lambda stamp: None)
            state.commit(rows)
        with state._writing(state._opened()) as draft:
            draft.header = attrs.evolve(draft.header, format=1)
        state.finish(NOW, {})
    before = [attrs.evolve(row, generation=1) for row in rows]

    with SyncStateManager(str(tmp_path), "1", "2") as state:
        assert list(state.rows()) == before
        assert not any(head.startswith(PLAIN_ROW) for rows in state.packs() for head in rows.heads)
        assert state.header.format == 1
        state.begin(Run("two", NOW, "two-way", "", ""))
        state.commit([USUAL])
        state.finish(NOW, {})

    with SyncStateManager(str(tmp_path), "1", "2") as state:
        assert list(state.rows()) == [*before, attrs.evolve(USUAL, generation=2)]
        assert all(head.startswith(PLAIN_ROW) for rows in state.packs() for head in rows.heads)
        assert state.header.format == schema.FORMAT
        state.check()
        assert state.revert()
        assert list(state.rows()) == before
