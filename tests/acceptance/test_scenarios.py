"""Every scenario, on every pair of places that can hold it, with rename detection on and off."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import pytest

from .runner import Scenario


def test_scenario(
    scenario: Any, pair: Tuple[str, str], renames: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    s3 = request.getfixturevalue("s3") if "s3" in pair else None

    Scenario(scenario, pair, renames=renames, base=tmp_path, s3=s3).perform()
