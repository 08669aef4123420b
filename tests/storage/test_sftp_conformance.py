"""The client for SFTP passes the one suite, with OpenSSH's server and asyncssh's, with and without extensions."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import Any, Iterator, Mapping

import pytest
from conftest import put_files
from sftp_servers import SERVERS, Server, make_keys, needs_openssh, openssh_server

from syncengine.storage import conformance
from syncengine.storage.conformance import CHECKS, Factory, Subject, name_of
from syncengine.storage.location import locate


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def factory(server: Server, clients: ExitStack) -> Factory:
    def make(files: Mapping[str, bytes]) -> Subject:
        name = uuid.uuid4().hex
        put_files(server.folder / name, files)
        location = locate(server.url(name), options=server.options())

        def opened() -> Any:
            client: Any = location.open()
            clients.callback(client.close)
            return client

        return Subject(opened(), again=opened)

    return make


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("sftp_server", SERVERS, indirect=True)
def test_the_client_for_sftp_conforms(sftp_server: Server, check: conformance.Check, clients: ExitStack) -> None:
    check(factory(sftp_server, clients))


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    without = "posix-rename,hardlink,copy-data,limits,fsync,lsetstat,statvfs"
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    with openssh_server(tmp_path_factory.mktemp("plain"), keys, sftp=f"internal-sftp -P {without}") as server:
        yield server


@needs_openssh
@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_it_conforms_where_the_server_offers_nothing_but_the_standard(
    plain_server: Server, check: conformance.Check, clients: ExitStack
) -> None:
    check(factory(plain_server, clients))


@needs_openssh
def test_what_the_server_lacks_is_not_claimed(plain_server: Server, sftp_openssh: Server, clients: ExitStack) -> None:
    plain, full = (factory(server, clients)({}).client.capabilities for server in (plain_server, sftp_openssh))

    assert (full.atomic_put, full.server_copy) == (True, True)
    assert (plain.atomic_put, plain.server_copy) == (False, False)
    assert "nothing has the name" in dict(plain.windows)["atomic_put"]
