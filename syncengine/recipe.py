"""Recipes: the arguments of a sync in a TOML or JSON file, read strictly.

A recipe says what every run has in common. Arguments of one run (``initial``, ``allow_emptied``,
``allow_mass_delete``) and secrets have no place in it; ``${NAME}`` stands for an environment variable in URLs and
profile names, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from datetime import date, datetime, time, timezone
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from attrs import asdict, evolve, field, fields, frozen

from .core.guards import Guards, Limit
from .core.modes import ComparisonMode, ConflictPolicy, OnlyIf, Retain, SymlinkPolicy, SyncMode, choice
from .core.object_headers import NAMES, ObjectHeaders
from .core.paths import shown
from .core.pruning import Keep
from .core.units import moment_ns, size
from .errors import RecipeError

FORMAT = "syncengine.recipe/1"
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ONE_RUN = ("initial", "allow_emptied", "allow_mass_delete")
_NO_DEFAULTS = ("format", "source", "destination", "description", *_ONE_RUN)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"://[^/@:]*:(?P<password>[^/@]+)@")
_SECRET = re.compile(
    r"secret|passw|passphrase|token|credential|signature|(?:^|[^a-z])(?:key|keys|auth|sas|pat|cookie)(?:$|[^a-z])"
    r"|(?:account|access|api|private|shared)_?key|connection_?string"
)
_RESERVED_PLACES = ("none", "default")

_Schema = Dict[str, Any]
_Reader = Callable[[Any], Any]
_Key = Tuple[_Reader, _Schema, str]
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


def _only(kind: type, words: str) -> _Reader:
    """Return a reader of exactly one type: text is never taken for a number, nor true for 1."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _expected(words, value)
        return value

    return read


_text = _only(str, "a text")
_flag = _only(bool, "true or false")


_table = _only(dict, "a table")


def _whole(minimum: int) -> _Reader:
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


def _one_of(enum: Type[_Choice], name: str) -> _Reader:
    return lambda value: choice(enum, _text(value), name)


def _limit(value: Any) -> Limit:
    if type(value) is not str:
        raise _expected('a count such as "25" or a share such as "5%", in quotes', value)
    return Limit.parse(value)


def _keep(value: Any) -> Keep:
    return Keep.of(_table(value))


def _pairs(value: Any) -> Dict[str, str]:
    if type(value) is not dict or not all(type(item) is str for item in value.values()):
        raise _expected("a table of texts", value)
    if len(set(value.values())) != len(value):
        raise _Unreadable("two paths are mapped to one; the mapping has to be one to one")
    return dict(value)


def _options(value: Any) -> Dict[str, Any]:
    if type(value) is not dict:
        raise _expected("a table of storage options", value)
    for name in _secret_names(value):
        raise _Unreadable(
            f"{name!r} looks like a secret, which has no place in a recipe; put it into a profile of fsspec's "
            "configuration and name it with source_profile or destination_profile"
        )
    return dict(value)


def _secret_names(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if _SECRET.search(name.lower()):
            yield name
        if isinstance(value, dict):
            yield from _secret_names(value)


def _expandable(value: Any) -> str:
    text = str(_text(value))
    if not text:
        raise _Unreadable("expected a text, found an empty one")
    if "${" in _VARIABLE.sub("", text):
        raise _Unreadable("a variable is written ${NAME}, with letters, digits and underscores")
    return text


def _place(value: Any) -> str:
    text = _expandable(value)
    password = _PASSWORD.search(text)
    if password is not None and not _VARIABLE.fullmatch(password["password"]):
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


_SIZE_SCHEMA: _Schema = {
    "oneOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*([kKmMgGtTpPeE]?[iI]?[bB])?$"},
    ]
}
_LIMIT_SCHEMA: _Schema = {"type": "string", "pattern": r"^\s*(\d+|\d+(\.\d+)?\s*%)\s*$"}
_TEXTS: _Schema = {"type": "array", "items": {"type": "string"}}
_TEXT: _Schema = {"type": "string", "minLength": 1}
_PLAIN: _Schema = {"type": "string"}
_FLAG: _Schema = {"type": "boolean"}
_TABLE: _Schema = {"type": "object"}


def _values(enum: Type[Enum]) -> _Schema:
    return {"enum": [member.value for member in enum]}


