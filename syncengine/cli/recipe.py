"""``syncengine recipe``: check a recipe, show what it says, print its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import click

from .options import json_option, subcommand
from .output import Output
from .suggestions import Group

if TYPE_CHECKING:
    from ..recipe import Recipe


@click.group("recipe", cls=Group, short_help="Check and show recipes.")
def command() -> None:
    """\b
      syncengine recipe validate mirror.toml
      syncengine recipe show mirror.toml

    Check and show recipes: the arguments of a sync in a file.
    """


_file_argument = click.argument("name", metavar="RECIPE")


@subcommand(
    "validate",
    "syncengine recipe validate mirror.toml",
    "syncengine recipe validate backup --json",
    group=command,
    environment=False,
)
@_file_argument
@json_option
def validate(output: Output, name: str, as_json: bool) -> None:
    """Check a recipe; every problem is reported at once, with the nearest valid key or value.

    Environment variables need not be set for this; what it asks for is listed.
    """
    recipe = _loaded(name)
    if as_json:
        output.document({"valid": True, "digest": recipe.digest, "unset": list(recipe.unset())})
    else:
        output.result(f"{click.format_filename(name)} is valid ({recipe.digest})")
        output.lines(_variable_lines(recipe))


@subcommand(
    "schema",
    "syncengine recipe schema > recipe.schema.json",
    "syncengine recipe schema --json",
    group=command,
    environment=False,
)
@json_option
def schema(output: Output, as_json: bool) -> None:
    """Print the JSON Schema of recipes, for editors."""
    from ..recipe import schema as recipe_schema

    output.document(recipe_schema())


@subcommand(
    "show",
    "syncengine recipe show mirror.toml",
    "syncengine recipe show backup --json",
    group=command,
    environment=False,
)
@_file_argument
@json_option
def show(output: Output, name: str, as_json: bool) -> None:
    """Show what a recipe says, as written, and which environment variables it asks for."""
    recipe = _loaded(name)
    if as_json:
        unset = list(recipe.unset())
        environment = list(recipe.environment)
        output.document({"digest": recipe.digest, "environment": environment, "unset": unset, "keys": recipe.said})
    else:
        output.lines(_lines(recipe))


def _loaded(name: str) -> Recipe:
    from ..recipe import find, load

    return load(find(name), form_only=True)


def _lines(recipe: Recipe) -> Iterator[str]:
    import json

    for name, value in recipe.said.items():
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
    yield from _variable_lines(recipe)
    yield f"digest: {recipe.digest}"


def _variable_lines(recipe: Recipe) -> Iterator[str]:
    unset = recipe.unset()
    for name in recipe.environment:
        yield f"environment: {name} is {'not set' if name in unset else 'set'}"
