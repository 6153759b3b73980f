"""A rate limiter, to be. README.md is the brief, openapi.yaml the contract; the work begins where this answers 501."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


def not_yet(hint: str) -> Response:
    return JSONResponse({"error": "not implemented", "hint": hint}, status_code=501)


async def healthz(request: Request) -> Response:
    """Answers 200 once this replica can take requests."""
    return PlainTextResponse("ok\n")


async def put_limit(request: Request) -> Response:
    """PUT /v1/limits/{key} {"limit": N, "window_ms": W}"""
    return not_yet("Keep the limit of this key. Who else has to know it within a second?")


async def check(request: Request) -> Response:
    """POST /v1/check {"key": k, "cost": c}"""
    return not_yet("Allow it (200) or refuse it (429). Who counts, and what if two replicas count at the same moment?")


async def get_usage(request: Request) -> Response:
    """GET /v1/usage/{key}"""
    return not_yet("Say how much of the limit is used in the current window, over all replicas.")


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/limits/{key}", put_limit, methods=["PUT"]),
        Route("/v1/check", check, methods=["POST"]),
        Route("/v1/usage/{key}", get_usage, methods=["GET"]),
    ]
)
