"""``syncengine prune``: delete retained versions that no rule keeps, after showing which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import click

from ..core.entry import Side
from .options import (
    Named,
    json_option,
    limit_options,
    place_options,
    places_argument,
    progress_option,
    request,
    subcommand,
    together,
    trash_option,
)
from .output import Output
from .versions import Manner, done, plan_options

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..engine import SyncEngine


def _rule(name: str, says: str) -> Any:
    return click.option(name, type=click.IntRange(min=1), metavar="N", help=says)


_prune_options = together(
    _rule("--keep-last", "Keep the last N versions of each file."),
    _rule("--keep-days", "Keep what was replaced in the last N days."),
    _rule("--keep-daily", "Keep the newest version of each of the last N days that have one."),
    _rule("--keep-weekly", "Keep the newest version of each of the last N weeks that have one."),
    _rule("--keep-monthly", "Keep the newest version of each of the last N months that have one."),
    click.option("--side", type=Named(Side, "side"), allow_from_autoenv=False, metavar="SIDE", help="One side alone."),
    plan_options,
    json_option,
    trash_option,
    place_options,
    limit_options,
    progress_option,
)


@subcommand(
    "prune",
    "syncengine prune versioned-backup.toml",
    "syncengine prune ~/Documents /mnt/backup/documents --keep-last 3 --keep-monthly 12 -o prune.plan.json",
)
@places_argument
@_prune_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    side: Optional[Side],
    place: Optional[str],
    yes: bool,
    report_place: Optional[str],
    as_json: bool,
    **rules: Any,
) -> None:
    """Delete retained versions that no rule keeps.

    Rules count for each file by itself, and a version that any rule keeps stays; a recipe can hold them as `prune`.
    Only the trash is touched. With -o nothing is deleted: the plan can be looked at, and applied later.
    """
    from ..versioning import keeping, prune_of

    said: Dict[str, Optional[int]] = {name: number for name, number in rules.items() if name.startswith("keep_")}
    manner = Manner(place, yes, as_json, report_place)
    manner.check(context, output)

    def make(engine: SyncEngine) -> Plan:
        return prune_of(engine, keeping(said, engine.prune), side)

    context.exit(done(request(context, places), output, manner, make))
