"""``syncengine show``: what is in a saved plan or report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Optional

import click

from ..core.views import view as rendering
from .options import subcommand, view_options
from .output import Output, quoted

if TYPE_CHECKING:
    from ..core.plan import Plan
    from ..core.report import Report


@subcommand("show", "syncengine show mirror.plan.json", "syncengine show report.json --itemize", environment=False)
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@view_options
def command(output: Output, file: str, view: Optional[str], html: Optional[str]) -> None:
    """Show a saved plan or report.

    Needs no credentials, looks at neither side, and shows what it can of a file that a newer version wrote.
    """
    from ..core.plan import Plan
    from ..serial import load_any

    found = load_any(file, for_showing=True)
    if isinstance(found, Plan):
        # A newer version's fields are not in the value; the saved form is the file.
        output.plan_view(found, view, html, saved=_saved(file) if view == "json" else None)
        if view is None:
            output.lines(_approval_lines(found))
    else:
        _show_report(output, found, view, html, file)


def _show_report(output: Output, report: Report, view: Optional[str], page: Optional[str], file: str) -> None:
    if view == "markdown":
        raise click.UsageError("--markdown is for plans; this is a report")
    if page is not None:
        output.save_page(page, repr(report), rendering("report_html")(report))
    if view == "json":
        output.result(_saved(file))
    elif view == "itemize":
        output.lines(report_lines(report))
    else:
        output.result(str(report))
        if report.undone:
            how = ", plan again" if report.is_stale else f": syncengine apply --resume {quoted(file)}"
            output.say(f"to do what is left{how}")


def _approval_lines(plan: Plan) -> Iterator[str]:
    from ..core.paths import shown

    for approval in plan.approvals:
        note = f": {shown(approval.note)}" if approval.note else ""
        void = "" if approval.digest == plan.digest else " (of another form of this plan)"
        yield f"approved by {shown(approval.by)}{note}{void}"


def report_lines(report: Report) -> Iterator[str]:
    """Yield one stable line for each outcome: how it ended, what it was, and why it was not done."""
    from ..core.paths import shown
    from ..render.rows import operation_row
    from ..render.text import item_line

    for outcome in report.outcomes:
        why = f" ({shown(outcome.problem.message)})" if outcome.problem is not None else ""
        yield f"{outcome.status.value:<11} {item_line(operation_row(outcome.operation))}{why}"


def _saved(file: str) -> str:
    with open(file, "rb") as stream:
        content = stream.read()
    if content.startswith(b"\x1f\x8b"):
        from gzip import decompress

        content = decompress(content)
    return content.decode("utf-8")
