"""From an adlfs filesystem to what obstore's store of the same container is made with, or why there cannot be one.

Account, endpoint and credentials are those of the client that adlfs made, whatever options they came from; tokens are
asked of its credential, which refreshes them.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from typing import Any, Dict, List, Optional, Union
from urllib.parse import urlsplit

from .obstore_options import StoreOptions, asked_again_at, unhonoured

_SCOPE = "https://storage.azure.com/.default"
_OPTIONS = {
    *("account_name", "account_key", "connection_string", "credential", "sas_token", "anon", "account_host"),
    *("client_id", "client_secret", "tenant_id", "location_mode", "request_session", "asynchronous", "loop"),
    *("blocksize", "default_fill_cache", "default_cache_type", "version_aware", "assume_container_exists"),
    *("max_concurrency", "connection_timeout", "read_timeout", "socket_timeout"),
    *("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"),
}
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def azure_reasons(filesystem: Any) -> List[str]:
    """Return what obstore could not honour of the options of *filesystem*; nothing is connected to."""
    # Which sources of a default credential are left out is settled when adlfs makes it.
    given = {name: value for name, value in filesystem.storage_options.items() if not name.startswith("exclude_")}
    said = unhonoured("options", given, _OPTIONS)
    if filesystem.location_mode != "primary":
        said.append(f"obstore cannot honour location_mode={filesystem.location_mode!r}")
    if filesystem.request_session is not None:
        said.append("it was given a session of its own, whose settings obstore would not see")
    if getattr(filesystem, "asynchronous", False):
        said.append("it was made with asynchronous=True")
    return said


def azure_options(filesystem: Any, bucket: str) -> Union[StoreOptions, str]:
    """Return what a store of the container *bucket* is made with, or why there cannot be one."""
    service = filesystem.service_client
    endpoint, _, signature = str(service.url).partition("?")
    reason = _against_environment(endpoint)
    if reason is not None:
        return reason
    config: Dict[str, Any] = {
        "container_name": bucket,
        "account_name": service.account_name,
        "endpoint": endpoint.rstrip("/"),
        # What the environment says of these must not count.
        "use_emulator": False,
        "use_fabric_endpoint": False,
    }
    credential = service.credential
    provider = None
    if hasattr(credential, "get_token"):
        provider = partial(_token, filesystem, credential)
    elif getattr(credential, "account_key", None):
        provider = partial(_account_key, credential)
    elif getattr(credential, "signature", None):
        provider = partial(_renewed_signature, credential)
    elif signature:
        provider = partial(_signature, signature)
    elif credential is not None:
        return f"obstore cannot honour a credential of the class {type(credential).__name__}"
    config["skip_signature"] = provider is None
    return StoreOptions("AzureStore", config, _client_options(filesystem, endpoint), provider)


def _against_environment(endpoint: str) -> Optional[str]:
    if os.environ.get("AZURE_ENCRYPTION_KEY"):
        return "the environment's AZURE_ENCRYPTION_KEY would encrypt what adlfs does not"
    if endpoint.startswith("https://"):
        own = next((name for name in _AUTHORITIES if os.environ.get(name)), None)
        if own is not None:
            return f"the environment's {own} changes which certificates are trusted"
    return None


def _client_options(filesystem: Any, endpoint: str) -> Dict[str, Any]:
    limits = getattr(filesystem, "_timeout_kwargs", {})
    options: Dict[str, Any] = {
        "connect_timeout": timedelta(seconds=float(limits.get("connection_timeout", 20))),
        "read_timeout": timedelta(seconds=float(limits.get("read_timeout", 60))),
        "timeout": timedelta(hours=1),
    }
    if urlsplit(endpoint).scheme == "http":
        options["allow_http"] = True
    return options


def _account_key(credential: Any) -> Dict[str, Any]:
    return {"access_key": credential.account_key, "expires_at": None}


def _signature(signature: str) -> Dict[str, Any]:
    return {"sas_token": signature, "expires_at": None}


def _renewed_signature(credential: Any) -> Dict[str, Any]:
    # Whoever made the credential may give it a new signature at any time.
    return {"sas_token": str(credential.signature).lstrip("?"), "expires_at": asked_again_at()}


def _token(filesystem: Any, credential: Any) -> Dict[str, Any]:
    """Return a token that is good now; the credential keeps it as long as it is."""
    from fsspec.asyn import sync  # type: ignore[import-untyped]

    async def asked() -> Any:
        found = credential.get_token(_SCOPE)
        return await found if hasattr(found, "__await__") else found

    return {"token": sync(filesystem.loop, asked).token, "expires_at": asked_again_at()}
