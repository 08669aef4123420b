"""Single requests of the S3 client that s3fs made, with the filesystem's own request options, and their errors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Optional

from ...errors import StorageError, Unsupported
from .border import Border
from .s3_listing import by_text, read_pages_by_text

if TYPE_CHECKING:
    from .loop import Loop

# Where botocore itself decides on checksums; a narrower event would come before that.
_RANGE_EVENT = "before-parameter-build"


class S3Client:
    """Requests about one bucket.

    s3fs' own retries stay out of it, because they hide that a request was repeated; botocore's are counted in its
    answers, and the engine repeats what fails for good.
    """

    def __init__(self, filesystem: Any, bucket: str, *, secrets: Iterable[str] = ()) -> None:
        self.border = Border(secrets, lambda error: error_code(error) == "NoSuchBucket")
        self._filesystem = filesystem
        self._bucket = bucket

    @property
    def loop(self) -> Loop:
        """The loop of the filesystem, which most listings never ask for."""
        from .loop import Loop

        return Loop(self._filesystem)

    @property
    def options(self) -> Mapping[str, Any]:
        """The parameters that the filesystem's owner sends with every request that takes them."""
        return {**self._filesystem.s3_additional_kwargs, **self._filesystem.req_kw}

    def run(self, name: str, **given: Any) -> Dict[str, Any]:
        """Make one request and return its answer."""
        with self.border(str(given.get("Key", given.get("Prefix", "")))):
            return self.loop.run(partial(self.call, name, **given))

    async def call(self, name: str, **given: Any) -> Dict[str, Any]:
        """Make one request with the filesystem's options; nothing that is *given* is dropped silently.

        Raises what botocore raises, for coroutines that run side by side.
        """
        filesystem = self._filesystem
        await filesystem.set_session()
        client = await filesystem.get_s3(self._bucket)
        method = getattr(client, name)
        given = {"Bucket": self._bucket, **given}
        parameters = filesystem._filter_kwargs(method, {**self.options, **given})  # noqa: SLF001 - knows the model
        unknown = sorted(given.keys() - parameters.keys())
        if unknown:
            raise Unsupported(f"the installed botocore cannot send {', '.join(unknown)} with {name}; upgrade it")
        if name == "list_objects_v2":
            read_pages_by_text(client)
        if "Range" in given:
            _ask_no_checksum_of_ranges(client)
        _repeat_nothing_unseen(client)
        with by_text():
            answer: Dict[str, Any] = await method(**parameters)
        return answer


def _ask_no_checksum_of_ranges(client: Any) -> None:
    """Let *client*, one of botocore's, not ask for the checksum of the whole object beside a part of it.

    It would hold the part against it, and some servers send it.
    """
    client.meta.events.register_last(_RANGE_EVENT, _drop_checksum_mode, unique_id="syncengine-ranges")


def _drop_checksum_mode(params: Dict[str, Any], **given: Any) -> None:
    if "Range" in params:
        params.pop("ChecksumMode", None)


def _repeat_nothing_unseen(client: Any) -> None:
    """Leave every repetition of a request to botocore, which counts them.

    aiohttp sends a PUT again by itself where the connection ended without an answer. If the first had done its work,
    the second finds it in its way, and nobody could tell our own write from another's. Its session is made by the first
    request, and something is listed or tried out before anything is written under a condition.
    """
    sessions = getattr(client._endpoint.http_session, "_sessions", None) or {}  # noqa: SLF001 - there is no other way
    for session in sessions.values():
        if hasattr(session, "_retry_connection"):
            session._retry_connection = False  # noqa: SLF001 - as above


class Refused(Exception):
    """What botocore did not read itself and S3 refused, in the form of botocore's own errors.

    That is one key of a bulk deletion, or a whole request, which has a *status* and *headers* of its own.
    """

    def __init__(
        self, told: Mapping[str, Any], *, status: Optional[int] = None, headers: Optional[Mapping[str, str]] = None
    ) -> None:
        super().__init__(f"{told.get('Code')}: {told.get('Message')}")
        self.response = {"Error": told, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}}


def was_repeated(error: StorageError) -> bool:
    """Say whether botocore had sent the request before the try that raised *error*."""
    return bool(_response_of(error).get("ResponseMetadata", {}).get("RetryAttempts"))


def error_code(error: StorageError) -> str:
    """Return what S3 calls the error below *error*, nothing where the error is not S3's."""
    return str(_response_of(error).get("Error", {}).get("Code", ""))


def _response_of(error: StorageError) -> Mapping[str, Any]:
    response: Optional[Any] = getattr(error.__cause__, "response", None)
    return response if isinstance(response, Mapping) else {}
