"""What holds where nobody says otherwise. A module of its own, so that `--help` can tell it and load nothing else."""

from dataclasses import dataclass
from pathlib import Path

ACTION = "crucible-labs/crucible@v1"
"""The Action that repositories are graded with."""
SIGNER = "crucible-labs/crucible"
"""OWNER/REPO whose callable workflow signs results."""
ROUNDS = 6
"""Of a comparison. With fewer there is no interval as certain as `comparison` wants it."""
PRICES = Path(__file__).with_name("prices.yaml")
"""Our price list."""


@dataclass(frozen=True)
class Deadlines:
    """In seconds."""

    build: float = 600.0
    boot: float = 60.0
