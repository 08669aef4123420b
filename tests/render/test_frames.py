"""Records and data frames of plans and reports."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest
from attrs import evolve

from syncengine.core.plan import Plan
from syncengine.core.report import Outcome, Report, Status
from syncengine.errors import SyncError

GOLDEN = Path(__file__).parent.parent / "data" / "plan-1.0.json"

COLUMNS = [
    *("id", "action", "target", "path", "path_bytes", "moved_from", "size", "reason", "destroys", "chosen_by"),
    *("source_size", "source_mtime", "target_size", "target_mtime"),
]
OUTCOME_COLUMNS = ["status", "problem", "message", "attempts", "bytes", "seconds", "retained_at"]


def plan() -> Plan:
    return Plan.load(GOLDEN)


def report() -> Report:
    outcomes = tuple(Outcome(operation, Status.DONE, seconds=0.5, bytes=operation.size) for operation in plan())
    return Report(plan(), outcomes, "run", "", "")


def columns(frame: Any) -> list[str]:
    return list(frame.column_names) if isinstance(frame, pyarrow.Table) else list(frame.columns)


def test_records_have_the_documented_columns() -> None:
    assert [list(record) for record in plan().to_records()] == [COLUMNS] * len(plan())
    assert list(report().to_records()[0]) == COLUMNS + OUTCOME_COLUMNS


def test_a_record_shows_the_path_and_keeps_its_bytes() -> None:
    record = next(record for record in plan().to_records() if record["reason"] == "forced")

    assert record["path"] == r"names/tail-\udcff.bin"
    assert record["path_bytes"] == b"names/tail-\xff.bin"


def test_a_record_has_aware_times() -> None:
    record = next(record for record in plan().to_records() if record["path"] == "b/model.bin")

    assert record["target_mtime"] == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=timezone.utc)


@pytest.mark.parametrize("form", ["to_pandas", "to_polars", "to_arrow"])
def test_every_frame_has_the_columns_and_rows_of_what_it_shows(form: str) -> None:
    assert columns(getattr(plan(), form)()) == COLUMNS
    assert columns(getattr(report(), form)()) == COLUMNS + OUTCOME_COLUMNS
    assert len(getattr(plan(), form)()) == len(plan())


@pytest.mark.parametrize("form", ["to_pandas", "to_polars", "to_arrow"])
def test_an_empty_plan_has_the_same_columns(form: str) -> None:
    assert columns(getattr(evolve(plan(), operations=()), form)()) == COLUMNS


def test_frames_keep_nanoseconds_and_missing_values() -> None:
    frame = plan().to_pandas()
    row = frame[frame.path == "b/model.bin"].iloc[0]

    assert row.target_mtime == pandas.Timestamp(1_700_000_000_123_456_789, tz="UTC")
    assert row.source_size == 1_200_000_000
    assert frame.moved_from.isna().sum() == len(frame) - 4
    assert plan().to_polars().filter(path="b/model.bin")["target_mtime"].dt.timestamp("ns").item() == (
        1_700_000_000_123_456_789
    )
    assert plan().to_arrow().schema.field("source_mtime").type == pyarrow.timestamp("ns", "UTC")


def test_ids_of_a_frame_select_operations() -> None:
    frame = plan().to_pandas()

    assert len(plan().where(frame[frame.destroys].id)) == len(plan().destructive)


def test_a_frame_library_takes_a_plan_and_a_report_directly() -> None:
    assert polars.DataFrame(plan()).columns == COLUMNS
    assert pyarrow.table(plan()).num_rows == len(plan())
    assert pyarrow.table(report()).num_rows == len(report().outcomes)


@pytest.mark.parametrize("name", ["pandas", "polars", "pyarrow"])
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SyncError, match=f"pip install {name}"):
        getattr(plan(), {"pyarrow": "to_arrow"}.get(name, f"to_{name}"))()


def test_no_frame_library_is_imported_for_records() -> None:
    program = (
        "import sys\nfrom syncengine.core.plan import Plan\nimport syncengine\n"
        f"Plan.load({str(GOLDEN)!r}).to_records()\n"
        "print(*sorted({'pandas', 'polars', 'pyarrow', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
