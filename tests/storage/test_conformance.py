"""Every client passes the one suite."""

from __future__ import annotations

import pytest
from conftest import KINDS, Factories

from syncengine.storage import conformance
from syncengine.storage.conformance import CHECKS, name_of


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_every_client_conforms(kind: str, check: conformance.Check, factories: Factories) -> None:
    check(factories.of(kind))
