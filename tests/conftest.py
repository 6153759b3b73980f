"""What holds for all tests, and which of them run beside others.

pytest has two processes here (pytest-xdist; `-n 0` for one, and a debugger). All that start servers, grades or load
share one of them, and so run one at a time: what they see must not hang on what else the machine is made to do. Those
that only compute, or look at a page, are dealt out to both, file by file.
"""

from pathlib import PurePosixPath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

ONLY_COMPUTE = (
    "tests/challenges/test_notification_checks.py",
    "tests/challenges/test_rate_limiter_checks.py",
    "tests/oracles",
    "tests/report",
)

settings.register_profile("unhurried", deadline=None)  # tests assert no time, and Hypothesis would
settings.load_profile("unhurried")


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    def _split_scope(self, nodeid: str) -> str:
        path = str(super()._split_scope(nodeid))
        return path if any(PurePosixPath(path).is_relative_to(it) for it in ONLY_COMPUTE) else "the machine's"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _Scheduling(config, log)
