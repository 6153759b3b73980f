"""What holds for all tests, and which of them run beside others.

Tests that start processes, servers or browsers, or that need root, carry the marker `machine`; all others only compute,
and one that starts a process or opens a port all the same fails. `pytest -m "not machine"` runs those alone.
What builds every reference and every starter takes minutes, and seldom changes: `builds`, which CI runs as well.

pytest has two processes here (pytest-xdist; `-n 0` for one, and a debugger). All that use the machine share one of
them, and so run one at a time: what they see must not hang on what else the machine is made to do. Those that only
compute, or look at a page, are dealt out to both, file by file.
"""

import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

STARTS_A_PROCESS = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}

settings.register_profile("unhurried", deadline=None)  # tests assert no time, and Hypothesis would
settings.load_profile("unhurried")

only_computing: str | None = None  # the test under way that may not use the machine


def _refuse_the_machine(event: str, args: tuple[object, ...]) -> None:
    if only_computing is None:
        return
    opens_a_port = event == "socket.bind" and isinstance(args[1], tuple)
    if event in STARTS_A_PROCESS or opens_a_port:
        pytest.fail(f"{only_computing} lacks the marker `machine`, and yet: {event} {args[1:]}")


sys.addaudithook(_refuse_the_machine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    global only_computing
    only_computing = None if item.get_closest_marker("machine") else item.nodeid
    try:
        return (yield)
    finally:
        only_computing = None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        looks_at_a_page = "browser" in getattr(item, "fixturenames", ())
        one_at_a_time = item.get_closest_marker("machine") and not looks_at_a_page
        item.add_marker(pytest.mark.xdist_group("machine" if one_at_a_time else item.path.name))
