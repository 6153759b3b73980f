"""A Valkey of somebody's own, for a grade to be attached to, and the firewall in front of it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.peers import eventually, unused_port
from support.solutions import temporary_folder

from crucible.lab.isolation import FIREWALLS
from crucible.processes.child import Child
from crucible.services import locate


@contextmanager
def somebodys_valkey() -> Iterator[int]:
    """An empty one on every address of a port, as a service container is; yields the port."""
    port = unused_port()
    command = [locate("redis", {}).location, "--port", str(port), "--save", "", "--protected-mode", "no"]
    with temporary_folder() as folder:
        child = Child.start([*command, "--dir", str(folder)], cwd=folder, log=folder / "log")
        try:
            eventually(lambda: "Ready to accept" in (folder / "log").read_text(), what="a Valkey of somebody's own")
            yield port
        finally:
            child.kill()


def rules(tag: str = "") -> list[str]:
    """The firewall's rules that carry `tag`; none where there is no firewall, or none that this user may see."""
    found = []
    for program in filter(shutil.which, FIREWALLS):
        listed = subprocess.run([program, "-w", "-S", "OUTPUT"], capture_output=True, text=True, check=False).stdout
        found += [line for line in listed.splitlines() if tag in line]
    return found
