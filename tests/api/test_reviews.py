"""What clients ask about rights and identity."""

from typing import Any

import pytest

from tests.api.client import Client

GROUPS = ["system:masters", "system:authenticated"]


async def asked(kind: str, spec: dict[str, Any]) -> Any:
    async with Client() as client:
        group = (
            "authentication" if kind in ("TokenReview", "SelfSubjectReview") else "authorization"
        )
        version = f"{group}.k8s.io/v1"
        body = {"apiVersion": version, "kind": kind, "spec": spec}
        return await client.send("POST", f"/apis/{version}/{kind.lower()}s", body)


async def test_a_token_is_its_users() -> None:
    answer = await asked("TokenReview", {"token": "t"})
    assert answer.status == 201
    assert answer.body["spec"] == {"token": "t"}
    user = {"username": "admin", "groups": GROUPS}
    assert answer.body["status"] == {"authenticated": True, "user": user}


@pytest.mark.parametrize("token", ["x", "Bearer t", " t", "☃"])
async def test_a_token_that_is_nobodys_is_not_authenticated(token: str) -> None:
    answer = await asked("TokenReview", {"token": token})
    assert answer.status == 201
    assert "authenticated" not in answer.body["status"]
    assert answer.body["status"]["error"] == "the token is nobody's"


async def test_a_review_of_no_token_is_refused() -> None:
    answer = await asked("TokenReview", {})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_a_user_is_told_who_it_is_and_that_it_may_do_all() -> None:
    user = {"username": "admin", "groups": GROUPS}
    assert (await asked("SelfSubjectReview", {})).body["status"] == {"userInfo": user}
    allowed = (await asked("SubjectAccessReview", {"user": "x"})).body["status"]
    assert allowed["allowed"] is True
    rules = (await asked("SelfSubjectRulesReview", {"namespace": "default"})).body["status"]
    assert rules["incomplete"] is False
