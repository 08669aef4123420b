"""The keys of a recipe: how each is read, its JSON Schema, and what it says.

A value of another type is an error, never converted: text is not taken for a number, nor a share for a count. Secrets
are recognised by the names of options and by their place in a URL, and refused.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timezone
from enum import Enum
from typing import Any, Callable, Dict, Iterator, Mapping, Tuple, Type, TypeVar

from attrs import fields

from .core.guards import Limit
from .core.modes import ComparisonMode, ConflictPolicy, OnlyIf, Retain, SymlinkPolicy, SyncMode, choice
from .core.object_headers import NAMES, ObjectHeaders
from .core.paths import shown
from .core.pruning import Keep
from .core.units import moment_ns, size
from .errors import RecipeError

FORMAT = "syncengine.recipe/1"

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"://[^/@:]*:(?P<password>[^/@]+)@")
_SECRET = re.compile(
    r"secret|passw|passphrase|token|credential|signature|(?:^|[^a-z])(?:key|keys|auth|sas|pat|cookie)(?:$|[^a-z])"
    r"|(?:account|access|api|private|shared)_?key|connection_?string"
)
Schema = Dict[str, Any]
Reader = Callable[[Any], Any]
Key = Tuple[Reader, Schema, str]
"""How a key is read, its JSON Schema, and what it says."""
_Choice = TypeVar("_Choice", bound=Enum)


class _Unreadable(ValueError):
    """A value is not what its key takes."""


_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def _expected(words: str, value: Any) -> _Unreadable:
    found = _WORDS.get(type(value), type(value).__name__)
    return _Unreadable(f"expected {words}, found {found} ({shown(repr(value))})")


def _only(kind: type, words: str) -> Reader:
    """Return a reader of exactly one type: text is never taken for a number, nor true for 1."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _expected(words, value)
        return value

    return read


_text = _only(str, "a text")
_flag = _only(bool, "true or false")


read_table = _only(dict, "a table")


def _whole(minimum: int) -> Reader:
    def read(value: Any) -> int:
        if type(value) is not int or value < minimum:
            raise _expected(f"a whole number from {minimum} on", value)
        return value

    return read


def _rate(value: Any) -> float:
    if type(value) not in (int, float) or value <= 0:
        raise _expected("a number above 0", value)
    return float(value)


def _list(value: Any) -> Tuple[str, ...]:
    if type(value) is not list:
        raise _expected("a list of texts", value)
    for item in value:
        if type(item) is not str:
            raise _expected("a list of texts", item)
    return tuple(value)


def _bytes(value: Any) -> int:
    if type(value) not in (int, str):
        raise _expected('a number of bytes or a text such as "10MB"', value)
    return size(value)


def _age(value: Any) -> str:
    if isinstance(value, (date, time)) and not isinstance(value, datetime):
        raise _expected('a duration such as "7d" or a time with a zone', value)
    text = value.isoformat() if isinstance(value, datetime) else _text(value)
    moment_ns(text, now=datetime(2000, 1, 1, tzinfo=timezone.utc), name="it")
    return str(text)


def _mode(value: Any) -> SyncMode:
    return SyncMode.from_string(_text(value))


def _one_of(enum: Type[_Choice], name: str) -> Reader:
    return lambda value: choice(enum, _text(value), name)


def _limit(value: Any) -> Limit:
    if type(value) is not str:
        raise _expected('a count such as "25" or a share such as "5%", in quotes', value)
    return Limit.parse(value)


def _keep(value: Any) -> Keep:
    return Keep.of(read_table(value))


def _pairs(value: Any) -> Dict[str, str]:
    if type(value) is not dict or not all(type(item) is str for item in value.values()):
        raise _expected("a table of texts", value)
    if len(set(value.values())) != len(value):
        raise _Unreadable("two paths are mapped to one; the mapping has to be one to one")
    return dict(value)


def _options(value: Any) -> Dict[str, Any]:
    if type(value) is not dict:
        raise _expected("a table of storage options", value)
    for name in secret_names(value):
        raise _Unreadable(
            f"{name!r} looks like a secret, which has no place in a recipe; put it into a profile of fsspec's "
            "configuration and name it with source_profile or destination_profile"
        )
    return dict(value)


