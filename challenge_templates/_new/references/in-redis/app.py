"""What the routes answer; the number is in counter.py."""

from counter import Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

counter = Counter()


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def press(request: Request) -> Response:
    return JSONResponse({"value": await counter.press()})


async def value(request: Request) -> Response:
    return JSONResponse({"value": await counter.value()})


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/press", press, methods=["POST"]),
        Route("/v1/value", value, methods=["GET"]),
    ]
)
