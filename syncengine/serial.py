"""The saved forms of plans and reports: one JSON document each, one item on each line, versioned and sealed.

The writer is ``core.canonical``; this module puts the lines into a document, and documents into files and back.
``serial_reading`` reads a document strictly, ``serial_values`` one record. What only some uses need is imported there.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Type, Union

from .core import canonical
from .core.canonical import Record, line, plan_digest
from .core.paths import TEMPORARY_PREFIX, name_refusal, shown
from .core.plan import Plan
from .core.report import Outcome, Report
from .errors import AccessDenied, NoSpace, NotFound, PlanFormatError, RecipeError, StorageError
from .serial_reading import (
    PLAN_FORMAT,
    REPORT_FORMAT,
    parsed,
    read_any,
    read_edited_plan,
    read_outcome,
    read_plan,
    read_report,
    version_text,
)

Place = Union[str, "os.PathLike[str]"]

__all__ = [
    "load_any",
    "load_plan",
    "load_report",
    "outcome_from_record",
    "outcome_line",
    "outcome_record",
    "plan_digest",
    "plan_from_json",
    "plan_to_json",
    "report_from_json",
    "report_to_json",
    "save_plan",
    "save_report",
    "schema",
    "seal",
]


# ------------------------------------------------------------------------------------------------------------- writing


def plan_to_json(plan: Plan) -> str:
    """Return the saved form of a plan: header, problems, conflicts, operations, agreements."""
    return "".join(_plan_document(plan))


def report_to_json(report: Report) -> str:
    """Return the saved form of a report: its header, the plan's header, and one outcome on each line."""
    return "".join(_report_document(report))


def save_plan(plan: Plan, path: Place) -> None:
    """Write the saved form to *path*, readable by its owner only; a name that ends in ``.gz`` compresses it.

    The file appears whole or not at all. Raises StorageError where it cannot be written.
    """
    _save(_plan_document(plan), path)


def save_report(report: Report, path: Place) -> None:
    """Write the saved form of a report to *path*, like ``save_plan``."""
    _save(_report_document(report), path)


def outcome_record(outcome: Outcome) -> Record:
    """Return the record of an outcome: a line of a report and of the journal."""
    made = {"operation": canonical.operation_record(outcome.operation)}
    made.update((name, item) for name, item in canonical.record(outcome).items() if name != "operation")
    return made


def outcome_line(outcome: Outcome) -> str:
    """Return the text of ``line(outcome_record(outcome))``, for the usual outcome without a value in between."""
    moved, seconds, stamps = outcome.bytes, outcome.seconds, ""
    if outcome.problem is not None or outcome.digest is not None or outcome.retained_at is not None:
        return line(outcome_record(outcome))
    if moved > canonical.SAFE_INTEGER:
        return line(outcome_record(outcome))
    if outcome.before is not None:
        stamps = f', "before": {canonical.stamp_line(outcome.before)}'
    if outcome.after is not None:
        stamps += f', "after": {canonical.stamp_line(outcome.after)}'
    if outcome.origin is not None:
        stamps += f', "origin": {canonical.stamp_line(outcome.origin)}'
    attempts = f', "attempts": {outcome.attempts}' if outcome.attempts else ""
    travelled = f', "bytes": {moved}' if moved else ""
    passed = f', "seconds": {seconds!r}' if seconds else ""
    operation, status = canonical.operation_line(outcome.operation), canonical.quoted(outcome.status)
    return f'{{"operation": {operation}, "status": {status}{attempts}{travelled}{passed}{stamps}}}'


def _plan_document(plan: Plan) -> Iterator[str]:
    return _document(_plan_header(plan), canonical.lines(plan))


def _plan_header(plan: Plan) -> Record:
    from . import __version__

    return {
        "format": PLAN_FORMAT,
        "format_version": version_text(),
        "digest": plan.digest,
        "parent_digest": plan.parent_digest,
        "original_digest": plan.original_digest,
        "created_at": plan.created_at,
        "created_with": f"syncengine {__version__}",
        **canonical.deciding(plan),
        "recipe_digest": plan.recipe_digest,
        "split": plan.split,
        "approvals": canonical.encode(plan.approvals),
        "unchanged": plan.unchanged,
        "excluded": plan.excluded,
        "totals": _totals_record(plan),
    }


def _totals_record(plan: Plan) -> Record:
    """Return the totals for people and programs that read only the header; loading counts again."""
    totals = plan.totals
    made = {name: canonical.encode(getattr(totals, name)) for name in _TOTALS}
    made["counts"] = {
        f"{side.value}.{action.value}": {"files": count.files, "bytes": canonical.integer(count.bytes)}
        for (side, action), count in sorted(totals.counts.items(), key=lambda item: item[0])
    }
    return made


_TOTALS = (
    "transfer_bytes",
    "removed_bytes",
    "overwritten_bytes",
    "retained",
    "conflicts",
    "unresolved",
    "problems",
    "to_record",
    "requests",
    "free_space",
)


