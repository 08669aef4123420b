"""Uploads to S3 in parts by plain requests: begun, sent, completed and given up without botocore.

That takes a third of its processor time, and not the second that it takes to import. An upload that was begun here is
sent from here: botocore names a checksum for all parts of those that it begins, and S3 takes no mixture. Where an
upload cannot be begun plainly, the caller does all of it in its other way.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from attrs import define, field

from ...core.paths import shown
from ...errors import StorageError, Unavailable
from ..causes import shown_cause
from ..translation import translated
from .exchange import Answer, Unclear, Unsent
from .fast import HEADER_NAMES
from .s3_client import Refused, error_code
from .s3_direct import DirectS3
from .service import Headers

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_Sent = TypeVar("_Sent")
Part = Tuple[int, bytes]
"""The number of a part, from 1, and its content."""

OF_ONE_UPLOAD = 4
"""Parts of one object on their way at once, while the next is being read."""
OF_ALL_UPLOADS = 8
"""Parts of all objects of one bucket that wait in memory, besides the one that each upload is at."""

_CONDITIONS = {"IfMatch": "If-Match", "IfNoneMatch": "If-None-Match"}
_UPLOAD_ID = re.compile(r"<UploadId>([^<]+)</UploadId>")
_COMPLETED = re.compile(r"<CompleteMultipartUploadResult.*?<ETag>([^<]+)</ETag>", re.DOTALL)
_SAID = re.compile(r"<(Code|Message)>([^<]+)</\1>")
_TOLD = {
    "x-amz-version-id": "VersionId",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
}
# The second is what a write at the same time is answered with; such an upload can only be begun anew.
_CONDITION_FAILED = (412, 409)
_REFUSED = range(400, 600)
_UPLOAD_IS_GONE = "NoSuchUpload"
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.2
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")


@define(eq=False)
class PlainParts:
    """Requests about uploads in parts through *direct*; no error shows one of the *secrets*."""

    direct: DirectS3
    secrets: Tuple[str, ...] = field(default=(), repr=False)

    def begun(self, key: str, headers: Headers) -> Optional[str]:
        """Begin an upload and return its id, None where that was not answered plainly."""
        given = plain_headers(headers)
        answer = None if given is None else self._asked("POST", key, given, {"uploads": ""})
        found = _UPLOAD_ID.search(_text(answer)) if answer is not None and answer.status == 200 else None
        return None if found is None else _unescaped(found.group(1))

    def sent(self, key: str, upload: str, piece: Part) -> str:
        """Send one part and return its quoted ETag; what may pass is tried again, since a part replaces itself."""
        number, content = piece
        query = {"partNumber": str(number), "uploadId": upload}
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._asked("PUT", key, {}, query, content)
            if answer is not None and answer.status == 200 and answer.etag:
                return answer.etag
            error = self._failure(key, answer)
            # Another upload may succeed, but no part comes to one that is gone.
            if not error.retryable or error_code(error) == _UPLOAD_IS_GONE or attempt == _ATTEMPTS:
                raise error
            time.sleep(_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def completed(
        self, key: str, upload: str, etags: Sequence[str], condition: Mapping[str, str]
    ) -> Optional[Dict[str, Any]]:
        """Complete an upload and return what was told about the object, as botocore spells it.

        Returns None where nothing was sent; raises PreconditionFailed where the condition did not hold, or what else
        the service calls another write that was in the way, and Unclear where nobody knows what was done.
        """
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
        )
        content = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        given = {_CONDITIONS[name]: value for name, value in condition.items()}
        try:
            answer = self.direct.ask("POST", key, given, content=content, query={"uploadId": upload})
        except Unsent:
            return None
        if answer.status in _CONDITION_FAILED:
            raise self._refusal(key, answer, "its upload")
        # S3 may answer that all is well and tell of a failure in what follows.
        found = _COMPLETED.search(_text(answer)) if answer.status == 200 else None
        if found is None:
            raise Unclear(f"status {answer.status}")
        told = {name: answer.headers[header] for header, name in _TOLD.items() if header in answer.headers}
        return {**told, "ETag": _unescaped(found.group(1))}

    def given_up(self, key: str, upload: str) -> bool:
        """Throw away the parts of an upload; say whether that was answered plainly."""
        answer = self._asked("DELETE", key, {}, {"uploadId": upload})
        return answer is not None and answer.status == 204

    def _failure(self, key: str, answer: Optional[Answer]) -> StorageError:
        """Return what the *answer* to a part that was not taken, or no answer, says to a caller."""
        if answer is None:
            return Unavailable(f"{shown(key)}: the connection broke while a part of it was being sent", path=key)
        if answer.status not in _REFUSED:
            return Unavailable(f"{shown(key)}: a part of it was answered with status {answer.status}", path=key)
        return self._refusal(key, answer, "a part of it")

    def _refusal(self, key: str, answer: Answer, what: str) -> StorageError:
        """Return a refusal as what botocore had raised of it comes to."""
        said = {name: _unescaped(text) for name, text in _SAID.findall(_text(answer))}
        message = f"{what} was answered with status {answer.status}: {said.get('Message', 'no reason given')}"
        told = {"Code": said.get("Code", str(answer.status)), "Message": message}
        refused = Refused(told, status=answer.status, headers=answer.headers)
        error = translated(refused, key, secrets=self.secrets)
        error.__cause__ = shown_cause(refused, self.secrets)
        return error

    def _asked(
        self, method: str, key: str, headers: Mapping[str, str], query: Mapping[str, str], content: bytes = b""
    ) -> Optional[Answer]:
        try:
            return self.direct.ask(method, key, headers, content=content, query=query)
        except Unclear:
            return None


def plain_headers(headers: Headers) -> Optional[Dict[str, str]]:
    """Return what is sent of *headers*, None where it cannot be said in plain text."""
    named = {name: getattr(headers, field) for field, name in HEADER_NAMES.items() if getattr(headers, field)}
    own = {f"x-amz-meta-{name.lower()}": value for name, value in headers.metadata.items()}
    chosen = {"x-amz-storage-class": headers.storage_class} if headers.storage_class else {}
    given = {**named, **own, **chosen}
    is_plain = all(_PLAIN.fullmatch(text) for text in (*given, *given.values()))
    return given if is_plain and not any(":" in name for name in own) else None


@define(eq=False)
class PartThreads:
    """The threads that send the parts of all uploads of one bucket, and how many parts may wait for them."""

    _slots: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(OF_ALL_UPLOADS), init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _threads: Optional[ThreadPoolExecutor] = field(default=None, init=False)

    def sent(self, parts: Iterator[Part], send: Callable[[Part], _Sent]) -> List[_Sent]:
        """Send *parts*, several at once, and return what each of them came to, in their order.

        When this returns or raises, nothing is on its way any more.
        """
        sent: List[_Sent] = []
        waiting: Deque[Future[_Sent]] = deque()
        try:
            for part in parts:
                if len(waiting) >= OF_ONE_UPLOAD:
                    sent.append(_landed(waiting))
                if not self._begun(part, send, waiting):
                    # No place or no thread is free; no upload waits for these, so none can wait for ever.
                    sent.extend(_all_landed(waiting))
                    sent.append(send(part))
            sent.extend(_all_landed(waiting))
        finally:
            _cancelled(waiting)
        return sent

    def close(self) -> None:
        """Wait for what is on its way and end the threads; a later upload gets new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True)

    def _begun(self, part: Part, send: Callable[[Part], _Sent], waiting: Deque[Future[_Sent]]) -> bool:
        """Give *part* to a thread and add it to *waiting*; say whether there was a place and a thread for it."""
        if not self._slots.acquire(blocking=False):
            return False
        from concurrent.futures import Future

        begun: Future[_Sent] = Future()
        begun.add_done_callback(lambda _: self._slots.release())
        # Before a thread can have it: whatever is raised from here on, the part is called off or waited for.
        waiting.append(begun)
        pool = self._pool()
        try:
            pool.submit(_carry_out, begun, send, part)
        except RuntimeError:
            # No thread could be started, but the part stays queued, and a thread of another part may be at it by now.
            self._leave(pool)
            if begun.cancel():
                waiting.pop()
                return False
        return True

    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(OF_ALL_UPLOADS, thread_name_prefix="syncengine-part")
            return self._threads

    def _leave(self, pool: ThreadPoolExecutor) -> None:
        """Give *pool* nothing more to do: it would count the thread that it could not start as an idle one."""
        with self._lock:
            if self._threads is pool:
                self._threads = None
        pool.shutdown(wait=False)


def _carry_out(begun: Future[_Sent], send: Callable[[Part], _Sent], part: Part) -> None:
    """Send *part*, unless it was called off."""
    if not begun.set_running_or_notify_cancel():
        return
    try:
        result = send(part)
    except BaseException as error:  # noqa: BLE001 - it is raised again, where the part is waited for
        begun.set_exception(error)
        del begun  # its error remembers this call, and the call would remember it
    else:
        begun.set_result(result)


def _landed(waiting: Deque[Future[_Sent]]) -> _Sent:
    result = waiting[0].result()
    # Only now: whoever interrupts the waiting has to wait for its end as well.
    waiting.popleft()
    return result


def _all_landed(waiting: Deque[Future[_Sent]]) -> Iterator[_Sent]:
    while waiting:
        yield _landed(waiting)


def _cancelled(waiting: Deque[Future[Any]]) -> None:
    for begun in waiting:
        begun.cancel()
    for begun in waiting:
        if not begun.cancelled():
            begun.exception()


def _unescaped(text: str) -> str:
    from html import unescape

    return unescape(text)


def _text(answer: Optional[Answer]) -> str:
    return "" if answer is None else answer.content.decode("utf-8", "replace")
