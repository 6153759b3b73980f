"""A notification service on a broker: a notification is accepted when RabbitMQ has it on its disk, and nothing else
has to be up for that. What the routes answer; the queues are in broker.py, what became of notifications in store.py."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from body import BadInputError, Wanted, name_in, notification_in, preferences_in
from broker import TROUBLE, Broker, BrokerUnavailableError
from ids import id_of, is_ours
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from store import KeyReusedError, Store, StoreUnavailableError

CONNECTIONS = 12
ASK_S = 0.15
"""How long accepting waits for PostgreSQL to say whether it is wanted at all; the worker asks again."""
QUIET_S = 1.0
"""After an answer that did not come, accepting does without PostgreSQL for so long."""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.store = await Store.open(CONNECTIONS)
    app.state.broker = Broker()
    app.state.quiet_until = 0.0
    with suppress(*TROUBLE):  # then it is opened by whoever first has something to put into a queue
        await app.state.broker.channel()
    yield
    await app.state.broker.close()
    await app.state.store.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; no service is asked, because restarting this process would not mend one."""
    return PlainTextResponse("ok\n")


async def post(request: Request) -> Response:
    """202 once it is on RabbitMQ's disk."""
    wanted = await notification_in(request)
    notification_id = id_of(wanted.key)
    state = await _look(request.app, notification_id, wanted)
    if state is None:
        await request.app.state.broker.put({
            "id": notification_id, "channel": wanted.channel, "priority": "high" if wanted.high else "low",
            "to": wanted.user, "body": wanted.text, "due": wanted.send_after, "fingerprint": wanted.fingerprint,
        })  # fmt: skip
    return JSONResponse({"id": notification_id, "state": state or "queued"}, status_code=202)


async def _look(app: Starlette, notification_id: str, wanted: Wanted) -> str | None:
    """Its state, where that is known at once; where PostgreSQL does not say, the worker finds out."""
    if time.monotonic() < app.state.quiet_until:
        return None
    try:
        return await app.state.store.look(notification_id, wanted, ASK_S)
    except StoreUnavailableError:
        app.state.quiet_until = time.monotonic() + QUIET_S
        return None


async def get(request: Request) -> Response:
    notification_id = _id_in(request)
    if notification_id is None:
        return JSONResponse({"error": "there is no such notification"}, status_code=404)
    state, attempts = await request.app.state.store.get(notification_id)
    return JSONResponse({"id": notification_id, "state": state, "attempts": attempts})


async def delete(request: Request) -> Response:
    notification_id = _id_in(request)
    if notification_id is None:
        return JSONResponse({"error": "there is no such notification"}, status_code=404)
    if not await request.app.state.store.cancel(notification_id):
        return JSONResponse({"error": "too late"}, status_code=409)
    return JSONResponse({"id": notification_id, "state": "cancelled"})


async def put_preferences(request: Request) -> Response:
    given = await preferences_in(request)
    await request.app.state.store.prefer(name_in(request.path_params["user"], "user"), given)
    return JSONResponse(given)


def _id_in(request: Request) -> str | None:
    notification_id: str = request.path_params["id"]
    return notification_id if is_ours(notification_id) else None


async def bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


async def key_reused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this Idempotency-Key came with another body before"}, status_code=422)


async def unavailable(request: Request, error: Exception) -> Response:
    """What is not on a disk is not accepted."""
    return JSONResponse({"error": "a service does not answer"}, status_code=503, headers={"Retry-After": "1"})


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/notifications", post, methods=["POST"]),
        Route("/v1/notifications/{id}", get, methods=["GET"]),
        Route("/v1/notifications/{id}", delete, methods=["DELETE"]),
        Route("/v1/users/{user}/preferences", put_preferences, methods=["PUT"]),
    ],
    exception_handlers={
        BadInputError: bad_input,
        KeyReusedError: key_reused,
        BrokerUnavailableError: unavailable,
        StoreUnavailableError: unavailable,
    },
    lifespan=lifespan,
)  # fmt: skip
