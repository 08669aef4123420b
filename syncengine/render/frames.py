"""Plans and reports as records and data frames; no frame library is imported until one is asked for.

Columns of a plan: ``id, action, target, path, path_bytes, moved_from, size, reason, destroys, chosen_by,
source_size, source_mtime, target_size, target_mtime``. ``path`` and ``moved_from`` are escaped for showing,
``path_bytes`` is the name itself; ``size`` is the bytes that travel, so it is 0 for a deletion; ``source_*`` describes
what is read, ``target_*`` the version that stands where the operation writes: ``target_size`` is the size of what a
deletion removes or an update replaces. Sizes are in bytes, times are UTC. A report adds ``status, problem, message,
attempts, bytes, seconds, retained_at``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any, Dict, List, Optional, Union

from ..core.entry import Stamp
from ..core.paths import encoded, shown
from ..core.plan import Operation, Plan
from ..core.report import Outcome, Report
from ..errors import SyncError

Columns = Dict[str, List[Any]]

_KINDS: Dict[str, str] = {
    "id": "text",
    "action": "text",
    "target": "text",
    "path": "text",
    "path_bytes": "bytes",
    "moved_from": "text",
    "size": "integer",
    "reason": "text",
    "destroys": "flag",
    "chosen_by": "text",
    "source_size": "integer",
    "source_mtime": "time",
    "target_size": "integer",
    "target_mtime": "time",
}
_OUTCOME_KINDS: Dict[str, str] = {
    "status": "text",
    "problem": "text",
    "message": "text",
    "attempts": "integer",
    "bytes": "integer",
    "seconds": "number",
    "retained_at": "text",
}
_LARGEST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def plan_records(plan: Plan) -> List[Dict[str, Any]]:
    """Return one flat dictionary for each operation; times are aware datetimes, to the microsecond."""
    return [_with_times(_operation_values(operation)) for operation in plan.operations]


def report_records(report: Report) -> List[Dict[str, Any]]:
    """Return one flat dictionary for each outcome; times are aware datetimes, to the microsecond."""
    return [_with_times(_outcome_values(outcome)) for outcome in report.outcomes]


def to_pandas(subject: Union[Plan, Report]) -> Any:
    """Return a pandas data frame of a plan's operations or a report's outcomes; times keep their nanoseconds.

    ``size`` is the bytes that travel (0 for a deletion), ``target_size`` those of the file that is deleted or replaced.
    """
    pandas = _library("pandas")
    kinds = _kinds(subject)
    columns = {
        name: pandas.Series(values, dtype=_PANDAS_TYPES[kinds[name]]) for name, values in _columns(subject).items()
    }
    for name, kind in kinds.items():
        if kind == "time":
            columns[name] = pandas.to_datetime(columns[name], unit="ns", utc=True)
    return pandas.DataFrame(columns)


_PANDAS_TYPES = {
    "text": "string",
    "bytes": "object",
    "integer": "Int64",
    "flag": "bool",
    "number": "float64",
    "time": "Int64",
}


def to_polars(subject: Union[Plan, Report]) -> Any:
    """Return a polars data frame of a plan's operations or a report's outcomes; times keep their nanoseconds."""
    polars = _library("polars")
    types = {
        "text": polars.String,
        "bytes": polars.Binary,
        "integer": polars.Int64,
        "flag": polars.Boolean,
        "number": polars.Float64,
        "time": polars.Int64,
    }
    kinds = _kinds(subject)
    frame = polars.DataFrame(_columns(subject), schema={name: types[kind] for name, kind in kinds.items()})
    times = [name for name, kind in kinds.items() if kind == "time"]
    return frame.with_columns(polars.col(times).cast(polars.Datetime("ns", "UTC")))


def to_arrow(subject: Union[Plan, Report]) -> Any:
    """Return a pyarrow table of a plan's operations or a report's outcomes; times keep their nanoseconds."""
    arrow = _library("pyarrow")
    types = {
        "text": arrow.string(),
        "bytes": arrow.binary(),
        "integer": arrow.int64(),
        "flag": arrow.bool_(),
        "number": arrow.float64(),
        "time": arrow.timestamp("ns", tz="UTC"),
    }
    kinds = _kinds(subject)
    arrays = {name: arrow.array(values, types[kinds[name]]) for name, values in _columns(subject).items()}
    return arrow.table(arrays)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise SyncError(f"this needs {name}, which is not installed: pip install {name}") from error


def _kinds(subject: Union[Plan, Report]) -> Dict[str, str]:
    return {**_KINDS, **_OUTCOME_KINDS} if isinstance(subject, Report) else _KINDS


def _columns(subject: Union[Plan, Report]) -> Columns:
    columns: Columns = {name: [] for name in _kinds(subject)}
    values = map(_outcome_values, subject.outcomes) if isinstance(subject, Report) else map(_operation_values, subject)
    for row in values:
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _operation_values(operation: Operation) -> Dict[str, Any]:
    moved_from = operation.moved_from
    origin, target = operation.expect_origin, operation.expect_target
    return {
        "id": operation.id,
        "action": operation.action.value,
        "target": operation.target.value,
        "path": shown(operation.path),
        "path_bytes": encoded(operation.path),
        "moved_from": None if moved_from is None else shown(moved_from),
        "size": _fitting(operation.size),
        "reason": operation.reason.value,
        "destroys": operation.destroys,
        "chosen_by": shown(operation.chosen_by),
        "source_size": _fitting(origin.size) if origin is not None else None,
        "source_mtime": _time(origin),
        "target_size": _fitting(target.size) if target is not None else None,
        "target_mtime": _time(target),
    }


def _outcome_values(outcome: Outcome) -> Dict[str, Any]:
    problem = outcome.problem
    return {
        **_operation_values(outcome.operation),
        "status": outcome.status.value,
        "problem": None if problem is None else problem.kind.value,
        "message": None if problem is None else shown(problem.message),
        "attempts": outcome.attempts,
        "bytes": _fitting(outcome.bytes),
        "seconds": outcome.seconds,
        "retained_at": None if outcome.retained_at is None else shown(outcome.retained_at),
    }


def _time(stamp: Optional[Stamp]) -> Optional[int]:
    return None if stamp is None else _fitting(stamp.mtime_ns)


def _fitting(value: Optional[int]) -> Optional[int]:
    """Return a value a column of 64 bits can hold; None for one that no real file has."""
    return value if value is not None and -_LARGEST <= value <= _LARGEST else None


def _with_times(values: Dict[str, Any]) -> Dict[str, Any]:
    for name in ("source_mtime", "target_mtime"):
        if values[name] is not None:
            values[name] = _EPOCH + timedelta(microseconds=values[name] // 1000)
    return values
