"""``syncengine state``: list, show, reset, unlock and remove what is remembered of each pair."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Protocol, Sequence, Tuple

import click
from attrs import define, evolve

from ..errors import RecipeError, StateError, SyncInterrupted
from .options import json_option, place_options, request, state_option, state_place, subcommand
from .output import Output
from .pairs import last_run, local_place, places_words, run_record
from .suggestions import Group

if TYPE_CHECKING:
    from ..state.home import DirectoryHome
    from ..state.lock import Holder, PairLock
    from ..state.records import PairSummary


class Pair(Protocol):
    """What can be done to the state of one pair."""

    pair_id: str

    def reset(self) -> None:
        """Forget what was agreed."""

    def erase(self) -> None:
        """Delete everything about the pair."""

    def unlock(self) -> Optional[Holder]:
        """Remove the lock of a holder that cannot be asked."""


@define
class StoredPair:
    """A pair found by its id alone: nothing of its database is read, so a damaged one can be reset too."""

    pair_id: str
    home: DirectoryHome
    lock: PairLock

    def reset(self) -> None:
        """Forget what was agreed; journals stay."""
        self._held(self.home.discard)

    def erase(self) -> None:
        """Delete everything about the pair."""
        self._held(self.home.erase)

    def unlock(self) -> Optional[Holder]:
        """Remove the lock; refused where its holder runs on this machine."""
        return self.lock.unlock()

    def _held(self, action: Callable[[], None]) -> None:
        self.lock.acquire()
        try:
            action()
        finally:
            self.lock.release()


def stored_pair(place: str, name: str) -> StoredPair:
    """Return the pair in the folder *place* whose id begins with *name*."""
    from ..state.home import DirectoryHome
    from ..state.lock import PairLock

    found = [each for each in sorted(os.listdir(place)) if each.startswith(name)] if os.path.isdir(place) else []
    if len(found) != 1:
        many = "several pairs begin" if found else "no pair begins"
        raise RecipeError(f"{many} with {name!r} in {place}; `syncengine state list` shows them")
    home = DirectoryHome(os.path.join(place, found[0]))
    return StoredPair(found[0], home, PairLock(home.cell, home.shown))


@click.group("state", cls=Group, short_help="Look after what is remembered of each pair.")
def command() -> None:
    """\b
      syncengine state list
      syncengine state reset 1a2b3c4d

    Look after what is remembered of each pair.

    A pair is named by the beginning of its id, by its two places, or by a recipe.
    """


_pair_argument = click.argument("places", nargs=-1, required=True, metavar="PAIR | SRC DST | RECIPE")
_yes_option = click.option("-y", "--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask.")


@subcommand("list", "syncengine state list", "syncengine state list --state /mnt/shared/states --json", group=command)
@state_option
@json_option
def listed(output: Output, state: Optional[str], as_json: bool) -> None:
    """List the pairs that something is remembered of."""
    from ..state.manager import SyncStateManager

    place = local_place(None if state is None else state_place(state))
    pairs = [evolve(pair, last_run=last_run(place, pair)) for pair in SyncStateManager.pairs(place)]
    if as_json:
        output.document([pair_record(pair) for pair in pairs])
    elif pairs:
        output.lines(line for pair in pairs for line in _pair_lines(pair))
    else:
        output.say(f"nothing is remembered in {place}")


def pair_record(pair: PairSummary) -> Dict[str, Any]:
    """Return the summary of a pair, for JSON."""
    return {
        "pair": pair.pair_id,
        "locations": list(pair.locations),
        "generation": pair.generation,
        "rows": pair.rows,
        "last_run": None if pair.last_run is None else run_record(pair.last_run),
        "problem": pair.problem,
    }


def _pair_lines(pair: PairSummary) -> Iterator[str]:
    yield f"{pair.pair_id}  {places_words(pair)}"
    if pair.problem is not None:
        yield f"  {pair.problem}"
        return
    last = "never" if pair.last_run is None else f"{pair.last_run.run_id}, {pair.last_run.ended.value}"
    yield f"  {pair.rows:,} rows, generation {pair.generation:,}, last run {last}"


@subcommand(
    "show",
    "syncengine state show 1a2b3c4d",
    "syncengine state show ~/Documents /mnt/backup/documents --json",
    group=command,
)
@_pair_argument
@json_option
@place_options
@click.pass_context
def shown_pair(
    context: click.Context,
    /,
    output: Output,
    places: Tuple[str, ...],
    as_json: bool,
    state: Optional[str],
    **_: object,
) -> None:
    """Show what is remembered of one pair."""
    place = None if state is None else state_place(state)
    summary = _by_id(place, places[0]) if _is_id(places) else _by_places(context, output, places)
    if as_json:
        output.document(pair_record(summary))
    else:
        output.lines(_pair_lines(summary))


def _is_id(places: Sequence[str]) -> bool:
    return len(places) == 1 and len(places[0]) >= 4 and all(letter in "0123456789abcdef" for letter in places[0])


def _by_id(state: Optional[str], name: str) -> PairSummary:
    from ..state.manager import SyncStateManager

    place = local_place(state)
    pair_id = stored_pair(place, name).pair_id
    found = [pair for pair in SyncStateManager.pairs(place) if pair.pair_id == pair_id]
    if not found:
        raise RecipeError(f"only past runs of {pair_id} are kept; its state was reset")
    return evolve(found[0], last_run=last_run(place, found[0]))


def _by_places(context: click.Context, output: Output, places: Sequence[str]) -> PairSummary:
    from ..state.records import PairSummary

    with request(context, places).engine(output) as engine:
        manager = engine.job().state
        header = None if manager is None else manager.header
        if manager is None or header is None:
            raise RecipeError("nothing is remembered of this pair")
        last = next(iter(manager.runs()), None)
        return PairSummary(manager.pair_id, header.shown, header.generation, header.rows, last)


def _with_pair(context: click.Context, output: Output, places: Sequence[str], action: Callable[[Pair], None]) -> None:
    """Do *action* to the pair that *places* name."""
    if _is_id(places):
        state = context.params["state"]
        action(stored_pair(local_place(None if state is None else state_place(state)), places[0]))
        return
    with request(context, places).engine(output) as engine:
        manager = engine.job().state
        if manager is None:
            raise click.UsageError("without a state nothing is remembered", context)
        action(manager)


def _consent(context: click.Context, output: Output, question: str, *, yes: bool) -> None:
    if yes:
        return
    if not output.can_ask:
        raise click.UsageError("this asks first, and there is no terminal: pass --yes", context)
    if not output.confirm(question):
        raise SyncInterrupted("nothing was changed")


@subcommand(
    "reset",
    "syncengine state reset 1a2b3c4d",
    "syncengine state reset ~/Documents /mnt/backup/documents --yes",
    group=command,
)
@_pair_argument
@_yes_option
@place_options
@click.pass_context
def reset(context: click.Context, /, output: Output, places: Tuple[str, ...], yes: bool, **_: object) -> None:
    """Forget what a pair last agreed on: the next run is a first sync.

    A first sync deletes nothing in two-way mode. Also cures a damaged state. Past runs stay on record.
    """

    def perform(pair: Pair) -> None:
        _consent(context, output, f"Forget what the pair {pair.pair_id} last agreed on?", yes=yes)
        pair.reset()
        output.say(f"the state of {pair.pair_id} was reset; the next run is a first sync")

    _with_pair(context, output, places, perform)


@subcommand(
    "rm",
    "syncengine state rm 1a2b3c4d",
    "syncengine state rm ~/Documents /mnt/backup/documents --yes",
    group=command,
)
@_pair_argument
@_yes_option
@place_options
@click.pass_context
def remove(context: click.Context, /, output: Output, places: Tuple[str, ...], yes: bool, **_: object) -> None:
    """Delete everything that is remembered of a pair, its past runs too; neither side is touched."""

    def perform(pair: Pair) -> None:
        _consent(context, output, f"Delete everything that is remembered of the pair {pair.pair_id}?", yes=yes)
        pair.erase()
        output.say(f"everything about {pair.pair_id} was deleted")

    _with_pair(context, output, places, perform)


@subcommand(
    "unlock",
    "syncengine state unlock 1a2b3c4d",
    "syncengine state unlock ~/Documents s3://backup/documents --state s3://backup/state",
    group=command,
)
@_pair_argument
@place_options
@click.pass_context
def unlock(context: click.Context, /, output: Output, places: Tuple[str, ...], **_: object) -> None:
    """Remove the lock of a run that cannot be asked any more; refused where it is alive on this machine."""

    def perform(pair: Pair) -> None:
        try:
            holder = pair.unlock()
        except StateError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            holder = None  # not even the folder of the lock exists: this pair was never synced
        output.say("there was no lock" if holder is None else f"the lock of {holder} was removed")

    _with_pair(context, output, places, perform)
