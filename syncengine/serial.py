"""The saved forms of plans and reports: one JSON document each, one item on each line, versioned and sealed.

The writer is ``core.canonical``; this module puts the lines into a document and reads one back strictly. Two readers
exist: the ordinary one refuses a field it does not know, because that field may restrict what is allowed; the one for
showing ignores it. cattrs, gzip and tempfile are imported where they are needed.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NoReturn,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from attrs import evolve, fields

from .core import canonical
from .core.canonical import Record, line, plan_digest
from .core.entry import Kind, Problem, Side, Stamp
from .core.guards import Blocker
from .core.paths import TEMPORARY_PREFIX, encoded, refusal, shown
from .core.plan import Action, Agreement, Approval, Conflict, Endpoint, Operation, Plan, Reason, Settings, StateRef
from .core.report import Outcome, Report
from .errors import AccessDenied, NoSpace, NotFound, PlanError, PlanFormatError, StorageError

if TYPE_CHECKING:
    from cattrs import Converter

PLAN_FORMAT = "syncengine.plan"
REPORT_FORMAT = "syncengine.report"
VERSION = (1, 0)

Place = Union[str, "os.PathLike[str]"]

_Value = TypeVar("_Value")

__all__ = [
    "load_any",
    "load_plan",
    "load_report",
    "outcome_from_record",
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


def _plan_document(plan: Plan) -> Iterator[str]:
    return _document(_plan_header(plan), canonical.lines(plan))


def _plan_header(plan: Plan) -> Record:
    from . import __version__

    return {
        "format": PLAN_FORMAT,
        "format_version": _version_text(),
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
        "format_version": _version_text(),
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
    return _document(header, {"outcomes": map(line, map(outcome_record, report.outcomes)), **lists})


def _version_text() -> str:
    return f"{VERSION[0]}.{VERSION[1]}"


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

    name = os.fspath(path)
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
    return _read_plan(_parsed(text), for_showing=for_showing)


def report_from_json(text: str, *, for_showing: bool = False) -> Report:
    """Return the report in a saved form; raises PlanFormatError where it is none, or its plan was changed."""
    return _read_report(_parsed(text), for_showing=for_showing)


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
    document = _parsed(_content(path))
    if document.get("format") == REPORT_FORMAT:
        return _read_report(document, for_showing=for_showing)
    return _read_plan(document, for_showing=for_showing)


def seal(saved: Place) -> Plan:
    """Return the plan in a file that was edited by hand, recording the digest it had as its parent.

    *saved* is a path, or the text of a saved plan. Operations may be in any order; everything else is checked as in a
    plan that was not edited. Approvals were given to other content and are dropped.
    """
    is_text = isinstance(saved, str) and saved.lstrip().startswith("{")
    document = _parsed(str(saved) if is_text else _content(saved))
    header = _checked_header(document, PLAN_FORMAT, _PLAN_FIELDS, for_showing=False)
    plan = _plan(header, _lists(header, _reader()), for_showing=False)
    before = header["digest"]
    if plan.digest == before:
        return plan
    return evolve(plan, parent_digest=before, original_digest=plan.original_digest or before, approvals=())


def outcome_from_record(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a record; raises PlanFormatError where it is none."""
    (outcome,) = _values("outcomes", [record], Outcome, _reader())
    return outcome


def schema(name: str) -> Dict[str, Any]:
    """Return the JSON Schema of a saved form: ``plan`` or ``report``."""
    from importlib.resources import files

    text = files("syncengine").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")
    found: Dict[str, Any] = json.loads(text)
    return found


def _content(path: Place) -> str:
    import zlib

    name = os.fspath(path)
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


def _parsed(text: str) -> Record:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        cut = not text.rstrip().endswith("}")
        hint = "; the end is missing, so it was probably cut off" if cut else ""
        raise PlanFormatError(f"not a saved plan or report: line {error.lineno}: {error.msg}{hint}") from error
    except (RecursionError, ValueError) as error:
        raise PlanFormatError(f"not a saved plan or report: {error}") from error
    if not isinstance(document, dict):
        raise PlanFormatError("not a saved plan or report: the document is not a JSON object")
    return document


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


