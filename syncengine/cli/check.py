"""``syncengine check``: do both sides hold the same content?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Tuple

import click

from .options import json_option, look_options, places_argument, request, subcommand
from .output import Output

if TYPE_CHECKING:
    from ..core.check import CheckResult


@subcommand("check", "syncengine check ~/Pictures s3://backup/pictures", "syncengine check mirror.toml --download")
@places_argument
@click.option("--download", is_flag=True, allow_from_autoenv=False, help="Read remote files where nothing else tells.")
@json_option
@look_options
@click.pass_context
def command(
    context: click.Context, /, output: Output, places: Tuple[str, ...], download: bool, as_json: bool, **_: object
) -> None:
    """Say whether both sides hold the same content.

    Ends with 0 where every file is proven equal, 10 where something differs, 11 where something could not be
    verified, 7 where something could not be seen.
    """
    from ..core.check import Finding

    with request(context, places).with_(state=None).engine(output) as engine:
        result = engine.check(download=download)
    if as_json:
        output.document(_record(result))
    else:
        output.result(str(result))
    if result.counts[Finding.UNVERIFIED] and not download:
        output.say("to verify what could not be verified, read it: --download")
    context.exit(result.exit_code)


def _record(result: CheckResult) -> Dict[str, Any]:
    return {
        "ok": result.ok,
        "exit_code": result.exit_code,
        "equal": result.equal,
        "counts": {finding.value: number for finding, number in result.counts.items()},
        "findings": [{"path": path, "finding": finding.value} for path, finding in result.findings],
        "problems": [
            {"path": problem.path, "kind": problem.kind.value, "message": problem.message}
            for problem in result.not_compared
        ],
    }
