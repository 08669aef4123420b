"""Small servers over a folder, on free ports of this machine, each in a thread; every one is a context manager."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator, Optional


class _QuietHandler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def running(serve: Any, stop: Any) -> Iterator[None]:
    """Run *serve* in a thread for the duration of the block."""
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(10)


@contextmanager
def http_server(folder: Path, handler: Any = None) -> Iterator[str]:
    """Serve *folder* over HTTP with listings; *handler* may be a class of one's own. Gives the URL."""
    made = handler or partial(_QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), made)
    with server, running(partial(server.serve_forever, poll_interval=0.01), server.shutdown):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def ftp_server(
    folder: Path, *, user: str = "someone", password: str = "planted-ftp-secret", **handled: Any
) -> Iterator[str]:
    """Serve *folder* over FTP for one user; *handled* are attributes of the handler. Gives the URL with the user."""
    with warnings.catch_warnings():
        # It is built on asyncore, which says at import that it will go.
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, str(folder), perm="elradfmwMT")
    handler = type(
        "Handler", (FTPHandler,), {"authorizer": authorizer, "use_sendfile": False, "auth_failed_timeout": 0, **handled}
    )
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=IOLoop())
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            server.serve_forever(timeout=0.01, blocking=False)
        server.close_all()

    with running(serve, stopped.set):
        yield f"ftp://{user}:{password}@127.0.0.1:{server.address[1]}"


@contextmanager
def webdav_server(folder: Path, *, user: Optional[str] = None, password: str = "planted-dav-secret") -> Iterator[str]:
    """Serve *folder* over WebDAV, open to all or to one user. Gives the base URL."""
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    users = {"*": {user: {"password": password}} if user else True}
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": users},
            "http_authenticator": {"domain_controller": None},
            "verbose": 0,
            "logging": {"enable": False},
            "lock_storage": True,
        }
    )
    server = wsgi.Server(("127.0.0.1", 0), application, numthreads=8)
    server.shutdown_timeout = 1
    server.prepare()
    with running(server.serve, server.stop):
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
