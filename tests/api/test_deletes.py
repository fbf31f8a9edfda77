"""What is never deleted."""

from tests.api.client import Client


async def test_the_namespaces_that_all_rely_on_are_kept() -> None:
    async with Client() as client:
        for query in ("", "?dryRun=All"):
            answer = await client.send("DELETE", f"/api/v1/namespaces/default{query}")
            assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
        assert (await client.send("GET", "/api/v1/namespaces/default")).status == 200
