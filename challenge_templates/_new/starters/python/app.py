"""The work begins where this answers 501. README.md is the brief, openapi.yaml the contract."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def press(request: Request) -> Response:
    hint = "Count it. What if another request counts at the same moment?"
    return JSONResponse({"error": "not implemented", "hint": hint}, status_code=501)


async def value(request: Request) -> Response:
    return JSONResponse({"error": "not implemented", "hint": "Say how often it was pressed."}, status_code=501)


app = Starlette(
    routes=[
        Route("/healthz", healthz, methods=["GET"]),
        Route("/v1/press", press, methods=["POST"]),
        Route("/v1/value", value, methods=["GET"]),
    ]
)
