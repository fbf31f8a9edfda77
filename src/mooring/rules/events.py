"""Events as data: what a decision wants people to be told. Storage semantics §11."""

from typing import NamedTuple

from mooring.model.metadata import ObjectReference

NORMAL, WARNING = "Normal", "Warning"


class EventNote(NamedTuple):
    """One event. Written, and aggregated with its like, by the recorder."""

    about: ObjectReference
    type: str
    reason: str
    message: str
    component: str = "persistentvolume-controller"
