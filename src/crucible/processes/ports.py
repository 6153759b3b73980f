"""Ports of this machine that nobody uses, and that nobody else is given, in this grader or in another one, before they
are given back."""

import random
import socket
import threading

from crucible.errors import CrucibleError, Fault
from crucible.processes import names

PORTS = range(20_000, 32_000)
"""Below the ephemeral range, so that no outgoing connection takes a port between two starts."""
_given: dict[int, int] = {}
"""With what holds each: its owner may not listen at the moment, because it starts, or was killed a moment ago."""
_giving = threading.Lock()


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now. Raises a CrucibleError where there is none."""
    with _giving:
        for port in random.sample(sorted(set(PORTS) - set(_given)), 200):
            if (held := names.take(f"port-{port}")) is None:
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    names.let_go(held)
                    continue
            _given[port] = held
            return port
    raise CrucibleError(
        "no free port was found", where=f"127.0.0.1:{PORTS.start}-{PORTS.stop}", fix="end what listens there",
        fault=Fault.CRUCIBLE,
    )  # fmt: skip


def give_back(*ports: int) -> None:
    """Let others have these; of no matter where one was not given. A descriptor is held for each until then."""
    with _giving:
        for port in ports:
            if (held := _given.pop(port, None)) is not None:
                names.let_go(held)
