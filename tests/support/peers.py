"""TCP peers for the tests of the lab: an echo, one that says what it is told to, and a way to wait."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

Behaviour = Callable[[socket.socket], None]


def eventually(condition: Callable[[], object], seconds: float = 20.0, what: str = "the condition") -> None:
    """Wait for a condition, and say what it was when it does not come. Whoever waits in vain has failed anyway: only a
    machine that is busy with other things needs the time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within {seconds:g} s"
        time.sleep(0.005)


@contextmanager
def serving(behaviour: Behaviour, connections: list[socket.socket] | None = None) -> Iterator[int]:
    """A server on a free port that treats each connection so, in a thread of its own; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    accepted: list[socket.socket] = [] if connections is None else connections

    def treat(connection: socket.socket) -> None:
        with suppress(OSError):
            behaviour(connection)
        with suppress(OSError):
            connection.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                accepted.append(connection)
                threading.Thread(target=treat, args=(connection,), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for connection in accepted:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def echo(connection: socket.socket) -> None:
    """Send back what comes, and the end after it."""
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def reset(connection: socket.socket) -> None:
    """End a connection with a reset (SO_LINGER of 0 s)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def gone(pid: int) -> bool:
    """Whether a process has ended; whoever adopted it may not have collected it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or what came before the end."""
    content = bytearray()
    while len(content) < size and (data := connection.recv(size - len(content))):
        content += data
    return bytes(content)
