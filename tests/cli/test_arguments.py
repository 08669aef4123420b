"""Where an argument comes from: flag, environment, recipe, the user's configuration, default."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

import attrs
import pytest

from syncengine import SyncEngine, SyncMode
from syncengine.cli.options import _ARGUMENTS
from syncengine.cli.plan import command as plan_command
from syncengine.cli.prune import command as prune_command
from syncengine.core.pruning import Keep

from ..trees import files, write
from .conftest import Run

HEAD = 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "b"\n'


def _planned(run: Run, *arguments: str) -> Dict[str, Any]:
    ended = run("plan", *arguments, "--json")
    assert ended.code == 0, ended.stderr
    plan: Dict[str, Any] = json.loads(ended.stdout)
    return plan


def _configure(text: str) -> None:
    write(Path(os.environ["XDG_CONFIG_HOME"]) / "syncengine", {"config.toml": text})


SOURCES: Sequence[Tuple[str, str]] = [
    ("flag", "two-way"),
    ("environment", "source-to-destination"),
    ("recipe", "destination-backup"),
    ("configuration", "destination-to-source"),
    ("default", "source-backup"),
]


@pytest.mark.parametrize("first", range(len(SOURCES)), ids=[name for name, _ in SOURCES])
def test_the_nearest_source_wins(first: int, run: Run, sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = dict(SOURCES[first:])
    if "configuration" in present:
        _configure(f'mode = "{present["configuration"]}"\n[guards]\nmax_delete = "7"\n')
    recipe = f'mode = "{present["recipe"]}"\n' if "recipe" in present else ""
    write(sides, {"pair.toml": HEAD + recipe, "a/extra": "", "b/extra": ""})
    if "environment" in present:
        monkeypatch.setenv("SYNCENGINE_MODE", present["environment"])
    flag = ["--mode", present["flag"]] if "flag" in present else []
    settings = _planned(run, "pair.toml", "--allow-emptied", *flag)["settings"]
    assert settings["mode"] == SOURCES[first][1]
    assert settings["guards"]["max_delete"]["count"] == (7 if "configuration" in present else None)


def test_a_flag_overrides_one_guard_of_a_recipe_and_leaves_the_others(run: Run, sides: Path) -> None:
    write(sides, {"pair.toml": HEAD + '[guards]\nmax_delete = "5"\nmax_overwrite = "6"\n'})
    guards = _planned(run, "pair.toml", "--max-delete", "10%")["settings"]["guards"]
    assert (guards["max_delete"]["fraction"], guards["max_overwrite"]["count"]) == (0.1, 6)


def test_a_flag_turns_off_what_a_recipe_turns_on(run: Run, sides: Path) -> None:
    write(sides, {"pair.toml": HEAD + "force = true\nrequire_resolved = true\n"})
    settings = _planned(run, "pair.toml", "--no-force")["settings"]
    assert (settings["force"], settings["require_resolved"]) == (False, True)


MEANT = {
    ("plan", "a", "b", "--exclude", "*.tmp"): "use --ignore",
    ("plan", "a", "b", "--dry-run"): "use `syncengine plan`",
    ("sync", "a", "b", "--dry-run"): "`syncengine plan`",
    ("sync", "a", "b", "--delete"): "use --mode source-to-destination",
    ("sync", "a", "b", "--ignroe", "*.tmp"): "--ignore",
    ("sync", "a", "b", "--exclude-from", "x"): "use --ignore",
    ("sync", "a", "b", "--max-deletions", "3"): "use --max-delete",
    ("sync", "a", "b", "--ignore-existing"): "use --only-if missing",
    ("apply", "p.json", "--dry-run"): "use `syncengine plan`",
    ("sync", "a", "b", "--mode", "mirror"): "did you mean 'source-to-destination'?",
    ("sync", "a", "b", "--mode", "backup"): "did you mean 'source-backup'?",
    ("snyc", "a", "b"): "did you mean 'sync'?",
    ("state", "lst"): "did you mean 'list'?",
    ("recipe", "check"): "there are: schema, show, validate",
}


@pytest.mark.parametrize(("arguments", "hint"), MEANT.items(), ids=map(" ".join, MEANT))
def test_what_is_mistyped_or_another_tools_word_is_refused_with_what_was_meant(
    arguments: Sequence[str], hint: str, run: Run
) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert hint in ended.stderr


@pytest.mark.parametrize("name", ["mode", "compare", "conflict", "retain", "symlinks"])
def test_help_tells_the_default_that_the_engine_has(name: str, run: Run) -> None:
    default = getattr(SyncEngine("a", "b", state=None), name).value
    text = " ".join(run("plan", "-h").stdout.split())
    assert f"[{default}]." in text.partition(f"--{name} {name.upper()}")[2].partition(" --")[0]


@pytest.mark.parametrize("spelling", ["two-way", "TWO_WAY", "twoWay", "tw"])
def test_modes_have_all_their_names(spelling: str, run: Run) -> None:
    assert _planned(run, "a", "b", "--mode", spelling)["settings"]["mode"] == "two-way"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('mod = "two-way"', "did you mean 'mode'?"),
        ('source = "a"', "source: is not a default"),
        ('initial = "merge"', "initial: is not a default"),
        ("workers = true", "workers: expected"),
        ("mode = ", "is not valid TOML"),
    ],
)
def test_the_configuration_is_read_strictly(text: str, expected: str, run: Run) -> None:
    _configure(text)
    ended = run("plan", "a", "b")
    assert ended.code == 2
    assert "config.toml" in ended.stderr
    assert expected in ended.stderr


def test_overrides_of_one_run_do_not_come_from_the_environment(
    run: Run, sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("YES", "ALLOW_MASS_DELETE", "ALLOW_EMPTIED", "INITIAL"):
        monkeypatch.setenv(f"SYNCENGINE_{name}", "1")
    settings = _planned(run, "a", "b", "--mode", "tw")["settings"]
    assert (settings["allow_mass_delete"], settings["allow_emptied"], settings["initial"]) == (False, False, None)
    assert run("sync", "a", "b").code == 2


def test_the_state_of_the_environment_is_found_again_by_apply(run: Run, sides: Path) -> None:
    plan = _planned(run, "a", "b")
    assert plan["base"]["place"].endswith(os.environ["SYNCENGINE_STATE"])
    assert run("sync", "a", "b", "--yes", "--state", "states").code == 0
    write(sides, {"a/new.txt": "new"})
    run("plan", "a", "b", "--state", "states", "-o", "plan.json")
    (sides / "elsewhere").mkdir()
    os.chdir(sides / "elsewhere")
    assert run("apply", "../plan.json").code == 0
    os.chdir(sides)
    assert "1 done" in run("history", "a", "b", "--state", "states").stdout


def test_without_a_state_nothing_is_recorded(run: Run) -> None:
    ended = run("sync", "a", "b", "--yes", "--state", "none")
    assert "recorded" not in ended.stdout
    assert run("history", "a", "b", "--state", "none").code == 2
    assert "nothing is remembered" in run("state", "list").stderr


FILTERS: Mapping[str, Sequence[str]] = {
    "--ignore *.txt": [],
    "--ignore x.* --ignore y.*": ["z.md"],
    "--include *.md": ["z.md"],
    "--scope sub": ["sub/y.txt"],
    "--min-size 4": ["z.md"],
    "--max-size 3": ["sub/y.txt", "x.txt"],
    "--older-than 1h": [],
    "--newer-than 1h": ["sub/y.txt", "x.txt", "z.md"],
    "--files-from list.txt": ["sub/y.txt"],
    "--ignore-files rules": ["x.txt", "z.md"],
}


@pytest.mark.parametrize("words", FILTERS)
def test_filters_say_what_takes_part(words: str, run: Run, sides: Path) -> None:
    write(sides, {"a/z.md": "long", "list.txt": "sub/y.txt\n", "a/rules": "sub/\nrules\n"})
    if "rules" not in words:
        (sides / "a/rules").unlink()
    expected = [] if words == "--ignore *.txt" else list(FILTERS[words])
    found = [each["path"] for each in _planned(run, "a", "b", *words.split())["operations"] if each["kind"] == "file"]
    assert found == (["z.md"] if words == "--ignore *.txt" else expected)


def test_paths_come_from_standard_input_too(run: Run, sides: Path) -> None:
    ended = run("sync", "a", "b", "--yes", "--files-from", "-", stdin="x.txt\n\n")
    assert ended.code == 0
    assert files(sides / "b") == {"x.txt": "one"}


def test_a_path_map_is_pairs(run: Run, sides: Path) -> None:
    assert run("sync", "a", "b", "--yes", "--path-map", "sub=landing/sub").code == 0
    assert files(sides / "b") == {"x.txt": "one", "landing/sub/y.txt": "two"}


def test_a_plan_is_applied_elsewhere(run: Run, sides: Path) -> None:
    run("plan", "a", "b", "-o", "plan.json")
    assert run("apply", "plan.json", "--relocate", "middle=c").code == 2
    assert run("apply", "plan.json", "--relocate", "destination=c").code == 0
    assert (files(sides / "b"), files(sides / "c")) == ({}, {"x.txt": "one", "sub/y.txt": "two"})


def test_apply_holds_guards_on_top_of_the_plan(run: Run, sides: Path) -> None:
    write(sides, {"b/x.txt": "older"})
    os.utime(sides / "b/x.txt", (0, 0))
    run("plan", "a", "b", "-o", "plan.json")
    assert run("apply", "plan.json", "--protect", "x.txt").code == 6
    assert run("apply", "plan.json", "--max-transfer-bytes", "1B").code == 6
    assert run("apply", "plan.json", "--protect", "*.md").code == 0


def test_every_argument_of_the_engine_is_an_option() -> None:
    arguments = {each.alias for each in attrs.fields(SyncEngine) if each.init}
    only_in_python = {
        *("source", "destination", "predicate", "source_options", "destination_options", "observer"),
        *("pipeline", "cancel", "clock", "recipe_digest", "guards"),
    }
    options = {option.name for option in plan_command.params}
    assert arguments - only_in_python - {"prune"} <= options
    assert {rule.name for rule in attrs.fields(Keep)} <= {option.name for option in prune_command.params}
    assert options >= _ARGUMENTS


def test_the_shipped_recipes_are_found_by_name(run: Run, sides: Path) -> None:
    (sides / "quickstart").mkdir()
    ended = run("sync", "quickstart", "--yes")
    assert ended.code == 0, ended.stderr
    assert (sides / "syncengine-quickstart").is_dir()
    assert "did you mean 'quickstart'?" in run("sync", "quickstrat", "--yes").stderr


def test_a_place_with_dashes_and_blanks_is_a_place(run: Run, sides: Path) -> None:
    write(sides, {"a b/-x.txt": "odd"})
    assert run("sync", "--yes", "--", "a b", "-c").code == 0
    assert files(sides / "-c") == {"-x.txt": "odd"}


def test_modes_are_offered_to_the_shell() -> None:
    import click

    option = next(option for option in plan_command.params if option.name == "mode")
    offered = option.type.shell_complete(click.Context(plan_command), option, "source")
    assert [item.value for item in offered] == ["source-to-destination", "source-backup"]
    assert SyncMode.SOURCE_BACKUP.value in plan_command.get_help(click.Context(plan_command)).replace("\n", "")


def test_headers_of_objects_are_said_one_by_one_and_may_hold_equals_signs(run: Run, sides: Path) -> None:
    headers = ["--object-header", "*.css", "cache_control=max-age=60", "--object-header", "*", "metadata.team=web"]
    settings = _planned(run, "a", "b", *headers)["settings"]
    assert settings["object_headers"] == [["*.css", "cache_control", "max-age=60"], ["*", "metadata.team", "web"]]
    assert "object_headers" not in _planned(run, "a", "b")["settings"]


def test_a_header_that_nothing_can_set_is_refused(run: Run, sides: Path) -> None:
    ended = run("plan", "a", "b", "--object-header", "*", "cache-control=x")
    assert ended.code == 2
    assert "cannot set 'cache-control'" in ended.stderr
