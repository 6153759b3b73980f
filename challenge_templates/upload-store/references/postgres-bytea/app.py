"""A store for uploads in PostgreSQL alone. What the routes answer; what is kept is in store.py and schema.sql."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from body import (
    BadInputError,
    cursor_in,
    id_in,
    length_in,
    quota_in,
    upload_in,
    user_in,
    user_in_path,
    version_in,
)
from connections import StoreUnavailableError, UnstorableError
from readers import Readers
from serving import Content, headers_of, span_in
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from store import RefusedError, Store
from sweeper import sweep

LOG = logging.getLogger(__name__)
CONNECTIONS = 10
DRAIN = 64 << 20
"""A body that is refused is read to its end up to here, so that the client hears why; from here on it is cut off."""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    store = app.state.store = Store(CONNECTIONS)
    readers = app.state.readers = Readers(store.extend)
    await store.opened()
    behind = [asyncio.create_task(sweep(store)), asyncio.create_task(readers.keep())]
    yield
    for task in behind:
        task.cancel()
    await asyncio.gather(*behind, return_exceptions=True)
    await store.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; PostgreSQL is not asked, because restarting this process would not mend it."""
    return PlainTextResponse("ok\n")


async def post_upload(request: Request) -> Response:
    owner = user_in(request)
    name, declared = await upload_in(request)
    file, upload = await request.app.state.store.begin_file(owner, name, declared)
    return JSONResponse({"file": str(file), "put": _put(request, upload)}, status_code=201)


async def post_version(request: Request) -> Response:
    owner = user_in(request)
    declared = await version_in(request)
    file = _id(request)
    upload = await request.app.state.store.begin_version(file, owner, declared)
    return JSONResponse({"file": str(file), "put": _put(request, upload)}, status_code=201)


def _put(request: Request, upload: uuid.UUID) -> dict[str, object]:
    """To the replica that was asked. The id is a secret of 122 random bits, and is of no use to another user."""
    return {
        "method": "PUT", "url": f"{request.base_url}v1/uploads/{upload}",
        "headers": {"X-User": request.headers["x-user"], "Content-Type": "application/octet-stream"},
    }  # fmt: skip


async def put_bytes(request: Request) -> Response:
    """200 once they are on PostgreSQL's disk, and are what was announced."""
    owner = user_in(request)
    length = length_in(request)
    await request.app.state.store.receive(_id(request), owner, length, request.stream())
    return JSONResponse({"received": True})


async def post_complete(request: Request) -> Response:
    return JSONResponse(await request.app.state.store.complete(_id(request), user_in(request)))


async def get_file(request: Request) -> Response:
    owner = user_in(request)
    file = _id(request)
    found = await request.app.state.store.look(file, owner)
    return JSONResponse(
        {
            "file": str(file), "name": found.name, "size": found.size, "sha256": found.sha256,
            "version": found.version,
        }
    )  # fmt: skip


async def get_content(request: Request) -> Response:
    owner = user_in(request)
    store = request.app.state.store
    reads = request.method == "GET"
    found = await store.look(_id(request), owner, with_first=reads and "range" not in request.headers)
    span = span_in(request, found.size, found.sha256)
    if span is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{found.size}"})
    headers = headers_of(found.name, found.size, found.sha256, span)
    if not reads:
        return Response(headers=headers)
    pieces = request.app.state.readers.reading(found.blob, store.read(found, span))
    return Content(pieces, span, headers)


async def delete_file(request: Request) -> Response:
    file = _id(request)
    await request.app.state.store.remove(file, user_in(request))
    return JSONResponse({"file": str(file), "deleted": True})


async def get_files(request: Request) -> Response:
    owner = user_in_path(request)
    if user_in(request) != owner:
        raise RefusedError(403, "these are another user's files")
    files, cursor = await request.app.state.store.page(owner, cursor_in(request))
    return JSONResponse({"files": files, "next": cursor})


async def put_quota(request: Request) -> Response:
    """For whoever runs this, so without a user; a user who says who he is cannot change another one's."""
    owner = user_in_path(request)
    if "x-user" in request.headers and user_in(request) != owner:
        raise RefusedError(403, "this is another user's quota")
    quota = await quota_in(request)
    await request.app.state.store.set_quota(owner, quota)
    return JSONResponse({"user": owner, "bytes": quota})


def _id(request: Request) -> uuid.UUID:
    found = id_in(request.path_params["id"])
    if found is None:
        raise RefusedError(404, "there is no such file")
    return found


def _answer(request: Request, what: str, status: int, headers: dict[str, str] | None = None) -> Response:
    headers = dict(headers or {})
    with suppress(BadInputError):
        if (length_in(request) or 0) > DRAIN:
            headers["Connection"] = "close"
    return JSONResponse({"error": what}, status_code=status, headers=headers)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError | RefusedError)
    return _answer(request, str(error), error.status)


async def unstorable(request: Request, error: Exception) -> Response:
    return _answer(request, "this cannot be stored", 400)


async def unavailable(request: Request, error: Exception) -> Response:
    """What is not stored is not accepted."""
    LOG.warning("503: %s", error)
    return _answer(request, "the store does not answer", 503, {"Retry-After": "1"})


async def left(request: Request, error: Exception) -> Response:
    """The client has gone in the middle of its body, and hears nothing."""
    return Response(status_code=400)


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/uploads", post_upload, methods=["POST"]),
        Route("/v1/uploads/{id}", put_bytes, methods=["PUT"]),
        Route("/v1/files/{id}", get_file, methods=["GET"]),
        Route("/v1/files/{id}", delete_file, methods=["DELETE"]),
        Route("/v1/files/{id}/complete", post_complete, methods=["POST"]),
        Route("/v1/files/{id}/content", get_content, methods=["GET"]),
        Route("/v1/files/{id}/versions", post_version, methods=["POST"]),
        Route("/v1/users/{user}/files", get_files, methods=["GET"]),
        Route("/v1/users/{user}/quota", put_quota, methods=["PUT"]),
    ],
    exception_handlers={
        BadInputError: refused,
        RefusedError: refused,
        StoreUnavailableError: unavailable,
        UnstorableError: unstorable,
        ClientDisconnect: left,
    },
    lifespan=lifespan,
)
