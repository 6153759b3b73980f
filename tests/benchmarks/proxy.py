"""What the lab network's proxy adds to a round trip with Valkey and with PostgreSQL, against a direct connection.

Each server listens on TCP, too, so that a direct connection and one through the proxy differ in nothing else; the proxy
itself reaches it as in a grade, by its Unix socket.
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median
from typing import cast

import psutil
import psycopg
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench import Cores, Spread, begin, footer, on_core, options, say, table, write
from support.lab_network import Blocking, Nearby, running_network
from support.peers import unused_port
from support.solutions import temporary_folder

from crucible.processes.child import Child, wait_until
from crucible.services import SERVICES, locate
from crucible.services.base import Upstream, own

DELAY_MS = 1
CONNECTIONS = 50
MOST_TRIPS = 5_000
"""In one batch, whatever time is left."""
WARM = 50
DIRECT, UNIX, NEAR, FAR = "direct, TCP", "direct, Unix socket", "proxy, 0 ms", f"proxy, {DELAY_MS} ms each way"
Ask = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Cell:
    """One batch of round trips, or of INCR over many connections."""

    what: str
    way: str
    round: int
    number: int
    p50_us: float | None = None
    p99_us: float | None = None
    per_s: float | None = None
    proxy_us: float | None = None
    """CPU of the proxy's process for each round trip."""


# --- servers


@contextmanager
def valkey(folder: Path, core: int | None) -> Iterator[tuple[Upstream, int]]:
    """The embedded one with a TCP port; yields its Unix socket and that port."""
    folder.mkdir()
    port, path = unused_port(), str(folder / "valkey.sock")
    command = [
        locate("redis", {}).location,
        "--port",
        str(port),
        "--unixsocket",
        path,
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    with on_core(core):
        child = Child.start(command, cwd=folder, log=folder / "log")
    try:
        wait_until(lambda: "Ready to accept" in (folder / "log").read_text(), 10.0, child, "valkey-server")
        yield Upstream(path=path), port
    finally:
        child.kill()


@contextmanager
def postgres(folder: Path, core: int | None) -> Iterator[tuple[Upstream, int, str]]:
    """The embedded one, made as for a grade and started again with a TCP port; yields the URL of its database, too."""
    own(folder)
    port = unused_port()
    made = SERVICES["postgres"].start(locate("postgres", {}), folder)
    assert made.pid is not None
    command = psutil.Process(made.pid).cmdline()
    url = made.environment("127.0.0.1", port)["DATABASE_URL"]
    made.stop()
    with on_core(core):
        child = Child.start(
            [*command, "-c", "listen_addresses=127.0.0.1", "-c", f"port={port}"], cwd=folder,
            log=folder / "tcp.log", as_server=True,
        )  # fmt: skip
    try:
        wait_until(lambda: _answers(url), 20.0, child, "postgres")
        yield Upstream(path=str(folder / f".s.PGSQL.{port}")), port, url
    finally:
        child.terminate(3.0, signal.SIGQUIT)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


# --- one client, one round trip at a time


@contextmanager
def ping(way: Upstream) -> Iterator[Ask]:
    """PING on a plain socket: a client library would add more than what is measured."""
    family = socket.AF_UNIX if way.path else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(5.0)
        client.connect(way.path or (way.host, way.port))
        if not way.path:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def once() -> object:
            client.sendall(b"PING\r\n")
            return client.recv(64)

        assert once() == b"+PONG\r\n"
        yield once


@contextmanager
def select(way: Upstream, url: str) -> Iterator[Ask]:
    host, port = (str(Path(way.path).parent), way.path.rpartition(".")[2]) if way.path else (way.host, way.port)
    with psycopg.connect(
        url, host=host, port=port, autocommit=True, connect_timeout=5, sslmode="disable"
    ) as connection:
        yield lambda: connection.execute("SELECT 1")


def batch(ask: Ask, seconds: float) -> list[int]:
    """Round trips, in ns."""
    for _ in range(WARM):
        ask()
    took: list[int] = []
    end = before = time.perf_counter_ns()
    end += int(seconds * 1e9)
    while before < end and len(took) < MOST_TRIPS:
        ask()
        now = time.perf_counter_ns()
        took.append(now - before)
        before = now
    return took


def round_trips(what: str, asks: dict[str, Ask], rounds: int, seconds: float) -> Iterator[Cell]:
    """Batches of each way in turn."""
    for index in range(rounds):
        for way, ask in asks.items():
            took = sorted(batch(ask, seconds))
            p99 = took[ceil(len(took) * 0.99) - 1]
            yield Cell(what, way, index, len(took), median(took) / 1000, p99 / 1000)


# --- many connections


class Incrementer(asyncio.Protocol):
    """Sends one INCR after the other, as long as it may."""

    answered = 0
    going = True

    def __init__(self, number: int) -> None:
        key = f"key-{number}"
        self._command = f"*2\r\n$4\r\nINCR\r\n${len(key)}\r\n{key}\r\n".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it
        self._transport.write(self._command)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\n"):
            self.answered += 1
            if self.going:
                self._transport.write(self._command)
            else:
                self._transport.close()


async def increments(port: int, seconds: float) -> tuple[int, float]:
    """How many were answered, and in what time."""
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(partial(Incrementer, number), "127.0.0.1", port))[1]
        for number in range(CONNECTIONS)
    ]
    before, begun = sum(it.answered for it in made), time.perf_counter()
    await asyncio.sleep(seconds)
    number, took = sum(it.answered for it in made) - before, time.perf_counter() - begun
    for it in made:
        it.going = False
    await asyncio.sleep(0.05)
    return number, took


