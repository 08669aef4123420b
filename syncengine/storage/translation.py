"""What a library raises, said in our own words: one table for every backend, and the removal of secrets.

Libraries are recognised by the names of their classes and by the status they carry, so that none is imported.
"""

from __future__ import annotations

import errno
import re
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Set, Tuple, Type, TypeVar

from ..core.entry import Extent, Problem, ProblemKind
from ..core.paths import shown
from ..errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StorageError,
    Throttled,
    Unavailable,
    Unsupported,
)

_Kind = Type[StorageError]
_Result = TypeVar("_Result")

_CLASS_NAMES: Dict[_Kind, str] = {
    NotFound: """
        FileNotFoundError ResourceNotFound ResourceNotFoundError NoSuchKey NoSuchBucket NotFoundError SFTPNoSuchFile
        SFTPNoSuchPath
    """,
    AccessDenied: """
        PermissionError ForbiddenOperation ClientAuthenticationError NoCredentialsError PartialCredentialsError
        SFTPPermissionDenied PermissionDenied PermissionDeniedError UnauthenticatedError AuthenticationException
        HostKeyNotVerifiable BadHostKeyException RefreshError DefaultCredentialsError
    """,
    PreconditionFailed: """
        FileExistsError IsADirectoryError NotADirectoryError ResourceAlreadyExists ResourceExistsError ResourceConflict
        ResourceModifiedError FileExpired AlreadyExistsError PreconditionError IsAResourceError IsACollectionError
        SFTPFileAlreadyExists SFTPFileIsADirectory SFTPDirNotEmpty
    """,
    Throttled: "ThrottlingException TooManyRequests",
    NoSpace: "InsufficientStorage SFTPNoSpaceOnFilesystem SFTPQuotaExceeded",
    Unsupported: """
        NotImplementedError UnicodeEncodeError InvalidURL UnsupportedProtocol SFTPOpUnsupported NotSupportedError
        UnsupportedOperation InvalidPath SFTPInvalidFilename ParamValidationError
    """,
    Unavailable: """
        TimeoutError ConnectionError EOFError SSLError gaierror ClientConnectionError ClientPayloadError
        ServerTimeoutError EndpointConnectionError HTTPClientError TransportError BadGatewayError ResourceLocked
        SFTPConnectionLost SFTPNoConnection DisconnectError ConnectionLost SSHException IncompleteRead
        ServiceRequestError ServiceResponseError FSTimeoutError
    """,
}
_BY_CLASS_NAME: Dict[str, _Kind] = {name: kind for kind, names in _CLASS_NAMES.items() for name in names.split()}

_BY_STATUS: Dict[int, _Kind] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    405: Unsupported,
    407: AccessDenied,
    408: Unavailable,
    409: PreconditionFailed,
    410: NotFound,
    412: PreconditionFailed,
    423: Unavailable,
    425: Unavailable,
    429: Throttled,
    501: Unsupported,
    507: NoSpace,
}

_BY_ERRNO: Dict[int, _Kind] = {
    errno.ENOENT: NotFound,
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), AccessDenied),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NoSpace),
    **dict.fromkeys((errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR), PreconditionFailed),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EILSEQ, errno.ENOTSUP, errno.ENOSYS), Unsupported),
    **dict.fromkeys(
        (
            errno.EAGAIN,
            errno.EBUSY,
            errno.ECONNABORTED,
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.EHOSTUNREACH,
            errno.EIO,
            errno.ENETUNREACH,
            errno.ENOTCONN,
            errno.EPIPE,
            errno.ETIMEDOUT,
        ),
        Unavailable,
    ),
}

