"""Signature Version 4 of the AWS, by which S3 and what speaks its language know who asks.

obstore and botocore sign their own requests; this is for those that are made plainly. The rules are those of "Signing
AWS requests" in the documentation of the AWS; that the results are botocore's is tested.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timezone
from functools import lru_cache
from typing import Dict, Mapping, Optional, Tuple
from urllib.parse import quote

from attrs import field, frozen

NOTHING = hashlib.sha256(b"").hexdigest()
"""The digest of an empty body."""
_UNRESERVED = "-_.~"
_ALGORITHM = "AWS4-HMAC-SHA256"


@frozen
class Credentials:
    """Who asks; holds secrets, so it is never shown."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    token: Optional[str] = field(default=None, repr=False)


def digest_of_body(content: bytes) -> str:
    """Return by what a body is named in the signature of its request."""
    return hashlib.sha256(content).hexdigest()


def encoded_path(path: str) -> str:
    """Return *path* as it is sent and signed.

    >>> encoded_path("/bucket/a b/ü")
    '/bucket/a%20b/%C3%BC'
    """
    return quote(path, safe="/" + _UNRESERVED)


def encoded_query(parameters: Mapping[str, str]) -> str:
    """Return query parameters as they are sent and signed.

    >>> encoded_query({"prefix": "a/b c", "list-type": "2"})
    'list-type=2&prefix=a%2Fb%20c'
    """
    pairs = sorted((quote(name, safe=_UNRESERVED), quote(parameters[name], safe=_UNRESERVED)) for name in parameters)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
    payload: str = NOTHING,
) -> Dict[str, str]:
    """Return *headers*, ``Host`` among them, with what signs a request of the body whose digest is *payload*.

    *path* and *query* are encoded already; *now* is in UTC.
    """
    moment = _moment(int(now.timestamp()))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    given = {**headers, "X-Amz-Date": moment, "X-Amz-Content-SHA256": payload}
    if credentials.token:
        given["X-Amz-Security-Token"] = credentials.token
    order, names = _order(tuple(given))
    listed = "".join([f"{small}:{' '.join(given[name].split())}\n" for small, name in order])
    request = "\n".join((method, path, query, listed, names, payload))
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    mac = _signing(credentials.secret, scope).copy()
    mac.update(text.encode())
    signature = mac.hexdigest()
    authorization = f"{_ALGORITHM} Credential={credentials.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**given, "Authorization": authorization}


# Thousands of requests are signed within a second, and with headers of the same few names.


@lru_cache(maxsize=2)
def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=32)
def _order(names: Tuple[str, ...]) -> Tuple[Tuple[Tuple[str, str], ...], str]:
    """Return the names of headers in the order of a signature, each in small letters and as it is, and their list."""
    order = sorted((name.lower(), name) for name in names)
    return tuple(order), ";".join(small for small, _ in order)


@lru_cache(maxsize=8)
def _signing(secret: str, scope: str) -> hmac.HMAC:
    """Return what signs texts of one day, each by a copy of it, so that the key is mixed in once."""
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")
