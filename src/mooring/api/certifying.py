"""Certificates by which node agents know each other. POST /mooring/v1/node/certificate

Each is for the node whose token asks, whatever the request says, and for the Node as it is there
now: of one that was removed, and has joined again, the old certificate is good for nothing.
"""

import asyncio

import msgspec

from mooring.api.certificates import Authority
from mooring.api.http import JSON, Request
from mooring.api.status import ApiError
from mooring.api.tokens import Token
from mooring.model.node import Node
from mooring.model.peer import CERTIFICATE_PATH, Signed, Signing
from mooring.objects.objects import Objects

REQUEST_AT_MOST = 16 * 1024  # characters


class Certifying:
    def __init__(self, objects: Objects, authority: Authority) -> None:
        self._objects, self._authority = objects, authority

    async def serves_node(self, request: Request, token: Token) -> bool:
        """Answer, if it is its path. Raises ApiError."""
        if (request.method, request.path) != ("POST", CERTIFICATE_PATH):
            return False
        try:
            asked = msgspec.msgpack.decode(await request.body(), type=Signing)
        except msgspec.MsgspecError as error:
            raise ApiError("BadRequest", f"the body of the request: {error}") from error
        signed = await self.signed(token.node, asked.request)
        await request.answer(200, msgspec.json.encode(signed), (JSON,))
        return True

    async def signed(self, node: str, request: str) -> Signed:
        """For the agent of a node. Raises ApiError."""
        await self._objects.fresh()
        found = self._objects.view(Node, node)
        if found is None:
            raise ApiError("NotFound", f"there is no Node {node} yet", "its agent makes it first")
        if len(request) > REQUEST_AT_MOST:
            raise ApiError("BadRequest", "the request for a certificate is too long")
        try:
            work = self._authority.for_agent
            return await asyncio.to_thread(work, request, node, found.uid)
        except ValueError as error:
            raise ApiError("BadRequest", f"it is no request for a certificate: {error}") from error
