"""From a gcsfs filesystem to what obstore's store of the same bucket is made with, or why there cannot be one.

Tokens are those of the filesystem, whatever they were made of: gcsfs refreshes them, and obstore asks it for them.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import partial
from typing import Any, Dict, List, Union
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from .obstore_options import StoreOptions, asked_again_at, unhonoured

_GOOGLE = "https://storage.googleapis.com"
_OPTIONS = {
    *("project", "access", "token", "requester_pays", "endpoint_url", "session_kwargs", "asynchronous"),
    *("block_size", "consistency", "cache_timeout", "secure_serialize", "check_connection", "default_location"),
    *("version_aware", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "loop"),
}
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_USER_PROJECT = "x-goog-user-project"
# Without it the service would send the content of what is stored compressed in another form than it was written in.
_AS_STORED = {"accept-encoding": "gzip"}


def gcs_reasons(filesystem: Any) -> List[str]:
    """Return what obstore could not honour of the options of *filesystem*; nothing is connected to."""
    said = [
        *unhonoured("options", filesystem.storage_options, _OPTIONS),
        *unhonoured("session_kwargs", filesystem.session_kwargs, {"trust_env"}),
    ]
    if getattr(filesystem, "asynchronous", False):
        said.append("it was made with asynchronous=True")
    if getattr(filesystem, "_use_client_cert", False):
        said.append("obstore cannot honour the client certificate of the environment")
    return said


def gcs_options(filesystem: Any, bucket: str) -> Union[StoreOptions, str]:
    """Return what a store of *bucket* is made with, or why there cannot be one; may ask for a token.

    Raises what the filesystem raises where its credentials cannot be had.
    """
    endpoint = str(filesystem._location).rstrip("/")  # noqa: SLF001 - knows the endpoint
    reason = _against_environment(filesystem, endpoint)
    if reason:
        return reason
    anonymous = filesystem.credentials.credentials is None
    config: Dict[str, Any] = {"bucket": bucket, "skip_signature": anonymous}
    if endpoint != _GOOGLE:
        # Only by the description of an account can every release be told of another endpoint.
        names = ("private_key", "private_key_id", "client_email")
        account = {"gcs_base_url": endpoint, "disable_oauth": True, **dict.fromkeys(names, "")}
        config["service_account_key"] = json.dumps(account)
    headers = {**_AS_STORED, **_billing(filesystem)}
    client: Dict[str, Any] = {
        "default_headers": headers,
        "connect_timeout": timedelta(seconds=30),
        "read_timeout": timedelta(seconds=60),
        "timeout": timedelta(hours=1),
    }
    if endpoint.startswith("http://"):
        client["allow_http"] = True
    return StoreOptions("GCSStore", config, client, None if anonymous else partial(_provided, filesystem))


def _against_environment(filesystem: Any, endpoint: str) -> str:
    """Return what of the environment obstore would take another way than gcsfs does, nothing where all is well."""
    parts = urlsplit(endpoint)
    if parts.scheme == "https":
        own = next((name for name in _AUTHORITIES if os.environ.get(name)), None)
        if own is not None:
            return f"the environment's {own} changes which certificates are trusted"
    if endpoint == _GOOGLE and os.environ.get("GOOGLE_BASE_URL"):
        return "the environment's GOOGLE_BASE_URL names an endpoint that gcsfs does not use"
    # gcsfs goes past the proxies of the environment unless its session was told to trust it.
    trusts = filesystem.session_kwargs.get("trust_env")
    if not trusts and getproxies_environment().get(parts.scheme) and not proxy_bypass(parts.netloc):
        return "the environment names a proxy that gcsfs does not use"
    return ""


def _billing(filesystem: Any) -> Dict[str, str]:
    """Return the header that says who pays: as the credentials say, or for a bucket whose requester pays."""
    if filesystem.requester_pays:
        payer = filesystem.requester_pays
        return {_USER_PROJECT: payer if isinstance(payer, str) else str(filesystem.project)}
    project = _authorised(filesystem).get(_USER_PROJECT)
    return {_USER_PROJECT: project} if project else {}


def _provided(filesystem: Any) -> Dict[str, Any]:
    """Return a token that is good now, refreshed by the filesystem where that is due."""
    token = _authorised(filesystem)["authorization"].partition(" ")[2]
    return {"token": token, "expires_at": asked_again_at()}


def _authorised(filesystem: Any) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    filesystem.credentials.apply(headers)
    return {name.lower(): value for name, value in headers.items()}
