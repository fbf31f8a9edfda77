"""Who is no user: hosts that join, their agents, and edges. What each of them may ask for, and no
more."""

from mooring.api.certifying import Certifying
from mooring.api.door import Door
from mooring.api.edges import Edges
from mooring.api.http import Request
from mooring.api.identity import Identities
from mooring.api.joining import Joining
from mooring.api.status import ApiError
from mooring.api.tokens import Tokens


class Nodes:
    """Answers those requests that no user's token came with."""

    def __init__(
        self,
        identities: Identities,
        tokens: Tokens,
        door: Door,
        joining: Joining,
        certifying: Certifying | None = None,
        edges: Edges | None = None,
    ) -> None:
        self._identities, self._tokens = identities, tokens
        self._door, self._joining, self._certifying = door, joining, certifying
        self._edges = edges

    def stop(self) -> None:
        """End what would go on for long."""
        self._door.stop()
        if self._edges is not None:
            self._edges.stop()

    async def serves_admin(self, request: Request) -> bool:
        """Answer a user who says who else may come in, if it is that."""
        if await self._joining.serves_admin(request):
            return True
        return self._edges is not None and await self._edges.serves_admin(request)

    async def serves(self, request: Request) -> bool:
        """Answer, if it is one of theirs. Raises ApiError Forbidden for what is not a node's."""
        if await self._joining.serves_anybody(request):
            return True
        hashed = self._identities.hash_of(request.header(b"authorization"))
        token = self._tokens.found(hashed) if hashed is not None else None
        if token is None or hashed is None or token.what == "user":
            return False
        request.user = token.user
        if token.what == "join":
            if await self._joining.serves_joiner(request, token, hashed):
                return True
            raise ApiError("Forbidden", "a token to join with is good for joining alone")
        if token.what == "edge":
            if self._edges is not None and await self._edges.serves(request, hashed):
                return True
            raise ApiError("Forbidden", "an edge's token is good for what agents tell edges alone")
        if await self._joining.serves_node(request, token, hashed):
            return True
        if self._certifying is not None and await self._certifying.serves_node(request, token):
            return True
        if await self._door.serves(request, token, lambda: bool(self._tokens.found(hashed))):
            return True
        raise ApiError("Forbidden", f"the token of node {token.node} is not good for this path")
