"""``pytest tests/acceptance --scenarios FILE`` performs any file of scenarios; without it, the ones shipped here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import yaml

from tests.storage.object_servers import S3Server, moto_server, shared_models
from tests.storage.sftp_servers import Server, make_keys, needs_openssh, openssh_server

from . import schema
from .places import PLACES

HERE = Path(__file__).parent
BEHIND_SFTP = (("local", "sftp"), ("sftp", "local"))
PAIRS = (
    ("memory", "memory"),
    ("local", "local"),
    ("local", "insensitive"),
    ("local", "decomposed"),
    ("local", "mac"),
    ("local", "s3"),
    ("s3", "local"),
    *BEHIND_SFTP,
)

OF_ONE_SIDE = {"case_sensitive_source": 0, "case_insensitive_destination": 1, "nfd_destination": 1}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scenarios", action="append", default=[], help="a file of scenarios to perform")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Serve S3 from memory, for as long as scenarios need it."""
    with shared_models(), moto_server() as url:
        yield S3Server(url)


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a real sshd, for as long as scenarios need it."""
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    with openssh_server(tmp_path_factory.mktemp("sftp"), keys) as server:
        yield server


def scenarios(path: Path) -> Iterator[Dict[str, Any]]:
    """Yield the scenarios of a file, each with the file's defaults; refuse what the runner would not check."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if document.get("schema") != 1:
        raise pytest.UsageError(f"{path}: only schema 1 is known")
    unknown = set(document) - {"schema", "defaults", "scenarios"} | set(document.get("defaults") or {}) - set(
        schema.DEFAULTS
    )
    if unknown:
        raise pytest.UsageError(f"{path}: unknown keys: {', '.join(sorted(unknown))}")
    seen = set()
    for found in document["scenarios"]:
        scenario = {**schema.DEFAULTS, **(document.get("defaults") or {}), **found}
        problems = [*schema.problems(scenario)]
        if scenario.get("id") in seen:
            problems.append("the id is taken")
        if not any(able(scenario, pair) for pair in PAIRS):
            problems.append(f"no pair of places has {scenario['requires']}")
        if problems:
            raise pytest.UsageError(f"{path}: {scenario.get('id')}: " + "; ".join(problems))
        seen.add(scenario["id"])
        yield scenario


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" not in metafunc.fixturenames:
        return
    files = [Path(name) for name in metafunc.config.getoption("--scenarios")] or [HERE / "two-way.yaml"]
    cases = [case for path in files for scenario in scenarios(path) for case in performances(scenario)]
    metafunc.parametrize(("scenario", "pair", "renames"), cases)


def performances(scenario: Dict[str, Any]) -> Iterator[Any]:
    """Yield the parameters of each performance of *scenario*."""
    for pair in PAIRS:
        for renames in (True, False):
            # Requests take time: the usual run has one performance of each scenario with a server.
            rare = pair == ("s3", "local") or (pair == ("local", "s3") and not renames and scenario["renames"] == "any")
            marks: List[Any] = [pytest.mark.thorough] if rare or pair in BEHIND_SFTP else []
            marks += [needs_openssh] if pair in BEHIND_SFTP else []
            if able(scenario, pair) and (scenario["renames"] == "any" or renames):
                name = f"{scenario['id']}-{'-'.join(pair)}-{'renames' if renames else 'plain'}"
                yield pytest.param(scenario, pair, renames, id=name, marks=marks)


def able(scenario: Dict[str, Any], pair: Tuple[str, str]) -> bool:
    """Say whether both places have what the scenario requires.

    Where names are folded, or one side tells no digest of what was just written, no rename is recognised.
    """
    places = [PLACES[name].abilities for name in pair]
    folds = not {"case_insensitive_destination", "nfd_destination"}.isdisjoint(places[1])
    if (folds or pair in BEHIND_SFTP) and scenario["renames"] is True:
        return False
    needed = set(scenario["requires"])
    return all(
        name in places[OF_ONE_SIDE[name]] if name in OF_ONE_SIDE else all(name in able for able in places)
        for name in needed
    )
