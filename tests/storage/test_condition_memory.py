"""What is known of a service's conditions stays known, whoever asks while it is being found out."""

from __future__ import annotations

from typing import Any, Dict, List, cast

import pytest

from syncengine.storage.objects import conditions
from syncengine.storage.objects.conditions import ConditionMemory, Conditions
from syncengine.storage.objects.service import ObjectService, ServiceFacts

FOUND = Conditions(create_if_absent=True, known=True)


class Unknown:
    """A service of which the kind says nothing certain."""

    facts = ServiceFacts("s3", tried_out=True, create_if_absent=True)


def test_who_asks_without_waiting_does_not_make_unknown_what_another_thread_finds_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = ConditionMemory(cast(ObjectService, Unknown()))
    answers: List[Conditions] = []

    def read(_: str) -> Dict[str, Any]:
        if not answers:  # another thread comes in between
            answers.append(Conditions())
            answers[0] = memory.settled("")
        return {}

    monkeypatch.setattr(conditions, "_read", read)
    monkeypatch.setattr(conditions, "probed", lambda *_: FOUND)
    recalled = memory.recalled()

    assert answers == [FOUND]
    assert recalled == memory.recalled() == FOUND
