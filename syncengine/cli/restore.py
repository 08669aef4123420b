"""``syncengine restore``: bring retained versions back, by a plan that is shown first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Tuple

import click

from ..core.entry import Side
from .options import (
    Named,
    guard_options,
    json_option,
    limit_options,
    place_options,
    progress_option,
    request,
    subcommand,
    together,
    trash_option,
)
from .output import Output
from .versions import Manner, done, plan_options, with_path

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..engine import SyncEngine


def _here(*names: str, **attributes: Any) -> Any:
    return click.option(*names, allow_from_autoenv=False, **attributes)


_restore_options = together(
    _here("--run", metavar="RUN", help="As it was when this run had ended."),
    _here("--at", metavar="TIME", help="As it was at this time: 2026-01-31T00:00:00Z, or how long ago: 7d."),
    _here("--version", "number", type=click.IntRange(min=1), metavar="N", help="The Nth kept version of a file [1]."),
    _here("--to", metavar="PLACE", help="Restore into another folder instead."),
    _here("--side", type=Named(Side, "side"), metavar="SIDE", help="source or destination [destination]."),
    _here("--delete", is_flag=True, help="Also delete what was not there then; it is retained."),
    plan_options,
    json_option,
    trash_option,
    place_options,
    guard_options,
    limit_options,
    progress_option,
)


@subcommand(
    "restore",
    "syncengine restore versioned-backup.toml docs/report.odt",
    "syncengine restore ~/Documents /mnt/backup/documents --run 20261122T135216Z-1a2b3c4d --to /tmp/then",
)
@click.argument("places", nargs=-1, metavar="SRC DST | RECIPE  [PATH]")
@_restore_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    run: Optional[str],
    at: Optional[str],
    number: Optional[int],
    to: Optional[str],
    side: Optional[Side],
    delete: bool,
    place: Optional[str],
    yes: bool,
    report_place: Optional[str],
    as_json: bool,
    **_: object,
) -> None:
    """Bring retained versions back: a file, a folder, or the whole tree.

    A path alone means its newest kept version; `syncengine history` numbers them. What stands in the way is retained
    itself. In place it is an edit of that side, which a two-way sync carries to the other. Ends like `apply`: 7 where
    something is not kept any more.
    """
    from ..versioning import Ask, Restoring

    pair, path = with_path(places)
    manner = Manner(place, yes, as_json, report_place)
    manner.check(context, output)
    ask = Ask(path, run, at, number, side or Side.DESTINATION, to, delete).checked()

    def make(engine: SyncEngine) -> Plan:
        return Restoring(engine, ask).plan()

    context.exit(done(request(context, pair), output, manner, make))