def _report_document(report: Report) -> Iterator[str]:
    from . import __version__

    header = {
        "format": REPORT_FORMAT,
        "format_version": version_text(),
        "run_id": report.run_id,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "created_with": f"syncengine {__version__}",
        "interrupted": report.interrupted,
        "recorded": report.recorded,
        "notes": list(report.notes),
        "statuses": {status.value: len(outcomes) for status, outcomes in report.by_status.items()},
        "plan": _plan_header(report.plan),
    }
    lists: Dict[str, Iterator[str]] = canonical.lines(report.plan)
    # The operations are inside the outcomes.
    del lists["operations"]
    return _document(header, {"outcomes": map(outcome_line, report.outcomes), **lists})


def _document(header: Record, lists: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield "{"
    for number, (name, value) in enumerate(header.items()):
        yield f'{"," if number else ""}\n "{name}": {line(value)}'
    for name, items in lists.items():
        yield f',\n "{name}": ['
        separator = "\n  "
        for item in items:
            yield separator
            yield item
            separator = ",\n  "
        yield "]" if separator == "\n  " else "\n ]"
    yield "\n}\n"


def _save(pieces: Iterable[str], path: Place) -> None:
    from tempfile import mkstemp  # also creates the file with mode 0600

    name = _file_name(path)
    try:
        descriptor, temporary = mkstemp(prefix=TEMPORARY_PREFIX, dir=os.path.dirname(name) or ".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(pieces, file, compress=name.endswith(".gz"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, name)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise _translated(error, name, "write") from error


def _file_name(path: Place) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise RecipeError(f"a file is named by its path, not by {path!r}")
    name = os.fsdecode(path)
    reason = name_refusal(name)
    if reason is not None:
        raise RecipeError(f"the path of a file {reason}: {shown(name)!r}")
    return name


def _write(pieces: Iterable[str], file: Any, *, compress: bool) -> None:
    if not compress:
        file.writelines(piece.encode("ascii") for piece in pieces)
        return
    from gzip import GzipFile

    # No name and no time in the header: equal plans are equal files.
    with GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write("".join(pieces).encode("ascii"))


def _translated(error: OSError, name: str, verb: str) -> StorageError:
    import errno

    kinds: Dict[Optional[int], Type[StorageError]] = {
        errno.ENOENT: NotFound,
        errno.EACCES: AccessDenied,
        errno.EPERM: AccessDenied,
        errno.ENOSPC: NoSpace,
        errno.EDQUOT: NoSpace,
    }
    kind = kinds.get(error.errno, StorageError)
    return kind(f"cannot {verb} {shown(name)}: {error.strerror or error}", path=name)


# ------------------------------------------------------------------------------------------------------------- reading


def plan_from_json(text: str, *, for_showing: bool = False) -> Plan:
    """Return the plan in a saved form.

    Raises PlanFormatError where *text* is not a plan, was changed after it was sealed, belongs to a newer major
    version, or holds a field this version does not know. A plan read *for_showing* may hold such fields, and is only
    for showing: they could restrict what is allowed.
    """
    return read_plan(parsed(text), for_showing=for_showing)


def report_from_json(text: str, *, for_showing: bool = False) -> Report:
    """Return the report in a saved form; raises PlanFormatError where it is none, or its plan was changed."""
    return read_report(parsed(text), for_showing=for_showing)


def load_plan(path: Place, *, for_showing: bool = False) -> Plan:
    """Return the plan in a file, compressed or not.

    Raises PlanFormatError like ``plan_from_json``, and StorageError where the file cannot be read.
    """
    return plan_from_json(_content(path), for_showing=for_showing)


def load_report(path: Place, *, for_showing: bool = False) -> Report:
    """Return the report in a file; raises like ``load_plan``."""
    return report_from_json(_content(path), for_showing=for_showing)


def load_any(path: Place, *, for_showing: bool = False) -> Union[Plan, Report]:
    """Return the plan or the report in a file, whichever it is; raises like ``load_plan``."""
    return read_any(parsed(_content(path)), for_showing=for_showing)


def seal(saved: Place) -> Plan:
    """Return the plan in a file that was edited by hand, recording the digest it had as its parent.

    *saved* is a path, or the text of a saved plan. Operations may be in any order; everything else is checked as in a
    plan that was not edited. Approvals were given to other content and are dropped.
    """
    is_text = isinstance(saved, str) and saved.lstrip().startswith("{")
    return read_edited_plan(parsed(str(saved) if is_text else _content(saved)))


def outcome_from_record(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a record; raises PlanFormatError where it is none."""
    return read_outcome(record)


def schema(name: str) -> Dict[str, Any]:
    """Return the JSON Schema of a saved form: ``plan`` or ``report``."""
    from importlib.resources import files

    text = files("syncengine").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")
    found: Dict[str, Any] = json.loads(text)
    return found


def _content(path: Place) -> str:
    import zlib

    name = _file_name(path)
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise _translated(error, name, "read") from error
    try:
        if content.startswith(b"\x1f\x8b"):
            from gzip import decompress

            content = decompress(content)
        return content.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PlanFormatError(f"{shown(name)} is damaged or is not a saved plan or report: {error}") from error
