"""Files are put into a bucket and jobs into a table, and a broker wakes workers for them. What the routes answer; how a
file is taken in is in uploads.py, what becomes of it in jobs.py, and who is woken in tickets.py."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from body import BadInputError, callback_in, drain, file_in, id_in, key_in
from broker import Publisher
from bucket import Bucket
from connections import Connections, StoreUnavailableError, UnstorableError
from files import Files, RefusedError
from jobs import Jobs, make_ready
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from tickets import Tickets
from uploads import Uploads

CONNECTIONS = 8
OPEN_S = 5.0


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    connections, bucket, publisher = Connections(CONNECTIONS, make_ready), Bucket(), Publisher()
    app.state.jobs = Jobs(connections)
    app.state.uploads = Uploads(Files(connections), bucket)
    app.state.tickets = Tickets(connections, publisher)
    await connections.opened(OPEN_S)
    keeping = asyncio.create_task(app.state.uploads.keep())
    yield
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await publisher.close()
    await bucket.close()
    await connections.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; nothing else is asked, because restarting this process would not mend it."""
    return PlainTextResponse("ok\n")


async def post_job(request: Request) -> Response:
    """202 once all of the file is in the bucket, and the job in the table. RabbitMQ may be away: there is a ticket soon
    after it is back."""
    key, callback, pieces = key_in(request), callback_in(request), file_in(request)
    async with aclosing(pieces):
        job = await request.app.state.uploads.take(key, callback, pieces)
    if job.state == "queued":
        request.app.state.tickets.announce_soon(job.id)
    return JSONResponse({"job": str(job.id), "state": job.state}, status_code=202)


async def get_job(request: Request) -> Response:
    job = _id(request)
    found = await request.app.state.jobs.look(job)
    error = {} if found.error is None else {"error": found.error}
    return JSONResponse({"job": str(job), "state": found.state, "progress": found.progress, **error})


async def get_result(request: Request) -> Response:
    found = await request.app.state.jobs.look(_id(request))
    if found.result is None:
        raise RefusedError(409, f"the job is {found.state}")
    return Response(found.result, media_type="application/json")


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
        StoreUnavailableError: unavailable,
        UnstorableError: unstorable,
        ClientDisconnect: left,
    },
    lifespan=lifespan,
)
