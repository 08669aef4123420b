"""The options that commands share, and the arguments that come of them.

A value is looked for in this order: the flag, ``SYNCENGINE_<NAME>`` in the environment, the recipe, the user's own
configuration, the default of the engine. So every option here is None, or empty, where it was not said.
"""

from __future__ import annotations

import os
import sys
from enum import Enum
from inspect import cleandoc
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
)

import click
from attrs import evolve, field, frozen

from ..core.modes import (
    ComparisonMode,
    ConflictPolicy,
    InitialSyncPreference,
    OnlyIf,
    OnStale,
    Retain,
    SymlinkPolicy,
    SyncMode,
    choice,
)
from ..errors import RecipeError
from .output import ENVIRONMENT, Output, habits
from .storage_options import options_given, storage_option
from .suggestions import Command, mode_meant

if TYPE_CHECKING:
    from click.core import ParameterSource
    from click.shell_completion import CompletionItem

    from ..engine import SyncEngine
    from ..events import Observer

_Function = TypeVar("_Function", bound=Callable[..., Any])
Decorator = Callable[[_Function], _Function]

_GUARDS = (
    "max_delete",
    "max_overwrite",
    "max_transfer_bytes",
    "protect",
    "require_marker",
    "stop_if_emptied",
)


# ------------------------------------------------------------------------------------------------------ kinds of values


if TYPE_CHECKING:
    _Kind = click.ParamType[Any]
else:
    _Kind = click.ParamType  # not generic at run time in every version


