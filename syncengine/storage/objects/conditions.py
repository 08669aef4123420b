"""Which conditions an endpoint really checks: found out once by harmless requests, and remembered.

Many servers speak S3, and some take a condition and ignore it, which would overwrite what somebody else wrote. So
before the first write a condition that must fail is tried on an object of our own; what was found is kept in the
user's cache folder for each storage.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from io import BytesIO
from typing import Any, Callable, Dict, Optional

from attrs import asdict, define, evolve, field, frozen

from ...core.entry import Stamp
from ...errors import AccessDenied, NotFound, PreconditionFailed, StorageError, Unsupported
from ..protocol import ABSENT, ANYTHING, Precondition, exactly
from ..temporary import temporary
from .service import Headers, ObjectService, ServiceFacts

_REMEMBERED_SECONDS = 30 * 24 * 3600.0
_FORMAT = 2
_NOBODYS = Stamp(etag="00000000000000000000000000000000", version="1")


@frozen
class Conditions:
    """Which conditions hold; ``known`` says whether that was found out, and not only assumed to be none.

    Of uploads in parts it is found out on its own, None until then: few runs send one, and it takes several requests.
    """

    create_if_absent: bool = False
    replace_if_unchanged: bool = False
    delete_if_unchanged: bool = False
    multipart: Optional[bool] = None
    copy: bool = False
    known: bool = False


def claimed(facts: ServiceFacts) -> Conditions:
    """Return the conditions that the kind of service checks where it is what it says."""
    return Conditions(
        facts.create_if_absent,
        facts.replace_if_unchanged,
        facts.delete_if_unchanged,
        facts.multipart_conditions,
        facts.copy_conditions,
        known=True,
    )


@define(eq=False)
class ConditionMemory:
    """What is known of one endpoint; *storage* is its identity, empty where nothing is to be kept."""

    service: ObjectService
    storage: str = ""
    clock: Callable[[], float] = time.time
    _found: Optional[Conditions] = field(default=None, init=False)
    _earlier: Optional[Conditions] = field(default=None, init=False)
    """What an earlier run has found, looked up once: whoever asks does so for each file."""
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def recalled(self) -> Conditions:
        """Return what is known without asking the service."""
        if self._found is None and self._earlier is None:
            self._earlier = self._from_earlier() or Conditions()
        return self._found or self._earlier or Conditions()

    def settled(self, prefix: str) -> Conditions:
        """Return which conditions hold, found out by a reserved object below *prefix* where nobody knows yet.

        Raises what the service raises where it cannot be reached.
        """
        with self._lock:
            recalled = self.recalled()
            if recalled.known:
                return recalled
            found = self._found = probed(self.service, prefix)
            self._keep(found)
            return found

    def settled_for_parts(self, prefix: str) -> bool:
        """Return whether conditions hold for uploads in parts, found out as the others are."""
        found = self.settled(prefix)
        with self._lock:
            if found.known and self.recalled().multipart is None:
                self._found = evolve(self.recalled(), multipart=_tried_in_parts(self.service, prefix))
                self._keep(self._found)
        return self.recalled().multipart is True

    def _from_earlier(self) -> Optional[Conditions]:
        facts = self.service.facts
        if not facts.tried_out:
            return claimed(facts)
        kept = read_record(self._place(), _FORMAT, self.clock()).get("conditions")
        names = asdict(Conditions())
        if not isinstance(kept, dict) or set(kept) != set(names):
            return None
        told = {name: kept[name] is True for name in names}
        found = Conditions(**told) if kept["multipart"] is not None else evolve(Conditions(**told), multipart=None)
        return _both(claimed(facts), found)

    def _place(self) -> str:
        return record_place("conditions", self.storage)

    def _keep(self, found: Conditions) -> None:
        if not self.storage or not found.known:
            return
        write_record(self._place(), {"format": _FORMAT, "at": self.clock(), "conditions": asdict(found)})


def record_place(kind: str, storage: str) -> str:
    """Return the file that keeps what was found out of this *kind* about *storage*."""
    import platformdirs

    folder = platformdirs.user_cache_dir("syncengine", appauthor=False)
    return os.path.join(folder, kind, f"{storage}.json")


def read_record(place: str, layout: int, now: float) -> Dict[str, Any]:
    """Return what is kept at *place*, nothing where that is of another *layout*, or older than a month at *now*."""
    try:
        with open(place, encoding="utf-8") as stream:
            record = json.load(stream)
    except (OSError, ValueError):
        return {}
    is_known = isinstance(record, dict) and record.get("format") == layout
    return record if is_known and 0 <= now - record.get("at", 0) < _REMEMBERED_SECONDS else {}


def write_record(place: str, record: Dict[str, Any]) -> None:
    """Keep *record* at *place*; what cannot be kept is found out again."""
    import tempfile

    folder = os.path.dirname(place)
    with suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, encoding="utf-8", delete=False) as draft:
            json.dump(record, draft)
        os.replace(draft.name, place)


def _both(first: Conditions, second: Conditions) -> Conditions:
    names = asdict(first)
    both = Conditions(**{name: bool(getattr(first, name) and getattr(second, name)) for name in names})
    return evolve(both, multipart=None) if first.multipart and second.multipart is None else both


def probed(service: ObjectService, prefix: str) -> Conditions:
    """Find out which conditions *service* checks, by one reserved object below *prefix* that is gone afterwards.

    Where no such object may be written, nothing is known and nothing is relied on.
    """
    with temporary() as name:
        key = prefix + name
        try:
            service.put(key, b"1", expect=ANYTHING, headers=Headers())
        except AccessDenied:
            return Conditions()
        try:
            return _both(claimed(service.facts), _tried(service, key))
        finally:
            # What is left of it is a reserved name, which listings report and runs sweep.
            with suppress(StorageError):
                service.delete(key, expect=ANYTHING)


def _tried(service: ObjectService, key: str) -> Conditions:
    facts = service.facts
    headers = Headers()
    stale = exactly(_NOBODYS)
    found = Conditions(
        create_if_absent=facts.create_if_absent
        and _refuses(lambda: service.put(key, b"2", expect=ABSENT, headers=headers)),
        replace_if_unchanged=facts.replace_if_unchanged
        and _refuses(lambda: service.put(key, b"2", expect=stale, headers=headers)),
        copy=facts.copy_conditions and _refuses(lambda: _copied_onto_itself(service, key)),
        known=True,
    )
    deletes = facts.delete_if_unchanged and _refuses(lambda: service.delete(key, expect=stale))
    # A service may answer that the condition failed, and have deleted all the same.
    return evolve(found, delete_if_unchanged=deletes and service.head(key) is not None)


def _tried_in_parts(service: ObjectService, prefix: str) -> bool:
    """Say whether both conditions hold: a server may check the one where an upload is completed, and not the other."""
    headers = Headers()

    def upload(expect: Precondition) -> None:
        content = BytesIO(b"2")
        service.upload(key, lambda size: content.read(size), 1, expect=expect, headers=headers, admit=lambda: None)

    with temporary() as name:
        key = prefix + name
        service.put(key, b"1", expect=ANYTHING, headers=headers)
        try:
            return _refuses(lambda: upload(ABSENT)) and _refuses(lambda: upload(exactly(_NOBODYS)))
        finally:
            with suppress(StorageError):
                service.delete(key, expect=ANYTHING)


def _copied_onto_itself(service: ObjectService, key: str) -> None:
    info = service.head(key)
    if info is not None:
        service.copy(key, key, expect_origin=info, expect=ABSENT)


def _refuses(call: Callable[[], Any]) -> bool:
    """Say whether a call whose condition does not hold is refused for that reason."""
    try:
        call()
    except (PreconditionFailed, NotFound):
        return True
    except (Unsupported, AccessDenied):
        return False
    return False
