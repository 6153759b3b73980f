"""A notification service without a queue: who asks waits until it has been sent, and is told when it could not be."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
from body import BadInputError, name_in, notification_in, preferences_in
from provider import Provider, Said
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from store import Kept, KeyReusedError, Store, StoreUnavailableError

CONNECTIONS = 12
POLL_S = 0.5
AT_ONCE = 20


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.store = await Store.open(CONNECTIONS)
    async with aiohttp.ClientSession() as session:
        app.state.provider = Provider(session)
        later = asyncio.create_task(send_later(app))
        yield
        later.cancel()
    await app.state.store.close()


async def send(app: Starlette, kept: Kept) -> str | None:
    """Send it now. The state that it has then; None where nobody can say."""
    said, tries = await app.state.provider.send(kept.channel, kept.id, kept.to, kept.body)
    if said is Said.AGAIN:
        return None
    state = "sent" if said is Said.DONE else "failed"
    await app.state.store.mark(kept, state, tries)
    return state


async def send_later(app: Starlette) -> None:
    """What was asked for later has no caller who waits. A try that fails comes again in five seconds."""
    while True:
        with suppress(StoreUnavailableError):
            due = await app.state.store.due(AT_ONCE)
            await asyncio.gather(*(send(app, kept) for kept in due), return_exceptions=True)
        await asyncio.sleep(POLL_S)


async def healthz(request: Request) -> Response:
    """Whether this process runs; PostgreSQL is not asked, because restarting this process would not mend it."""
    return PlainTextResponse("ok\n")


async def post(request: Request) -> Response:
    """202 once it has arrived, or is written down for later."""
    wanted = await notification_in(request)
    kept = await request.app.state.store.keep(wanted)
    state = await send(request.app, kept) if kept.state == "now" else kept.state
    if state is None:
        return JSONResponse({"error": "the provider does not take it now"}, 503, headers={"Retry-After": "1"})
    return JSONResponse({"id": kept.id, "state": "queued" if state == "later" else state}, status_code=202)


async def get(request: Request) -> Response:
    notification_id = _id_in(request)
    found = await request.app.state.store.get(notification_id) if notification_id else None
    if found is None:
        return JSONResponse({"error": "there is no such notification"}, status_code=404)
    return JSONResponse({"id": str(notification_id), "state": found[0], "attempts": found[1]})


async def delete(request: Request) -> Response:
    notification_id = _id_in(request)
    cancelled = await request.app.state.store.cancel(notification_id) if notification_id else None
    if cancelled is None:
        return JSONResponse({"error": "there is no such notification"}, status_code=404)
    if not cancelled:
        return JSONResponse({"error": "too late"}, status_code=409)
    return JSONResponse({"id": str(notification_id), "state": "cancelled"})


async def put_preferences(request: Request) -> Response:
    given = await preferences_in(request)
    await request.app.state.store.prefer(name_in(request.path_params["user"], "user"), given)
    return JSONResponse(given)


def _id_in(request: Request) -> uuid.UUID | None:
    try:
        return uuid.UUID(request.path_params["id"])
    except ValueError:
        return None


async def bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


async def key_reused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this Idempotency-Key came with another body before"}, status_code=422)


async def unavailable(request: Request, error: Exception) -> Response:
    """What is not written down is not sent."""
    return JSONResponse({"error": "the store does not answer"}, status_code=503, headers={"Retry-After": "1"})


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/notifications", post, methods=["POST"]),
        Route("/v1/notifications/{id}", get, methods=["GET"]),
        Route("/v1/notifications/{id}", delete, methods=["DELETE"]),
        Route("/v1/users/{user}/preferences", put_preferences, methods=["PUT"]),
    ],
    exception_handlers={BadInputError: bad_input, KeyReusedError: key_reused, StoreUnavailableError: unavailable},
    lifespan=lifespan,
)
