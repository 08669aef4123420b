"""Single requests of the JSON API of Google Cloud Storage, in the session and with the credentials of gcsfs.

gcsfs' own calls hide what a caller must know: whether a request was repeated, what was denied, and how long a
service asked to wait. Here a look is repeated a few times and a change never is; the engine repeats those.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any, Dict, Iterable, Mapping, Optional, Sequence

from attrs import frozen

from ...errors import NotFound, Throttled, Unavailable
from ..translation import classified
from .border import Border
from .loop import Loop

_CONNECT_SECONDS = 30
_SILENCE_SECONDS = 60


@frozen
class Answer:
    """What came back: *headers* by lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Dict[str, Any]:
        """The content as an object."""
        found = json.loads(self.content or b"{}")
        return found if isinstance(found, dict) else {}


class GcsError(Exception):
    """An answer that says no."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}: {_reason(answer)}")
        self.status = answer.status
        self.headers = answer.headers


class GcsClient:
    """Requests; *pauses* are the seconds before each repetition of a look that failed for the moment."""

    def __init__(self, filesystem: Any, *, secrets: Iterable[str] = (), pauses: Sequence[float] = (0.5, 1, 2)) -> None:
        self.loop = Loop(filesystem)
        self._filesystem = filesystem
        self.border = Border(secrets, is_about_bucket)
        self._pauses = tuple(pauses)

    @property
    def upload_path(self) -> str:
        """Where uploads begin; one placeholder for the bucket."""
        location: str = self._filesystem._location  # noqa: SLF001 - knows the endpoint
        return location + "/upload/storage/v1/b/{}/o"

    def look(self, key: str, path: str, *names: str, **given: Any) -> Answer:
        """GET something, again where it failed for the moment."""
        with self.border(key):
            return self.loop.run(partial(self._looked, path, *names, **given))

    def run(self, key: str, method: str, path: str, *names: str, **given: Any) -> Answer:
        """Make one request about *key*."""
        with self.border(key):
            return self.loop.run(partial(self.send, method, path, *names, **given))

    async def _looked(self, path: str, *names: str, **given: Any) -> Answer:
        for pause in self._pauses:
            try:
                return await self.send("GET", path, *names, **given)
            except Exception as error:
                # Whatever the library raised: what will not get better is raised again, and translated once, outside.
                if classified(error) not in (Throttled, Unavailable):
                    raise
            await asyncio.sleep(pause)
        return await self.send("GET", path, *names, **given)

    async def send(
        self,
        method: str,
        path: str,
        *names: str,
        parameters: Optional[Mapping[str, Any]] = None,
        headers: Optional[Mapping[str, str]] = None,
        **body: Any,
    ) -> Answer:
        """Make one request; *names* fill the placeholders of *path*, quoted. Raises what the library raises."""
        filesystem = self._filesystem
        await filesystem._set_session()  # noqa: SLF001 - the session, the credentials and the options are its own
        async with filesystem.session.request(
            method=method,
            url=filesystem._format_path(path, names),  # noqa: SLF001
            params=filesystem._get_params(dict(parameters or {})),  # noqa: SLF001
            headers=filesystem._get_headers(dict(headers or {})),  # noqa: SLF001
            timeout=filesystem.requests_timeout or _patience(),
            allow_redirects=False,
            auto_decompress=False,
            **body,
        ) as response:
            told = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(response.status, told, await response.read())
        if answer.status >= 400 and answer.status != 499:
            raise GcsError(answer)
        return answer


def is_about_bucket(error: NotFound) -> bool:
    """Say whether it is the bucket that is missing."""
    return "bucket does not exist" in str(error)


def _patience() -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)


def _reason(answer: Answer) -> str:
    try:
        error = answer.json.get("error", {})
    except ValueError:
        return answer.content[:500].decode("utf-8", "replace")
    return str(error.get("message", "")) if isinstance(error, Mapping) else str(error)
