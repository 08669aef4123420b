"""The canonical form of a plan: one record for each part, one line of JSON for each record, one digest over the lines.

The saved form is made of the same lines, so what a reviewer reads is what the digest covers. Fields that hold their
default are left out where the default is nothing; a later version may add such fields without changing the digest of
an older plan. A None that means "absent there" is always written: leaving it out would be something else.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Tuple

from attrs import NOTHING, Factory, fields

from .entry import Stamp
from .plan import Plan
from .plan_parts import Agreement, Conflict, Operation, Settings

Record = Dict[str, Any]

SAFE_INTEGER = 2**53
"""Integers beyond this lose digits in programs that read JSON numbers as floats; they travel as decimal text."""

line: Callable[[Any], str] = JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(", ", ": ")).encode
"""Write one value as one line of ASCII."""

SECTIONS = ("problems", "conflicts", "operations", "agreements")
"""The lists of a plan, in the order in which they are saved and digested."""

ALWAYS: Mapping[type, Tuple[str, ...]] = {
    Operation: ("reason", "expect_target"),
    Conflict: ("source", "destination"),
    Agreement: ("row", "source", "destination"),
}
"""Fields that are written even where they hold their default, and that a reader must find."""


def integer(value: int) -> Any:
    """Return an integer as JSON may hold it: decimal text beyond 2**53."""
    return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)


def encode(value: Any) -> Any:
    """Return any value of a plan as JSON may hold it."""
    if value is None or value.__class__ in (str, bool, float):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(encode(name)): encode(item) for name, item in value.items()}
    special = _SPECIAL.get(value.__class__)
    return special(value) if special is not None else record(value)


def record(value: Any, *, whole: bool = False) -> Record:
    """Return the fields of one value that say something; all of them where *whole* is asked for."""
    kind = value.__class__
    always = ALWAYS.get(kind, ())
    made: Record = {}
    for name, default in _defaults(kind):
        item = getattr(value, name)
        if whole or name in always or default is NOTHING or item != default:
            made[name] = encode(item)
    return made


def stamp_record(stamp: Stamp) -> Record:
    """Return the record of a stamp; a component that is None is left out. Times are decimal text."""
    made: Record = {}
    if stamp.size is not None:
        made["size"] = integer(stamp.size)
    if stamp.mtime_ns is not None:
        made["mtime_ns"] = str(stamp.mtime_ns)
    if stamp.etag is not None:
        made["etag"] = stamp.etag
    if stamp.version is not None:
        made["version"] = stamp.version
    if stamp.digests:
        made["digests"] = list(stamp.digests)
    if stamp.file_id is not None:
        made["file_id"] = stamp.file_id
    return made


def operation_record(operation: Operation) -> Record:
    """Return the record of an operation.

    Written out by hand: a run with a million operations makes a million of these before it starts.
    """
    expected = operation.expect_target
    made: Record = {
        "action": operation.action.value,
        "path": operation.path,
        "target": operation.target.value,
        "reason": operation.reason.value,
        "kind": operation.kind.value,
    }
    if operation.size:
        made["size"] = integer(operation.size)
    if operation.origin is not None:
        side, path = operation.origin
        made["origin"] = [side.value, path]
    made["expect_target"] = None if expected is None else stamp_record(expected)
    if operation.expect_origin is not None or operation.origin is not None:
        made["expect_origin"] = None if operation.expect_origin is None else stamp_record(operation.expect_origin)
    if operation.retain:
        made["retain"] = True
    if operation.chosen_by:
        made["chosen_by"] = operation.chosen_by
    for name in _SELDOM:
        item = getattr(operation, name)
        if item is not None:
            made[name] = item
    if operation.counterpart is not None:
        made["counterpart"] = stamp_record(operation.counterpart)
    return made


_SELDOM = ("digest", "group", "key", "mode", "link", "files", "content")

quoted: Callable[[str], str] = encode_basestring_ascii
"""Write a text, or a member of an enum of texts, as JSON."""


def stamp_line(stamp: Optional[Stamp]) -> str:
    """Return the text of ``line(stamp_record(stamp))``; None is null."""
    if stamp is None:
        return "null"
    size, mtime_ns, etag, file_id = stamp.size, stamp.mtime_ns, stamp.etag, stamp.file_id
    if stamp.version is not None or size is None or size > SAFE_INTEGER:
        return line(stamp_record(stamp))
    time = "" if mtime_ns is None else f', "mtime_ns": "{mtime_ns}"'
    name = "" if etag is None else f', "etag": {quoted(etag)}'
    digests = f', "digests": [{", ".join(map(quoted, stamp.digests))}]' if stamp.digests else ""
    number = "" if file_id is None else f', "file_id": {quoted(file_id)}'
    return f'{{"size": {size}{time}{name}{digests}{number}}}'


def operation_line(operation: Operation) -> str:
    """Return the text of ``line(operation_record(operation))``, for the usual operation without a value in between.

    A first copy writes each of its operations twice, into the digest of the plan and into the journal.
    """
    origin, size = operation.origin, operation.size
    rare = operation.digest, operation.group, operation.key, operation.link, operation.counterpart, operation.files
    if origin is None or size > SAFE_INTEGER or rare != _NOTHING_RARE:
        return line(operation_record(operation))
    side, path = origin
    target, reason, kind = quoted(operation.target), quoted(operation.reason), quoted(operation.kind)
    moved = f', "size": {size}' if size else ""
    retain = ', "retain": true' if operation.retain else ""
    chosen_by = f', "chosen_by": {quoted(operation.chosen_by)}' if operation.chosen_by else ""
    mode = f', "mode": {operation.mode}' if operation.mode is not None else ""
    return (
        f'{{"action": {quoted(operation.action)}, "path": {quoted(operation.path)}, "target": {target}, '
        f'"reason": {reason}, "kind": {kind}{moved}, "origin": [{quoted(side)}, {quoted(path)}], '
        f'"expect_target": {stamp_line(operation.expect_target)}, '
        f'"expect_origin": {stamp_line(operation.expect_origin)}{retain}{chosen_by}{mode}}}'
    )


_NOTHING_RARE = (None, None, None, None, None, None)


def settings_record(settings: Settings) -> Record:
    """Return the record of the settings, every field of it: a default that changes must not change a saved plan."""
    made = record(settings, whole=True)
    if not settings.object_headers:
        # Plans that were saved before there were such rules keep their digest.
        del made["object_headers"]
    made["guards"] = record(settings.guards, whole=True)
    for name in ("max_delete", "max_overwrite"):
        limit = getattr(settings.guards, name)
        made["guards"][name] = None if limit is None else record(limit, whole=True)
    return made


_SPECIAL: Mapping[type, Callable[[Any], Record]] = {
    Stamp: stamp_record,
    Operation: operation_record,
    Settings: settings_record,
}


def deciding(plan: Plan) -> Record:
    """Return the part of a plan's header that decides what happens."""
    return {
        "source": record(plan.source, whole=True),
        "destination": record(plan.destination, whole=True),
        "base": record(plan.base, whole=True),
        "settings": settings_record(plan.settings),
        "live": encode(dict(sorted(plan.live.items()))),
        "findings": encode(plan.findings),
        "complete": plan.complete,
        "original_digest": plan.original_digest,
    }


