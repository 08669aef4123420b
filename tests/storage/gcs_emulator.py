"""The emulator of Google Cloud Storage with what it leaves out: conditions on generations hold, or answer 412.

Run as a program with a port. It answers one request after the other, so a condition that was
looked at still holds when its request is performed.
"""

from __future__ import annotations

import itertools
import sys
import time
from functools import partial
from http import HTTPStatus
from http.server import HTTPServer
from typing import Any, Dict, Optional, Tuple
from urllib.parse import urlsplit

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.storage import Storage

Key = Tuple[str, str]

_uploads: Dict[str, Tuple[Key, str]] = {}


def _generation(storage: Any, key: Key) -> str:
    try:
        return str(storage.get_file_obj(*key)["generation"])
    except NotFound:
        return "0"


def _asked(request: Any, name: str) -> Optional[str]:
    return request.query.get(name, [None])[0]


def _target(request: Any) -> Key:
    parameters = request.params
    if "dest_object_id" in parameters:
        return parameters["dest_bucket_name"], parameters["dest_object_id"]
    name = parameters.get("object_id") or _asked(request, "name") or request.data["meta"]["name"]
    return parameters["bucket_name"], name


def _refused(request: Any, response: Any, storage: Any) -> bool:
    upload = _uploads.get(_asked(request, "upload_id") or "")
    conditions = [upload] if upload else []
    if _asked(request, "ifGenerationMatch"):
        conditions.append((_target(request), _asked(request, "ifGenerationMatch")))
    if _asked(request, "ifSourceGenerationMatch"):
        origin = (request.params["bucket_name"], request.params["object_id"])
        conditions.append((origin, _asked(request, "ifSourceGenerationMatch")))
    if all(_generation(storage, key) == wanted for key, wanted in conditions):
        return False
    response.status = HTTPStatus.PRECONDITION_FAILED
    response.json({"error": {"code": 412, "message": "At least one of the pre-conditions did not hold."}})
    return True


def _guarded(handle: Any) -> Any:
    def handled(request: Any, response: Any, storage: Any, *arguments: Any, **options: Any) -> None:
        if request.params.get("bucket_name") and not _has_bucket(request, response, storage):
            return
        exists = "object_id" in request.params and _generation(storage, _target(request)) != "0"
        if (request.method != "GET" or exists) and _refused(request, response, storage):
            return
        handle(request, response, storage, *arguments, **options)
        _told(request, response, storage)

    return handled


def _has_bucket(request: Any, response: Any, storage: Any) -> bool:
    if storage.get_bucket(request.params["bucket_name"]) is not None:
        return True
    response.status = HTTPStatus.NOT_FOUND
    response.json({"error": {"code": 404, "message": "The specified bucket does not exist."}})
    return False


def _told(request: Any, response: Any, storage: Any) -> None:
    if _asked(request, "alt") == "media" and response.status < 400:
        response["x-goog-generation"] = _generation(storage, _target(request))
    location = response._headers.get("Location", "")
    if _asked(request, "ifGenerationMatch") and "upload_id=" in location:
        condition = (_target(request), _asked(request, "ifGenerationMatch"))
        _uploads[location.rpartition("upload_id=")[2]] = condition


def main() -> None:
    # Two versions within one tick of the clock must not share a generation.
    ticks = itertools.count(time.time_ns())
    objects.time = type("Clock", (), {"time_ns": staticmethod(ticks.__next__), "time": staticmethod(time.time)})
    server.urlparse = urlsplit  # urlparse cuts a name at its semicolon
    guarded = {handle: _guarded(handle) for handle in (*vars(objects).values(), buckets.get) if callable(handle)}
    for _, handlers in server.HANDLERS:
        for method, handle in handlers.items():
            handlers[method] = guarded.get(handle, handle)
    listening = HTTPServer(("127.0.0.1", int(sys.argv[1])), partial(server.RequestHandler, Storage(use_memory_fs=True)))
    listening.serve_forever()


if __name__ == "__main__":
    main()
