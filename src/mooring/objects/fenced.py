"""A store whose every commit holds only while something else is so: that of who leads."""

from collections.abc import AsyncIterator, Callable, Sequence

from mooring.errors import MooringError
from mooring.store.interface import Changes, Check, Conflict, Document, Page, Store, Write


class NotLeader(MooringError):
    """Nothing was done: another server leads by now."""

    code = "NotLeader"

    def __init__(self) -> None:
        self.what = "another server leads the controllers by now"
        self.remedy = "none is needed: that one does it"
        super().__init__(self.what)


class Fenced:
    """A Store. It is checked by the store itself, in the commit: no clock and no hope is in it."""

    def __init__(self, store: Store, fence: Check, lost: Callable[[], None]) -> None:
        """lost: is told, once or more often, that the fence does not hold any more"""
        self._store, self._fence, self._lost = store, fence, lost

    @property
    def is_shared(self) -> bool:
        return self._store.is_shared

    async def get(self, key: str) -> Document | None:
        return await self._store.get(key)

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        return await self._store.list(prefix, limit=limit, after=after, revision=revision)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        """Likewise. Raises NotLeader."""
        try:
            return await self._store.commit(writes, [*checks, self._fence])
        except Conflict as conflict:
            if conflict.key != self._fence.key:
                raise
            self._lost()
            raise NotLeader from conflict

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        return self._store.watch(prefix, from_revision)

    async def revision(self) -> int:
        return await self._store.revision()

    async def compact(self, before: int) -> None:
        await self._store.compact(before)

    async def close(self) -> None:
        """It is not ours to close."""
