"""The CPU time of one process, finer than the system's ticks."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from support.peers import eventually

from crucible.lab.accounting import _anonymous, cpu_s

pytestmark = pytest.mark.machine


def test_cpu_time_is_counted_finer_than_in_hundredths() -> None:
    burn = "import time\nend = time.process_time() + 0.0234\nwhile time.process_time() < end: pass\nprint(); input()"
    with subprocess.Popen([sys.executable, "-S", "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        eventually(lambda: cpu_s(child.pid) == cpu_s(child.pid), what="the child's wait")
        seen = cpu_s(child.pid)
        assert 0.0234 <= seen < 1.0
        if sys.platform == "linux":
            assert round(seen, 2) != seen
        child.communicate(b"\n")
    assert cpu_s(child.pid, otherwise=7.0) == 7.0, "one that is gone has no clock"


def test_the_own_process_is_as_its_own_clock_says() -> None:
    before = time.process_time()
    assert before - 0.05 <= cpu_s(os.getpid(), before) <= time.process_time() + 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is the proportional set size")
def test_what_a_process_holds_for_itself_is_what_it_allocated_whoever_else_runs_its_program() -> None:
    hold = "import sys\nheld = bytearray(b'x') * (24 << 20)\nprint(len(held), flush=True)\ninput()"
    small = [sys.executable, "-S", "-c", "print(0, flush=True)\ninput()"]
    with subprocess.Popen([sys.executable, "-S", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alone = _anonymous(psutil.Process(child.pid))
        with subprocess.Popen(small, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            beside, little = _anonymous(psutil.Process(child.pid)), _anonymous(psutil.Process(other.pid))
            other.communicate(b"\n")
        child.communicate(b"\n")
    assert abs(alone - beside) < 256 << 10
    assert 24 << 20 <= alone - little <= 26 << 20
