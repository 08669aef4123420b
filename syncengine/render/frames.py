"""Plans and reports as records and data frames; no frame library is imported until one is asked for.

Columns of a plan: ``id, action, target, path, path_bytes, moved_from, size, reason, destroys, chosen_by,
source_size, source_mtime, target_size, target_mtime``. ``path`` and ``moved_from`` are escaped for showing,
``path_bytes`` is the name itself; ``size`` is the bytes that travel, so it is 0 for a deletion; ``source_*`` describes
what is read, ``target_*`` the version that stands where the operation writes: ``target_size`` is the size of what a
deletion removes or an update replaces. Sizes are in bytes, times are UTC. A report adds ``status, problem, message,
attempts, bytes, seconds, retained_at``.

The versions of a path: ``path, path_bytes, side, number, current, size, mtime, digest, written_by, run_id, replaced_at,
replaced_by, kept_at``; the runs of a pair: ``run_id, started_at, finished_at, ended, mode, done, not_done``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Union

from ..core.entry import Stamp
from ..core.paths import encoded, shown
from ..core.plan import Plan
from ..core.plan_parts import Operation
from ..core.report import Outcome, Report
from ..core.versions import Version
from ..errors import SyncError

if TYPE_CHECKING:
    from ..state.records import Run
    from ..versioning import History

Subject = Union[Plan, Report, "History"]
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
_VERSION_KINDS: Dict[str, str] = {
    "path": "text",
    "path_bytes": "bytes",
    "side": "text",
    "number": "integer",
    "current": "flag",
    "size": "integer",
    "mtime": "time",
    "digest": "text",
    "written_by": "text",
    "run_id": "text",
    "replaced_at": "time",
    "replaced_by": "text",
    "kept_at": "text",
}
_RUN_KINDS: Dict[str, str] = {
    "run_id": "text",
    "started_at": "time",
    "finished_at": "time",
    "ended": "text",
    "mode": "text",
    "done": "integer",
    "not_done": "integer",
}
_LARGEST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def history_records(history: History) -> List[Dict[str, Any]]:
    """Return one flat dictionary for each version, or for each run; times are aware datetimes."""
    return [_with_times(values, _kinds(history)) for values in _history_values(history)]


def plan_records(plan: Plan) -> List[Dict[str, Any]]:
    """Return one flat dictionary for each operation; times are aware datetimes, to the microsecond."""
    return [_with_times(_operation_values(operation), _KINDS) for operation in plan.operations]


def report_records(report: Report) -> List[Dict[str, Any]]:
    """Return one flat dictionary for each outcome; times are aware datetimes, to the microsecond."""
    return [_with_times(_outcome_values(outcome), _KINDS) for outcome in report.outcomes]


def to_pandas(subject: Subject) -> Any:
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


def to_polars(subject: Subject) -> Any:
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


def to_arrow(subject: Subject) -> Any:
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


def _kinds(subject: Subject) -> Dict[str, str]:
    if isinstance(subject, Plan):
        return _KINDS
    if isinstance(subject, Report):
        return {**_KINDS, **_OUTCOME_KINDS}
    return _RUN_KINDS if subject.path is None else _VERSION_KINDS


def _columns(subject: Subject) -> Columns:
    columns: Columns = {name: [] for name in _kinds(subject)}
    for row in _values(subject):
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _values(subject: Subject) -> Iterable[Dict[str, Any]]:
    if isinstance(subject, Plan):
        return map(_operation_values, subject)
    return map(_outcome_values, subject.outcomes) if isinstance(subject, Report) else _history_values(subject)


def _history_values(history: History) -> Iterable[Dict[str, Any]]:
    return map(_run_values, history.runs) if history.path is None else map(_version_values, history.versions)


def _version_values(version: Version) -> Dict[str, Any]:
    return {
        "path": shown(version.path),
        "path_bytes": encoded(version.path),
        "side": version.side.value,
        "number": version.number,
        "current": version.current,
        "size": _fitting(version.stamp.size),
        "mtime": _time(version.stamp),
        "digest": version.digest or next(iter(version.stamp.digests), None),
        "written_by": version.written_by,
        "run_id": version.run_id,
        "replaced_at": _nanoseconds(version.replaced_at),
        "replaced_by": None if version.replaced_by is None else version.replaced_by.value,
        "kept_at": None if version.kept_at is None else shown(version.kept_at),
    }


def _run_values(run: Run) -> Dict[str, Any]:
    done = run.counts.get("done", 0)
    return {
        "run_id": run.run_id,
        "started_at": _nanoseconds(run.started_at),
        "finished_at": _nanoseconds(run.finished_at),
        "ended": run.ended.value,
        "mode": run.mode,
        "done": done,
        "not_done": sum(run.counts.values()) - done,
    }


def _nanoseconds(moment: Optional[datetime]) -> Optional[int]:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1) * 1000


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


def _with_times(values: Dict[str, Any], kinds: Mapping[str, str]) -> Dict[str, Any]:
    for name, kind in kinds.items():
        if kind == "time" and values[name] is not None:
            values[name] = _EPOCH + timedelta(microseconds=values[name] // 1000)
    return values
