"""Every client passes the one suite."""

from __future__ import annotations

from typing import Any, Mapping

import pytest
from conftest import KINDS, Factories
from plain_client import PlainClient

from syncengine.core.entry import Stamp
from syncengine.errors import PreconditionFailed
from syncengine.storage import conformance
from syncengine.storage.conformance import CHECKS, NotConforming, Subject, name_of
from syncengine.storage.protocol import ANYTHING


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("kind", KINDS)
def test_every_client_conforms(kind: str, check: conformance.Check, factories: Factories) -> None:
    check(factories.of(kind))


def test_a_client_that_breaks_a_promise_is_told_all_of_them_at_once(factories: Factories) -> None:
    class Careless(PlainClient):
        def write(self, path: str, content: Any, **options: Any) -> Stamp:
            return super().write(path, content, expect=ANYTHING)

    def make(files: Mapping[str, bytes]) -> Subject:
        client = Careless(files)
        return Subject(client, again=lambda: client)

    with pytest.raises(NotConforming) as caught:
        conformance.check(make)

    assert "writes only what was expected" in str(caught.value)
    assert "keeps the conditions it claims under threads: creating at once: 2 of 2 succeeded" in str(caught.value)
    assert conformance.check(factories.of("plain client")) is None


def test_what_a_client_raises_unexpectedly_is_a_failed_check_like_others() -> None:
    class Naive(PlainClient):
        def delete(self, path: str, *, expect: Any) -> None:
            if expect.stamp is not None and expect.stamp.size == 99:
                raise PreconditionFailed("another version stands there")
            self._files.pop(path)

    def make(files: Mapping[str, bytes]) -> Subject:
        client = Naive(files)
        return Subject(client, again=lambda: client)

    with pytest.raises(NotConforming) as caught:
        conformance.check(make)

    told = [line for line in str(caught.value).splitlines() if "KeyError" in line]
    assert [line.partition(": KeyError")[0] for line in told] == [
        f"{name}: only subclasses of StorageError may be raised"
        for name in ("deletes only what was expected", "keeps the conditions it claims under threads")
    ]
    assert told[0].endswith("""at `client.delete("d/gone", expect=ANYTHING)`""")
