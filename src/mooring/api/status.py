"""Status objects, the Kubernetes form of every answer that is not an object."""

from collections.abc import Mapping
from typing import Any, Final

from mooring.errors import MooringError
from mooring.objects.errors import ApplyConflict, Invalid, ObjectError
from mooring.objects.kind import Doc

# The HTTP code of each error code. An error that is not here is a bug of ours: 500.
CODES: Final = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Expired": 410,
    "TooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "Internal": 500,
    "Unavailable": 503,
    "StoreRefuses": 503,
    "Timeout": 504,
}
# Where Kubernetes' reason differs from our code.
REASONS: Final = {
    "TooLarge": "RequestEntityTooLarge",
    "Unavailable": "ServiceUnavailable",
    "StoreRefuses": "ServiceUnavailable",
    "Internal": "InternalError",
}


class ApiError(MooringError):
    """Something about the request itself."""

    def __init__(
        self, code: str, what: str, remedy: str = "", *, details: Mapping[str, Any] | None = None
    ) -> None:
        """details: those of the Status, for programs."""
        self.code, self.what, self.remedy, self.details = code, what, remedy, details
        super().__init__(what)


def failure(error: MooringError) -> Doc:
    """The Status that says what an error says."""
    code = CODES.get(error.code, 500)
    reason = REASONS.get(error.code, error.code if error.code in CODES else "InternalError")
    status = _status("Failure", code)
    # A store's conflict, when it gets out at all, has a remedy that the client can follow.
    status["message"] = error.what if isinstance(error, ObjectError) else str(error)
    status["reason"] = reason
    if isinstance(error, ObjectError):
        status["details"] = _details(error)
    elif isinstance(error, ApiError) and error.details:
        status["details"] = error.details
    return status


def _details(error: ObjectError) -> Doc:
    kind = error.kind
    named = kind.kind if isinstance(error, Invalid) else kind.plural
    details: Doc = {"name": error.name, "group": kind.group, "kind": named}
    if isinstance(error, Invalid | ApplyConflict):
        details["causes"] = [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in error.causes
        ]
    return {key: value for key, value in details.items() if value}


def deleted(kind_plural: str, group: str, name: str, uid: str) -> Doc:
    """What a DELETE answers when the object is gone."""
    details = {"name": name, "group": group, "kind": kind_plural, "uid": uid}
    status = _status("Success", 0)
    status["details"] = {key: value for key, value in details.items() if value}
    return status


def _status(outcome: str, code: int) -> Doc:
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": outcome,
    }
    if code:
        status["code"] = code
    return status