_PLAN_FIELDS: Mapping[str, Any] = {
    "digest": str,
    "parent_digest": Optional[str],
    "original_digest": Optional[str],
    "created_at": str,
    "created_with": str,
    "source": Endpoint,
    "destination": Endpoint,
    "base": StateRef,
    "settings": Settings,
    "live": Dict[Side, int],
    "findings": Tuple[Blocker, ...],
    "complete": bool,
    "recipe_digest": Optional[str],
    "split": Optional[str],
    "approvals": Tuple[Approval, ...],
    "unchanged": int,
    "excluded": int,
    "totals": dict,
    "problems": list,
    "conflicts": list,
    "operations": list,
    "agreements": list,
}
_NOT_IN_PLAN = ("digest", "created_with", "complete", "totals", *canonical.SECTIONS)
_ITEMS: Mapping[str, Any] = {
    "problems": Problem,
    "conflicts": Conflict,
    "operations": Operation,
    "agreements": Agreement,
    "outcomes": Outcome,
}
_REPORT_FIELDS: Mapping[str, Any] = {
    "run_id": str,
    "started_at": str,
    "finished_at": str,
    "created_with": str,
    "interrupted": bool,
    "recorded": int,
    "notes": Tuple[str, ...],
    "statuses": dict,
    "plan": dict,
    "outcomes": list,
    "problems": list,
    "conflicts": list,
    "agreements": list,
}
_NOT_IN_REPORT = ("created_with", "statuses", "plan", "problems", "conflicts", "agreements")


def _read_plan(document: Record, *, for_showing: bool) -> Plan:
    header = _checked_header(document, PLAN_FORMAT, _PLAN_FIELDS, for_showing=for_showing)
    plan = _plan(header, _lists(header, _reader(for_showing=for_showing)), for_showing=for_showing)
    return _verified(plan, header, for_showing=for_showing)


def _read_report(document: Record, *, for_showing: bool) -> Report:
    header = _checked_header(document, REPORT_FORMAT, _REPORT_FIELDS, for_showing=for_showing)
    reader = _reader(for_showing=for_showing)
    lists = _lists(header, reader)
    # Outcomes stand in the order in which they ended; a plan's operations in the order of their paths.
    by_place = sorted(
        zip(lists["outcomes"], header["outcomes"]),
        key=lambda pair: (encoded(pair[0].operation.path), pair[0].operation.target.value),
    )
    embedded = {
        **_field(header, "plan", dict, reader),
        **{name: header[name] for name in ("problems", "conflicts", "agreements")},
        "operations": [raw["operation"] for _, raw in by_place],
    }
    plan_header = _checked_header(embedded, PLAN_FORMAT, _PLAN_FIELDS, for_showing=for_showing)
    lists["operations"] = [outcome.operation for outcome, _ in by_place]
    plan = _plan(plan_header, lists, for_showing=for_showing)
    plan = _verified(plan, plan_header, for_showing=for_showing)
    own = {name: _field(header, name, kind, reader) for name, kind in _REPORT_FIELDS.items() if name != "outcomes"}
    kept = {name: value for name, value in own.items() if name not in _NOT_IN_REPORT}
    return Report(plan=plan, outcomes=tuple(lists["outcomes"]), **kept)


def _checked_header(document: Record, form: str, known: Mapping[str, Any], *, for_showing: bool) -> Record:
    """Return the document with the fields that every version has; refuse other formats and newer ones."""
    if document.get("format") != form:
        raise PlanFormatError(f"not a {form} document: its format is {document.get('format')!r}")
    major, minor = _version(document.get("format_version"))
    if major != VERSION[0]:
        raise PlanFormatError(
            f"the format version is {major}.{minor}; this version of syncengine reads {VERSION[0]}.x. "
            "Use the version that wrote the file (see created_with), or make the plan again."
        )
    missing = sorted(known.keys() - document.keys())
    if missing:
        raise PlanFormatError(f"the header lacks {', '.join(missing)}")
    unknown = sorted(document.keys() - known.keys() - {"format", "format_version"})
    # A minor version adds to the header only what decides nothing: what decides has a place in the sealed parts.
    if unknown and not for_showing and minor <= VERSION[1]:
        raise PlanFormatError(f"the header holds unknown fields: {', '.join(map(shown, unknown))}")
    return document


def _version(text: Any) -> Tuple[int, int]:
    major, dot, minor = str(text).partition(".")
    if not dot or not (major.isdecimal() and minor.isdecimal()):
        raise PlanFormatError(
            f"the format version is {shown(str(text))!r}, not two numbers such as {_version_text()!r}"
        )
    return int(major), int(minor)


def _plan(header: Record, lists: Mapping[str, List[Any]], *, for_showing: bool) -> Plan:
    reader = _reader(for_showing=for_showing)
    read = {name: _field(header, name, kind, reader) for name, kind in _PLAN_FIELDS.items() if kind is not list}
    fields = {name: value for name, value in read.items() if name not in _NOT_IN_PLAN}
    try:
        plan = Plan.of(**fields, **{name: tuple(lists[name]) for name in canonical.SECTIONS})
    except PlanError as error:
        raise PlanFormatError(str(error)) from error
    if plan.complete != read["complete"]:
        raise PlanFormatError(f"the header says complete: {read['complete']}, but the problems say {plan.complete}")
    return plan


