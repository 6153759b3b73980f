"""Ports of this machine that nobody uses, and that nobody is given twice."""

import random
import socket
import threading

from crucible.errors import CrucibleError, Fault

PORTS = range(20_000, 32_000)
"""Below the ephemeral range, so that no outgoing connection takes a port between two starts."""
_given: set[int] = set()
_giving = threading.Lock()


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now. Raises a CrucibleError where there is none."""
    with _giving:
        for port in random.sample(sorted(set(PORTS) - _given), 200):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                _given.add(port)  # its owner may be slow to listen
                return port
    raise CrucibleError(
        "no free port was found", where=f"127.0.0.1:{PORTS.start}-{PORTS.stop}", fix="end what listens there",
        fault=Fault.CRUCIBLE,
    )  # fmt: skip
