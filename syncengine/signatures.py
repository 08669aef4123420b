"""Functions that take the arguments of a class say so: to ``help``, to completion in notebooks and to type checkers."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    _Arguments = ParamSpec("_Arguments")

_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def same_as(
    made: Callable[_Arguments, Any],
) -> Callable[[Callable[..., _Result]], Callable[_Arguments, _Result]]:
    """Return a decorator for a function that takes just the arguments of *made*; type checkers see them as well."""

    def decorate(function: Callable[..., _Result]) -> Callable[_Arguments, _Result]:
        return taking(made)(function)

    return decorate


def taking(made: Callable[..., Any]) -> Callable[[_Function], _Function]:
    """Return a decorator for a function whose ``**arguments`` are those of *made*, besides its own."""

    def decorate(function: _Function) -> _Function:
        setattr(function, "__signature__", _joined(signature(function), signature(made)))  # noqa: B010 - no such attribute is declared
        return function

    return decorate


def _joined(own: Signature, others: Signature) -> Signature:
    named = [parameter for parameter in own.parameters.values() if parameter.kind is not Parameter.VAR_KEYWORD]
    names = {parameter.name for parameter in named}
    more = (parameter for parameter in others.parameters.values() if parameter.name not in names)
    return own.replace(parameters=[*named, *(each.replace(kind=Parameter.KEYWORD_ONLY) for each in more)])
