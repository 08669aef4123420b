"""What a file of scenarios may not say: nothing in one is silently left unchecked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
import yaml

from . import schema
from .conftest import HERE, scenarios

SOUND: Dict[str, Any] = {**schema.DEFAULTS, "id": "x", "start": {"both": {"f": "v1"}}, "expect": {"both": {}}}
RUNS: Dict[str, Any] = {name: SOUND[name] for name in SOUND if name != "expect"}


def test_what_the_head_of_the_file_defines_is_known() -> None:
    everything = {
        **RUNS,
        "from": "here",
        "rule": "T1",
        "note": "n",
        "guard": {"max_delete": 0.5},
        "renames": True,
        "requires": list(schema.REQUIRES),
        "start": {"source": {"a": "A", "d/": None}, "destination": {}},
        "runs": [
            {
                "source": [["write", "a", "A"], ["write", "a", "A", 5], ["delete", "a"], ["rename", "a", "b"]],
                "destination": [["mkdir", "d"], ["touch", "a", 1.5]],
                "during": {"source": [["delete", "a"]], "destination": []},
                "with": {
                    "mode": "TWO_WAY",
                    "policy": "manual",
                    "scope": ["d"],
                    "exclude": ["*.tmp"],
                    "dry_run": True,
                    "scan_error": {"source": ["d"]},
                    "root_missing": "source",
                    "state": "lost",
                    "crash_after": 1,
                    "fail": {"destination": ["a"]},
                },
                "expect": {
                    "both": {},
                    "source": {"d/": None},
                    "destination": {"a": "A"},
                    "transfers": 1,
                    "noop": True,
                    "conflicts": {"a": "kind_clash"},
                    "unresolved": ["a"],
                    "keep_both": {"a": ["A", "B"]},
                    "retained": ["A"],
                    "aborted": "max_delete",
                    "skipped": ["a"],
                },
            }
        ],
    }

    assert [*schema.problems(everything)] == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({**SOUND, "polcy": "newest"}, "polcy: unknown"),
        ({**SOUND, "with": {"crash_aftr": 1}}, "with: crash_aftr: unknown"),
        ({**SOUND, "expect": {"transfer": 1}}, "expect: transfer: unknown"),
        ({**SOUND, "start": {"left": {}}}, "start: left: unknown"),
        ({**SOUND, "source": [["remove", "a"]]}, "no edit is called 'remove'"),
        ({**SOUND, "source": [["write", "a"]]}, "write takes 2 to 3 arguments"),
        ({**SOUND, "source": [["touch", "a", "late"]]}, "'late' is no time"),
        ({**SOUND, "mode": "MIRROR"}, "mode: 'MIRROR' is none of"),
        ({**SOUND, "requires": ["locks"]}, "requires: 'locks' is none of"),
        ({**SOUND, "renames": False}, "renames: False is none of"),
        ({**SOUND, "guard": {"max_overwrite": 1}}, "guard: max_overwrite: unknown"),
        ({**SOUND, "expect": {"conflicts": {"f": "edit"}}}, "'edit' is none of"),
        ({**SOUND, "expect": {"both": {"f": 1}}}, "both: f: 1 is no text"),
        ({**SOUND, "expect": {"noop": False}}, "noop: False"),
        ({**SOUND, "runs": []}, "beside runs"),
        ({**RUNS, "runs": [{"expects": {}}]}, "runs: expects: unknown"),
        (RUNS, "nothing would be checked"),
    ],
)
def test_what_nobody_would_check_is_refused_by_name(said: Dict[str, Any], problem: str) -> None:
    assert problem in "; ".join(schema.problems(said))


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"schema": 2, "scenarios": []}, "only schema 1"),
        ({"schema": 1, "defaults": {"speed": 1}, "scenarios": []}, "unknown keys: speed"),
        ({"schema": 1, "scenarios": [SOUND, SOUND]}, "x: the id is taken"),
        ({"schema": 1, "scenarios": [{**SOUND, "requires": ["dirs", "case_sensitive_source", "x"]}]}, "no pair of"),
    ],
)
def test_a_file_that_cannot_be_performed_as_it_is_meant_is_refused(
    document: Dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(document))

    with pytest.raises(pytest.UsageError, match=problem):
        list(scenarios(path))


def test_the_scenarios_that_are_shipped_are_sound() -> None:
    assert len(list(scenarios(HERE / "two-way.yaml"))) > 60
