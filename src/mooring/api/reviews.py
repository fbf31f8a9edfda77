"""Reviews: questions about rights and identity that kubectl asks. Every known user may do all."""

from typing import Final

from mooring.api.bodies import options
from mooring.api.http import Request
from mooring.objects.kind import Doc

AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"
AUTHENTICATION: Final = "/apis/authentication.k8s.io/v1"
GROUPS: Final = ["system:masters", "system:authenticated"]


class Reviews:
    """Answers by path. Nothing is stored."""

    def __init__(self) -> None:
        self._answers = {
            f"{AUTHORIZATION}/selfsubjectaccessreviews": ("SelfSubjectAccessReview", _allowed),
            f"{AUTHORIZATION}/subjectaccessreviews": ("SubjectAccessReview", _allowed),
            f"{AUTHORIZATION}/selfsubjectrulesreviews": ("SelfSubjectRulesReview", _rules),
            f"{AUTHENTICATION}/selfsubjectreviews": ("SelfSubjectReview", _self),
        }

    def serves(self, path: str) -> bool:
        return path in self._answers

    async def answer(self, request: Request) -> Doc:
        """The review with its status. Raises ApiError BadRequest."""
        kind, status = self._answers[request.path]
        group_version = request.path.removeprefix("/apis/").rpartition("/")[0]
        review = await options(request, group_version, kind)
        review["status"] = status(request.user)
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
