"""Reviews: what clients ask about rights and identity. Every known user may do all."""

from collections.abc import Callable
from typing import Final

from mooring.api.bodies import options
from mooring.api.http import Request
from mooring.api.identity import Identities
from mooring.api.status import ApiError
from mooring.objects.kind import Doc

AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"
AUTHENTICATION: Final = "/apis/authentication.k8s.io/v1"
GROUPS: Final = ["system:masters", "system:authenticated"]


class Reviews:
    """Answers by path. Nothing is stored."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._answers: dict[str, tuple[str, Callable[[str, Doc], Doc]]] = {
            f"{AUTHORIZATION}/selfsubjectaccessreviews": ("SelfSubjectAccessReview", _allowed),
            f"{AUTHORIZATION}/subjectaccessreviews": ("SubjectAccessReview", _allowed),
            f"{AUTHORIZATION}/selfsubjectrulesreviews": ("SelfSubjectRulesReview", _rules),
            f"{AUTHENTICATION}/selfsubjectreviews": ("SelfSubjectReview", _self),
            f"{AUTHENTICATION}/tokenreviews": ("TokenReview", self._token),
        }

    def serves(self, path: str) -> bool:
        return path in self._answers

    async def answer(self, request: Request) -> Doc:
        """The review with its status. Raises ApiError BadRequest."""
        kind, status = self._answers[request.path]
        group_version = request.path.removeprefix("/apis/").rpartition("/")[0]
        review = await options(request, group_version, kind)
        review["status"] = status(request.user, review)
        review.setdefault("metadata", {"creationTimestamp": None})
        return review

    def _token(self, _user: str, review: Doc) -> Doc:
        token = review.get("spec", {}).get("token")
        if not token:
            what = "token is required for TokenReview in authentication"
            raise ApiError("BadRequest", what)
        user = self._identities.user_of(token)
        if user is None:
            return {"user": {}, "error": "the token is nobody's"}
        return {"authenticated": True, "user": _info(user)}


def _allowed(_user: str, _review: Doc) -> Doc:
    return {"allowed": True, "reason": "every token of this server is an administrator's"}


def _rules(_user: str, _review: Doc) -> Doc:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    urls = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    return {"resourceRules": [everything], "nonResourceRules": [urls], "incomplete": False}


def _self(user: str, _review: Doc) -> Doc:
    return {"userInfo": _info(user)}


def _info(user: str) -> Doc:
    return {"username": user, "groups": GROUPS}
