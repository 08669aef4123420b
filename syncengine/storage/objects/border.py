"""The border of a service: whatever its library raises becomes one of our own errors, once, and shows no secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterable, Iterator

from ...core.paths import shown
from ...errors import NotFound, PreconditionFailed, SyncError
from ..causes import shown_cause
from ..protocol import Expectation, Precondition
from ..translation import translated


class Border:
    """Around every call of one service; *is_about_bucket* tells a missing bucket from a missing object."""

    def __init__(self, secrets: Iterable[str], is_about_bucket: Callable[[NotFound], bool]) -> None:
        self.secrets = tuple(secrets)
        self._is_about_bucket = is_about_bucket

    @contextmanager
    def __call__(self, key: str) -> Iterator[None]:
        """Let nothing but our own errors pass."""
        try:
            yield
        except SyncError:
            raise
        except Exception as error:  # noqa: BLE001 - a border: it is raised again, translated
            raise translated(error, key, secrets=self.secrets) from shown_cause(error, self.secrets)

    @contextmanager
    def writing(self, key: str, expect: Precondition) -> Iterator[None]:
        """Say of a key that should have held a version, and holds nothing, that the condition did not hold."""
        try:
            with self(key):
                yield
        except NotFound as error:
            if expect.demand is Expectation.EXACTLY and not self._is_about_bucket(error):
                raise PreconditionFailed(f"{shown(key)}: it is gone", path=key) from error.__cause__
            raise
