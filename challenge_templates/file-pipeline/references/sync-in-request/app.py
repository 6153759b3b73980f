"""A file is taken apart while it comes, and whoever sent it waits for the result. What the routes answer; what a file
comes to is found in tally.py, and kept by jobs.py."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from body import BadInputError, callback_in, drain, file_in, id_in, key_in
from connections import Connections, StoreUnavailableError, UnstorableError
from events import Teller
from jobs import Jobs, RefusedError, make_ready
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from tally import BadFileError, Tally

CONNECTIONS = 8
OPEN_S = 5.0
AT_ONCE = 24
"""Files that are taken apart at the same time. Each needs memory for its users and its sums."""
SLICE = 32 << 10
"""Everybody else waits while so many bytes are looked at, about a millisecond."""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    connections = Connections(CONNECTIONS, make_ready)
    app.state.jobs = Jobs(connections)
    app.state.teller = Teller(connections)
    app.state.running = 0
    await connections.opened(OPEN_S)
    telling = asyncio.create_task(app.state.teller.run())
    yield
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await connections.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; nothing else is asked, because restarting this process would not mend it."""
    return PlainTextResponse("ok\n")


async def post_job(request: Request) -> Response:
    """200 with the job, which is done. Nothing is kept of a file that is not whole, or no such table."""
    key, callback, pieces = key_in(request), callback_in(request), file_in(request)
    state = request.app.state
    if state.running >= AT_ONCE:
        raise StoreUnavailableError("too many files at once")
    state.running += 1
    try:
        async with aclosing(pieces):
            known = await state.jobs.find(key)
            if known is not None:
                job = known.check(callback, await _digest(pieces))
            else:
                sha256, result = await _take_apart(pieces)
                job = (await state.jobs.add(key, callback, sha256, result)).check(callback, sha256)
    finally:
        state.running -= 1
    state.teller.soon()
    return JSONResponse({"job": str(job.id), "state": job.state, "progress": 1.0})


async def _digest(pieces: AsyncIterable[bytes]) -> str:
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


async def _take_apart(pieces: AsyncIterable[bytes]) -> tuple[str, str]:
    """Its digest and its result, as soon as its last byte is there."""
    digest, tally = hashlib.sha256(), Tally()
    async for piece in pieces:
        digest.update(piece)
        for start in range(0, len(piece), SLICE):
            tally.feed(piece[start : start + SLICE])
            await asyncio.sleep(0)
    return digest.hexdigest(), tally.result(digest.hexdigest())


async def get_job(request: Request) -> Response:
    job = _id(request)
    state, _ = await request.app.state.jobs.look(job)
    return JSONResponse({"job": str(job), "state": state, "progress": 1.0})


async def get_result(request: Request) -> Response:
    state, result = await request.app.state.jobs.look(_id(request))
    if result is None:
        raise RefusedError(409, f"the job is {state}")
    return Response(result, media_type="application/json")


async def delete_job(request: Request) -> Response:
    job = _id(request)
    await request.app.state.jobs.cancel(job)
    return JSONResponse({"job": str(job), "state": "cancelled"})


def _id(request: Request) -> uuid.UUID:
    found = id_in(request)
    if found is None:
        raise RefusedError(404, "there is no such job")
    return found


async def _answer(request: Request, what: str, status: int, headers: dict[str, str] | None = None) -> Response:
    headers = dict(headers or {})
    if not await drain(request):
        headers["Connection"] = "close"
    return JSONResponse({"error": what}, status_code=status, headers=headers)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError | RefusedError)
    return await _answer(request, str(error), error.status)


async def bad_file(request: Request, error: Exception) -> Response:
    return await _answer(request, str(error), 422)


async def unstorable(request: Request, error: Exception) -> Response:
    return await _answer(request, "this cannot be stored", 400)


async def unavailable(request: Request, error: Exception) -> Response:
    """What is not stored is not accepted."""
    return await _answer(request, "a store does not answer", 503, {"Retry-After": "1"})


async def left(request: Request, error: Exception) -> Response:
    """The client has gone in the middle of its body, and hears nothing."""
    return Response(status_code=400)


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/jobs", post_job, methods=["POST"]),
        Route("/v1/jobs/{id}", get_job, methods=["GET"]),
        Route("/v1/jobs/{id}", delete_job, methods=["DELETE"]),
        Route("/v1/jobs/{id}/result", get_result, methods=["GET"]),
    ],
    exception_handlers={
        BadInputError: refused,
        RefusedError: refused,
        BadFileError: bad_file,
        StoreUnavailableError: unavailable,
        UnstorableError: unstorable,
        ClientDisconnect: left,
    },
    lifespan=lifespan,
)
