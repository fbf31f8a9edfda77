"""When something can strike a story: between its commands, and around each call they make."""

from typing import Final, NamedTuple

from tests.docker.relay import ANSWERED, DELIVERED, SENT

# What dockerd asks Mooring in each step, in this order; a Get stands before nearly everything.
_CP: Final = "Get Mount Get Mount Get Unmount Get Unmount"
CALLS: Final = {
    "create": "Get Create",
    "retain": "Get Create",
    "make": "Get Get Get Mount Get Unmount",
    "start": "Get Mount Get Mount",
    "write": "",
    "join": "Get Get Create Get Mount Get Mount",  # or as below
    "copy": f"{_CP} {_CP}",
    "scratch": f"Get Get Create {_CP} Get Get Remove",
    "leave": "Get Unmount Get Unmount",
    "restart": "Get Unmount Get Unmount Get Mount Get Mount",
    "forget": "Get Get Remove",
    "stop": "Get Unmount Get Unmount",
    "remove": "",
    "delete": "Get Get Remove",
    "release": "Get Get Remove",
    "take": "Get Create Get Create",
    "release_again": "Get Get Remove",
}
# dockerd goes through the volumes of a container in no order.
JOIN_THE_OTHER_WAY: Final = "Get Create Get Get Mount Get Mount"


class Moment(NamedTuple):
    """Around the n-th call of a step, or before the step begins (0)."""

    step: str
    call: int = 0
    when: str = ""

    def __str__(self) -> str:
        if self.call == 0:
            return f"before {self.step}"
        name = CALLS[self.step].split()[self.call - 1]
        return f"{self.step}: {name} ({self.call}) {self.when}"


# Nothing happens at a Get that is not the same between two calls.
ALL: Final = [
    *(Moment(step) for step in CALLS),
    *(
        Moment(step, number, when)
        for step, calls in CALLS.items()
        for number, name in enumerate(calls.split(), start=1)
        if name != "Get"
        for when in (SENT, ANSWERED, DELIVERED)
    ),
]
# One story with all of them.
SOME: Final = (
    Moment("retain", 2, ANSWERED),
    Moment("make", 4, SENT),
    Moment("start", 2, DELIVERED),
    Moment("copy", 6, SENT),
    Moment("scratch", 7, ANSWERED),
    Moment("restart", 4, DELIVERED),
    Moment("stop", 2, SENT),
    Moment("delete", 3, ANSWERED),
)
