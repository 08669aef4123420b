"""Every scenario, on every pair of places that can hold it, with rename detection on and off."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import pytest

from .runner import Scenario


def test_scenario(
    scenario: Any, pair: Tuple[str, str], renames: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    served = next((name for name in pair if name in ("s3", "sftp")), None)
    server = None if served is None else request.getfixturevalue(served)

    Scenario(scenario, pair, renames=renames, base=tmp_path, server=server).perform()