def secret_names(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of storage options, nested ones too, by which a value is a secret."""
    for name, value in options.items():
        if _SECRET.search(name.lower()):
            yield name
        if isinstance(value, dict):
            yield from secret_names(value)


def _expandable(value: Any) -> str:
    text = str(_text(value))
    if not text:
        raise _Unreadable("expected a text, found an empty one")
    if "${" in VARIABLE.sub("", text):
        raise _Unreadable("a variable is written ${NAME}, with letters, digits and underscores")
    return text


def _place(value: Any) -> str:
    text = _expandable(value)
    password = _PASSWORD.search(text)
    if password is not None and not VARIABLE.fullmatch(password["password"]):
        raise _Unreadable("there is a password in this URL; name a profile that holds it, or write ${NAME} instead")
    return text


def _object_headers(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unreadable("object_headers is a table of patterns, each with a table of headers")
    try:
        ObjectHeaders.of(value)
    except RecipeError as error:
        raise _Unreadable(str(error)) from error
    return value


def _known_metadata(value: Any) -> str:
    if _text(value) != "mode":
        raise _Unreadable(f'metadata cannot be {value!r}; the only valid value is "mode"')
    return "mode"


def _format(value: Any) -> str:
    text = str(_text(value))
    if text == FORMAT:
        return text
    if re.fullmatch(r"syncengine\.recipe/\d+", text):
        raise _Unreadable(f"this recipe is of format {text!r}, which this version does not know; it reads {FORMAT!r}")
    raise _Unreadable(f"expected {FORMAT!r}, found {shown(repr(text))}")


_SIZE_SCHEMA: Schema = {
    "oneOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*([kKmMgGtTpPeE]?[iI]?[bB])?$"},
    ]
}
_LIMIT_SCHEMA: Schema = {"type": "string", "pattern": r"^\s*(\d+|\d+(\.\d+)?\s*%)\s*$"}
_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
_TEXT: Schema = {"type": "string", "minLength": 1}
_PLAIN: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_TABLE: Schema = {"type": "object"}


def _values(enum: Type[Enum]) -> Schema:
    return {"enum": [member.value for member in enum]}


_KEEP_SCHEMA: Schema = {
    "type": "object",
    "properties": {each.name: {"type": "integer", "minimum": 1} for each in fields(Keep)},
    "additionalProperties": False,
    "minProperties": 1,
}
GUARD_KEYS: Dict[str, Key] = {
    "max_delete": (_limit, _LIMIT_SCHEMA, "Deletions on a side, as a count or a share."),
    "max_overwrite": (_limit, _LIMIT_SCHEMA, "Replaced files on a side, as a count or a share."),
    "max_transfer_bytes": (_bytes, _SIZE_SCHEMA, "Bytes that a run may transfer."),
    "protect": (_list, _TEXTS, "Patterns of what no operation may destroy."),
    "stop_if_emptied": (_flag, _FLAG, "Whether a side that lost everything stops the run."),
    "require_marker": (_text, _TEXT, "A file that both sides must hold."),
}


def _guards_schema() -> Schema:
    limits = {name: {**schema, "description": says} for name, (_, schema, says) in GUARD_KEYS.items()}
    return {"type": "object", "properties": limits, "additionalProperties": False}


KEYS: Dict[str, Key] = {
    "format": (_format, {"const": FORMAT}, "The format of this file."),
    "source": (_place, _TEXT, "Where files come from: a URL or a path."),
    "destination": (_place, _TEXT, "Where files go to: a URL or a path."),
    "description": (_text, _PLAIN, "What the recipe is for, in a sentence."),
    "mode": (_mode, _values(SyncMode), "Which way changes travel, and whether deletions do."),
    "ignore": (_list, _TEXTS, "Patterns of gitignore for what takes no part."),
    "include": (_list, _TEXTS, "Patterns of gitignore: only what they match takes part."),
    "ignore_files": (_list, _TEXTS, "The names of ignore files, on either side."),
    "min_size": (_bytes, _SIZE_SCHEMA, "Smaller files take no part."),
    "max_size": (_bytes, _SIZE_SCHEMA, "Larger files take no part."),
    "newer_than": (_age, _TEXT, 'Only files changed since: "7d", or a time with a zone.'),
    "older_than": (_age, _TEXT, 'Only files unchanged since: "1h", or a time with a zone.'),
    "compare": (_one_of(ComparisonMode, "compare"), _values(ComparisonMode), "How files are found to be equal."),
    "conflict": (_one_of(ConflictPolicy, "conflict"), _values(ConflictPolicy), "Who wins where both sides changed."),
    "renames": (_flag, _FLAG, "Whether renames are followed."),
    "scope": (_list, _TEXTS, "Only these folders: a partial sync."),
    "guards": (read_table, _guards_schema(), "Limits that refuse a plan as a whole."),
    "retain": (_one_of(Retain, "retain"), _values(Retain), "Which old versions are kept."),
    "trash": (_place, _TEXT, "Where old versions are kept."),
    "prune": (_keep, _KEEP_SCHEMA, "Which old versions `syncengine prune` keeps."),
    "symlinks": (_one_of(SymlinkPolicy, "symlinks"), _values(SymlinkPolicy), "What happens to symbolic links."),
    "state": (_place, _TEXT, 'Where the state is kept: a path, a URL, "default" or "none".'),
    "source_profile": (_expandable, _TEXT, "The profile of fsspec that opens the source."),
    "destination_profile": (_expandable, _TEXT, "The profile of fsspec that opens the destination."),
    "source_options": (_options, _TABLE, "Options of the source's storage; no secrets."),
    "destination_options": (_options, _TABLE, "Options of the destination's storage; no secrets."),
    "force": (_flag, _FLAG, "Whether equal files are transferred too."),
    "path_map": (
        _pairs,
        {"type": "object", "additionalProperties": {"type": "string"}},
        "Paths of the source, renamed.",
    ),
    "object_headers": (
        _object_headers,
        {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    **dict.fromkeys(NAMES, _TEXT),
                    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "additionalProperties": False,
            },
        },
        "What objects carry besides content, by patterns of gitignore; the last that matches wins.",
    ),
    "metadata": (_known_metadata, {"enum": ["mode"]}, "What is kept in step besides content."),
    "only_if": (_one_of(OnlyIf, "only_if"), _values(OnlyIf), "When an existing file may be replaced."),
    "require_complete": (_flag, _FLAG, "Whether anything unreadable refuses the plan."),
    "require_resolved": (_flag, _FLAG, "Whether an open conflict refuses the plan."),
    "hash_by_download": (_flag, _FLAG, "Whether a remote side is read to settle equality."),
    "workers": (_whole(1), {"type": "integer", "minimum": 1}, "How many transfers run at once."),
    "bandwidth": (_bytes, _SIZE_SCHEMA, "Bytes a second, at most."),
    "requests_per_second": (_rate, {"type": "number", "exclusiveMinimum": 0}, "Requests a second, at most."),
    "retries": (_whole(0), {"type": "integer", "minimum": 0}, "How often a failed call is repeated."),
}
