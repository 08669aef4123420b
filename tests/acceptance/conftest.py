"""``pytest tests/acceptance --scenarios FILE`` performs any file of scenarios; without it, the ones shipped here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import yaml

from .places import PLACES

HERE = Path(__file__).parent
PAIRS = (("memory", "memory"), ("local", "local"), ("local", "insensitive"), ("local", "decomposed"))
OF_ONE_SIDE = {"case_sensitive_source": 0, "case_insensitive_destination": 1, "nfd_destination": 1}


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
    """Say whether both places have what the scenario requires; where names are folded no rename is recognised."""
    places = [PLACES[name].abilities for name in pair]
    folds = not {"case_insensitive_destination", "nfd_destination"}.isdisjoint(places[1])
    if folds and scenario["renames"] is True:
        return False
    needed = set(scenario["requires"])
    return all(
        name in places[OF_ONE_SIDE[name]] if name in OF_ONE_SIDE else all(name in able for able in places)
        for name in needed
    )
