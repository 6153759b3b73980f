"""What a command line loads before it knows what is asked of it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.machine

HEAVY = frozenset(
    {
        "asyncio", "boto3", "crucible.evidence", "github", "httptools", "jinja2", "locust", "multiprocessing", "pika",
        "plotly", "psutil", "psycopg", "pydantic", "redis", "requests", "rich", "urllib3", "uvloop", "yaml",
    }
)  # fmt: skip


@pytest.mark.parametrize("program", ["crucible.cli.main", "crucible.cli.new"])
@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["imported", "help"])
def test_a_command_line_loads_nothing_heavy_before_a_command_runs(program: str, arguments: list[str]) -> None:
    script = f"""
import sys
from {program} import main
try:
    if {arguments}:
        main({arguments})
except SystemExit as ended:
    assert ended.code == 0
print(*sys.modules, sep="\\n", file=sys.stderr)
"""
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY & set(seen.stderr.split()) == set()
    assert program in seen.stderr.split()
