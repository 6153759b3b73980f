"""A lab with every service that there is: all of them up at once, each at its distance, crashed and counted."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pika
import psycopg
import pytest
import redis
from botocore.config import Config
from support.peers import eventually
from support.solutions import temporary_folder, write_solution

from crucible.check import Call, NotCausedError, Suite
from crucible.evidence import Op
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.network import added_ms
from crucible.lab.observer import Observer
from crucible.planning.plan import make_plan
from crucible.planning.solution import read_solution
from crucible.services import SERVICES

pytestmark = pytest.mark.machine

WEB = """
    import http.server, json, os

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(dict(os.environ)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
GIVEN = {
    "DATABASE_URL", "REDIS_URL", "AMQP_URL",
    "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "S3_BUCKET",
}  # fmt: skip


@dataclass(frozen=True)
class Booted:
    lab: RunningLab
    runner: asyncio.Runner
    env: dict[str, str]
    """What a process started by hand is given."""


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    with temporary_folder() as folder, asyncio.Runner() as runner:
        solution = read_solution(write_solution(folder / "solution", WEB), {})
        manifest = replace(solution.manifest, services=dict.fromkeys(SERVICES, "as it is"), durable=("redis",))
        solution = replace(solution, services=tuple(SERVICES), challenge=replace(solution.challenge, manifest=manifest))
        environ = os.environ | {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        opened = open_lab(make_plan(solution, Suite((), ()), seed=1), folder / "logs", environ)
        lab = runner.run(opened.__aenter__())
        try:
            runner.run(lab.boot())
            runner.run(lab.begin_accounts())
            yield Booted(lab, runner, runner.run(lab.urls()))
        finally:
            runner.run(opened.__aexit__(None, None, None))


def s3(env: dict[str, str]) -> Any:
    return boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),
    )  # fmt: skip


def use(env: dict[str, str], name: str) -> None:
    """Store something."""
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (name text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (name,))
    with redis.Redis.from_url(env["REDIS_URL"]) as client:
        client.rpush("kept", name)
    with pika.BlockingConnection(pika.URLParameters(env["AMQP_URL"])) as broker:
        channel = broker.channel()
        channel.queue_declare("kept", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "kept", name.encode(), pika.BasicProperties(delivery_mode=2))
    s3(env).put_object(Bucket=env["S3_BUCKET"], Key=name, Body=name.encode())


def stored(env: dict[str, str]) -> dict[str, int]:
    """How much each holds of it."""
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    with redis.Redis.from_url(env["REDIS_URL"]) as client:
        listed = client.llen("kept")
    eventually(lambda: queued(env) is not None, 10, "the queue of a broker that has just come back")
    objects = s3(env).list_objects_v2(Bucket=env["S3_BUCKET"])["KeyCount"]
    return {
        "postgres": row[0] if row else 0, "redis": int(str(listed)), "rabbitmq": queued(env) or 0, "s3": objects,
    }  # fmt: skip


def queued(env: dict[str, str]) -> int | None:
    """Messages in the queue; None where there is no such queue, or none yet."""
    with pika.BlockingConnection(pika.URLParameters(env["AMQP_URL"])) as broker:
        try:
            return int(broker.channel().queue_declare("kept", passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker as closed:
            if closed.reply_code != 404:
                raise
            return None


def test_every_process_is_given_every_url(booted: Booted) -> None:
    async def ask() -> Op:
        return await Observer(booted.lab, "scenario", "steady").call(Call("web.0", "GET", "/"))

    env = booted.runner.run(ask()).reply
    assert isinstance(env, dict)
    assert env.keys() >= GIVEN
    assert env["DATABASE_URL"] != booted.env["DATABASE_URL"], "each instance has ways of its own"


def test_each_is_as_far_away_as_it_usually_is(booted: Booted) -> None:
    facts = {it.name: it for it in booted.lab.service_facts}
    assert {name: it.asked_ms for name, it in facts.items()} == {"postgres": 1, "redis": 1, "rabbitmq": 1, "s3": 5}
    for name, it in facts.items():
        assert it.added_ms is not None
        assert it.added_ms > 1.4 * it.asked_ms or is_far(booted.lab, name, 1.4 * it.asked_ms), name


def is_far(lab: RunningLab, name: str, more_than_ms: float) -> bool:
    """Measured again and again: where other programs keep the machine busy, a direct ping may wait for them, too."""
    ping = lab.servers[name].pinger("127.0.0.1", lab.backing.probes[name])
    return any(added_ms(lab.servers[name], ping) > more_than_ms for _ in range(20))


def test_nobody_came_past_the_network_and_all_is_counted(booted: Booted) -> None:
    use(booted.env, "first")
    usage = {it.subject: it.operations for it in booted.runner.run(booted.lab.usage())}
    assert usage["rabbitmq"]["published"] == usage["rabbitmq"]["queues"] == 1
    assert usage["s3"]["PutObject"] == 1
    assert usage["redis"]["rpush"] == 1
    traffic = {(it.process, it.service): it for it in booted.runner.run(booted.lab.traffic())}
    assert {service for process, service in traffic if process == "hand"} == set(SERVICES)
    assert all(it.round_trips > 0 for (process, _), it in traffic.items() if process == "hand")
    assert booted.lab.bypasses == ()


def test_what_each_process_receives_and_has_on_its_disk_is_known(booted: Booted) -> None:
    async def look() -> tuple[dict[str, int], dict[str, int]]:
        observer = Observer(booted.lab, "scenario", "steady")
        return await observer.received(), await observer.on_disk()

    before, _ = booted.runner.run(look())
    use(booted.env, "received")
    after, disks = booted.runner.run(look())
    assert after["hand.0"] > before["hand.0"]
    assert after["web.0"] == before["web.0"]
    assert disks["web.0"] > 100


def test_each_keeps_over_a_crash_what_its_card_says(booted: Booted) -> None:
    async def crash(name: str) -> None:
        observer = Observer(booted.lab, "scenario", "fault")
        with booted.lab.watched(observer.happened):
            await observer.crash(name, 0.1)

    use(booted.env, "kept")
    before = stored(booted.env)
    for name in SERVICES:
        if name == "s3" and booted.lab.servers[name].source.kind == "embedded":
            with pytest.raises(NotCausedError, match="in memory"):
                booted.runner.run(crash(name))
        else:
            booted.runner.run(crash(name))
    assert stored(booted.env) == before
    usage = {it.subject: it.operations for it in booted.runner.run(booted.lab.usage())}
    assert usage["rabbitmq"]["published"] >= 1, "what it counted before the crash is kept"
    assert booted.lab.servers["rabbitmq"].operations()["published"] == 0, "and it counts from its start again"


def test_each_can_be_wiped_and_goes_on(booted: Booted) -> None:
    use(booted.env, "before")
    for server in booted.lab.servers.values():
        server.wipe()
    use(booted.env, "after")
    assert stored(booted.env) == dict.fromkeys(("postgres", "redis", "rabbitmq", "s3"), 1)
