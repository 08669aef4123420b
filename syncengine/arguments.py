"""What a user gives to SyncEngine becomes a value here, or a RecipeError that says what would do.

One function for each kind of argument; nothing here looks at a storage.
"""

from __future__ import annotations

import os
from datetime import datetime
from inspect import Parameter, signature
from typing import Any, Callable, FrozenSet, Iterable, Mapping, Optional, Tuple, Union

from attrs import Attribute, evolve, fields

from .core.conflicts import Chooser, Read
from .core.entry import Entry
from .core.guards import Guards, check_names
from .core.modes import (
    ComparisonMode,
    ConflictPolicy,
    InitialSyncPreference,
    OnlyIf,
    Retain,
    SymlinkPolicy,
    SyncMode,
    choice,
)
from .core.object_headers import ObjectHeaders
from .core.path_map import PathMap
from .core.paths import shown
from .core.plan_parts import Conflict
from .core.pruning import Keep
from .core.units import bandwidth_of, flag, rate, whole
from .errors import RecipeError, SyncError
from .pipeline import Pipeline
from .stages.throttle import Limits

DEFAULT_STATE = "default"
"""The value of ``state`` that means the user's own state directory."""


def texts(value: Union[str, Iterable[str], None]) -> Tuple[str, ...]:
    """Return one text or many as a tuple of texts."""
    if value is None:
        return ()
    try:
        return (value,) if isinstance(value, str) else tuple(str(item) for item in value)
    except TypeError:
        raise RecipeError(f"a text or a list of texts is expected, not {value!r}") from None


def shown_place(place: Any) -> str:
    """Return a place as it may be printed: a URL can hold a password."""
    from .storage.translation import redacted

    return redacted(str(place)) if place is None or isinstance(place, (str, os.PathLike)) else type(place).__name__


def mode(value: Union[str, SyncMode]) -> SyncMode:
    """Return the mode that any of its names means."""
    return SyncMode.from_string(value)


def compare(value: Union[str, ComparisonMode]) -> ComparisonMode:
    """Return the comparison mode of that name."""
    return choice(ComparisonMode, value, "compare")


def conflict(value: Union[str, ConflictPolicy, Chooser]) -> Union[ConflictPolicy, Chooser]:
    """Return the conflict policy of that name, or the function that decides."""
    if isinstance(value, str) or not callable(value):
        return choice(ConflictPolicy, value, "conflict")
    return _deciding(value)


def _deciding(function: Callable[..., Any]) -> Chooser:
    """Return a user's function of a conflict, or of a conflict and what reads its versions, as one of both."""
    wants_both = _positional(function) >= 2

    def decide(conflict: Conflict, read: Read) -> Union[str, bytes]:
        ask = asked(lambda about: function(about, read) if wants_both else function(about), "conflict", (str, bytes))
        answer: Union[str, bytes] = ask(conflict)
        return answer

    decide.__name__ = getattr(function, "__name__", type(function).__name__)
    return decide


def _positional(function: Callable[..., Any]) -> int:
    """Return how many arguments a function has to be given; 1 where it does not say."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    by_position = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in by_position and each.default is Parameter.empty for each in parameters)


def initial(value: Union[str, InitialSyncPreference, None]) -> Optional[InitialSyncPreference]:
    """Return the first-sync preference of that name."""
    return None if value is None else choice(InitialSyncPreference, value, "initial")


def retain(value: Union[str, Retain]) -> Retain:
    """Return which lost versions are kept."""
    return choice(Retain, value, "retain")


def keep(value: Union[Keep, Mapping[str, int], None]) -> Optional[Keep]:
    """Return the rules by which the trash is pruned, given as such or by their names, such as ``keep_last``."""
    if value is None or isinstance(value, Keep):
        return value
    if not isinstance(value, Mapping):
        raise RecipeError(f"prune holds rules such as keep_last by their names, not {value!r}")
    return Keep.of(value)


def symlinks(value: Union[str, SymlinkPolicy]) -> SymlinkPolicy:
    """Return what happens to symbolic links."""
    return choice(SymlinkPolicy, value, "symlinks")


def only_if(value: Union[str, OnlyIf]) -> OnlyIf:
    """Return when an existing file may be replaced."""
    return choice(OnlyIf, value, "only_if")


def path_map(value: Any) -> PathMap:
    """Return the path map; a function in it may fail only with an error that names it."""
    found = PathMap.of(value)
    return found if found.function is None else evolve(found, function=asked(found.function, "path_map", str))


def object_headers(value: Any) -> ObjectHeaders:
    """Return the rules for what objects carry besides their content."""
    return ObjectHeaders.of(value)


def predicate(value: Optional[Callable[[Entry], bool]]) -> Optional[Callable[[Entry], bool]]:
    """Return the predicate; it may fail only with an error that names it."""
    return None if value is None else asked(value, "predicate", object)


def asked(function: Callable[[Any], Any], name: str, kind: Union[type, Tuple[type, ...]]) -> Callable[[Any], Any]:
    """Return a user's *function* so that what it raises, or returns instead of a *kind*, is told as its own fault."""
    if not callable(function):
        raise RecipeError(f"{name} is a function, not {function!r}")

    def ask(about: Any) -> Any:
        path = getattr(about, "path", about)
        try:
            answer = function(about)
        except SyncError:
            raise
        except Exception as error:
            raise RecipeError(f"{name} failed for {shown(path)!r}: {type(error).__name__}: {error}") from error
        if not isinstance(answer, kind):
            expected = "a text or bytes" if isinstance(kind, tuple) else "a text"
            raise RecipeError(f"{name} must return {expected}, and returned {answer!r} for {shown(path)!r}")
        return answer

    ask.__name__ = getattr(function, "__name__", type(function).__name__)
    return ask


