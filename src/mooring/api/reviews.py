"""Reviews: questions about rights and identity that kubectl asks. Every known user may do all."""

from typing import Final

from mooring.api.bodies import parsed
from mooring.api.status import ApiError
from mooring.objects.kind import Doc

AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"
AUTHENTICATION: Final = "/apis/authentication.k8s.io/v1"
GROUPS: Final = ["system:masters", "system:authenticated"]


class Reviews:
    """Answers by path. Nothing is stored."""

    def __init__(self) -> None:
        self._answers = {
            f"{AUTHORIZATION}/selfsubjectaccessreviews": _allowed,
            f"{AUTHORIZATION}/subjectaccessreviews": _allowed,
            f"{AUTHORIZATION}/selfsubjectrulesreviews": _rules,
            f"{AUTHENTICATION}/selfsubjectreviews": _self,
        }

    def serves(self, path: str) -> bool:
        return path in self._answers

    def answer(self, path: str, body: bytes, user: str) -> Doc:
        """The review with its status. Raises ApiError BadRequest."""
        review = parsed(body, "application/json")
        if not isinstance(review, dict):
            raise ApiError("BadRequest", "the body is not a review")
        review["status"] = self._answers[path](user)
        review.setdefault("metadata", {"creationTimestamp": None})
        return review


def _allowed(_user: str) -> Doc:
    return {"allowed": True, "reason": "every token of this server is an administrator's"}


def _rules(_user: str) -> Doc:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    urls = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    return {"resourceRules": [everything], "nonResourceRules": [urls], "incomplete": False}


def _self(user: str) -> Doc:
    return {"userInfo": {"username": user, "groups": GROUPS}}
