"""Event ingestion with a broker in front: a batch is accepted when RabbitMQ has it, and workers write it. What the
routes answer; the queue is in broker.py, and what is counted in store.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from body import BadInputError, asked_in, batch_in, page_in
from broker import BrokerUnavailableError, Publisher
from connections import StoreUnavailableError, UnstorableError
from message import packed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from store import Store

CONNECTIONS = 4
"""To PostgreSQL, for those who ask; accepting needs none."""
OPEN_S = 3.0


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.store = Store(CONNECTIONS)
    app.state.publisher = Publisher()
    await app.state.publisher.opened(OPEN_S)
    await app.state.store.connections.opened(1.0)
    yield
    await app.state.publisher.close()
    await app.state.store.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; no service is asked, because restarting this process would not mend one."""
    return PlainTextResponse("ok\n")


async def post_events(request: Request) -> Response:
    """202 once they are on RabbitMQ's disk. Whether they came in another batch, only the worker finds out."""
    batch = await batch_in(request)
    accepted = len(batch.events)
    if accepted:
        await request.app.state.publisher.put(packed(batch.events))
    return JSONResponse({"accepted": accepted, "duplicate": batch.given - accepted}, status_code=202)


async def get_metrics(request: Request) -> Response:
    return JSONResponse(await request.app.state.store.metrics(asked_in(request)))


async def get_events(request: Request) -> Response:
    events, cursor = await request.app.state.store.page(page_in(request))
    return JSONResponse({"events": events, "next": cursor})


async def bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError)
    where = {} if error.index is None else {"index": error.index}
    return JSONResponse({"error": str(error), **where}, status_code=error.status)


async def unstorable(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this cannot be stored"}, status_code=400)


async def unavailable(request: Request, error: Exception) -> Response:
    """What is not on a disk is not accepted."""
    return JSONResponse({"error": "a service does not answer"}, status_code=503, headers={"Retry-After": "1"})


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/events", post_events, methods=["POST"]),
        Route("/v1/events", get_events, methods=["GET"]),
        Route("/v1/metrics", get_metrics, methods=["GET"]),
    ],
    exception_handlers={
        BadInputError: bad_input,
        BrokerUnavailableError: unavailable,
        StoreUnavailableError: unavailable,
        UnstorableError: unstorable,
    },
    lifespan=lifespan,
)
