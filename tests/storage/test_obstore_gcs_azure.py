"""What obstore's stores of Google Cloud Storage and Azure are made with, what keeps obstore out, and what is sent."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, List, Optional

import fsspec
import pytest
from object_servers import import_gcsfs
from wire import Wire

from syncengine.errors import AccessDenied
from syncengine.storage.objects.fast import FastService
from syncengine.storage.objects.obstore_azure import azure_options
from syncengine.storage.objects.obstore_gcs import gcs_options
from syncengine.storage.objects.obstore_options import StoreOptions
from syncengine.storage.objects.opening import reason_against, service_for
from syncengine.storage.objects.service import Headers
from syncengine.storage.protocol import ABSENT, ANYTHING

KEY = "cGxhbnRlZA=="
SIGNATURE = "sv=1&sig=planted"
pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "https_proxy", "HTTPS_PROXY")
    for name in names:
        monkeypatch.delenv(name, raising=False)


def made(protocol: str, options: Dict[str, Any]) -> Any:
    if protocol == "gs":
        import_gcsfs()
    return fsspec.filesystem(protocol, skip_instance_cache=True, **options)


GCS = {"token": "anon", "project": "p"}
AZURE = {"account_name": "someone", "account_key": KEY}

REASONS = [
    ("gs", {**GCS, "requests_timeout": 5}, "requests_timeout"),
    ("gs", {**GCS, "session_kwargs": {"headers": {"x": "y"}}}, "session_kwargs: headers"),
    ("gs", {**GCS, "asynchronous": True}, "asynchronous"),
    ("abfs", {**AZURE, "location_mode": "secondary"}, "location_mode"),
    ("abfs", {**AZURE, "request_session": object()}, "session of its own"),
    ("abfs", {**AZURE, "something": 1}, "something"),
]


@pytest.mark.parametrize(("protocol", "options", "said"), REASONS)
def test_what_obstore_could_not_honour_keeps_it_out(protocol: str, options: Dict[str, Any], said: str) -> None:
    filesystem = made(protocol, options)

    assert said in str(reason_against(filesystem))
    assert not isinstance(service_for(filesystem, "bucket")[0], FastService)


@pytest.mark.parametrize(
    ("protocol", "options", "name", "value"),
    [
        ("gs", GCS, "SSL_CERT_FILE", "/etc/authority.pem"),
        ("gs", GCS, "GOOGLE_BASE_URL", "https://elsewhere.example"),
        ("gs", GCS, "https_proxy", "http://proxy.example"),
        ("abfs", AZURE, "REQUESTS_CA_BUNDLE", "/etc/authority.pem"),
        ("abfs", AZURE, "AZURE_ENCRYPTION_KEY", KEY),
    ],
)
@pytest.mark.usefixtures("with_obstore")
def test_what_obstore_would_take_from_the_environment_keeps_it_out(
    protocol: str, options: Dict[str, Any], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem = made(protocol, options)
    monkeypatch.setenv(name, value)

    service, why = service_for(filesystem, "bucket")

    assert not isinstance(service, FastService)
    assert name in why or "proxy" in why


class Refreshed:
    """A credential of Azure that counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0

    async def get_token(self, *scopes: str, **given: Any) -> Any:
        self.count += 1
        return type("Token", (), {"token": f"token {self.count}", "expires_on": 0})()

    async def close(self) -> None:
        pass


def _signed() -> Any:
    from azure.core.credentials import AzureSasCredential

    return AzureSasCredential(SIGNATURE)


def someone(**options: Any) -> Dict[str, Any]:
    return {"account_name": "someone", **options}


CONNECTION = f"AccountName=someone;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/someone;"
CREDENTIALS: List[Any] = [
    ("an account's key", lambda: AZURE, {"access_key": KEY}),
    ("a key as the credential", lambda: someone(credential=KEY), {"access_key": KEY}),
    ("a connection string", lambda: {"connection_string": CONNECTION}, {"access_key": KEY}),
    ("a signature", lambda: someone(sas_token=SIGNATURE), {"sas_token": SIGNATURE}),
    ("a signature object", lambda: someone(credential=_signed()), {"sas_token": SIGNATURE}),
    ("a credential object", lambda: someone(credential=Refreshed()), {"token": "token 1"}),
    ("nobody", lambda: someone(anon=True), None),
]


