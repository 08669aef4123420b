"""``syncengine history``: past runs, and what each operation of one of them did."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import click

from ..core.canonical import stamp_record
from ..errors import RecipeError
from ..render.units import counted
from .options import guard_options, json_option, place_options, request, state_place, subcommand, trash_option
from .output import Output
from .pairs import last_run, local_place, places_words, run_record
from .versions import Manner, done, plan_options, with_path

if TYPE_CHECKING:
    from ..core.versions import Version
    from ..engine import SyncEngine
    from ..state.journal import Journal
    from ..state.manager import SyncStateManager
    from ..state.records import PairSummary, Run

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


@subcommand(
    "history",
    "syncengine history mirror.toml docs/report.odt",
    "syncengine history mirror.toml --undo 20261122T135216Z-1a2b3c4d",
)
@click.argument("places", nargs=-1, metavar="[SRC DST | RECIPE] [PATH | RUN]")
@click.option("--all", "every", is_flag=True, allow_from_autoenv=False, help="The last run of every pair.")
@click.option("--undo", metavar="RUN", allow_from_autoenv=False, help="Take back what this run did: plan, ask, apply.")
@plan_options
@json_option
@trash_option
@place_options
@guard_options
@click.pass_context
def command(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    every: bool,
    undo: Optional[str],
    as_json: bool,
    state: Optional[str],
    **said: Any,
) -> None:
    """Show past runs and the versions of a file; undo a run.

    Of a pair: its runs, the newest first. With a path: the versions of that file, or of all files below that folder,
    with the numbers that `restore` takes. With the id of a run: what each of its operations did, as its journal says.
    Without places, or with --all: the last run of every pair on this machine.

    --undo makes the inverse plan of a run, shows it and asks, or saves it with -o. Only what still stands as the run
    left it is undone; everything else is named with its reason (exit code 7).
    """
    pair, run_id = _parted(places)
    if pair and every:
        raise click.UsageError("--all is instead of a source and a destination", context)
    if undo is not None:
        context.exit(
            _undone(context, output, pair, undo, Manner(said["place"], said["yes"], as_json, said["report_place"]))
        )
    if not pair:
        _show_every(output, local_place(None if state is None else state_place(state)), run_id, as_json=as_json)
        return
    pair, path = with_path(pair)
    with request(context, pair).engine(output) as engine:
        if path is not None:
            _show_versions(output, engine, path, as_json=as_json)
            return
        manager = engine.job().state
        if manager is None:
            raise click.UsageError("without a state nothing is remembered", context)
        if run_id is not None:
            _show_run(output, _journal(manager, run_id), run_id, as_json=as_json)
        else:
            _show_runs(output, manager.runs(), manager.journal, as_json=as_json)


def _undone(context: click.Context, output: Output, pair: Sequence[str], run_id: str, manner: Manner) -> int:
    from ..versioning import undo_of

    if not pair:
        raise click.UsageError("--undo needs the two places of the run, or their recipe", context)
    manner.check(context, output)
    return done(request(context, pair), output, manner, lambda engine: undo_of(engine, run_id))


def _show_versions(output: Output, engine: SyncEngine, path: str, *, as_json: bool) -> None:
    from ..versioning import history_of

    found = history_of(engine, path)
    if as_json:
        output.document([version_record(version) for version in found.versions])
    elif found.versions:
        output.result(str(found))
    if not found.versions:
        raise RecipeError(str(found))


def version_record(version: Version) -> Dict[str, Any]:
    """Return what is known of one version, for JSON."""
    return {
        "path": version.path,
        "side": version.side.value,
        "number": version.number,
        "current": version.current,
        "stamp": stamp_record(version.stamp),
        "digest": version.digest,
        "written_by": version.written_by,
        "run_id": version.run_id,
        "replaced_at": None if version.replaced_at is None else version.replaced_at.isoformat(),
        "replaced_by": None if version.replaced_by is None else version.replaced_by.value,
        "kept_at": version.kept_at,
    }


def _parted(places: Sequence[str]) -> Tuple[Sequence[str], Optional[str]]:
    if places and _RUN_ID.fullmatch(places[-1]):
        return places[:-1], places[-1]
    return places, None


def _journal(manager: SyncStateManager, run_id: str) -> List[Dict[str, Any]]:
    return list(manager.journal.read(run_id))


# ------------------------------------------------------------------------------------------------------------ one pair


def _show_runs(output: Output, runs: Sequence[Run], journal: Journal, *, as_json: bool) -> None:
    if as_json:
        output.document([run_record(run) for run in runs])
    elif runs:
        output.lines(run_line(run, journal) for run in runs)
    else:
        output.say("no run of this pair is on record")


def run_line(run: Run, journal: Journal) -> str:
    """Return what is remembered of one run, for people; of one that did not end, what its *journal* holds."""
    if run.finished_at is None:
        return f"{run.run_id}  {_unended(run, journal)}  {run.mode}"
    counts = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in run.counts.items())
    return f"{run.run_id}  {run.ended.value:<11}  {run.mode}  {counts or 'nothing to do'}"


def _unended(run: Run, journal: Journal) -> str:
    done = sum(line.get("status") == "done" for line in journal.read(run.run_id))
    # Lines of created files are written in groups: whoever is killed takes the last of them along.
    return f"{run.ended.value}, at least {counted(done, 'operation')} done"


# ------------------------------------------------------------------------------------------------------------- one run


def _show_run(output: Output, lines: Sequence[Mapping[str, Any]], run_id: str, *, as_json: bool) -> None:
    if not lines:
        raise click.UsageError(f"there is no journal of a run {run_id}")
    if as_json:
        output.document(list(lines))
        return
    output.lines(_journal_lines(lines))


def _journal_lines(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    from ..core.paths import shown
    from ..render.rows import operation_row
    from ..render.text import item_line
    from ..serial import outcome_from_record

    for line in lines:
        if line["event"] == "started":
            yield f"started {line['started_at']}, plan {line['plan_digest']}"
        elif line["event"] == "finished":
            yield f"finished {line['finished_at']}{'' if line['applied_in_full'] else ', not in full'}"
        elif line["event"] == "agreement":
            words = "removed on both sides" if line["kind"] == "forget" else "changed alike on both sides"
            yield f"agreed      {shown(line['path'])}  {words}"
        else:
            outcome = outcome_from_record({name: value for name, value in line.items() if name != "event"})
            problem = "" if outcome.problem is None else f" ({shown(outcome.problem.message)})"
            kept = "" if outcome.retained_at is None else f" (old version: {shown(outcome.retained_at)})"
            yield f"{outcome.status.value:<11} {item_line(operation_row(outcome.operation))}{problem}{kept}"


# ---------------------------------------------------------------------------------------------------------- every pair


def _show_every(output: Output, place: str, run_id: Optional[str], *, as_json: bool) -> None:
    from ..state.manager import SyncStateManager

    pairs = list(SyncStateManager.pairs(place))
    if run_id is not None:
        _show_run(output, _found(place, pairs, run_id), run_id, as_json=as_json)
    elif as_json:
        output.document([_last_record(place, pair) for pair in pairs])
    elif pairs:
        output.lines(line for pair in pairs for line in _last_lines(place, pair))
    else:
        output.say(f"nothing is remembered in {place}")


def _found(place: str, pairs: Sequence[PairSummary], run_id: str) -> List[Dict[str, Any]]:
    for pair in pairs:
        journal = journal_of(place, pair)
        if run_id in journal.runs():
            return list(journal.read(run_id))
    return []


def _last_record(place: str, pair: PairSummary) -> Dict[str, Any]:
    run = last_run(place, pair)
    last = None if run is None else run_record(run)
    return {"pair": pair.pair_id, "locations": list(pair.locations), "last_run": last, "problem": pair.problem}


def _last_lines(place: str, pair: PairSummary) -> Iterator[str]:
    yield places_words(pair) or pair.pair_id
    last = last_run(place, pair)
    yield f"  {run_line(last, journal_of(place, pair)) if last is not None else pair.problem or 'no run on record'}"


def journal_of(place: str, pair: PairSummary) -> Journal:
    """Return the journal of a pair whose state lies in the folder *place*."""
    import os

    from ..state.journal import Journal

    return Journal.at(os.path.join(place, pair.pair_id))
