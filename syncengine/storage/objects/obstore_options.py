"""From an fsspec filesystem to the obstore store of the same bucket, or the reason why there cannot be one.

Everything that selects or authorises is asked of the client that the filesystem itself made, so that options,
configuration files and the environment count exactly once. What obstore could not honour is recognised by name: a
store that leaves out encryption or a proxy would be faster, and wrong.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Union, cast
from urllib.parse import urlsplit

from attrs import frozen

from ..quirks import qualified_names

_REFRESHED_AFTER = timedelta(minutes=5)
"""After this time credentials are asked for again; the session refreshes them well before they expire."""

_OLD_LIMIT = timedelta(minutes=5)

_S3_CLASSES = ("s3fs.core.S3FileSystem", "syncengine.storage.objects.s3_unmade.Unmade")
_CLIENT_KWARGS = {
    *("endpoint_url", "region_name", "use_ssl", "verify", "api_version"),
    *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
}
_CONFIG_KWARGS = {
    *("connect_timeout", "read_timeout", "max_pool_connections", "region_name", "s3", "signature_version", "retries"),
    *("user_agent", "user_agent_extra", "user_agent_appid", "tcp_keepalive", "parameter_validation"),
    *("request_checksum_calculation", "response_checksum_validation"),
}
_S3_CONFIG = {"addressing_style", "payload_signing_enabled", "us_east_1_regional_endpoint"}
_SESSION_KWARGS = {"profile", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}
AUTHORITIES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""Variables of the environment that change which certificates are trusted."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Variables of the environment that name proxies, in capital or small letters."""


@frozen
class StoreOptions:
    """What an obstore store is made with; holds secrets, so it is never shown."""

    config: Mapping[str, Any]
    client: Mapping[str, Any]
    credentials: Optional[Callable[[], Dict[str, Any]]] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def reason_against(filesystem: Any) -> Optional[str]:
    """Return why obstore cannot stand in for *filesystem*, None where it can; nothing is connected to."""
    try:
        import obstore  # noqa: F401 - only whether it is there
    except ImportError:
        return "obstore is not installed (pip install 'syncengine[fast]')"
    names = qualified_names(type(filesystem))
    if names[0] not in _S3_CLASSES:
        family = names[0].rpartition(".")[2]
        return f"obstore serves S3 only, and only by s3fs itself; this is a {family}"
    return next(iter(_against_s3(filesystem)), None)


def _against_s3(filesystem: Any) -> List[str]:
    said = [
        *_unknown("client_kwargs", filesystem.client_kwargs, _CLIENT_KWARGS),
        *_unknown("config_kwargs", filesystem.config_kwargs, _CONFIG_KWARGS),
        *_unknown("config_kwargs['s3']", filesystem.config_kwargs.get("s3") or {}, _S3_CONFIG),
        *_unknown("s3_additional_kwargs", filesystem.s3_additional_kwargs, set()),
        *_unknown("options", filesystem.kwargs, _SESSION_KWARGS),
    ]
    if filesystem.client_kwargs.get("verify") not in (None, True):
        said.append("client_kwargs['verify'] changes which certificates are trusted")
    if filesystem.config_kwargs.get("signature_version", "s3v4") != "s3v4":
        said.append("config_kwargs['signature_version'] asks for another signature")
    if filesystem.storage_options.get("session") is not None:
        said.append("it was given a session of its own, whose hooks obstore would not see")
    if getattr(filesystem, "asynchronous", False):
        said.append("it was made with asynchronous=True")
    return said


def _unknown(place: str, given: Mapping[str, Any], known: Any) -> List[str]:
    names = sorted(name for name, value in given.items() if name not in known and value is not None)
    return [f"obstore cannot honour {place}: {', '.join(names)}"] if names else []


def s3_options(filesystem: Any, bucket: str) -> Union[StoreOptions, str]:
    """Return what a store of *bucket* is made with, or why there cannot be one; connects the filesystem.

    Raises what the filesystem raises where its credentials cannot be had.
    """
    from fsspec.asyn import sync  # type: ignore[import-untyped]

    client = sync(filesystem.loop, _client_of, filesystem, bucket)
    settings = client.meta.config
    reason = _against_session(client, bucket)
    if reason is not None:
        return reason
    config: Dict[str, Any] = {"bucket": bucket, "region": client.meta.region_name or "us-east-1"}
    endpoint = str(client.meta.endpoint_url)
    style = str((settings.s3 or {}).get("addressing_style") or "auto")
    config.update(address(endpoint, bucket, style, given=_is_given(filesystem, endpoint)))
    if filesystem.req_kw.get("RequestPayer"):
        config["request_payer"] = True
    credentials = _credentials(filesystem, client, config)
    return StoreOptions(config, client_options(endpoint, settings), credentials)


