"""``--source-option NAME=VALUE``: what opens a side besides its URL, said with one command and never saved.

The list of processes and the history of a shell show a command line, so a secret is named there by its environment
variable: ``password='${NAS_PASSWORD}'``. A profile of fsspec's configuration says the same without any of it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional, Tuple, TypeVar

import click

from .output import Output

if TYPE_CHECKING:
    _Kind = click.ParamType[Any]
else:
    _Kind = click.ParamType  # not generic at run time in every version

_Function = TypeVar("_Function", bound=Callable[..., Any])
SIDES = ("source", "destination")


class Setting(_Kind):
    """A storage option's name and value: JSON where it is any, else text, or ``${NAME}`` of the environment."""

    name = "setting"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Tuple[str, Any]:
        """Return the name and the value; refuses a secret that is written out."""
        if isinstance(value, tuple):
            return value[0], value[1]
        name, sign, text = str(value).partition("=")
        if not sign or not name:
            self.fail("an option is NAME=VALUE", param, ctx)  # what was written may hold a secret
        from ..recipe_keys import VARIABLE, secret_names

        variable = VARIABLE.fullmatch(text)
        if variable is not None:
            return name, self._from_environment(variable[1], param, ctx)
        read = _read(text)
        for secret in secret_names({name: read}):
            self.fail(
                f"{secret!r} looks like a secret, and a command line is seen by others: write {name}='${{VARIABLE}}' "
                "with the name of an environment variable, or put it into a profile",
                param,
                ctx,
            )
        return name, read

    def _from_environment(self, name: str, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        value = os.environ.get(name)
        if value is None:
            self.fail(f"the environment variable {name} is not set", param, ctx)
        if ctx is not None:
            ctx.ensure_object(Output).secrets.append(value)
        return value


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def storage_option(name: str, whose: str) -> Callable[[_Function], _Function]:
    """Return the option *name* for what opens *whose* storage; the environment does not speak for it."""
    return click.option(
        name,
        multiple=True,
        type=Setting(),
        allow_from_autoenv=False,
        metavar="NAME=VALUE",
        help=f"fsspec option of {whose}; a secret as NAME='${{VARIABLE}}' (repeatable).",
    )


def options_given(said: Mapping[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Return the storage options of each side that flags name, as arguments of the engine and of ``apply``."""
    return {f"{side}_options": dict(said[f"{side}_option"]) for side in SIDES if said.get(f"{side}_option")}


def asked_again(side: str, names: Tuple[str, ...]) -> Iterator[str]:
    """Yield the options by which ``apply`` takes what a plan does not hold: *names* of what was given for *side*."""
    from ..recipe_keys import secret_names

    for name in names:
        is_secret = any(secret_names({name: ""}))
        yield f"--{side}-option"
        yield f"{name}=${{{name.upper()}}}" if is_secret else f"{name}={name.upper()}"
