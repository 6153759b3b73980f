"""The number, in the memory of this process."""


class Counter:
    """There is one thread and no `await` in here, so no press is lost to another one."""

    def __init__(self) -> None:
        self._value = 0

    async def press(self) -> int:
        self._value += 1
        return self._value

    async def value(self) -> int:
        return self._value
