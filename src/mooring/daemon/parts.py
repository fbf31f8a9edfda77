"""What runs beside the API."""

from typing import Protocol


class Part(Protocol):
    """Something that runs beside the API."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
