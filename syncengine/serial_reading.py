"""A parsed document becomes a plan or a report: format and version, header, lists of records, digest.

Two readers exist: the ordinary one refuses a field it does not know, because that field may restrict what is allowed;
the one *for showing* ignores it. Everything here raises PlanFormatError, which says where the document is wrong.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NoReturn, Optional, Tuple, Type, TypeVar, Union

from attrs import evolve

from .core import canonical
from .core.canonical import Record, line
from .core.entry import Problem, Side
from .core.guards import Blocker
from .core.paths import encoded, refusal, shown
from .core.plan import Plan
from .core.plan_parts import Agreement, Approval, Conflict, Endpoint, Operation, Settings, StateRef
from .core.report import Outcome, Report
from .errors import PlanError, PlanFormatError
from .serial_values import Reader, value_reader

PLAN_FORMAT = "syncengine.plan"
REPORT_FORMAT = "syncengine.report"
VERSION = (1, 0)
"""The format that is written: a newer minor version is read for what it shares with this one, another major is not."""

RECIPE_FORMAT = "syncengine.recipe"
_RECIPE_LINE = re.compile(rf'^\s*format\s*=\s*"{re.escape(RECIPE_FORMAT)}/', re.MULTILINE)
_INSTEAD = {
    PLAN_FORMAT: "it is a saved plan, which `syncengine apply FILE` performs",
    REPORT_FORMAT: "it is the report of a run; `syncengine apply --resume FILE` does what that run left",
    RECIPE_FORMAT: "it is a recipe, which `syncengine sync FILE` performs",
}
"""What a file is that was taken for another, and who takes it."""

_Value = TypeVar("_Value")

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


def version_text() -> str:
    """Return the version that is written, as it stands in a header."""
    return f"{VERSION[0]}.{VERSION[1]}"


def parsed(text: str) -> Record:
    """Return the JSON object that *text* is, numbers that JSON does not know refused."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if _RECIPE_LINE.search(text):
            raise PlanFormatError(f"not a saved plan or report: {_INSTEAD[RECIPE_FORMAT]}") from error
        cut = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
        hint = "; the end is missing, so it was probably cut off" if cut else ""
        raise PlanFormatError(f"not a saved plan or report: line {error.lineno}: {error.msg}{hint}") from error
    except (RecursionError, ValueError) as error:
        raise PlanFormatError(f"not a saved plan or report: {error}") from error
    if not isinstance(document, dict):
        raise PlanFormatError("not a saved plan or report: the document is not a JSON object")
    return document


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def read_plan(document: Record, *, for_showing: bool) -> Plan:
    """Return the plan that *document* is, once its digest was checked."""
    header = _checked_header(document, PLAN_FORMAT, _PLAN_FIELDS, for_showing=for_showing)
    # What is shown is verified by its records; of a plan to apply they need not outlive the values made of them.
    lists = _lists(header, value_reader(for_showing=for_showing), used_up=not for_showing)
    plan = _plan(header, lists, for_showing=for_showing)
    return _verified(plan, header, for_showing=for_showing)


def read_report(document: Record, *, for_showing: bool) -> Report:
    """Return the report that *document* is, once the digest of its plan was checked."""
    header = _checked_header(document, REPORT_FORMAT, _REPORT_FIELDS, for_showing=for_showing)
    reader = value_reader(for_showing=for_showing)
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


def read_any(document: Record, *, for_showing: bool) -> Union[Plan, Report]:
    """Return the plan or the report that *document* is."""
    if document.get("format") == REPORT_FORMAT:
        return read_report(document, for_showing=for_showing)
    return read_plan(document, for_showing=for_showing)


def read_edited_plan(document: Record) -> Plan:
    """Return the plan in a document that was edited, with the digest it had as its parent and without approvals."""
    header = _checked_header(document, PLAN_FORMAT, _PLAN_FIELDS, for_showing=False)
    plan = _plan(header, _lists(header, value_reader()), for_showing=False)
    before = header["digest"]
    if plan.digest == before:
        return plan
    return evolve(plan, parent_digest=before, original_digest=plan.original_digest or before, approvals=())


def read_outcome(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome that *record* is."""
    (outcome,) = _values("outcomes", [record], Outcome, value_reader())
    return outcome


def _checked_header(document: Record, form: str, known: Mapping[str, Any], *, for_showing: bool) -> Record:
    """Return the document with the fields that every version has; refuse other formats and newer ones."""
    found = document.get("format")
    if found != form:
        said = _INSTEAD.get(str(found).partition("/")[0], f"its format is {found!r}")
        raise PlanFormatError(f"not a {form} document: {said}")
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
        raise PlanFormatError(f"the format version is {shown(str(text))!r}, not two numbers such as {version_text()!r}")
    return int(major), int(minor)


def _plan(header: Record, lists: Mapping[str, List[Any]], *, for_showing: bool) -> Plan:
    reader = value_reader(for_showing=for_showing)
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
        _verify(sealed, raw_digest(header))
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


def raw_digest(header: Record) -> str:
    """Return the digest over the records as they stand in the file, fields of newer versions included."""
    names = ("source", "destination", "base", "settings", "live", "findings", "complete", "original_digest")
    return canonical.digest_of(
        {name: header[name] for name in names}, {name: map(line, header[name]) for name in canonical.SECTIONS}
    )


def _lists(header: Record, reader: Reader, *, used_up: bool = False) -> Dict[str, List[Any]]:
    """Return the values of all sections; with *used_up* the records go while they are read, to spare memory."""
    found: Dict[str, List[Any]] = {}
    for name, kind in _ITEMS.items():
        if name not in header:
            continue
        if not isinstance(header[name], list):
            raise PlanFormatError(f"{name} is not a list")
        found[name] = _values(name, _used_up(header[name]) if used_up else header[name], kind, reader)
    return found


def _used_up(records: List[Any]) -> Iterator[Any]:
    for number, record in enumerate(records):
        records[number] = None
        yield record


def _field(header: Record, name: str, kind: Any, reader: Reader) -> Any:
    if kind in (list, dict):
        if not isinstance(header[name], kind):
            raise PlanFormatError(f"{name} is not a JSON {'object' if kind is dict else 'array'}")
        return header[name]
    return reader.read(header[name], kind, name)


def _values(name: str, records: Iterable[Any], kind: Type[_Value], reader: Reader) -> List[_Value]:
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


def _unreadable(name: str, number: int, item: Any, kind: Any, reader: Reader) -> PlanFormatError:
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
    if not isinstance(value, Conflict):
        return None
    return _first_refusal(value.path, value.source_path, value.key, *(each.path for each in value.inside))


def _first_refusal(*paths: Optional[str]) -> Optional[str]:
    return next((found for found in map(refusal, (path for path in paths if path is not None)) if found), None)
