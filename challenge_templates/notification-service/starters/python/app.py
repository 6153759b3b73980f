"""A notification service, to be. README.md is the brief, openapi.yaml the contract; work begins at 501."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


def not_yet(hint: str) -> Response:
    return JSONResponse({"error": "not implemented", "hint": hint}, status_code=501)


async def healthz(request: Request) -> Response:
    """Answers 200 once this replica can take requests."""
    return PlainTextResponse("ok\n")


async def post(request: Request) -> Response:
    """POST /v1/notifications {"user": u, "channel": c, "template": t, "data": {}, "priority": p, "send_after": ts}"""
    return not_yet("Accept it (202). What must be true by then, if this process ends in the next millisecond?")


async def get(request: Request) -> Response:
    """GET /v1/notifications/{id}"""
    return not_yet("Say what has become of it. Which replica knows?")


async def delete(request: Request) -> Response:
    """DELETE /v1/notifications/{id}"""
    return not_yet("Take it back (200), or say that it is too late (409). Who might be sending it just now?")


async def put_preferences(request: Request) -> Response:
    """PUT /v1/users/{user}/preferences {"email": b, "sms": b, "push": b}"""
    return not_yet("Keep what this user wants. Who has to know it within two seconds?")


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/notifications", post, methods=["POST"]),
        Route("/v1/notifications/{id}", get, methods=["GET"]),
        Route("/v1/notifications/{id}", delete, methods=["DELETE"]),
        Route("/v1/users/{user}/preferences", put_preferences, methods=["PUT"]),
    ]
)