def files_from(value: Optional[Iterable[Union[str, os.PathLike[str]]]]) -> Optional[FrozenSet[str]]:
    """Return the paths as a set: an iterator would be empty at the second look."""
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise RecipeError(f"files_from is an iterable of paths, not {value!r}")
    found = set()
    for path in value:
        if not isinstance(path, (str, os.PathLike)):
            raise RecipeError(f"files_from holds paths, not {path!r}")
        found.add(os.fsdecode(path))
    return frozenset(found)


def place_or_none(value: Any) -> Any:
    """Return the place of a state."""
    if value is None or isinstance(value, (str, os.PathLike)):
        return value
    raise RecipeError(f"state is a folder, a URL, {DEFAULT_STATE!r} or None, not {value!r}")


def options(value: Optional[Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    """Return options as they are; their values may be secrets, so no message shows them."""
    if value is None or isinstance(value, Mapping):
        return value
    raise RecipeError(f"options are given by their names, as a mapping, not as a {type(value).__name__}")


def is_flag(_: Any, attribute: Attribute[Any], value: Any) -> None:
    """Refuse what is neither True nor False."""
    flag(value, attribute.name)


def worker_count(value: Optional[int]) -> Optional[int]:
    """Return a number of workers, at least one."""
    return None if value is None else whole(value, "workers", least=1)


def retry_count(value: int) -> int:
    """Return a number of further tries."""
    return whole(value, "retries", least=0)


def requests(value: Optional[float]) -> Optional[float]:
    """Return a rate of requests."""
    return None if value is None else rate(value, "requests_per_second")


def observing(value: Any) -> Any:
    """Return an observer."""
    if value is None or callable(getattr(value, "on", None)):
        return value
    raise RecipeError(f"an observer has a method `on` that takes events; {value!r} has none")


def pipeline(value: Any) -> Pipeline:
    """Return a pipeline."""
    if isinstance(value, Pipeline):
        return value
    raise RecipeError(f"a pipeline is made by Pipeline(...), and {value!r} is none")


def cancelling(value: Any) -> Any:
    """Return what a run is cancelled by."""
    if callable(getattr(value, "is_set", None)) and callable(getattr(value, "wait", None)):
        return value
    raise RecipeError(f"cancel is a threading.Event, not {value!r}")


def clock(value: Any) -> Callable[[], datetime]:
    """Return what tells the time."""
    if callable(value):
        found: Callable[[], datetime] = value
        return found
    raise RecipeError(f"clock is a function that returns the time, not {value!r}")


def limits_of(workers: Any = None, bandwidth: Any = None, requests_per_second: Any = None, retries: Any = 3) -> Limits:
    """Return how hard a run may work; raises RecipeError for what is no limit."""
    return Limits(worker_count(workers), bandwidth_of(bandwidth), requests(requests_per_second), retry_count(retries))


def guards(value: Union[Guards, Mapping[str, Any], None]) -> Guards:
    """Return guards, given as such or by the names of their limits."""
    if isinstance(value, Guards):
        return value
    if value is not None and not isinstance(value, Mapping):
        raise RecipeError(f"guards are given as Guards(...) or by their names, not as {value!r}")
    check_names(value or {}, fields(Guards), "guard")
    return Guards(**(value or {}))