_KEEP_SCHEMA: _Schema = {
    "type": "object",
    "properties": {each.name: {"type": "integer", "minimum": 1} for each in fields(Keep)},
    "additionalProperties": False,
    "minProperties": 1,
}
_GUARD_KEYS: Dict[str, _Key] = {
    "max_delete": (_limit, _LIMIT_SCHEMA, "Deletions on a side, as a count or a share."),
    "max_overwrite": (_limit, _LIMIT_SCHEMA, "Replaced files on a side, as a count or a share."),
    "max_transfer_bytes": (_bytes, _SIZE_SCHEMA, "Bytes that a run may transfer."),
    "protect": (_list, _TEXTS, "Patterns of what no operation may destroy."),
    "stop_if_emptied": (_flag, _FLAG, "Whether a side that lost everything stops the run."),
    "require_marker": (_text, _TEXT, "A file that both sides must hold."),
}


def _guards_schema() -> _Schema:
    limits = {name: {**schema, "description": says} for name, (_, schema, says) in _GUARD_KEYS.items()}
    return {"type": "object", "properties": limits, "additionalProperties": False}


_KEYS: Dict[str, _Key] = {
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
    "guards": (_table, _guards_schema(), "Limits that refuse a plan as a whole."),
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


@frozen
class Recipe:
    """A declarative sync. A key that is None was not said, and the default of the engine holds.

    Texts are as written: ``to_arguments`` fills in the environment and makes relative local paths start at
    ``folder``, which is where the recipe lies.
    """

    source: str
    destination: str
    format: str = FORMAT
    description: Optional[str] = None
    mode: Optional[SyncMode] = None
    ignore: Optional[Tuple[str, ...]] = None
    include: Optional[Tuple[str, ...]] = None
    ignore_files: Optional[Tuple[str, ...]] = None
    min_size: Optional[int] = None
    max_size: Optional[int] = None
    newer_than: Optional[str] = None
    older_than: Optional[str] = None
    compare: Optional[ComparisonMode] = None
    conflict: Optional[ConflictPolicy] = None
    renames: Optional[bool] = None
    scope: Optional[Tuple[str, ...]] = None
    guards: Optional[Guards] = None
    retain: Optional[Retain] = None
    trash: Optional[str] = None
    prune: Optional[Keep] = None
    symlinks: Optional[SymlinkPolicy] = None
    state: Optional[str] = None
    source_profile: Optional[str] = None
    destination_profile: Optional[str] = None
    source_options: Optional[Dict[str, Any]] = None
    destination_options: Optional[Dict[str, Any]] = None
    force: Optional[bool] = None
    path_map: Optional[Dict[str, str]] = None
    object_headers: Optional[Dict[str, Any]] = None
    metadata: Optional[str] = None
    only_if: Optional[OnlyIf] = None
    require_complete: Optional[bool] = None
    require_resolved: Optional[bool] = None
    hash_by_download: Optional[bool] = None
    workers: Optional[int] = None
    bandwidth: Optional[int] = None
    requests_per_second: Optional[float] = None
    retries: Optional[int] = None
    folder: Optional[str] = field(default=None, eq=False)

    @property
    def environment(self) -> Tuple[str, ...]:
        """The names of the environment variables this recipe asks for, sorted."""
        texts = [str(getattr(self, name) or "") for name in _EXPANDED]
        return tuple(sorted({name for text in texts for name in _VARIABLE.findall(text)}))

    @property
    def said(self) -> Dict[str, Any]:
        """What the recipe says, key by key, in values of JSON; variables are named and not filled in."""
        return {name: _plain(value) for name, value in _said(self)}

    @property
    def digest(self) -> str:
        """A SHA-256 over what the recipe says, ``sha256:…``; equal wherever the same recipe lies."""
        said = {name: value for name, value in self.said.items() if name != "description"}
        text = json.dumps(said, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_arguments(self, environment: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
        """Return the keyword arguments of ``plan``, ``sync`` and ``SyncEngine`` that this recipe says.

        *environment* is the process's by default; ``PWD`` is the working directory in any case. Raises RecipeError
        for every variable that is not set.
        """
        resolved = evolve(self, **self._expanded(_variables(environment)))
        arguments = {name: value for name, value in _said(resolved) if name not in ("format", "description")}
        for name in _PLACES:
            if name in arguments:
                arguments[name] = self._located(arguments[name])
        if arguments.get("state") in _RESERVED_PLACES:
            state = arguments.pop("state")
            return {**arguments, "state": None} if state == "none" else arguments
        return arguments

    def unset(self, environment: Optional[Mapping[str, str]] = None) -> Tuple[str, ...]:
        """Return the names of the variables it asks for that *environment*, by default the process's, lacks."""
        variables = _variables(environment)
        return tuple(name for name in self.environment if name not in variables)

    def _expanded(self, variables: Mapping[str, str]) -> Dict[str, Any]:
        missing = [name for name in self.environment if name not in variables]
        if missing:
            raise RecipeError(
                "the recipe asks for environment variables that are not set",
                [f"{name} is used by {_users(self, name)}" for name in missing],
            )
        texts = {name: getattr(self, name) for name in _EXPANDED}
        return {name: _VARIABLE.sub(lambda match: variables[match[1]], text) for name, text in texts.items() if text}

    def _located(self, place: str) -> str:
        local = "://" not in place and "::" not in place
        if self.folder is None or not local or place.startswith("~") or place in _RESERVED_PLACES:
            return place
        return os.path.normpath(os.path.join(self.folder, place))


def _said(recipe: Recipe) -> Iterator[Tuple[str, Any]]:
    for name in _KEYS:
        value = getattr(recipe, name)
        if value is not None:
            yield name, value


def _users(recipe: Recipe, variable: str) -> str:
    return ", ".join(name for name in _EXPANDED if variable in _VARIABLE.findall(getattr(recipe, name) or ""))


_PLACES = ("source", "destination", "state", "trash")
_EXPANDED = (*_PLACES, "source_profile", "destination_profile")


def _variables(environment: Optional[Mapping[str, str]]) -> Dict[str, str]:
    # A process that was started in another directory than its shell's inherits a PWD that is wrong.
    return {**(os.environ if environment is None else environment), "PWD": os.getcwd()}


def _plain(value: Any) -> Any:
    if isinstance(value, Guards):
        return {name: _plain(limit) for name, limit in asdict(value, recurse=False).items()}
    if isinstance(value, Keep):
        return {name: number for name, number in asdict(value).items() if number is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Limit, date, time)):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def load(
    path: Union[str, os.PathLike[str]],
    *,
    environment: Optional[Mapping[str, str]] = None,
    form_only: bool = False,
) -> Recipe:
    """Read a recipe from a ``.toml`` or ``.json`` file.

    Raises RecipeError with every problem at once, each with the file, the key and the nearest valid key or value; a
    variable that is missing from *environment* (by default the process's) is a problem too, unless *form_only*.
    """
    file = Path(path)
    document = _document(file)
    issues = [
        f"{shown(str(file))}: {name}: is an argument of one run, not of a recipe; pass it with the command or the call"
        for name in _ONE_RUN
        if name in document
    ]
    if "format" not in document:
        issues.append(f'{shown(str(file))}: format: is missing; a recipe starts with: format = "{FORMAT}"')
    rest = {name: value for name, value in document.items() if name not in _ONE_RUN}
    recipe, found = _structured(rest)
    issues += [f"{shown(str(file))}: {issue}" for issue in found]
    if recipe is not None and not form_only:
        variables = _variables(environment)
        issues += [
            f"{shown(str(file))}: {_users(recipe, name)}: the environment variable {name} is not set"
            for name in recipe.environment
            if name not in variables
        ]
    if issues or recipe is None:
        raise _invalid(file, "is not a valid recipe", issues)
    return evolve(recipe, folder=str(file.resolve().parent))


def _invalid(file: Path, what: str, issues: Sequence[str]) -> RecipeError:
    """Return the error of a file: each of its issues names the file, its message does so once."""
    name = shown(str(file))
    error = RecipeError(f"{name} {what}", [issue[len(name) + 2 :] for issue in issues])
    error.issues = tuple(issues)
    return error


def load_defaults(path: Union[str, os.PathLike[str]]) -> Dict[str, Any]:
    """Return the arguments in a file of defaults: the keys of a recipe without its places.

    Raises RecipeError like ``load``.
    """
    file = Path(path)
    document = _document(file)
    issues = [f"{name}: is not a default; it belongs to one sync" for name in _NO_DEFAULTS if name in document]
    rest = {name: value for name, value in document.items() if name not in _NO_DEFAULTS}
    recipe, found = _structured({"format": FORMAT, "source": ".", "destination": ".", **rest})
    if issues or recipe is None:
        named = [f"{shown(str(file))}: {issue}" for issue in (*issues, *found)]
        raise _invalid(file, "does not hold valid defaults", named)
    arguments = evolve(recipe, folder=str(file.resolve().parent)).to_arguments()
    return {name: value for name, value in arguments.items() if name not in _NO_DEFAULTS}


def _document(file: Path) -> Dict[str, Any]:
    readers: Dict[str, Callable[[str], Any]] = {".toml": _read_toml, ".json": _read_json}
    name = shown(str(file))
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise RecipeError(f"{name}: a recipe is a .toml or a .json file")
    try:
        document = reader(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # what the parsers of TOML, JSON and UTF-8 raise
        raise RecipeError(f"{name} is not valid {file.suffix[1:].upper()}: {error}") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{name} holds no table of keys")
    return document


def _read_toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return table


def _structured(document: Dict[str, Any]) -> Tuple[Optional[Recipe], List[str]]:
    """Return the recipe, or every problem as ``key: what is wrong``."""
    from cattrs import BaseValidationError, Converter, transform_error  # reading a recipe needs it, a sync does not
    from cattrs.gen import make_dict_structure_fn, override

    def hooks(keys: Mapping[str, _Key]) -> Dict[str, Any]:
        return {name: override(struct_hook=_hook(read)) for name, (read, _, _) in keys.items()}

    converter = Converter()
    read_guards = make_dict_structure_fn(Guards, converter, _cattrs_forbid_extra_keys=True, **hooks(_GUARD_KEYS))
    keys = {**hooks(_KEYS), "guards": override(struct_hook=lambda value, kind: read_guards(_table(value), Guards))}
    structure = make_dict_structure_fn(
        Recipe, converter, _cattrs_forbid_extra_keys=True, folder=override(omit=True), **keys
    )
    try:
        return structure(document, Recipe), []
    except BaseValidationError as error:
        return None, [issue for text in transform_error(error, format_exception=_described) for issue in _issues(text)]


def _hook(read: _Reader) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _described(error: BaseException, _: Optional[type]) -> str:
    """Return what is wrong, one line for each problem; a line starts with the key below the one that is read."""
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        return "\n".join(_unknown(name, inside_guards=error.cl is Guards) for name in sorted(error.extra_fields))
    return ": is missing" if isinstance(error, KeyError) else f": {error}"


def _unknown(name: str, *, inside_guards: bool) -> str:
    known = {key: key if inside_guards else f"guards.{key}" for key in _GUARD_KEYS}
    if not inside_guards:
        known.update({key: key for key in _KEYS})
    near = get_close_matches(name.replace("-", "_").lower(), known, n=1)
    hint = f"did you mean {known[near[0]]!r}?" if near else f"valid keys: {', '.join(sorted(known.values()))}"
    return f".{shown(name)}: is not a key; {hint}"


def _issues(text: str) -> Iterator[str]:
    """Put the key before each line of what cattrs says: ``line @ $.guards`` becomes ``guards: line``."""
    lines, _, place = text.rpartition(" @ $")
    for line in lines.split("\n"):
        yield (place + line).lstrip(".")


def find(name: str) -> Path:
    """Return the file of a recipe: *name* is a path, or the name of one that comes with this package.

    A folder ``recipes`` in the working directory is looked through first. Raises RecipeError with the nearest name.
    """
    if Path(name).suffix in (".toml", ".json") or os.sep in name:
        return Path(name)
    known: Dict[str, Path] = {}
    for folder in reversed(_folders()):
        known.update({file.stem: file for file in sorted(folder.glob("*.toml"))})
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
    raise RecipeError(f"there is no recipe {shown(name)!r}; {hint}")


def _folders() -> Tuple[Path, ...]:
    package = Path(__file__).resolve().parent
    # In a checkout the recipes lie beside the package; beside an installed one lie other packages.
    checkout = (package.parent / "recipes",) if (package.parent / "pyproject.toml").is_file() else ()
    return (Path("recipes"), package / "recipes", *checkout)


def schema() -> _Schema:
    """Return the JSON Schema of recipes, for editors and other programs."""
    properties = {name: {**schema, "description": says} for name, (_, schema, says) in _KEYS.items()}
    return {
        "$schema": SCHEMA_DIALECT,
        "title": FORMAT,
        "type": "object",
        "properties": properties,
        "required": ["format", "source", "destination"],
        "additionalProperties": False,
    }
