"""What processes print of the mistakes that everybody makes, as libraries and runtimes word it."""

import pytest

from crucible.lab import logs
from crucible.lab.mistakes import advice

REDIS = {"REDIS_URL": "redis://127.0.0.1:40123/0"}


@pytest.mark.parametrize(
    "line",
    [
        "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
        "Error: connect ECONNREFUSED 127.0.0.1:6379",
        "dial tcp [::1]:6379: connect: connection refused",
        "io.lettuce.core.RedisConnectionException: Unable to connect to localhost/<unresolved>:6379",
        "  error: connect ECONNREFUSED ::1:6379",
    ],
)
def test_who_tries_the_usual_place_of_a_service_is_told_where_it_is(line: str) -> None:
    said = advice(f"starting\n{line}\n    at somewhere\n", REDIS)
    assert said.startswith("it tried ")
    assert said.endswith(":6379, where nothing listens: connect to REDIS_URL")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'psycopg.OperationalError: connection to server at "127.0.0.1", port 5432 failed: Connection refused',
            'it tried 127.0.0.1", port 5432, where nothing listens: name postgres under `services` in crucible.yaml, '
            "and connect to DATABASE_URL",
        ),
        ("Error: getaddrinfo ENOTFOUND redis", "there is no host called redis: connect to REDIS_URL"),
        (
            'could not translate host name "db" to address: Name or service not known',
            "there is no host called db: name postgres under `services` in crucible.yaml, and connect to DATABASE_URL",
        ),
        ("dial tcp: lookup redis on 10.0.0.2:53: no such host", "there is no host called redis: connect to REDIS_URL"),
    ],
)
def test_who_did_not_name_it_is_told_to(line: str, said: str) -> None:
    assert advice(line, REDIS) == said


@pytest.mark.parametrize(
    "line",
    [
        "Error: listen EADDRINUSE: address already in use :::3000",
        "OSError: [Errno 98] Address already in use",
        "listen tcp :8080: bind: address already in use",
        "error: [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
    ],
)
def test_who_wants_a_port_of_its_own_is_told_of_the_one_it_was_given(line: str) -> None:
    assert advice(line, {}).startswith("listen on $PORT, ")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "listening on 127.0.0.1:6379",
        "GET /v1/usage/redis 404",
        "connection refused",
        "Error: refused: 16379",
        "db ok",
    ],
)
def test_what_is_no_such_mistake_is_not_taken_for_one(line: str) -> None:
    assert advice(line, REDIS) == ""


def test_a_log_that_was_cut_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    log = tmp_path / "web.0.log"
    log.write_bytes(b"first\n" + b"x" * logs.LOG_LIMIT)
    logs.cut(log)
    assert log.stat().st_size < logs.LOG_LIMIT
    assert log.read_bytes().startswith(b"first\n")
    assert logs.tail(log).rstrip().endswith("[crucible: more than 8 MiB were printed, and what stood here is cut out]")