def lines(plan: Plan) -> Dict[str, Iterator[str]]:
    """Return the lines of each list of a plan, made while they are read."""
    made: Dict[str, Iterator[str]] = {name: map(line, map(encode, getattr(plan, name))) for name in SECTIONS}
    made["operations"] = map(operation_line, plan.operations)
    return made


def digest_of(header: Record, lists: Mapping[str, Iterable[str]]) -> str:
    """Return the digest over a deciding header and the lines of the lists.

    A header field that holds nothing does not count: later versions may add one.
    """
    hashed = sha256()
    for name in sorted(header):
        if header[name] is not None:
            hashed.update(f"{name}\t{_sorted_line(header[name])}\n".encode("ascii"))
    for name in SECTIONS:
        hashed.update(f"{name}\n".encode("ascii"))
        for text in lists[name]:
            hashed.update(text.encode("ascii"))
            hashed.update(b"\n")
    return "sha256:" + hashed.hexdigest()


def plan_digest(plan: Plan) -> str:
    """Return the digest of everything in *plan* that decides what happens.

    Not of times, versions, totals, approvals or the digest of the plan it was edited from.
    """
    return digest_of(deciding(plan), lines(plan))


_sorted_line: Callable[[Any], str] = JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True).encode

_DEFAULTS: Dict[type, Tuple[Tuple[str, Any], ...]] = {}


def _defaults(kind: type) -> Tuple[Tuple[str, Any], ...]:
    known: Optional[Tuple[Tuple[str, Any], ...]] = _DEFAULTS.get(kind)
    if known is None:
        known = tuple((attribute.name, _default(attribute.default)) for attribute in fields(kind))
        _DEFAULTS[kind] = known
    return known


def _default(default: Any) -> Any:
    return default.factory() if isinstance(default, Factory) else default  # type: ignore[arg-type]