# What services say in words beside, or instead of, a status.
_BY_CODE: Dict[str, _Kind] = {
    **dict.fromkeys(
        ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "ServerBusy"),
        Throttled,
    ),
    **dict.fromkeys(("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "BlobNotFound", "ContainerNotFound"), NotFound),
    **dict.fromkeys(
        (
            "AccessDenied",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidObjectState",
            "LeaseIdMissing",
            "SignatureDoesNotMatch",
        ),
        AccessDenied,
    ),
    **dict.fromkeys(
        ("PreconditionFailed", "ConditionalRequestConflict", "ConditionNotMet", "InvalidBlockList"), PreconditionFailed
    ),
    **dict.fromkeys(
        (
            "BadDigest",
            "IncompleteBody",
            "InternalError",
            "Md5Mismatch",
            "NoSuchUpload",
            "OperationAborted",
            "RequestTimeout",
            "ServiceUnavailable",
            "XAmzContentSHA256Mismatch",
        ),
        Unavailable,
    ),
    **dict.fromkeys(("QuotaExceeded", "StorageFull", "XMinioStorageFull"), NoSpace),
    **dict.fromkeys(
        ("EntityTooLarge", "InvalidURI", "KeyTooLongError", "MetadataTooLarge", "SnapshotsPresent"), Unsupported
    ),
}

_BY_FTP_REPLY: Dict[str, _Kind] = {
    **dict.fromkeys(("421", "425", "426", "450", "451"), Unavailable),
    **dict.fromkeys(("430", "530", "532"), AccessDenied),
    **dict.fromkeys(("452", "552"), NoSpace),
    **dict.fromkeys(("500", "501", "502", "503", "504", "553"), Unsupported),
}

# These replies cover everything that a server did not do with a file; only the words tell why.
_FTP_ABOUT_A_FILE = ("450", "501", "550", "553")
_FTP_WORDS: Tuple[Tuple[str, _Kind], ...] = (
    (r"denied|permission|permitted|not allowed|privilege|read-only", AccessDenied),
    (r"no such|not found|not exist|cannot find|can't find|not a valid|not retrievable", NotFound),
    (r"not empty|exists|is a directory|not a directory|not a regular", PreconditionFailed),
)

_PROBLEM_KINDS: Tuple[Tuple[_Kind, ProblemKind], ...] = (
    (AccessDenied, ProblemKind.DENIED),
    (NotFound, ProblemKind.MISSING),
    (PreconditionFailed, ProblemKind.CHANGED),
    (Throttled, ProblemKind.THROTTLED),
    (Unavailable, ProblemKind.TIMEOUT),
    (NoSpace, ProblemKind.NO_SPACE),
    (Unsupported, ProblemKind.UNSUPPORTED),
)


def translated(error: BaseException, path: str = "", *, secrets: Iterable[str] = ()) -> StorageError:
    """Return the StorageError that says what *error*, raised by some library about *path*, means to a caller.

    ``raise translated(error, path, secrets=secrets) from shown_cause(error, secrets)`` keeps the original as far as
    it shows none of *secrets*; they never appear in the message.
    """
    if isinstance(error, StorageError):
        return error
    kind = classified(error) or StorageError
    # Azure repeats its message in XML behind the number of the request.
    said = without_markup(str(error).partition("RequestId:")[0]).strip()
    text = redacted(said or "no reason given", secrets)
    place = redacted(shown(path) or "the root", secrets)
    message = f"{place}: {type(error).__name__}: {shown(' '.join(text.split()))}"
    return kind(message, path=path, retry_after=_retry_after(error))


def classified(error: BaseException) -> Optional[_Kind]:
    """Return the class of our tree that *error* belongs to, None where nothing about it is known.

    Filesystems report every failure of a look as FileNotFoundError and keep the true reason as its cause, so there
    the cause is asked first: a server that is down must not look like a file that was deleted.
    """
    if isinstance(error, StorageError):
        return type(error)
    causes = list(_causes(error))
    if isinstance(error, FileNotFoundError):
        causes = [*causes[1:], error]
    for candidate in causes:
        kind = _classified_alone(candidate)
        if kind is not None:
            return kind
    return None


def unless_missing(call: Callable[[], _Result]) -> Optional[_Result]:
    """Return what *call* returns, or None where it raises that there is nothing; every other error passes."""
    try:
        return call()
    except Exception as error:
        # Libraries say "missing" in many ways, and not all of them are OSErrors; everything else is raised again.
        if classified(error) is not NotFound:
            raise
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: Optional[BaseException] = error
    for _ in range(6):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def _classified_alone(error: BaseException) -> Optional[_Kind]:
    names = [base.__name__ for base in type(error).__mro__]
    if "ftplib" in {base.__module__ for base in type(error).__mro__}:
        return _by_ftp_reply(str(error))
    by_service = _by_code(error) or _by_status(error)
    if by_service is not None:
        return by_service
    by_name = next((_BY_CLASS_NAME[name] for name in names if name in _BY_CLASS_NAME), None)
    if by_name is not None:
        return by_name
    return _BY_ERRNO.get(error.errno or 0) if isinstance(error, OSError) else None


def _by_code(error: BaseException) -> Optional[_Kind]:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return _BY_CODE.get(str(response.get("Error", {}).get("Code", "")))
    code = getattr(error, "error_code", "")
    return _BY_CODE.get(str(getattr(code, "value", code)))


def _by_status(error: BaseException) -> Optional[_Kind]:
    status = _status(error)
    if status is None:
        return None
    return _BY_STATUS.get(status) or (Unavailable if 500 <= status < 600 else None)


def _status(error: BaseException) -> Optional[int]:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return _number(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    for holder in (error, response):
        for name in ("status", "status_code", "code"):
            status = _number(getattr(holder, name, None))
            if status is not None and 400 <= status < 600:
                return status
    return None


def _retry_after(error: BaseException) -> Optional[float]:
    """Return the seconds of a ``Retry-After`` header; a date in it is worth less than our own back-off."""
    for cause in _causes(error):
        for headers in _headers(cause):
            value = next((value for name, value in headers.items() if str(name).lower() == "retry-after"), "")
            if re.fullmatch(r"\d+(\.\d+)?", str(value)):
                return float(value)
    return None


def _headers(error: BaseException) -> Iterator[Mapping[str, Any]]:
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}).get("HTTPHeaders") if isinstance(response, Mapping) else None
    for headers in (told, getattr(response, "headers", None), getattr(error, "headers", None)):
        if isinstance(headers, Mapping):
            yield headers


