"""A notification service on Redis streams. What the routes answer; what is kept is in store.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from body import BadInputError, name_in, notification_in, preferences_in
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from store import KeyReusedError, Store, StoreUnavailableError

CONNECTIONS = 12


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.store = await Store.open(CONNECTIONS)
    yield
    await app.state.store.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; Redis is not asked, because restarting this process would not mend it."""
    return PlainTextResponse("ok\n")


async def post(request: Request) -> Response:
    """202 once it is in its stream, and in the log of Redis."""
    wanted = await notification_in(request)
    notification_id, state = await request.app.state.store.accept(wanted)
    return JSONResponse({"id": notification_id, "state": state}, status_code=202)


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


def _id_in(request: Request) -> str | None:
    notification_id: str = request.path_params["id"]
    return notification_id if notification_id.isalnum() and len(notification_id) == 32 else None


async def bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


async def key_reused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this Idempotency-Key came with another body before"}, status_code=422)


async def unavailable(request: Request, error: Exception) -> Response:
    """What is not stored is not accepted."""
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