class Named(_Kind):
    """A member of a closed set, by every name the library takes."""

    def __init__(self, enum: Type[Any], name: str) -> None:
        self.enum = enum
        self.name = name

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Any:
        """Return the member that *value* names."""
        meant = mode_meant(value) if self.enum is SyncMode else ""
        if meant:
            self.fail(f"mode cannot be {value!r}; did you mean {meant!r}?", param, ctx)
        try:
            return SyncMode.from_string(value) if self.enum is SyncMode else choice(self.enum, value, self.name)
        except RecipeError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> List[CompletionItem]:
        """Offer the values."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(member.value) for member in self.enum if member.value.startswith(incomplete)]


class Pair(_Kind):
    """Two texts around an equals sign."""

    name = "pair"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Tuple[str, str]:
        """Return both texts; the last equals sign parts them, because names may hold one."""
        if isinstance(value, tuple):
            return value[0], value[1]
        first, sign, second = str(value).rpartition("=")
        if not sign or not first or not second:
            self.fail(f"{value!r} is not two texts with '=' between them", param, ctx)
        return first, second


def _values(enum: Type[Any]) -> str:
    return ", ".join(member.value for member in enum)


# ------------------------------------------------------------------------------------------------------------- options


def _option(*names: str, **attributes: Any) -> Decorator[Any]:
    return click.option(*names, **attributes)


def _one_run(*names: str, **attributes: Any) -> Decorator[Any]:
    """Return an option of one run: it is said with the command and never taken from the environment."""
    return click.option(*names, allow_from_autoenv=False, **attributes)


def _one_of(
    name: str, enum: Type[Any], says: str, *, default: Optional[Enum] = None, one_run: bool = False
) -> Decorator[Any]:
    """Return an option that takes a member of *enum*; *default* is the engine's, and only told."""
    argument = name.strip("-").replace("-", "_")
    return click.option(
        name,
        type=Named(enum, argument),
        metavar=argument.upper(),
        allow_from_autoenv=not one_run,
        help=f"{says}: {_values(enum)}{'' if default is None else f' [{default.value}]'}.",
    )


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator that adds all options in the order given."""

    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


filter_options = together(
    _option("--ignore", multiple=True, metavar="PATTERN", help="gitignore pattern of what takes no part (repeatable)."),
    _option("--include", multiple=True, metavar="PATTERN", help="Only what matches takes part (repeatable)."),
    _option("--ignore-files", multiple=True, metavar="NAME", help="Names of ignore files [.syncignore]; '' for none."),
    _option("--min-size", metavar="SIZE", help="Smaller files take no part: 512, 10MB, 1.5GiB."),
    _option("--max-size", metavar="SIZE", help="Larger files take no part."),
    _option("--newer-than", metavar="AGE", help="Only files changed since: 7d, 12h, or a time with a zone."),
    _option("--older-than", metavar="AGE", help="Only files unchanged since."),
    _one_run(
        "--files-from", metavar="FILE", help="Only the paths in this file, one on each line; - is standard input."
    ),
    _one_run("--scope", multiple=True, metavar="FOLDER", help="Only these folders: a partial sync (repeatable)."),
)

compare_options = together(
    _one_of("--compare", ComparisonMode, "How files are found to be equal", default=ComparisonMode.HASH_THEN_MTIME),
    _one_of("--symlinks", SymlinkPolicy, "What happens to symbolic links", default=SymlinkPolicy.SKIP),
    _option("--path-map", multiple=True, type=Pair(), metavar="FROM=TO", help="Name a source path TO (repeatable)."),
    _option("--hash-by-download/--no-hash-by-download", default=None, help="Read remote files to settle equality."),
)

trash_option = _option("--trash", metavar="URL", help="Where old versions are kept [below each side].")

decision_options = together(
    _one_of("--mode", SyncMode, "Which way changes travel, and whether deletions do", default=SyncMode.SOURCE_BACKUP),
    _one_of("--conflict", ConflictPolicy, "Who wins where both sides changed", default=ConflictPolicy.NEWEST),
    _one_of("--initial", InitialSyncPreference, "Whose files count in a first two-way sync", one_run=True),
    _one_of("--only-if", OnlyIf, "When an existing file may be replaced"),
    _option(
        "--object-header",
        "object_headers",
        multiple=True,
        type=(str, str),
        metavar="PATTERN NAME=VALUE",
        help="What objects that match carry besides content (repeatable).",
    ),
    _option("--metadata", type=click.Choice(["mode"]), help="Also keep permission bits in step."),
    _option("--force/--no-force", default=None, help="Transfer what is equal too."),
    _option("--renames/--no-renames", default=None, help="Follow renames instead of transferring again [yes]."),
    _one_of("--retain", Retain, "Which old versions are kept", default=Retain.UNSYNCED),
    trash_option,
)

guard_options = together(
    _option("--max-delete", metavar="LIMIT", help="Refuse more deletions on a side: 25, or 5%."),
    _option("--max-overwrite", metavar="LIMIT", help="Refuse more replaced files on a side."),
    _option("--max-transfer-bytes", metavar="SIZE", help="Refuse to transfer more."),
    _option("--protect", multiple=True, metavar="PATTERN", help="What nothing may destroy (repeatable)."),
    _option("--require-marker", metavar="NAME", help="A file that both sides must hold."),
    _option("--stop-if-emptied/--no-stop-if-emptied", default=None, help="Refuse to spread a side's emptiness."),
    _option("--require-complete/--no-require-complete", default=None, help="Refuse where anything is unreadable."),
    _option("--require-resolved/--no-require-resolved", default=None, help="Refuse where a conflict is open."),
    _one_run("--allow-emptied", is_flag=True, default=None, help="For this run: a side may have been emptied."),
    _one_run("--allow-mass-delete", is_flag=True, default=None, help="For this run: no limit on deletions."),
)

state_option = _option("--state", metavar="PLACE", help="Where the state is: a folder, a URL, or none for stateless.")

place_options = together(
    state_option,
    _option("--state-single-writer", is_flag=True, default=None, help="Only this machine ever syncs this pair."),
    _option("--source-profile", metavar="NAME", help="fsspec profile with the options of the source."),
    _option("--destination-profile", metavar="NAME", help="fsspec profile with the options of the destination."),
    storage_option("--source-option", "the source"),
    storage_option("--destination-option", "the destination"),
)

limit_options = together(
    _option("--workers", type=click.IntRange(min=1), metavar="N", help="Transfers at once [chosen by route]."),
    _option("--bandwidth", metavar="SIZE", help="Bytes a second, at most: 5MB."),
    _option("--requests-per-second", type=float, metavar="N", help="Requests a second, at most."),
    _option("--retries", type=click.IntRange(min=0), metavar="N", help="Further tries of a failed call [3]."),
)

progress_option = _option("--progress/--no-progress", default=None, help="Show progress [on a terminal].")
events_option = _one_run("--events", is_flag=True, help="Write events to standard error, one JSON line each.")
json_option = _one_run("--json", "as_json", is_flag=True, help="Print one JSON document.")

view_options = together(
    _one_run("--json", "view", flag_value="json", help="Print the saved form, one JSON document."),
    _one_run("--itemize", "view", flag_value="itemize", help="Print one line for each item, stable and complete."),
    _one_run("--markdown", "view", flag_value="markdown", help="Print Markdown for a review comment."),
    _one_run("--html", metavar="FILE", help="Also write an HTML page."),
)

on_stale_option = _one_of("--on-stale", OnStale, "What to do where the world has changed since", one_run=True)

sync_options = together(
    decision_options,
    filter_options,
    compare_options,
    guard_options,
    place_options,
    limit_options,
    progress_option,
)

look_options = together(filter_options, compare_options, place_options, limit_options, progress_option)

places_argument = click.argument("places", nargs=-1, metavar="SRC DST | RECIPE")


def subcommand(
    name: str, *examples: str, group: Optional[click.Group] = None, environment: bool = True
) -> Callable[[Any], click.Command]:
    """Return a decorator that makes a command whose help starts with *examples* and which takes the common options.

    With *environment* ``SYNCENGINE_<NAME>`` speaks for the options that allow it.
    """

    def decorate(function: Any) -> click.Command:
        said = cleandoc(function.__doc__)
        lines = "\n".join(f"  {example}" for example in examples)
        made = click.command(
            name,
            cls=Command,
            help=f"\b\n{lines}\n\n{said}",
            short_help=said.partition("\n")[0],
            context_settings={"auto_envvar_prefix": ENVIRONMENT if environment else None},
        )(click.pass_obj(function))
        made.params += habits()
        if group is not None:
            group.add_command(made)
        return made

    return decorate


# ----------------------------------------------------------------------------------------------------------- arguments


@frozen
class Request:
    """One sync as it was asked for: two places and the arguments of the engine."""

    source: str
    destination: str
    arguments: Dict[str, Any] = field(factory=dict)

    def with_(self, **arguments: Any) -> Request:
        """Return this request with other arguments."""
        return evolve(self, arguments={**self.arguments, **arguments})

    def engine(self, output: Output, *, events: bool = False) -> SyncEngine:
        """Return the engine that does it; raises RecipeError for arguments that do not fit together."""
        from ..engine import SyncEngine

        arguments = {**self.arguments, **observing(output, events=events, progress=self.arguments.get("progress"))}
        return SyncEngine(self.source, self.destination, **arguments)


def observing(output: Output, *, events: bool, progress: Optional[bool]) -> Dict[str, Any]:
    """Return the arguments that say who watches a run: JSON lines, a bar, or nobody."""
    if events:
        from ..render.progress import JsonLines

        observer: Observer = JsonLines(sys.stderr)
        return {"observer": observer, "progress": False}
    return {"progress": False if output.verbosity < 0 else progress}


def request(context: click.Context, places: Sequence[str]) -> Request:
    """Return what *places* and the options of *context* ask for: a source and a destination, or a recipe."""
    if len(places) not in (1, 2):
        raise click.UsageError(f"give a source and a destination, or a recipe; found {len(places)} places", context)
    context.ensure_object(Output).named = (*places, *_state_named(context))
    defaults = _defaults()
    said = _recipe_arguments(context, places[0]) if len(places) == 1 else _pair(places)
    given = _given(context)
    for name, options in options_given(context.params).items():
        given[name] = {**(said.get(name) or defaults.get(name) or {}), **options}
    guards = {**_guard_fields(said.get("guards") or defaults.get("guards")), **_popped(given, _GUARDS)}
    arguments = {**defaults, **said, **given}
    if guards:
        arguments["guards"] = _built_guards(guards)
    return Request(arguments.pop("source"), arguments.pop("destination"), arguments)


def _state_named(context: click.Context) -> Sequence[str]:
    source = context.get_parameter_source("state")
    # What the environment says, it will say to the next command too.
    is_flag = source is not None and source.name == "COMMANDLINE"
    return ("--state", context.params["state"]) if is_flag else ()


def _pair(places: Sequence[str]) -> Dict[str, Any]:
    return {"source": places[0], "destination": places[1]}


def _recipe_arguments(context: click.Context, name: str) -> Dict[str, Any]:
    from ..recipe import find, load

    try:
        recipe = load(find(name))
    except RecipeError:
        if _is_place(name):
            raise click.UsageError(
                "that is a place and no recipe (.toml, .json); give a destination too", context
            ) from None
        raise
    return {**recipe.to_arguments(), "recipe_digest": recipe.digest}


def _is_place(name: str) -> bool:
    if name.endswith((".toml", ".json")):
        return False
    return os.sep in name or "://" in name or os.path.exists(name)


def _defaults() -> Dict[str, Any]:
    from .configuration import user_defaults

    return user_defaults()


def _given(context: click.Context) -> Dict[str, Any]:
    """Return the engine's arguments that were said by a flag or in the environment."""
    given = {
        name: value
        for name, value in context.params.items()
        if name in _ARGUMENTS and value is not None and _was_said(context.get_parameter_source(name))
    }
    if "files_from" in given:
        given["files_from"] = tuple(_listed(given["files_from"]))
    if "ignore_files" in given:
        given["ignore_files"] = tuple(name for name in given["ignore_files"] if name)
    if "path_map" in given:
        given["path_map"] = _mapped(given["path_map"])
    if "object_headers" in given:
        # A value may hold an equals sign, as in max-age=60; the name of a header holds none.
        said = [(pattern, header.partition("=")) for pattern, header in given["object_headers"]]
        given["object_headers"] = [(pattern, name, value) for pattern, (name, _, value) in said]
    if "state" in given:
        given["state"] = state_place(given["state"])
    return given


