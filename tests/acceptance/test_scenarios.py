"""Every scenario, on every pair of places that can hold it, with rename detection on and off."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

from .runner import Scenario


def test_scenario(scenario: Any, pair: Tuple[str, str], renames: bool, tmp_path: Path) -> None:
    Scenario(scenario, pair, renames=renames, base=tmp_path).perform()
