"""The emulator of Google Cloud Storage with what it leaves out: conditions on generations hold, or answer 412.

Single objects can be read and written by the XML API too, as obstore does: with headers, metadata in lower case,
generations and their conditions. There are no XML listings, deletions or uploads in parts, for which nobody asks.

Run as a program with a port. It answers one request after the other, so a condition that was
looked at still holds when its request is performed.
"""

from __future__ import annotations

import itertools
import sys
import time
from datetime import datetime, timezone
from email.utils import format_datetime
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


# The XML API

_XML_FIELDS = {
    "Content-Type": "contentType",
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
}
_META = "x-goog-meta-"


def _xml_refusal(response: Any, status: HTTPStatus, code: str) -> None:
    response.status = status
    response._headers.pop("Content-type", None)
    response.write_file(f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode(), "application/xml")


def _xml_described(request: Any, response: Any, storage: Any) -> None:
    described = storage.get_file_obj(*_target(request))
    changed = datetime.strptime(described["updated"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    response["ETag"] = f'"{described["etag"]}"'
    response["Last-Modified"] = format_datetime(changed, usegmt=True)
    response["x-goog-generation"] = described["generation"]
    if request.method == "GET":
        for header, field in _XML_FIELDS.items():
            if described.get(field) and field != "contentType":
                response[header] = described[field]
        for name, value in (described.get("metadata") or {}).items():
            response[_META + name] = value


def _xml_get(request: Any, response: Any, storage: Any) -> None:
    if storage.get_bucket(request.params["bucket_name"]) is None:
        _xml_refusal(response, HTTPStatus.NOT_FOUND, "NoSuchBucket")
    elif _generation(storage, _target(request)) == "0":
        _xml_refusal(response, HTTPStatus.NOT_FOUND, "NoSuchKey")
    else:
        objects.download(request, response, storage)
        _xml_described(request, response, storage)


def _xml_put(request: Any, response: Any, storage: Any) -> None:
    bucket, name = _target(request)
    # The emulator itself would unpack, or parse, what is said to be packed or JSON.
    content = server._read_raw_data(request._request_handler) or b""
    wanted = request.get_header("x-goog-if-generation-match")
    if storage.get_bucket(bucket) is None:
        _xml_refusal(response, HTTPStatus.NOT_FOUND, "NoSuchBucket")
    elif wanted is not None and wanted != _generation(storage, (bucket, name)):
        _xml_refusal(response, HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
    else:
        headers = request._request_handler.headers
        told = {field: headers[header] for header, field in _XML_FIELDS.items() if headers[header]}
        own = {each[len(_META) :].lower(): headers[each] for each in headers if each.lower().startswith(_META)}
        content_type = told.get("contentType", "application/octet-stream")
        resource = {**told, **({"metadata": own} if own else {})}
        made = objects._make_object_resource(request.base_url, bucket, name, content_type, str(len(content)), resource)
        storage.create_file(bucket, name, content, objects._checksums(content, made))
        _xml_described(request, response, storage)


def main() -> None:
    # Two versions within one tick of the clock must not share a generation.
    ticks = itertools.count(time.time_ns())
    objects.time = type("Clock", (), {"time_ns": staticmethod(ticks.__next__), "time": staticmethod(time.time)})
    server.urlparse = urlsplit  # urlparse cuts a name at its semicolon
    guarded = {handle: _guarded(handle) for handle in (*vars(objects).values(), buckets.get) if callable(handle)}
    for _, handlers in server.HANDLERS:
        for method, handle in handlers.items():
            handlers[method] = guarded.get(handle, handle)
    # Its own pattern takes no bucket whose name is quoted in the path.
    single = (r"^/(?P<bucket_name>[^/]+)/(?P<object_id>.*[^/]+)$", {"GET": _xml_get, "PUT": _xml_put})
    server.HANDLERS = (*server.HANDLERS[:-1], single)
    listening = HTTPServer(("127.0.0.1", int(sys.argv[1])), partial(server.RequestHandler, Storage(use_memory_fs=True)))
    listening.serve_forever()


if __name__ == "__main__":
    main()