def _verified(plan: Plan, header: Record, *, for_showing: bool) -> Plan:
    sealed = header["digest"]
    if for_showing:
        _verify(sealed, _raw_digest(header))
        # What is shown is what was sealed, also where this version cannot read all of it. Saving it again would not
        # load: the fields that were ignored are missing from the new file, but not from its digest.
        plan._cache["digest"] = sealed  # noqa: SLF001
        return plan
    _verify(sealed, plan.digest)
    return plan


def _verify(sealed: str, found: str) -> None:
    if sealed != found:
        raise PlanFormatError(
            f"the content does not match its digest (sealed {shown(str(sealed))}, found {found}): the file was "
            "hand-edited or damaged. If the change was meant, run: syncengine edit --seal"
        )


def _raw_digest(header: Record) -> str:
    """Return the digest over the records as they stand in the file, fields of newer versions included."""
    names = ("source", "destination", "base", "settings", "live", "findings", "complete", "original_digest")
    return canonical.digest_of(
        {name: header[name] for name in names}, {name: map(line, header[name]) for name in canonical.SECTIONS}
    )


def _lists(header: Record, reader: _Reader) -> Dict[str, List[Any]]:
    found: Dict[str, List[Any]] = {}
    for name, kind in _ITEMS.items():
        if name not in header:
            continue
        if not isinstance(header[name], list):
            raise PlanFormatError(f"{name} is not a list")
        found[name] = _values(name, header[name], kind, reader)
    return found


def _field(header: Record, name: str, kind: Any, reader: _Reader) -> Any:
    if kind in (list, dict):
        if not isinstance(header[name], kind):
            raise PlanFormatError(f"{name} is not a JSON {'object' if kind is dict else 'array'}")
        return header[name]
    return reader.read(header[name], kind, name)


def _values(name: str, records: Iterable[Any], kind: Type[_Value], reader: _Reader) -> List[_Value]:
    read = reader.quick(kind)
    values: List[_Value] = []
    for number, item in enumerate(records, 1):
        try:
            value = read(item, kind)
        except Exception as error:
            raise _unreadable(name, number, item, kind, reader) from error
        refused = _refused_path(value)
        if refused is not None:
            raise PlanFormatError(f"{_place(name, number, item)} holds a path that {refused}")
        values.append(value)
    return values


def _unreadable(name: str, number: int, item: Any, kind: Any, reader: _Reader) -> PlanFormatError:
    try:
        reader.read(item, kind, _place(name, number, item))
    except PlanFormatError as error:
        return error
    return PlanFormatError(f"{_place(name, number, item)} cannot be read")


def _place(name: str, number: int, item: Any) -> str:
    inner = item.get("operation", item) if isinstance(item, dict) else item
    path = inner.get("path") if isinstance(inner, dict) else None
    return f"{name}, item {number}" + (f" ({shown(str(path))})" if path is not None else "")


def _refused_path(value: Any) -> Optional[str]:
    """Return why a path in *value* may not be touched; what a plan's constructor checks comes first there."""
    if isinstance(value, Outcome):
        return _refused_path(value.operation)
    if isinstance(value, Operation):
        return _first_refusal(value.path, value.key, value.origin[1] if value.origin is not None else None)
    if isinstance(value, Agreement):
        return _first_refusal(value.path, value.row.path if value.row is not None else None)
    # Problems name what cannot be a key.
    return refusal(value.path) if isinstance(value, Conflict) else None


def _first_refusal(*paths: Optional[str]) -> Optional[str]:
    return next((found for found in map(refusal, (path for path in paths if path is not None)) if found), None)


# --------------------------------------------------------------------------------------------------------- the readers


class _Reader:
    """Structures values with cattrs: a quick converter, and one that says where something is wrong."""

    def __init__(self, *, strict: bool) -> None:
        self._quick = _converter(strict=strict, detailed=False)
        self._strict = strict

    def quick(self, kind: Type[_Value]) -> Callable[[Any, Any], _Value]:
        """Return the function that reads one value, without knowing where it stands."""
        found: Callable[[Any, Any], _Value] = self._quick.get_structure_hook(kind)
        return found

    def read(self, value: Any, kind: Any, place: str) -> Any:
        """Return one value; raises PlanFormatError that names the place and everything that is wrong there."""
        from cattrs import transform_error

        detailed = _converter(strict=self._strict, detailed=True)
        try:
            return detailed.structure(value, kind)
        except Exception as error:
            issues = "; ".join(transform_error(error, path=place, format_exception=_issue))
            raise PlanFormatError(shown(issues)) from error


def _issue(error: BaseException, kind: Optional[type]) -> str:
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown fields: {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, KeyError):
        return f"lacks {error.args[0]!r}"
    return str(error)


@lru_cache(maxsize=2)
def _reader(*, for_showing: bool = False) -> _Reader:
    return _Reader(strict=not for_showing)


