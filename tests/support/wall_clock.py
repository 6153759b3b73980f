"""`time`, as far as suites read it, in virtual time."""

from crucible.authoring.memory_lab import MemoryLab


class WallClock:
    def __init__(self, lab: MemoryLab) -> None:
        self.lab = lab

    def time_ns(self) -> int:
        return self.lab.wall_ns()
