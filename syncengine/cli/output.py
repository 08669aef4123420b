"""What the commands say and ask: results to standard output, everything else to standard error."""

from __future__ import annotations

import _thread
import json
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    TextIO,
    Union,
)

import click

from ..core.views import view as rendering
from ..errors import StorageError, SyncInterrupted

if TYPE_CHECKING:
    from types import FrameType

    from ..core.plan import Plan
    from ..core.report import Report

ENVIRONMENT = "SYNCENGINE"
"""What the names of variables that speak for options begin with."""

MOST_YES = 20
"""Up to so many deletions a yes is enough; more ask for their number."""


class Output:
    """How this process speaks: ``verbosity`` is -1 for quiet and 1 for tracebacks and log lines.

    The library's own messages never hold secrets; what comes from elsewhere goes through the same redaction.
    """

    def __init__(self) -> None:
        self.verbosity = 0
        self.no_color = False
        self.no_input = False
        self.secrets: List[str] = []
        """What the environment was asked for by an option, and nothing may show."""
        self.named: Sequence[str] = ()
        """How the command line named the pair it is about, so that a message can name it in the same way."""

    @property
    def quiet(self) -> bool:
        """Whether only results and errors are wanted."""
        return self.verbosity < 0

    # ------------------------------------------------------------------ speaking

    def result(self, text: str) -> None:
        """Write what was asked for to standard output, with a line end."""
        self._write([text if text.endswith("\n") else text + "\n"])

    def _write(self, pieces: Iterable[str]) -> None:
        try:
            sys.stdout.writelines(pieces)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()

    def document(self, value: Any) -> None:
        """Write one JSON document to standard output."""
        self.result(json.dumps(value, indent=1))

    def say(self, text: str) -> None:
        """Write a message to standard error, unless quiet is wanted."""
        if self.verbosity >= 0:
            click.echo(text, err=True, color=False)

    def error(self, message: str) -> None:
        """Write an error to standard error, also where quiet is wanted."""
        click.echo(f"error: {message}", err=True, color=False)

    def failure(self, error: BaseException) -> None:
        """Write an error of the library: its message, and how it came about where that is wanted."""
        self._trace(error)
        if isinstance(error, SyncInterrupted):
            # What follows in the message is for Python; how to go on here is said with the report.
            self.error(str(error).partition(";")[0])
            return
        # The keys of a file are told as the file has to spell them.
        self.error(str(error) if getattr(error, "issues", ()) else spelled(str(error), self.named))

    def defect(self, error: BaseException) -> None:
        """Write an error that nobody expected."""
        self._trace(error)
        hint = "" if self.verbosity > 0 else " (-v shows where it happened)"
        self.error(_redacted(f"unexpected error: {type(error).__name__}: {error}, please report{hint}", self.secrets))

    def _trace(self, error: BaseException) -> None:
        if self.verbosity > 0:
            import traceback

            lines = traceback.format_exception(type(error), error, error.__traceback__)
            click.echo(_redacted("".join(lines), self.secrets), err=True, color=False)

    def set_verbosity(self, verbosity: int) -> None:
        """Speak more or less from now on; the library's log lines are shown where more is wanted."""
        self.verbosity = verbosity
        if verbosity > 0:
            import logging

            logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
            logging.getLogger("syncengine").setLevel(logging.DEBUG)

    # ------------------------------------------------------------------- showing

    def colored(self, stream: TextIO, environment: Optional[Mapping[str, str]] = None) -> bool:
        """Say whether *stream* takes colours."""
        variables = os.environ if environment is None else environment
        if self.no_color or variables.get("NO_COLOR"):
            return False
        if variables.get("FORCE_COLOR"):
            return True
        return variables.get("TERM") != "dumb" and stream.isatty()

    def plan(self, plan: Plan, *, blockers: bool = True, rest: str = "`syncengine plan --itemize` shows all") -> None:
        """Show a plan to people: in colour where standard output takes it, and with what blocks it unless told not.

        *rest* says what shows the lines that do not fit.
        """
        from attrs import evolve

        said = [evolve(each, message=spelled(each.message, self.named)) for each in plan.blockers if blockers]
        if not plan.operations or not self.colored(sys.stdout):
            self.result(rendering("plan_text")(plan, said, rest=rest))
            return
        from rich.console import Console

        console = Console(force_terminal=True, highlight=False)
        with console.capture() as painted:
            console.print(rendering("plan_rich")(plan, said, rest=rest))
        self.result(painted.get())

    def plan_view(self, plan: Plan, view: Optional[str], page: Optional[str], *, saved: Optional[str] = None) -> None:
        """Print a plan as *view* says: its saved form, lines, Markdown or for people; and write an HTML *page*."""
        if page is not None:
            self.save_page(page, repr(plan), rendering("plan_html")(plan))
        if view == "json":
            self.result(plan.to_json() if saved is None else saved)
        elif view == "itemize":
            self.lines(plan.itemize())
        elif view == "markdown":
            self.result(plan.to_markdown())
        else:
            self.plan(plan, rest="--itemize shows all")

    def lines(self, items: Iterable[str]) -> None:
        """Write lines to standard output while they come; none at all where there is none."""
        self._write(f"{item}\n" for item in items)

    def save_page(self, place: str, title: str, fragment: str) -> None:
        """Write an HTML page; raises StorageError where it cannot be written."""
        from html import escape

        page = f'<!doctype html>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n{fragment}\n'
        try:
            with open(place, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(page)
        except OSError as error:
            message = f"{click.format_filename(place)} cannot be written: {error.strerror}"
            raise StorageError(message, path=place) from error

    def saved(self, plan: Plan, place: str) -> None:
        """Say where a plan was saved, and the command that does exactly this."""
        from .storage_options import asked_again

        sides = {"source": plan.source.options, "destination": plan.destination.options}
        again = [word for side, names in sides.items() for word in asked_again(side, names)]
        words = [quoted(place), "--expect-digest", plan.digest, *map(quoted, again)]
        self.say(f"saved to {click.format_filename(place)}; to do exactly this:")
        self.say(f"  syncengine apply {' '.join(words)}")
        if again:
            self.say("  (the plan holds no user names, passwords and options: put yours in, or name a profile)")

    def report(self, report: Report, saved: Optional[str]) -> None:
        """Show what a run did, and how to go on where something is left."""
        self.ended(report)
        self.after(report, saved)

    def ended(self, report: Report) -> None:
        """Show what a run did; where quiet is wanted its first line alone, and nothing where nothing was to be done.

        Where a quiet run ends with anything but 0 all is told: the plan, which says what could not be seen, was not.
        """
        if self.verbosity >= 0:
            self.result(str(report))
        elif report.exit_code:
            self.lines([*rendering("problem_lines")(report.plan), str(report)])
        elif report.outcomes:
            self.lines(str(report).splitlines()[:1])

    def after(self, report: Report, saved: Optional[str], *, replans: bool = True) -> None:
        """Say where the report is, and how to do what is left; a command that *replans* is simply run again."""
        if saved is not None:
            how = _how_to_go_on(report, saved, replans=replans) if report.undone else ""
            self.say(f"report saved to {click.format_filename(saved)}{how and '; to do what is left'}{how}")
        elif report.undone:
            self.say(f"to do what is left{_how_to_go_on(report, None, replans=replans)}")
        places = {"source": report.plan.source.url, "destination": report.plan.destination.url}
        written = {outcome.operation.target.value for outcome in report.outcomes if outcome.status.value == "done"}
        if any(places[side].startswith("memory://") for side in written):
            self.say("memory:// lasts as long as its process: what was written there is gone when this command ends")

    # -------------------------------------------------------------------- asking

    @property
    def can_ask(self) -> bool:
        """Whether somebody sits at a terminal."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str, *, number: int = 0) -> bool:
        """Ask for a yes; for more than MOST_YES deletions ask for their *number*."""
        is_many = number > MOST_YES
        hint = f"type {number} to go on" if is_many else "y/N"
        answer = self._answer(f"{question} [{hint}] ")
        if is_many:
            return answer.replace(",", "") == str(number)
        return answer.casefold() in ("y", "yes")

    def _answer(self, question: str) -> str:
        # Not input(): it writes to standard output, which belongs to the result.
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def _how_to_go_on(report: Report, saved: Optional[str], *, replans: bool) -> str:
    """Return how to do what *report* left; what was stale no report resumes, since it would be stale again."""
    again = ", run the same command again" if replans else ", plan again"
    if report.is_stale:
        return again
    if saved is not None:
        return f": syncengine apply --resume {quoted(saved)}"
    if replans:
        return again
    return f"{again}; or save the report with --report FILE, then: syncengine apply --resume FILE"


def spelled(message: str, named: Sequence[str] = ()) -> str:
    """Return a message of the library as somebody on the command line has to read it: options, not arguments.

    >>> spelled("pass allow_emptied=True (--allow-emptied), or raise guards.max_delete.")
    'pass --allow-emptied, or raise --max-delete.'
    """
    message = re.sub(r"\b\w+=\S+ \((--[A-Za-z][A-Za-z= -]*)\)", r"\1", message)
    message = re.sub(r"\bguards\.([a-z_]+)", lambda match: "--" + match[1].replace("_", "-"), message)
    unlock = "syncengine state unlock"
    return message.replace(f"`{unlock}`", f"`{' '.join([unlock, *map(quoted, named)])}`")


def quoted(place: str) -> str:
    """Return *place* as a shell takes it."""
    from shlex import quote

    return quote(click.format_filename(place))


def _redacted(text: str, secrets: Sequence[str]) -> str:
    """Return *text* without *secrets* and any value of fsspec's configuration; foreign messages may quote one."""
    from ..storage.translation import redacted, texts_in

    config = sys.modules.get("fsspec.config")
    return redacted(text, [*secrets, *(texts_in(config.conf) if config is not None else ())])


def _discard_output() -> None:
    """Send what is still written to standard output nowhere: its reader has gone, and the run goes on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def stopping(cancel: threading.Event, output: Output) -> Iterator[None]:
    """Turn the first interrupt into a request to finish what is going on; the second one stops at once.

    An interrupt raised in the middle of a commit would lose the report; *cancel* is looked at between two steps.
    """

    asked: List[int] = []

    def tell() -> None:
        cancel.set()
        output.say("stopping: what is going on is finished first; interrupt again to stop at once")

    def stop(number: int, frame: Optional[FrameType]) -> None:
        if asked or cancel.is_set():
            raise KeyboardInterrupt
        asked.append(number)
        # RACE: the main thread may be interrupted within a wait for this very event, or within a write to standard
        # error, and holds a lock that is not its own twice; setting or writing here would wait for it for ever.
        _thread.start_new_thread(tell, ())

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def join_documents(documents: Mapping[str, Union[str, None]]) -> str:
    """Return one JSON object of documents that are JSON already; None becomes null."""
    members = (f'"{name}": {"null" if text is None else text.strip()}' for name, text in documents.items())
    return "{" + ",\n".join(members) + "}"


# ------------------------------------------------------------------------------------------------- the common options


def _louder(context: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        context.ensure_object(Output).set_verbosity(1)


def _quieter(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Output).set_verbosity(-1)


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def apply(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.ensure_object(Output), name, True)

    return apply


def habits() -> List[click.Parameter]:
    """Return the options of every command, and of the program itself; they come last in its help."""
    flag: Dict[str, Any] = {"is_flag": True, "expose_value": False}
    here: Dict[str, Any] = {"allow_from_autoenv": False, "expose_value": False}
    return [
        click.Option(["--no-color"], callback=_set("no_color"), help="Never use colours.", **_named(flag, "NO_COLOR")),
        click.Option(["--no-input"], callback=_set("no_input"), help="Never ask.", **_named(flag, "NO_INPUT")),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            callback=_quieter,
            help="Only results and errors; of a run only its end.",
            **here,
        ),
        click.Option(["-v", "--verbose"], count=True, callback=_louder, help="Log lines and tracebacks.", **here),
    ]


def _named(attributes: Dict[str, Any], variable: str) -> Dict[str, Any]:
    return {**attributes, "envvar": f"{ENVIRONMENT}_{variable}"}