def _against_session(client: Any, bucket: str) -> Optional[str]:
    """Return what obstore cannot honour of what the session found in its configuration and the environment."""
    settings = client.meta.config
    told = settings.s3 or {}
    if settings.proxies:
        return "obstore cannot honour the proxies of the session's configuration"
    if bucket.startswith("arn:") or bucket.endswith("--x-s3"):
        return "the bucket is an access point or a directory bucket"
    flags = ("use_accelerate_endpoint", "use_dualstack_endpoint", "use_fips_endpoint")
    found = next((name for name in flags if told.get(name) or getattr(settings, name, None)), None)
    if found is not None:
        return f"the session's configuration sets {found}"
    if str(client.meta.endpoint_url).startswith("https://"):
        own = next((name for name in AUTHORITIES if os.environ.get(name)), None)
        if own is not None:
            return f"the environment's {own} changes which certificates are trusted"
    return None


async def _client_of(filesystem: Any, bucket: str) -> Any:
    await filesystem.set_session()
    return await filesystem.get_s3(bucket)


def _is_given(filesystem: Any, endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    named = filesystem.endpoint_url or filesystem.client_kwargs.get("endpoint_url")
    return bool(named) or not host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def address(endpoint: str, bucket: str, style: str, *, given: bool) -> Dict[str, Any]:
    """Return how the bucket is addressed, by the rules of botocore: of a given endpoint in the path, unless asked."""
    if not given:
        return {"virtual_hosted_style_request": style != "path" and "." not in bucket}
    if style != "virtual":
        return {"endpoint": endpoint, "virtual_hosted_style_request": False}
    parts = urlsplit(endpoint)
    return {"endpoint": f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}", "virtual_hosted_style_request": True}


def client_options(endpoint: str, settings: Any) -> Dict[str, Any]:
    """Return the limits of a store: those of *settings*, in seconds."""
    options: Dict[str, Any] = {
        "connect_timeout": timedelta(seconds=float(settings.connect_timeout)),
        # botocore's limit is on one silence, as this one is; the request as a whole may take as long as it moves.
        "read_timeout": timedelta(seconds=float(settings.read_timeout)),
        "timeout": timedelta(hours=1),
    }
    if endpoint.startswith("http://"):
        options["allow_http"] = True
    return options


def _credentials(filesystem: Any, client: Any, config: Dict[str, Any]) -> Optional[Callable[[], Dict[str, Any]]]:
    """Add fixed credentials to *config*, or return who provides those that expire."""
    held = client._request_signer._credentials  # noqa: SLF001 - botocore has no other way to them
    if filesystem.anon or held is None:
        config["skip_signature"] = True
        return None
    provider = partial(_provided, filesystem, held)
    provided = provider()
    if hasattr(held, "refresh_needed"):
        return provider
    config["access_key_id"], config["secret_access_key"] = provided["access_key_id"], provided["secret_access_key"]
    if provided["token"]:
        config["session_token"] = provided["token"]
    return None


def _provided(filesystem: Any, held: Any) -> Dict[str, Any]:
    """Return credentials that are good now, refreshed by the filesystem's own session where that is due."""
    from fsspec.asyn import sync

    frozen_credentials = sync(filesystem.loop, _frozen, held)
    return {
        "access_key_id": frozen_credentials.access_key,
        "secret_access_key": frozen_credentials.secret_key,
        "token": frozen_credentials.token,
        "expires_at": datetime.now(timezone.utc) + _REFRESHED_AFTER,
    }


async def _frozen(held: Any) -> Any:
    found = held.get_frozen_credentials()
    return await found if hasattr(found, "__await__") else found


def store_of(options: StoreOptions) -> Any:
    """Return the store. A failed request is not repeated by it: whoever calls knows what may be repeated."""
    from obstore.store import S3Store

    given: Dict[str, Any] = dict(options.config)
    if options.credentials is not None:
        given["credential_provider"] = options.credentials
    given["retry_config"] = {"max_retries": 0, "retry_timeout": timedelta(seconds=60)}
    try:
        return S3Store(client_options=cast("Any", dict(options.client)), **given)
    except ValueError as error:
        if "read_timeout" not in str(error):
            raise
        # Older releases know of no limit on silence, only one on the whole request.
        client = {name: value for name, value in options.client.items() if name != "read_timeout"}
        return S3Store(client_options=cast("Any", {**client, "timeout": _OLD_LIMIT}), **given)
