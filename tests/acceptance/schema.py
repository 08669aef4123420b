"""What a file of scenarios may say: anything else is refused by name, so that nothing in it is silently not checked."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Mapping, Tuple

MODES = ("TWO_WAY", "SOURCE_TO_DESTINATION", "SOURCE_BACKUP", "DESTINATION_TO_SOURCE", "DESTINATION_BACKUP")
POLICIES = ("newest", "source", "destination", "manual", "keep_both")
INITIAL = ("merge", "source_wins", "destination_wins")
REQUIRES = ("dirs", "content_hash", "case_sensitive_source", "case_insensitive_destination", "nfd_destination")
CONFLICTS = ("create_create", "modify_modify", "delete_modify", "kind_clash")
REFUSALS = ("root_missing", "side_emptied", "max_delete", "authority_empty")
SIDES = ("source", "destination")
EDITS = {"write": (2, 3), "delete": (1, 1), "rename": (2, 2), "mkdir": (1, 1), "touch": (2, 2)}
"""How many arguments each edit takes, at the least and at the most."""

DEFAULTS: Dict[str, Any] = {
    "mode": "TWO_WAY",
    "policy": "newest",
    "initial": "merge",
    "renames": "any",
    "guard": False,
    "requires": [],
}

Check = Callable[[Any], Iterator[str]]


def problems(scenario: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the runner does not know about *scenario*, which already has the defaults."""
    inline = {key for key in RUN if key in scenario}
    yield from _members(scenario, {**SCENARIO, **RUN})
    yield from (f"{key}: missing" for key in ("id", "start") if key not in scenario)
    if "runs" in scenario and inline:
        yield f"{', '.join(sorted(inline))}: beside runs; keys of a run stand in the run"
    if "runs" not in scenario and "expect" not in scenario:
        yield "neither runs nor expect: nothing would be checked"


def _members(found: Any, known: Mapping[str, Check], where: str = "") -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield f"{where or 'scenario'}: {found!r} is no mapping"
        return
    for key, value in found.items():
        if key not in known:
            yield f"{where}{key}: unknown; known are {', '.join(known)}"
            continue
        yield from (f"{where}{key}: {problem}" for problem in known[key](value))


def _anything(_: Any) -> Iterator[str]:
    return iter(())


def _one_of(values: Tuple[Any, ...]) -> Check:
    def check(value: Any) -> Iterator[str]:
        if not any(value is known or (value == known and type(value) is type(known)) for known in values):
            yield f"{value!r} is none of {values}"

    return check


def _list_of(each: Check) -> Check:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{value!r} is no list"
            return
        for item in value:
            yield from each(item)

    return check


def _mapping_of(each: Check) -> Check:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"{value!r} is no mapping"
            return
        for key, item in value.items():
            yield from _text(key)
            yield from (f"{key}: {problem}" for problem in each(item))

    return check


def _nested(known: Mapping[str, Check]) -> Check:
    return lambda value: _members(value, known)


def _text(value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{value!r} is no text; quote it"


def _number(value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        yield f"{value!r} is no whole number from 0 on"


def _time(value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield f"{value!r} is no time in seconds"


def _tree(value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{value!r} is no tree"
        return
    for path, content in value.items():
        yield from _text(path)
        if str(path).endswith("/"):
            yield from () if content is None else (f"{path}: a directory has no content",)
        else:
            yield from (f"{path}: {problem}" for problem in _text(content))


def _edit(value: Any) -> Iterator[str]:
    verb, *arguments = value if isinstance(value, list) and value else (None,)
    if verb not in EDITS:
        yield f"{value!r}: no edit is called {verb!r}; known are {', '.join(EDITS)}"
        return
    least, most = EDITS[verb]
    if not least <= len(arguments) <= most:
        yield f"{value!r}: {verb} takes {least} to {most} arguments"
        return
    last = arguments[-1]
    timed = verb == "touch" or len(arguments) > least
    for argument in arguments[:-1] if timed else arguments:
        yield from _text(argument)
    if timed:
        yield from _time(last)


def _guard(value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        yield from _members(value, {"max_delete": _share})


def _share(value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        yield f"{value!r} is no fraction"


def _by_side(each: Check) -> Check:
    return _nested(dict.fromkeys(SIDES, each))


def _true(value: Any) -> Iterator[str]:
    if value is not True:
        yield f"{value!r}: only true says something"


WITH: Dict[str, Check] = {
    "mode": _one_of(MODES),
    "policy": _one_of(POLICIES),
    "scope": _list_of(_text),
    "exclude": _list_of(_text),
    "scan_error": _by_side(_list_of(_text)),
    "root_missing": _one_of(SIDES),
    "dry_run": _true,
    "state": _one_of(("lost",)),
    "crash_after": _number,
    "fail": _by_side(_list_of(_text)),
}
EXPECT: Dict[str, Check] = {
    "both": _tree,
    "source": _tree,
    "destination": _tree,
    "transfers": _number,
    "conflicts": _mapping_of(_one_of(CONFLICTS)),
    "unresolved": _list_of(_text),
    "keep_both": _mapping_of(_list_of(_text)),
    "retained": _list_of(_text),
    "aborted": _one_of(REFUSALS),
    "noop": _true,
    "skipped": _list_of(_text),
}
RUN: Dict[str, Check] = {
    "source": _list_of(_edit),
    "destination": _list_of(_edit),
    "during": _by_side(_list_of(_edit)),
    "with": _nested(WITH),
    "expect": _nested(EXPECT),
}
SCENARIO: Dict[str, Check] = {
    "id": _text,
    "from": _anything,
    "rule": _anything,
    "note": _anything,
    "mode": _one_of(MODES),
    "policy": _one_of(POLICIES),
    "initial": _one_of(INITIAL),
    "renames": _one_of(("any", True)),
    "guard": _guard,
    "requires": _list_of(_one_of(REQUIRES)),
    "start": _nested(dict.fromkeys(("both", *SIDES), _tree)),
    "runs": _list_of(_nested(RUN)),
}
