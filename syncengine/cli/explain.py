"""``syncengine explain``: why is this path, or is it not, synced?"""

from __future__ import annotations

from typing import Tuple

import click

from .options import decision_options, look_options, places_argument, request, subcommand
from .output import Output


@subcommand(
    "explain",
    "syncengine explain notes/draft.tmp ~/Documents /mnt/backup/documents",
    "syncengine explain raw/2026/a.csv mirror.toml",
)
@click.argument("path", metavar="PATH")
@places_argument
@decision_options
@look_options
@click.pass_context
def command(context: click.Context, /, output: Output, path: str, places: Tuple[str, ...], **_: object) -> None:
    """Say why one path is, or is not, synced.

    Looks at both sides again: what they hold, what was last agreed, the filter rules, and the rule that decides.
    """
    with request(context, places).engine(output) as engine:
        output.result(engine.explain(path))