def _number(value: Any) -> Optional[int]:
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return value if isinstance(value, int) else None


def _by_ftp_reply(text: str) -> Optional[_Kind]:
    reply = text[:3]
    lowered = text.lower()
    by_words = next((kind for words, kind in _FTP_WORDS if re.search(words, lowered)), None)
    return by_words if by_words and reply in _FTP_ABOUT_A_FILE else _BY_FTP_REPLY.get(reply)


def problem_from(error: StorageError, path: str, *, extent: Extent = Extent.PATH) -> Problem:
    """Return the problem that tells a listing's reader about *error* at *path*."""
    kind = next((kind for cls, kind in _PROBLEM_KINDS if isinstance(error, cls)), ProblemKind.INTERNAL)
    return Problem(kind, path, str(error), retryable=error.retryable, extent=extent)


_MARKUP = re.compile(r"(?:<\?xml[^>]*>\s*)?<Error\b.*?(?:</Error>|$)", re.DOTALL)
_SAID = re.compile(r"<(Code|Message)>([^<]*)</\1>")


def without_markup(text: str) -> str:
    """Return *text* with the XML document that an object service answers an error with told in its own words.

    >>> without_markup("404: <?xml version='1.0'?> <Error><Code>NoSuchKey</Code><HostId>a</HostId></Error>")
    '404: NoSuchKey'
    """
    return _MARKUP.sub(lambda document: ": ".join(value for _, value in _SAID.findall(document[0])), text)


SECRET_PARAMETER = re.compile(
    r"(?i)[?&;](?:[^=&?#;]*[-_.])?"
    r"(?:sig|signature|(?:sas)?token|secret|password|passwd|passphrase|pwd|credentials?|(?:api|access)?key"
    r"|awsaccesskeyid|auth|authorization)"
    r"(?:[-_.][^=&?#;]*)?="
)
"""A query parameter by whose name its value grants access."""

_PARAMETER_VALUE = re.compile(
    r"(?i)([?&;](?!max-keys=)[^=&?#;\s]*"
    r"(?:sig|token|secret|passw|credential|key|auth)[^=&?#;\s]*=)[^&#;\s'\"]+"
)
_USER_INFORMATION = re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/@\s]*:[^/@\s]*@")
HIDDEN = "***"


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* without the *secrets*, without passwords in URLs and without signed parameters.

    >>> redacted("GET https://u:pw@h/x?sig=abc failed", ["pw"])
    'GET https://***@h/x?sig=*** failed'
    >>> redacted("GET https://h/?max-keys=1000&continuation-token=abc")
    'GET https://h/?max-keys=1000&continuation-token=***'
    """
    for secret in sorted({*secrets}, key=len, reverse=True):
        for form in _forms(secret):
            text = _without(text, form)
    return _PARAMETER_VALUE.sub(rf"\1{HIDDEN}", _USER_INFORMATION.sub(rf"\1{HIDDEN}@", text))


def _forms(secret: str) -> Set[str]:
    from urllib.parse import quote, quote_plus

    return {secret, quote(secret, safe=""), quote_plus(secret)}


def _without(text: str, secret: str) -> str:
    if len(secret) >= 6:
        return text.replace(secret, HIDDEN)
    # A short secret is often a part of ordinary words; only where it stands alone is it the secret.
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", HIDDEN, text) if secret else text


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in nested options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from texts_in(inner)
