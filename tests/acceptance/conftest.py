"""``pytest tests/acceptance --scenarios FILE`` performs any file of scenarios; without it, the ones shipped here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import yaml

HERE = Path(__file__).parent
PAIRS = (("memory", "memory"), ("local", "local"))
LOCAL = frozenset({"dirs", "content_hash", "case_sensitive_source"})
MEMORY = frozenset({"content_hash", "case_sensitive_source"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scenarios", action="append", default=[], help="a file of scenarios to perform")


def scenarios(path: Path) -> Iterator[Dict[str, Any]]:
    """Yield the scenarios of a file, each with the file's defaults."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["schema"] == 1, f"{path}: only schema 1 is known"
    for scenario in document["scenarios"]:
        yield {**document["defaults"], **scenario}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" not in metafunc.fixturenames:
        return
    files = [Path(name) for name in metafunc.config.getoption("--scenarios")] or [HERE / "two-way.yaml"]
    cases: List[Any] = []
    for path in files:
        for scenario in scenarios(path):
            for pair in PAIRS:
                if not able(scenario, pair):
                    continue
                for renames in (True, False):
                    if scenario["renames"] == "any" or renames:
                        name = f"{scenario['id']}-{'-'.join(pair)}-{'renames' if renames else 'plain'}"
                        cases.append(pytest.param(scenario, pair, renames, id=name))
    metafunc.parametrize(("scenario", "pair", "renames"), cases)


def able(scenario: Dict[str, Any], pair: Any) -> bool:
    """Say whether both places have what the scenario requires."""
    both = (LOCAL if pair[0] == "local" else MEMORY) & (LOCAL if pair[1] == "local" else MEMORY)
    return set(scenario["requires"]) <= both
