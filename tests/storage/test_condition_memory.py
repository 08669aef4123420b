"""What is known of a service stays known, whoever asks while it is being found out, and for a month."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, cast

import pytest

from syncengine.core.entry import Stamp
from syncengine.storage.objects import conditions
from syncengine.storage.objects.conditions import ConditionMemory, Conditions
from syncengine.storage.objects.doubtful_names import DoubtfulNames
from syncengine.storage.objects.service import ObjectInfo, ObjectService, ServiceFacts

FOUND = Conditions(create_if_absent=True, known=True)


class Unknown:
    """A service of which the kind says nothing certain."""

    facts = ServiceFacts("s3", tried_out=True, create_if_absent=True)


def test_who_asks_without_waiting_does_not_make_unknown_what_another_thread_finds_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = ConditionMemory(cast(ObjectService, Unknown()))
    answers: List[Conditions] = []

    def read(*_: object) -> Dict[str, Any]:
        if not answers:  # another thread comes in between
            answers.append(Conditions())
            answers[0] = memory.settled("")
        return {}

    monkeypatch.setattr(conditions, "read_record", read)
    monkeypatch.setattr(conditions, "probed", lambda *_: FOUND)
    recalled = memory.recalled()

    assert answers == [FOUND]
    assert recalled == memory.recalled() == FOUND


def test_what_an_earlier_run_has_found_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ConditionMemory(cast(ObjectService, Unknown()), "storage")
    reads: List[object] = []

    def read(*given: object) -> Dict[str, Any]:
        reads.append(given)
        return {}

    monkeypatch.setattr(conditions, "read_record", read)

    assert {memory.recalled() for _ in range(3)} == {Conditions()}
    assert len(reads) == 1


class Hiding:
    """A service that lists nothing in folders of certain names; ``puts`` counts what was written to find that out."""

    facts = ServiceFacts("s3", tried_out=True)

    def __init__(self) -> None:
        self.keys: List[str] = []
        self.puts = 0

    def put(self, key: str, *_: object, **__: object) -> None:
        self.keys.append(key)
        self.puts += 1

    def pages(self, prefix: str, **_: object) -> Iterator[List[ObjectInfo]]:
        yield [ObjectInfo(key, Stamp()) for key in self.keys if key.startswith(prefix) and ".versions/" not in key]

    def delete(self, key: str, **_: object) -> None:
        self.keys.remove(key)


def test_what_a_server_does_not_list_is_found_out_once_and_kept_for_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(service: Hiding, key: str, *, ask: bool) -> bool:
        return DoubtfulNames(cast(ObjectService, service), "root/", "storage").refusal(key, ask=ask) is not None

    service, now = Hiding(), time.time()
    assert not refused(service, "root/d.versions/x", ask=False)
    assert [refused(service, key, ask=True) for key in ("root/plain", "root/d.versions/x", "root/a\\b")] == [
        False,
        True,
        False,
    ]
    assert (service.puts, service.keys) == (2, [])

    assert refused(service, "root/.versions/y", ask=False)
    assert not refused(service, "root/a\\b", ask=True)
    assert service.puts == 2

    monkeypatch.setattr(time, "time", lambda: now + 32 * 24 * 3600)
    assert not refused(service, "root/.versions/y", ask=False)
    assert refused(service, "root/.versions/y", ask=True)
    assert service.puts == 3
