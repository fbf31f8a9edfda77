"""What strikes a host in the middle of a story: Mooring, its Docker or all of it dies at once."""

import signal
import threading
from collections.abc import Sequence

from tests.docker.moments import Moment
from tests.docker.mooring import Mooring
from tests.docker.relay import Relay, Trap
from tests.docker.story import Blow, Nothing
from tests.docker.testbed import DEADLINE_S, eventually


class MooringDies(Nothing):
    """At one crash point after the other, each passed after the death at the one before.

    It is started again at once, as systemd would do, while Docker asks again.
    """

    def __init__(self, mooring: Mooring, *points: str) -> None:
        """Starts Mooring anew, so that it dies at the first of them."""
        self.mooring, self.left = mooring, list(points)
        self._is_over = threading.Event()
        self._dies = threading.Condition()
        self._deaths, self._told = 0, 0
        self._failure: BaseException | None = None
        mooring.kill9()
        self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def mended(self) -> bool:
        with self._dies:
            while not self.mooring.lives and self._failure is None:
                self._dies.wait(DEADLINE_S)
            if self._failure is not None:
                raise self._failure
            was_struck, self._told = self._deaths > self._told, self._deaths
            return was_struck

    def end(self) -> None:
        self._is_over.set()
        self._keeper.join()

    def _keep(self) -> None:
        while not self._is_over.wait(0.02):
            if self.mooring.lives:
                continue
            with self._dies:
                try:
                    assert self.left, "it died by itself"
                    self._deaths += 1
                    self.left.pop(0)
                    self._start_again()
                except BaseException as failure:
                    self._failure = failure
                    return
                finally:
                    self._dies.notify_all()

    def _start(self) -> None:
        if self.left:
            started_to_die(self.mooring, self.left[0])
        else:
            self.mooring.start()

    def _start_again(self) -> None:
        self._start()


class PowerFails(MooringDies):
    """Of the whole host, at one crash point of Mooring after the other."""

    ends_all = True

    def _start_again(self) -> None:
        host = self.mooring.host
        host.crash()
        host.up()
        self._start()
        if self.mooring.lives:  # else its power fails again
            host.dockerd()


def started_to_die(mooring: Mooring, point: str) -> bool:
    """Start it so that it dies at a point. Returns whether it does not pass that at once."""
    try:
        mooring.start(MOORING_CRASH_AT=point)
    except AssertionError:
        if mooring.lives:
            raise
    return mooring.lives


class _Strikes(Nothing):
    """One moment after the other; each has its step to come about in."""

    def __init__(self, relay: Relay, *moments: Moment) -> None:
        self.relay, self.left = relay, list(moments)
        self._is_down = False
        self._turn = threading.Lock()  # a strike may go on when the command has failed already

    def before(self, step: str) -> None:
        self.relay.set(None)
        if not self.left or self.left[0].step != step:
            return
        moment = self.left.pop(0)
        if moment.call == 0:
            self._act()
        else:
            self.relay.set(Trap(moment.when, moment.call, self._act))

    def mended(self) -> bool:
        with self._turn:
            if not self._is_down:
                return False
            self._mend()
            self._is_down = False
            return True

    def _act(self) -> None:
        """Returns when it is dead: the call's connections, closed then, may keep parts of it."""
        self._turn.acquire()
        self._is_down = True
        threading.Thread(target=self._struck, daemon=True).start()
        eventually(lambda: self._is_dead() or not self._is_down, "it is dead, or mended already")

    def _struck(self) -> None:
        try:
            self._strike()
        finally:
            self._turn.release()

    def _strike(self) -> None:
        raise NotImplementedError

    def _is_dead(self) -> bool:
        raise NotImplementedError

    def _mend(self) -> None:
        raise NotImplementedError


class DockerDies(_Strikes):
    """By kill -9. Its containers run until it is there again."""

    def __init__(self, relay: Relay, *moments: Moment, flags: Sequence[str] = ()) -> None:
        """flags  it is started with"""
        super().__init__(relay, *moments)
        self._flags = flags

    def _strike(self) -> None:
        self.relay.host.stop_dockerd(signal.SIGKILL)

    def _is_dead(self) -> bool:
        return not self.relay.host.has_dockerd

    def _mend(self) -> None:
        self.relay.host.dockerd(*self._flags)


class HostDies(_Strikes):
    """As when its power fails."""

    ends_all = True

    def __init__(
        self, mooring: Mooring, relay: Relay, *moments: Moment, points: Sequence[str] = ()
    ) -> None:
        """points  at which Mooring dies again, one after the other, while it starts"""
        super().__init__(relay, *moments)
        self._mooring, self._points = mooring, points

    def _strike(self) -> None:
        self.relay.host.crash()
        self.relay.stop()

    def _is_dead(self) -> bool:
        return not self.relay.host.is_up

    def _mend(self) -> None:
        self.relay.host.up()
        self.relay.start()
        for point in self._points:
            assert not started_to_die(self._mooring, point), f"it does not pass {point}"
        self._mooring.start()
        self.relay.host.dockerd()


class Together(Nothing):
    """Several at once."""

    def __init__(self, *blows: Blow) -> None:
        self.blows = blows
        self.ends_all = any(blow.ends_all for blow in blows)

    def before(self, step: str) -> None:
        for blow in self.blows:
            blow.before(step)

    def mended(self) -> bool:
        were_struck = [blow.mended() for blow in self.blows]
        return any(were_struck)

    def end(self) -> None:
        for blow in self.blows:
            blow.end()