def throughput(ways: dict[str, int], network: Blocking, rounds: int, seconds: float) -> Iterator[Cell]:
    for index in range(rounds):
        for way, port in ways.items():
            before = _cpu_s(network)
            number, took = uvloop.run(increments(port, seconds))
            proxy_us = (_cpu_s(network) - before) / number * 1e6 if way in (NEAR, FAR) else None
            yield Cell("INCR", way, index, number, per_s=number / took, proxy_us=proxy_us)


def _cpu_s(network: Blocking) -> float:
    times = network.process.cpu_times()
    return times.user + times.system


# --- all of it


def measure(folder: Path, cores: Cores, rounds: int, seconds: float) -> list[Cell]:
    cells: list[Cell] = []
    with ExitStack() as stack:
        with on_core(cores.server):
            network = stack.enter_context(running_network(folder))

        def ways(name: str, upstream: Upstream, port: int) -> dict[str, Upstream]:
            server = Nearby(upstream, name)
            near, far = network.link("near", server, 0), network.link("far", server, DELAY_MS)
            here = "127.0.0.1"
            return {
                DIRECT: Upstream(host=here, port=port), UNIX: upstream,
                NEAR: Upstream(host=here, port=near), FAR: Upstream(host=here, port=far),
            }  # fmt: skip

        with valkey(folder / "valkey", cores.server) as (upstream, port), on_core(cores.generator):
            to = ways("redis", upstream, port)
            with ExitStack() as clients:
                asks = {way: clients.enter_context(ping(at)) for way, at in to.items()}
                for cell in round_trips("PING", asks, rounds, seconds):
                    _tell(cell)
                    cells.append(cell)
            ports = {way: at.port for way, at in to.items() if not at.path}
            for cell in throughput(ports, network, ceil(rounds / 3), 2 * seconds):
                _tell(cell)
                cells.append(cell)
        with (
            postgres(folder / "postgres", cores.server) as (upstream, port, url),
            on_core(cores.generator),
            ExitStack() as clients,
        ):
            to = ways("postgres", upstream, port)
            asks = {way: clients.enter_context(select(at, url)) for way, at in to.items()}
            for cell in round_trips("SELECT 1", asks, rounds, seconds):
                _tell(cell)
                cells.append(cell)
    return cells


def _tell(it: Cell) -> None:
    figure = f"{it.per_s:,.0f}/s" if it.per_s is not None else f"p50 {it.p50_us:,.0f} us, p99 {it.p99_us:,.0f} us"
    say(f"round {it.round + 1}: {it.what}, {it.way}: {figure}")


def report(cells: Sequence[Cell], cores: Cores, rounds: int) -> str:
    trips: list[list[str]] = []
    for what in ("PING", "SELECT 1"):
        direct = [it for it in cells if (it.what, it.way) == (what, DIRECT)]
        for way in (DIRECT, UNIX, NEAR, FAR):
            own = [it for it in cells if (it.what, it.way) == (what, way)]
            delay_us = 2_000 * DELAY_MS if way == FAR else 0
            columns = [[(it.p50_us or 0.0, it.p99_us or 0.0) for it in side] for side in (own, direct)]
            added = [(a50 - b50, a99 - b99) for (a50, a99), (b50, b99) in zip(*columns, strict=True)]
            figures = [Spread.of([it[i] for it in columns[0]]).text() for i in (0, 1)]
            more = [Spread.of([it[i] - off for it in added]).text() for off in (0, delay_us) for i in (0, 1)]
            trips.append([what, way, *figures, *(more if way != DIRECT else [""] * 4)])
    headings = [
        "round trip", "way", "p50, us", "p99, us", "added p50", "added p99", "p50 less delay", "p99 less delay",
    ]  # fmt: skip
    many: list[list[str]] = []
    base = [it.per_s or 0.0 for it in cells if (it.what, it.way) == ("INCR", DIRECT)]
    for way in (DIRECT, NEAR, FAR):
        own = [it for it in cells if (it.what, it.way) == ("INCR", way)]
        share = [(it.per_s or 0.0) / of * 100 for it, of in zip(own, base, strict=True)]
        cpu = Spread.of([it.proxy_us for it in own]).text(1)
        many.append([way, Spread.of([it.per_s for it in own]).text(), Spread.of(share).text(), cpu])
    note = (
        f"Medians [lowest, highest] of {rounds} batches of each way, in turn"
        f" ({len(base)} of INCR); the client is on the generator's side, the proxy on the server's: {cores.words()}."
    )
    return "\n\n".join([
        "### One connection, one round trip at a time (us; added to a direct TCP connection's)",
        table(headings, trips),
        f"### INCR over {CONNECTIONS} connections",
        table(["way", "per second", "% of direct", "proxy's CPU, us/round trip"], many),
        footer(note),
    ])  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    parser = options(__doc__, rounds=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each batch, at most (%(default)s)")
    parser.add_argument("--together", action="store_true", help="pin everything to one core, client included")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.rounds, asked.seconds = 1, 0.3
    begin()
    cores = Cores.here()
    if asked.together:
        cores = Cores(cores.generator, cores.generator)
    with temporary_folder() as folder:
        cells = measure(folder, cores, asked.rounds, asked.seconds)
    print(report(cells, cores, asked.rounds))
    write(asked.json, asked, [asdict(it) for it in cells])


if __name__ == "__main__":
    main(sys.argv[1:])
