"""From an s3fs filesystem to what obstore's store of the same bucket is made with, or why there cannot be one."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Union
from urllib.parse import urlsplit

from .obstore_options import StoreOptions, asked_again_at, unhonoured

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


def s3_reasons(filesystem: Any) -> List[str]:
    """Return what obstore could not honour of the options of *filesystem*; nothing is connected to."""
    said = [
        *unhonoured("client_kwargs", filesystem.client_kwargs, _CLIENT_KWARGS),
        *unhonoured("config_kwargs", filesystem.config_kwargs, _CONFIG_KWARGS),
        *unhonoured("config_kwargs['s3']", filesystem.config_kwargs.get("s3") or {}, _S3_CONFIG),
        *unhonoured("s3_additional_kwargs", filesystem.s3_additional_kwargs, set()),
        *unhonoured("options", filesystem.kwargs, _SESSION_KWARGS),
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
    return StoreOptions("S3Store", config, client_options(endpoint, settings), credentials)


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
        "expires_at": asked_again_at(),
    }


async def _frozen(held: Any) -> Any:
    found = held.get_frozen_credentials()
    return await found if hasattr(found, "__await__") else found