@lru_cache(maxsize=4)
def _converter(*, strict: bool, detailed: bool) -> Converter:
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn

    converter = Converter(forbid_extra_keys=strict, detailed_validation=detailed)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(bool, _flag)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(lambda kind: kind == Tuple[Side, str], _origin)
    for kind, required in canonical.ALWAYS.items():
        generated: Callable[[Any, Any], Any] = make_dict_structure_fn(
            kind, converter, _cattrs_forbid_extra_keys=strict, _cattrs_detailed_validation=detailed
        )
        converter.register_structure_hook(kind, _requiring(required, generated))
    if not detailed:
        converter.register_structure_hook(Stamp, _quick_stamp(strict=strict))
        converter.register_structure_hook(Operation, _quick_operation(strict=strict))
    return converter


def _requiring(required: Tuple[str, ...], generated: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a hook that refuses a record without a field whose None means "absent there"."""

    def structure(item: Any, kind: Any) -> Any:
        for name in required:
            if name not in item:
                raise ValueError(f"lacks {name!r}, which is null where there is nothing")
        if "origin" in item and "expect_origin" not in item:
            raise ValueError("lacks 'expect_origin', which is null where nothing is expected of the origin")
        return generated(item, kind)

    return structure


def _quick_stamp(*, strict: bool) -> Callable[[Any, Any], Stamp]:
    """Return a hook for stamps, written out by hand: a large plan holds more of these than of anything else."""

    def structure(item: Any, _: Any) -> Stamp:
        if strict and not item.keys() <= _STAMP_FIELDS:
            raise ValueError("unknown fields")
        look = item.get
        size, mtime_ns = look("size"), look("mtime_ns")
        return Stamp(
            size if size is None else _integer(size, int),
            mtime_ns if mtime_ns is None else _integer(mtime_ns, int),
            _text_or_none(look("etag")),
            _text_or_none(look("version")),
            tuple([_text(digest, str) for digest in look("digests", ())]),
            _text_or_none(look("file_id")),
        )

    return structure


def _quick_operation(*, strict: bool) -> Callable[[Any, Any], Operation]:
    """Return a hook for operations; whatever it cannot take goes to the slow reader, which says why."""
    read_stamp = _quick_stamp(strict=strict)

    def structure(item: Any, _: Any) -> Operation:
        if strict and not item.keys() <= _OPERATION_FIELDS:
            raise ValueError("unknown fields")
        look = item.get
        origin, mode = look("origin"), look("mode")
        expect_target = item["expect_target"]
        expect_origin = item["expect_origin"] if "origin" in item else look("expect_origin")
        return Operation(
            _ACTIONS[item["action"]],
            _KINDS[item["kind"]],
            _SIDES[item["target"]],
            _text(item["path"], str),
            origin if origin is None else _origin(origin, None),
            expect_target if expect_target is None else read_stamp(expect_target, Stamp),
            expect_origin if expect_origin is None else read_stamp(expect_origin, Stamp),
            _text_or_none(look("digest")),
            _flag(look("retain", _NOT_RETAINED), bool),
            _integer(look("size", 0), int),
            _REASONS[item["reason"]],
            _text(look("chosen_by", ""), str),
            _text_or_none(look("group")),
            _text_or_none(look("key")),
            mode if mode is None else _integer(mode, int),
            _text_or_none(look("link")),
        )

    return structure


_STAMP_FIELDS = frozenset(attribute.name for attribute in fields(Stamp))
_OPERATION_FIELDS = frozenset(attribute.name for attribute in fields(Operation))
_ACTIONS = {action.value: action for action in Action}
_KINDS = {kind.value: kind for kind in Kind}
_SIDES = {side.value: side for side in Side}
_NOT_RETAINED = False
_REASONS = {reason.value: reason for reason in Reason}


def _text_or_none(value: Any) -> Optional[str]:
    return None if value is None else _text(value, str)


def _integer(value: Any, _: Any) -> int:
    if value.__class__ is int:
        whole: int = value
        return whole
    if isinstance(value, str) and value.lstrip("-").isdecimal() and value.isascii():
        return int(value)
    raise ValueError(f"{value!r} is not a whole number")


def _text(value: Any, kind: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")  # noqa: TRY004 - one class for every wrong value
    # cattrs finds this hook for the enums too, because their members are texts.
    found: str = value if kind is str else kind(value)
    return found


def _flag(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: Any, _: Any) -> float:
    if value.__class__ in (int, float):
        return float(value)
    raise ValueError(f"{value!r} is not a number")


def _origin(value: Any, _: Any) -> Tuple[Side, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{value!r} is not a side and a path")
    return _SIDES[value[0]] if value[0] in _SIDES else Side(value[0]), _text(value[1], str)
