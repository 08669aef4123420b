"""Recipes: the arguments of a sync in a TOML or JSON file, read strictly.

A recipe says what every run has in common. Arguments of one run (``initial``, ``allow_emptied``,
``allow_mass_delete``) and secrets have no place in it; ``${NAME}`` stands for an environment variable in URLs and
profile names, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import date, time
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from attrs import asdict, evolve, field, frozen

from .core.guards import Guards, Limit
from .core.modes import ComparisonMode, ConflictPolicy, OnlyIf, Retain, SymlinkPolicy, SyncMode
from .core.paths import shown
from .core.pruning import Keep
from .core.synonyms import meant, nearest, plain
from .errors import RecipeError
from .recipe_keys import FORMAT, GUARD_KEYS, KEYS, VARIABLE, Key, Reader, Schema, read_table
from .serial_reading import PLAN_FORMAT, REPORT_FORMAT

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ONE_RUN = ("initial", "allow_emptied", "allow_mass_delete")
_NO_DEFAULTS = ("format", "source", "destination", "description", *_ONE_RUN)
_RESERVED_PLACES = ("none", "default")


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
        return tuple(sorted({name for text in texts for name in VARIABLE.findall(text)}))

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
        return {name: VARIABLE.sub(lambda match: variables[match[1]], text) for name, text in texts.items() if text}

    def _located(self, place: str) -> str:
        local = "://" not in place and "::" not in place
        if self.folder is None or not local or place.startswith("~") or place in _RESERVED_PLACES:
            return place
        return os.path.normpath(os.path.join(self.folder, place))


def _said(recipe: Recipe) -> Iterator[Tuple[str, Any]]:
    for name in KEYS:
        value = getattr(recipe, name)
        if value is not None:
            yield name, value


def _users(recipe: Recipe, variable: str) -> str:
    return ", ".join(name for name in _EXPANDED if variable in VARIABLE.findall(getattr(recipe, name) or ""))


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
    _refuse_another_format(file, document)
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


def _refuse_another_format(file: Path, document: Mapping[str, Any]) -> None:
    if document.get("format") == PLAN_FORMAT:
        raise RecipeError(f"{shown(str(file))} is a saved plan and no recipe; `syncengine apply` performs it")
    if document.get("format") == REPORT_FORMAT:
        raise RecipeError(
            f"{shown(str(file))} is the report of a run and no recipe; `syncengine apply --resume` does what it left"
        )


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

    def hooks(keys: Mapping[str, Key]) -> Dict[str, Any]:
        return {name: override(struct_hook=_hook(read)) for name, (read, _, _) in keys.items()}

    converter = Converter()
    read_guards = make_dict_structure_fn(Guards, converter, _cattrs_forbid_extra_keys=True, **hooks(GUARD_KEYS))
    keys = {**hooks(KEYS), "guards": override(struct_hook=lambda value, kind: read_guards(read_table(value), Guards))}
    structure = make_dict_structure_fn(
        Recipe, converter, _cattrs_forbid_extra_keys=True, folder=override(omit=True), **keys
    )
    try:
        return structure(document, Recipe), []
    except BaseValidationError as error:
        return None, [issue for text in transform_error(error, format_exception=_described) for issue in _issues(text)]


def _hook(read: Reader) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _described(error: BaseException, _: Optional[type]) -> str:
    """Return what is wrong, one line for each problem; a line starts with the key below the one that is read."""
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        return "\n".join(_unknown(name, inside_guards=error.cl is Guards) for name in sorted(error.extra_fields))
    return ": is missing" if isinstance(error, KeyError) else f": {error}"


def _unknown(name: str, *, inside_guards: bool) -> str:
    return f".{shown(name)}: is not a key; {_guard_hint(name) if inside_guards else _hint(name)}"


def _guard_hint(name: str) -> str:
    near = nearest(plain(name), GUARD_KEYS)
    return f"did you mean {near!r}?" if near else f"valid keys: {', '.join(sorted(GUARD_KEYS))}"


def _hint(name: str) -> str:
    near = meant(name, KEYS)
    valid = sorted([*KEYS, *(f"guards.{key}" for key in GUARD_KEYS)])
    return near.hint(near.as_key) if near else f"valid keys: {', '.join(valid)}"


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


def schema() -> Schema:
    """Return the JSON Schema of recipes, for editors and other programs."""
    properties = {name: {**schema, "description": says} for name, (_, schema, says) in KEYS.items()}
    return {
        "$schema": SCHEMA_DIALECT,
        "title": FORMAT,
        "type": "object",
        "properties": properties,
        "required": ["format", "source", "destination"],
        "additionalProperties": False,
    }
