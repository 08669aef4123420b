"""The entry point: finds the command, and is the one border where exceptions become messages and exit codes.

Every command is imported when it is asked for, and imports the engine when it runs: ``--version`` and ``--help`` load
neither.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any, Dict, List, NoReturn, Optional, Sequence

import click

from .. import __version__
from ..errors import SyncError
from .output import Output, habits
from .suggestions import Group

COMMANDS: Dict[str, str] = {
    "plan": "Say what a sync would do; write nothing.",
    "show": "Show a saved plan or report.",
    "edit": "Change, resolve, approve or seal a saved plan.",
    "apply": "Perform a saved plan.",
    "sync": "Plan, show the plan, ask, and perform it.",
    "check": "Say whether both sides hold the same content.",
    "conflicts": "List what both sides disagree on, and resolve it.",
    "explain": "Say why one path is, or is not, synced.",
    "history": "Show past runs and the versions of a file; undo a run.",
    "restore": "Bring retained versions back.",
    "prune": "Delete retained versions that no rule keeps.",
    "state": "Look after what is remembered of each pair.",
    "doctor": "Say what works here, and what serves a URL.",
    "recipe": "Check and show recipes.",
}
INTERRUPTED = 130

_NEW_VALUES = 200_000
"""Values that this process makes before it looks for cycles among them: more than a start and 10,000 files leave."""


class Commands(Group):
    """The group of all commands; each is the ``command`` of the module that has its name."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Return the names in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"syncengine.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Optional[Sequence[str]] = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run the command that *args* name and exit with its code."""
        output = extra.setdefault("obj", Output())
        extra["standalone_mode"] = False
        sys.exit(_exit_code(output, lambda: super(Commands, self).main(args, *rest, **extra)))


def _exit_code(output: Output, run: Any) -> int:
    try:
        code = run()
    except click.Abort:
        output.error("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SyncError as error:
        output.failure(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the border: whatever is left is a defect of ours
        output.defect(error)
        return 1
    return code if isinstance(code, int) else 0


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`syncengine COMMAND --help` shows examples. SYNCENGINE_<OPTION> in the environment and "
    "config.toml in the user's configuration folder hold defaults (`syncengine doctor` says where). "
    "Credentials come from fsspec's configuration: FSSPEC_SFTP_USERNAME in the environment is the option username of "
    "every sftp:// place, and a profile is a table of options under a name of its own, in "
    "~/.config/fsspec/conf.json as "
    '{"nas": {"username": "bob", "password": "..."}} or in the environment as FSSPEC_NAS_PASSWORD, which '
    "--source-profile nas and --destination-profile nas take.",
)
@click.version_option(__version__, prog_name="syncengine")
def commands() -> None:
    """Plan, review and apply file syncs between any two places that fsspec can open."""


commands.params += habits()


def main() -> NoReturn:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show an arrow still gets every line.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    # A sync makes values by the thousand, and hardly any lie in cycles: after each 700 is too often to look for those.
    gc.set_threshold(_NEW_VALUES, 50, 50)
    try:
        commands.main(prog_name="syncengine")
    finally:
        # The system gets everything back at once: to look for cycles before would take a tenth of a short run.
        gc.freeze()


if __name__ == "__main__":
    main()
