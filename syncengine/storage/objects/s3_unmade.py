"""What obstore needs to know of an S3 filesystem that has not been made, where options and environment say it plainly.

Importing and connecting s3fs takes a second, and most syncs need none of it. Only what can be read without doubt is
read here: keys in the options or the environment, no configuration file of the AWS, no option or variable that is
not known to be harmless. In every other case the filesystem is made, and asked.
"""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from attrs import field, frozen

from .. import fsspec_facts
from .obstore_options import PROXIES, StoreOptions
from .obstore_s3 import AUTHORITIES, address, client_options, s3_reasons

_PROTOCOLS = ("s3", "s3a")
_CLASSES = ("s3fs.S3FileSystem", "s3fs.core.S3FileSystem")
"""What fsspec calls it before and after it was imported."""
_CONNECT_SECONDS, _READ_SECONDS = 5, 15
"""The limits of s3fs."""
_OPTIONS = {
    *("key", "secret", "token", "anon", "endpoint_url", "client_kwargs", "config_kwargs", "s3_additional_kwargs"),
    *("use_ssl", "requester_pays", "max_concurrency", "default_block_size", "default_fill_cache", "fixed_upload_size"),
    *("default_cache_type", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"),
}
_KEY, _SECRET, _TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
_REGION = "AWS_DEFAULT_REGION"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_HARMLESS = {
    *(_KEY, _SECRET, _TOKEN, _REGION, *_ENDPOINTS, *_FILES),
    *("AWS_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_PAGER", "AWS_DEFAULT_OUTPUT"),
    *("AWS_EXECUTION_ENV", "AWS_SDK_UA_APP_ID", *AUTHORITIES),
}
_TELLING = ("AWS_", "BOTO", *PROXIES)


class S3Address:
    """Stands for the class of s3fs where only its rules of URLs matter, which are those of fsspec for most classes."""

    protocol = _PROTOCOLS

    @staticmethod
    def _get_kwargs_from_urls(url: str) -> Dict[str, Any]:
        return {}

    @classmethod
    def _strip_protocol(cls, url: str) -> str:
        for protocol in cls.protocol:
            for begins in (f"{protocol}://", f"{protocol}::"):
                if url.startswith(begins):
                    url = url[len(begins) :]
                    break
        return url.rstrip("/")


class Unmade:
    """What a filesystem of s3fs would hold, read from the options it would be made with."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.storage_options = dict(options)
        self.kwargs = {name: value for name, value in options.items() if name not in _OPTIONS}
        self.client_kwargs: Dict[str, Any] = dict(options.get("client_kwargs") or {})
        self.config_kwargs: Dict[str, Any] = dict(options.get("config_kwargs") or {})
        self.s3_additional_kwargs: Dict[str, Any] = dict(options.get("s3_additional_kwargs") or {})


@frozen
class Deferred:
    """A filesystem that is made by *make* when something of it is needed, once."""

    _make: Callable[[], Any] = field(repr=False)
    _made: Dict[str, Any] = field(factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        with self._lock:
            if "it" not in self._made:
                self._made["it"] = self._make()
        return getattr(self._made["it"], name)


def address_class(protocol: str, url: str) -> Optional[Any]:
    """Return what stands for the class of s3fs in reading *url*, None where the class itself has to read it."""
    if protocol not in _PROTOCOLS or "?" in url or "#" in url:
        return None
    if find_spec("s3fs") is None or find_spec("obstore") is None:
        return None
    return S3Address if fsspec_facts.class_name(protocol) in _CLASSES else None


def plain_options(options: Mapping[str, Any], bucket: str, environment: Mapping[str, str]) -> Optional[StoreOptions]:
    """Return what a store of *bucket* is made with, None where only the filesystem can tell."""
    unmade = Unmade(options)
    if set(options) - _OPTIONS or s3_reasons(unmade) or not _is_plain(environment):
        return None
    if options.get("use_ssl") is False or "region_name" in unmade.config_kwargs:
        return None
    if bucket.startswith("arn:") or bucket.endswith("--x-s3"):
        return None
    identified = _identified(options, unmade.client_kwargs, environment)
    endpoint = _endpoint(options, unmade.client_kwargs, environment)
    region = unmade.client_kwargs.get("region_name") or environment.get(_REGION)
    if identified is None or endpoint is None or not (region or endpoint):
        return None
    if not endpoint.startswith("http://") and any(environment.get(name) for name in AUTHORITIES):
        return None
    style = str((unmade.config_kwargs.get("s3") or {}).get("addressing_style") or "auto")
    placed = address(endpoint, bucket, style, given=bool(endpoint))
    config = {"bucket": bucket, "region": region or "us-east-1", **placed, **identified}
    if options.get("requester_pays"):
        config["request_payer"] = True
    limits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS, **unmade.config_kwargs}
    return StoreOptions("S3Store", config, client_options(endpoint, SimpleNamespace(**limits)))


def _is_plain(environment: Mapping[str, str]) -> bool:
    """Say whether nothing around speaks to botocore but what is read here."""
    telling = (name for name, value in environment.items() if value and name.upper().startswith(_TELLING))
    places = (environment.get(name) or usual for name, usual in _FILES.items())
    return all(name in _HARMLESS for name in telling) and not any(
        os.path.exists(os.path.expanduser(place)) for place in (*places, "~/.boto", "/etc/boto.cfg")
    )


def _identified(
    options: Mapping[str, Any], client_kwargs: Mapping[str, Any], environment: Mapping[str, str]
) -> Optional[Dict[str, Any]]:
    """Return the options of a store that say who asks, None where that is not plain."""
    if options.get("anon"):
        return {"skip_signature": True}
    if any(name in client_kwargs for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")):
        return None
    given = _texts(options.get("key"), options.get("secret"), options.get("token"))
    if given is None and not any(options.get(name) for name in ("key", "secret", "token")):
        given = _texts(environment.get(_KEY), environment.get(_SECRET), environment.get(_TOKEN))
    if given is None:
        return None
    names = ("access_key_id", "secret_access_key", "session_token")
    return {name: value for name, value in zip(names, given) if value}


def _texts(key: Any, secret: Any, token: Any) -> Optional[Tuple[str, str, str]]:
    is_whole = isinstance(key, str) and isinstance(secret, str) and key and secret
    return (key, secret, str(token or "")) if is_whole else None


def _endpoint(
    options: Mapping[str, Any], client_kwargs: Mapping[str, Any], environment: Mapping[str, str]
) -> Optional[str]:
    """Return the endpoint that is asked for, empty where it is the AWS's own, None where two are asked for."""
    given = {str(place) for place in (options.get("endpoint_url"), client_kwargs.get("endpoint_url")) if place}
    if len(given) > 1:
        return None
    named = (environment.get(name) for name in _ENDPOINTS)
    found = next(iter(given), None) or next((place for place in named if place), "")
    return found if not found or found.startswith(("http://", "https://")) else None
