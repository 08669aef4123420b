"""One record of a saved form becomes one value, strictly: the converters of cattrs and what they are taught.

A quick converter reads what is right; where it fails, a detailed one reads the same record again and says what is
wrong and where. cattrs is imported when the first record is read.
"""

from __future__ import annotations

from base64 import b64decode
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, Type, TypeVar

from attrs import fields

from .core.canonical import ALWAYS
from .core.entry import Kind, Side, Stamp
from .core.paths import shown
from .core.plan_parts import Action, Operation, Reason
from .errors import PlanFormatError

if TYPE_CHECKING:
    from cattrs import Converter

_Value = TypeVar("_Value")


class Reader:
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
def value_reader(*, for_showing: bool = False) -> Reader:
    """Return the reader, made once, that refuses unknown fields unless they are only to be shown."""
    return Reader(strict=not for_showing)


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
    for kind, required in ALWAYS.items():
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
        origin, mode, counterpart, files = look("origin"), look("mode"), look("counterpart"), look("files")
        path, expect_target = _text(item["path"], str), item["expect_target"]
        expect_origin = item["expect_origin"] if "origin" in item else look("expect_origin")
        return Operation(
            _ACTIONS[item["action"]],
            _KINDS[item["kind"]],
            _SIDES[item["target"]],
            path,
            origin if origin is None else _sharing(_origin(origin, None), path),
            expect_target if expect_target is None else read_stamp(expect_target, Stamp),
            expect_origin if expect_origin is None else read_stamp(expect_origin, Stamp),
            _text_or_none(look("digest")),
            _flag(look("retain", _NOT_RETAINED), bool),
            _integer(look("size", 0), int),
            _REASONS[item["reason"]],
            intern(_text(look("chosen_by", ""), str)),
            _text_or_none(look("group")),
            _text_or_none(look("key")),
            mode if mode is None else _integer(mode, int),
            _text_or_none(look("link")),
            counterpart if counterpart is None else read_stamp(counterpart, Stamp),
            files if files is None else _integer(files, int),
            _content_or_none(look("content")),
        )

    return structure


def _sharing(origin: Tuple[Side, str], path: str) -> Tuple[Side, str]:
    """Return *origin* with the very text that *path* is where they are equal, as nearly always: one in memory."""
    return (origin[0], path) if origin[1] == path else origin


_STAMP_FIELDS = frozenset(attribute.name for attribute in fields(Stamp))
_OPERATION_FIELDS = frozenset(attribute.name for attribute in fields(Operation))
_ACTIONS = {action.value: action for action in Action}
_KINDS = {kind.value: kind for kind in Kind}
_SIDES = {side.value: side for side in Side}
_NOT_RETAINED = False
_REASONS = {reason.value: reason for reason in Reason}


def _text_or_none(value: Any) -> Optional[str]:
    return None if value is None else _text(value, str)


def _content_or_none(value: Any) -> Optional[str]:
    """Return content that an operation carries; raises ValueError where it is not base64."""
    text = _text_or_none(value)
    if text is not None:
        b64decode(text, validate=True)
    return text


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
