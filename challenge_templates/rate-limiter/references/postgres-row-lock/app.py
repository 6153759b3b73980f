"""A rate limiter whose log lives in PostgreSQL. What the routes answer; the decision is in limiter.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from body import BadInputError, check_in, key_of, limit_in
from limiter import Limiter, StoreUnavailableError, UnknownKeyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.limiter = await Limiter.open()
    yield
    await app.state.limiter.close()


async def healthz(request: Request) -> Response:
    """Whether this process runs; PostgreSQL is not asked, because restarting this process would not mend it."""
    return PlainTextResponse("ok\n")


async def put_limit(request: Request) -> Response:
    key = key_of(request.path_params["key"])
    body = await limit_in(request)
    await request.app.state.limiter.set_limit(key, body.limit, body.window_ms)
    return JSONResponse({"limit": body.limit, "window_ms": body.window_ms})


async def check(request: Request) -> Response:
    body = await check_in(request)
    decision = await request.app.state.limiter.spend(body.key, body.cost)
    if decision.allowed:
        return JSONResponse({"allowed": True, "remaining": decision.limit - decision.used})
    return JSONResponse({"allowed": False, "retry_after_ms": decision.retry_after_ms}, status_code=429)


async def get_usage(request: Request) -> Response:
    decision = await request.app.state.limiter.spend(key_of(request.path_params["key"]), 0)
    return JSONResponse({"used": decision.used, "limit": decision.limit, "window_ms": decision.window_ms})


async def bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


async def unknown_key(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "no limit was set for this key"}, status_code=404)


async def unavailable(request: Request, error: Exception) -> Response:
    """Fail closed: nobody is let through uncounted."""
    return JSONResponse({"error": "the store does not answer"}, status_code=503, headers={"Retry-After": "1"})


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/limits/{key}", put_limit, methods=["PUT"]),
        Route("/v1/check", check, methods=["POST"]),
        Route("/v1/usage/{key}", get_usage, methods=["GET"]),
    ],
    exception_handlers={BadInputError: bad_input, UnknownKeyError: unknown_key, StoreUnavailableError: unavailable},
    lifespan=lifespan,
)
