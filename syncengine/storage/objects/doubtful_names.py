"""Names that some servers keep under another name, or keep and never list: tried out before the first one is written.

What a listing does not show under the name it was written under is taken for deleted, and the next sync would delete it
on the other side as well. So the server is asked once for each kind of name, by a reserved object that is gone
afterwards, and what it does not list is refused like any other name that a storage cannot hold. What was found out is
kept in the user's cache folder, so that a plan knows of it.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from typing import Dict, Optional, Sequence

from attrs import define, field, frozen

from ...errors import StorageError
from ..protocol import ANYTHING
from ..temporary import temporary
from .conditions import read_record, record_place, write_record
from .service import Headers, ObjectInfo, ObjectService


@frozen
class _Doubt:
    """A kind of names: what they hold, what follows a reserved name to make it one of them, and what is said of it.

    ``mark`` is in all of them; hardly any other name holds it, and to look for it takes a tenth of the time.
    """

    mark: str
    pattern: str
    ending: str
    reason: str


_FORMAT = 1
_DOUBTS = (
    _Doubt("\\", r"\\", "\\x", "holds a backslash"),
    # SeaweedFS keeps old versions and the parts of uploads in folders of these names.
    _Doubt(".versions/", r"\.versions/", ".versions/x", "lies in a folder whose name ends in .versions"),
    _Doubt(".uploads/", r"(?:^|/)\.uploads/", "/.uploads/x", "lies in a folder .uploads"),
)


@define(eq=False)
class DoubtfulNames:
    """What is known of one service, where the reserved objects lie below *root*, which is empty or ends in a slash.

    *storage* is the identity of the endpoint, empty where nothing is to be kept.
    """

    service: ObjectService
    root: str
    storage: str = ""
    _listed: Optional[Dict[str, bool]] = field(default=None, init=False)
    """By the pattern of the names, whether they are."""
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def refusal(self, key: str, *, ask: bool) -> Optional[str]:
        """Return why *key* would not be listed as such, None where it would, or where nobody knows and *ask* is False.

        Raises what the service raises.
        """
        if not self.service.facts.tried_out:
            return None
        for doubt in _DOUBTS:
            if doubt.mark in key and re.search(doubt.pattern, key) and not self._is_listed(doubt, ask=ask):
                return f"{doubt.reason}, and this server does not list such an object under its name"
        return None

    def _is_listed(self, doubt: _Doubt, *, ask: bool) -> bool:
        with self._lock:
            if self._listed is None:
                self._listed = self._from_earlier()
            if doubt.pattern not in self._listed and ask:
                self._listed[doubt.pattern] = _tried(self.service, self.root, doubt)
                self._keep(self._listed)
            return self._listed.get(doubt.pattern, True)

    def _from_earlier(self) -> Dict[str, bool]:
        kept = read_record(self._place(), _FORMAT, time.time()).get("listed") if self.storage else None
        return {str(name): listed is True for name, listed in kept.items()} if isinstance(kept, dict) else {}

    def _keep(self, listed: Dict[str, bool]) -> None:
        if self.storage:
            write_record(self._place(), {"format": _FORMAT, "at": time.time(), "listed": listed})

    def _place(self) -> str:
        return record_place("names", self.storage)


def _tried(service: ObjectService, root: str, doubt: _Doubt) -> bool:
    with temporary() as name:
        key = root + name + doubt.ending
        service.put(key, b"1", expect=ANYTHING, headers=Headers())
        try:
            # Not by the whole key: who looks right into a hidden folder may be shown what lies there.
            page: Sequence[ObjectInfo] = next(iter(service.pages(root + name, page_size=1)), ())
            return bool(page) and page[0].key == key
        finally:
            # What is left of it is a reserved name, which listings report and runs sweep.
            with suppress(StorageError):
                service.delete(key, expect=ANYTHING)