def _mapped(pairs: Sequence[Tuple[str, str]]) -> Dict[str, str]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise RecipeError("--path-map gives one path two names; the mapping has to be one to one")
    return mapping


def _names(options: Decorator[Any]) -> FrozenSet[str]:
    def bare() -> None:
        """Carry options."""

    return frozenset(option.name for option in options(bare).__click_params__)


_ARGUMENTS = _names(sync_options) - {"source_option", "destination_option"}


def _was_said(source: Optional[ParameterSource]) -> bool:
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _popped(values: Dict[str, Any], names: Sequence[str]) -> Dict[str, Any]:
    return {name: values.pop(name) for name in names if name in values}


def _guard_fields(guards: Any) -> Dict[str, Any]:
    """Return the fields of the guards of a recipe, or of the user's configuration where it has none."""
    return {} if guards is None else {name: getattr(guards, name) for name in _GUARDS}


def _built_guards(fields: Dict[str, Any]) -> Any:
    from ..core.guards import Guards
    from ..core.units import size

    transfer = fields.get("max_transfer_bytes")
    if transfer is not None:
        fields = {**fields, "max_transfer_bytes": size(transfer, "max_transfer_bytes")}
    return Guards(**fields)


def guards_given(context: click.Context) -> Any:
    """Return the guards that the flags of *context* alone ask for, or None."""
    fields = _popped(_given(context), _GUARDS)
    return _built_guards({"max_delete": None, **fields}) if fields else None


def limits_given(context: click.Context) -> Dict[str, Any]:
    """Return how hard a run may work: flags, the environment, then the user's configuration."""
    names = ("workers", "bandwidth", "requests_per_second", "retries")
    return {**_popped(_defaults(), names), **_popped(_given(context), names)}


def state_place(text: str) -> Optional[str]:
    """Return the place that ``--state`` names; a plan that is applied from another folder must still find it."""
    if text in ("none", "default"):
        return None if text == "none" else text
    return text if "://" in text else os.path.abspath(os.path.expanduser(text))


def _listed(place: str) -> Iterator[str]:
    """Yield the paths in a file, or on standard input; a name may end in a blank, so only the line end goes."""
    if place == "-":
        yield from _paths(sys.stdin.buffer)
        return
    try:
        with open(place, "rb") as file:
            yield from _paths(file)
    except OSError as error:
        raise RecipeError(f"--files-from: {click.format_filename(place)} cannot be read: {error.strerror}") from error


def _paths(file: Any) -> Iterator[str]:
    for line in file:
        path = os.fsdecode(line.rstrip(b"\n"))
        if path:
            yield path