@pytest.mark.parametrize(("says", "options", "provided"), CREDENTIALS, ids=[each[0] for each in CREDENTIALS])
def test_an_account_in_azure_is_the_filesystems(
    says: str, options: Callable[[], Dict[str, Any]], provided: Optional[Dict[str, str]]
) -> None:
    found = azure_options(made("abfs", options()), "container")

    assert isinstance(found, StoreOptions)
    local = "connection_string" in options()
    endpoint = "http://127.0.0.1:1/someone" if local else "https://someone.blob.core.windows.net"
    assert (found.config["account_name"], found.config["endpoint"]) == ("someone", endpoint)
    assert found.config["skip_signature"] is (provided is None)
    assert bool(found.client.get("allow_http")) is local
    given = found.credentials() if found.credentials is not None else None
    assert (given and {name: value for name, value in given.items() if name != "expires_at"}) == provided
    assert "planted" not in repr(found)


def test_a_token_of_azure_is_asked_of_the_credential_again() -> None:
    found = azure_options(made("abfs", someone(credential=Refreshed())), "container")

    assert isinstance(found, StoreOptions)
    assert found.credentials is not None
    first, second = found.credentials(), found.credentials()

    assert (first["token"], second["token"]) == ("token 1", "token 2")
    assert timedelta(0) < first["expires_at"] - datetime.now(timezone.utc) <= timedelta(minutes=5)


CHANGED = "Mon, 01 Jan 2024 00:00:00 GMT"


def lower(headers: Any) -> Dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.usefixtures("with_obstore")
def test_a_signature_travels_with_every_request(wire: Callable[..., Wire]) -> None:
    asked = wire((201, {"ETag": '"0x1"', "Last-Modified": CHANGED}, b""))
    connection = f"BlobEndpoint={asked.url}/someone;SharedAccessSignature={SIGNATURE}"
    service, why = service_for(made("abfs", {"connection_string": connection}), "container")
    assert isinstance(service, FastService), why

    service.put("a b", b"content", expect=ABSENT, headers=Headers(metadata={"made-by": "hand"}))

    ((method, path, headers),) = asked.asked
    assert (method, path.partition("?")[0]) == ("PUT", "/someone/container/a%20b")
    assert "sig=planted" in path
    assert (lower(headers)["if-none-match"], lower(headers)["x-ms-meta-made_by"]) == ("*", "hand")


def renewed_account(quota_project: str) -> Any:
    """Return credentials of Google that have to be renewed each time."""
    from google.auth.credentials import Credentials

    class Renewed(Credentials):
        count = 0

        def refresh(self, request: Any) -> None:
            self.count += 1
            self.token = f"token-{self.count}"
            self.expiry = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(seconds=30)

    found = Renewed()
    found._quota_project_id = quota_project
    return found


@pytest.mark.usefixtures("with_obstore")
def test_a_token_of_google_is_renewed_by_the_filesystem(wire: Callable[..., Wire]) -> None:
    asked = wire((200, {"ETag": '"e"', "x-goog-generation": "7", "Last-Modified": CHANGED}, b""))
    options = {"token": renewed_account("payer"), "project": "p", "endpoint_url": asked.url}
    filesystem = made("gs", options)
    service, why = service_for(filesystem, "bucket")
    assert isinstance(service, FastService), why

    written = service.put("k", b"content", expect=ANYTHING, headers=Headers())

    told = lower(asked.asked[0][2])
    assert told["authorization"].startswith("Bearer token-")
    assert told["x-goog-user-project"] == "payer"
    assert written.stamp.version == "7"
    found = gcs_options(filesystem, "bucket")
    assert isinstance(found, StoreOptions)
    assert found.credentials is not None
    assert found.credentials()["token"] != found.credentials()["token"]


@pytest.mark.parametrize(("payer", "named"), [(True, "p"), ("another", "another"), (False, None)])
@pytest.mark.usefixtures("with_obstore")
def test_who_pays_for_a_request_to_google_is_named_in_it(
    payer: Any, named: Optional[str], wire: Callable[..., Wire]
) -> None:
    asked = wire((200, {"ETag": '"e"', "x-goog-generation": "7", "Last-Modified": CHANGED}, b"1"))
    service, why = service_for(made("gs", {**GCS, "endpoint_url": asked.url, "requester_pays": payer}), "bucket")
    assert isinstance(service, FastService), why

    service.get("k", 10)

    headers = lower(asked.asked[0][2])
    assert headers.get("x-goog-user-project") == named
    assert headers["accept-encoding"] == "gzip", "else the service would unpack what is stored packed"


def test_a_refused_login_at_google_is_no_missing_file(wire: Callable[..., Wire]) -> None:
    asked = wire((403, {}, json.dumps({"error": "no"}).encode()))
    service, _ = service_for(made("gs", {**GCS, "endpoint_url": asked.url}), "bucket")

    with pytest.raises(AccessDenied):
        service.get("k", 10)
