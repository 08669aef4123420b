"""What was probably meant: the nearest command, and our word for what other tools call by another."""

from __future__ import annotations

from typing import Any, Dict, List, NoReturn, Optional, Tuple

import click

MODES: Dict[str, str] = {"mirror": "source-to-destination", "backup": "source-backup"}
"""Modes by the names that other tools have for them."""


class Command(click.Command):
    """A command that says what does the work of another tool's option."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Parse the command line; an option of another tool is an error that names ours."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise self._refusal(error.option_name, ctx) from error

    def _refusal(self, name: str, ctx: click.Context) -> click.UsageError:
        from ..core.synonyms import PLAN, WORDS, meant, plain

        ours = [option for parameter in self.get_params(ctx) for option in parameter.opts if option[:2] == "--"]
        near = meant(name, [option[2:].replace("-", "_") for option in ours])
        if near is None or (near.name != PLAN and near.option not in ours):
            return click.NoSuchOption(name, ctx=ctx)
        if near.name != PLAN and near.value is None and plain(name) not in WORDS:
            return click.NoSuchOption(name, possibilities=[near.option], ctx=ctx)
        return click.UsageError(f"there is no {name}: use {near.as_option}", ctx)


class Group(click.Group):
    """A group that names the nearest of its commands where there is none of a name."""

    def resolve_command(
        self, ctx: click.Context, args: List[str]
    ) -> Tuple[Optional[str], Optional[click.Command], List[str]]:
        """Return the command that *args* begin with."""
        if not ctx.resilient_parsing and args[0][:1] != "-" and self.get_command(ctx, args[0]) is None:
            self._refuse(ctx, args[0])
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: click.Context, name: str) -> NoReturn:
        from difflib import get_close_matches

        known = self.list_commands(ctx)
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise click.UsageError(f"no such command {name!r}; {hint}", ctx)


def mode_meant(text: Any) -> str:
    """Return our name of the mode that another tool calls *text*, or nothing."""
    return MODES.get(str(text).strip().casefold(), "")
