"""Which slot is told what: servers come checked, leave drained, and the last one stays."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as some

from mooring.edge.haproxy.slots import Admin, Plan, Point, Slot, Turn, plan, takes_over
from mooring.edge.model import Backend, Server, Wish
from mooring.edge.routes import Route

ROUTE = Route("id", "web", "", "", "2026", ("web.example.com",), 80, "direct")


class Proxy:
    """Slots as HAProxy keeps them: a test says when a check passes, or fails."""

    def __init__(self, slots: int = 4, mode: str = "direct") -> None:
        self.route = replace(ROUTE, mode=mode)  # type: ignore[arg-type]
        self.slots = {n: Slot(n, "127.0.0.1", 1, Admin.MAINT, False) for n in range(1, slots + 1)}
        self.places: dict[str, int] = {}
        self.busy: set[int] = set()  # slots whose requests go on
        self.last: Plan | None = None

    def bring(self, *servers: Server) -> Plan:
        self.last = plan(_of(self, *servers), list(self.slots.values()), self.places, self.busy)
        self.places = dict(self.last.places)
        for step in self.last.steps:
            self._do(step)
        return self.last

    def settle(self, *servers: Server) -> None:
        """Until nothing is left to do, every check passing."""
        for _ in range(10):
            self.bring(*servers)
            self.check(True)
        assert self.bring(*servers).steps == ()

    def check(self, passes: bool, *keys: str) -> None:
        """All that are checked, or those of these servers."""
        for number, slot in self.slots.items():
            chosen = not keys or number in {self.places.get(key) for key in keys}
            if chosen and slot.admin is not Admin.MAINT:
                self.slots[number] = slot._replace(is_up=passes)

    def state(self, key: str) -> str:
        return self.slots[self.places[key]].admin.value

    def serving(self) -> set[tuple[str, int]]:
        return {
            (one.address, one.port)
            for one in self.slots.values()
            if one.admin is Admin.READY and one.is_up
        }

    def _do(self, step: Point | Turn) -> None:
        slot = self.slots[step.slot]
        if isinstance(step, Point):
            assert slot.admin is Admin.MAINT, "a slot that has requests is pointed elsewhere"
            address, port = step.server.address, step.server.port
            self.slots[step.slot] = Slot(step.slot, address, port, Admin.DRAIN, False)
        else:
            is_up = slot.is_up and step.admin is not Admin.MAINT
            self.slots[step.slot] = slot._replace(admin=step.admin, is_up=is_up)


def server(number: int, wish: Wish = Wish.SERVE, *, backup: bool = False) -> Server:
    return Server(f"t{number}", f"10.0.0.{number}", 30000, f"h{number}", wish, backup)


def leaving(number: int) -> Server:
    return server(number, Wish.LEAVE)


def test_a_new_server_gets_requests_once_it_has_passed_a_check() -> None:
    proxy = Proxy()
    assert proxy.bring(server(1)).waits == ("t1",)
    assert proxy.state("t1") == "drain"
    proxy.check(False)
    assert proxy.bring(server(1)).steps == ()
    proxy.check(True)
    assert proxy.bring(server(1)) == Plan((Turn(1, Admin.READY),), {"t1": 1}, (), ())
    assert proxy.state("t1") == "ready"


def test_a_server_that_is_right_is_left_alone() -> None:
    proxy = Proxy()
    proxy.settle(server(1), server(2))
    assert proxy.bring(server(1), server(2)).steps == ()


def test_a_leaving_server_is_drained_while_another_answers() -> None:
    proxy = Proxy()
    proxy.settle(server(1), server(2))
    proxy.bring(leaving(1), server(2))
    assert (proxy.state("t1"), proxy.state("t2")) == ("drain", "ready")


def test_the_last_server_that_answers_goes_on_while_it_is_there() -> None:
    proxy = Proxy()
    proxy.settle(server(1))
    assert proxy.bring(leaving(1)).steps == ()
    proxy.bring(leaving(1), server(2))
    assert proxy.state("t1") == "ready"
    proxy.check(True)
    proxy.bring(leaving(1), server(2))
    assert (proxy.state("t1"), proxy.state("t2")) == ("drain", "ready")


def test_all_that_leave_at_once_go_on_as_long_as_they_are_there() -> None:
    proxy = Proxy()
    proxy.settle(server(1), server(2))
    proxy.bring(leaving(1), leaving(2))
    assert len(proxy.serving()) == 2
    proxy.bring()
    assert proxy.serving() == set()


def test_a_drained_server_comes_back_if_no_other_answers_any_more() -> None:
    proxy = Proxy()
    proxy.settle(server(1), server(2))
    proxy.bring(leaving(1), server(2))
    proxy.check(False, "t2")
    proxy.bring(leaving(1), server(2))
    assert proxy.state("t1") == "ready"


def test_the_slot_of_a_server_that_is_gone_rests_and_is_used_last() -> None:
    proxy = Proxy()
    proxy.settle(server(1))
    proxy.settle(server(2))
    assert proxy.places == {"t2": 2}
    assert proxy.slots[1].admin is Admin.MAINT
    proxy.settle(server(2), server(3))
    assert proxy.places == {"t2": 2, "t3": 3}


def test_without_a_slot_a_server_is_homeless() -> None:
    proxy = Proxy(slots=1)
    proxy.settle(server(1))
    assert proxy.bring(server(1), server(2)).homeless == ("t2",)


def _of(proxy: Proxy, *servers: Server) -> Backend:
    return Backend(proxy.route, servers, len(proxy.slots))


def test_a_slot_with_requests_to_end_is_taken_after_all_that_have_none() -> None:
    proxy = Proxy(slots=3)
    proxy.settle(server(1), server(2), server(3))
    proxy.settle(server(3))
    proxy.busy = {1}
    proxy.settle(server(3), server(4))
    assert proxy.places == {"t3": 3, "t4": 2}


def test_a_slot_with_requests_to_end_is_left_to_them_while_another_server_answers() -> None:
    proxy = Proxy(slots=2)
    proxy.settle(server(1), server(2))
    proxy.settle(server(2))
    proxy.busy = {1}
    assert proxy.bring(server(2), server(3)).homeless == ("t3",)
    # One that fails, or leaves for another to come, is none to rely on.
    for other in (leaving(2), server(2)):
        proxy.check(other.wish is Wish.LEAVE, "t2")
        before = list(proxy.slots.values())
        assert not plan(_of(proxy, other, server(3)), before, {"t2": 2}, {1}).homeless


def test_a_server_keeps_its_slot_whatever_requests_it_has() -> None:
    proxy = Proxy(slots=2)
    proxy.settle(server(1), server(2))
    proxy.busy = {1, 2}
    assert proxy.bring(server(1), server(2)).steps == ()
    proxy.slots[1] = proxy.slots[1]._replace(admin=Admin.MAINT, is_up=False)
    proxy.settle(server(1), server(2))
    assert proxy.places == {"t1": 1, "t2": 2}


def test_only_a_plan_that_takes_what_others_had_hangs_on_their_requests() -> None:
    proxy = Proxy(slots=1)
    before = list(proxy.slots.values())
    assert not takes_over(proxy.bring(server(1)), before)
    proxy.settle()
    before = list(proxy.slots.values())
    assert takes_over(proxy.bring(server(2)), before)


def test_after_a_start_of_ours_servers_are_found_where_they_are() -> None:
    proxy = Proxy()
    proxy.settle(server(1), server(2))
    before, proxy.places = proxy.places, {}
    assert proxy.bring(server(2), server(1)).steps == ()
    assert proxy.places == before


def test_a_slot_that_somebody_else_changed_is_brought_back() -> None:
    proxy = Proxy()
    proxy.settle(server(1))
    proxy.slots[1] = proxy.slots[1]._replace(admin=Admin.MAINT, is_up=False)
    proxy.slots[3] = Slot(3, "10.9.9.9", 1, Admin.READY, True)
    proxy.settle(server(1))
    assert proxy.serving() == {("10.0.0.1", 30000)}


def test_a_server_with_another_address_is_pointed_at_anew_from_rest() -> None:
    proxy = Proxy()
    proxy.settle(server(1))
    proxy.settle(server(1)._replace(port=30001))
    assert proxy.serving() == {("10.0.0.1", 30001)}


def test_of_the_mesh_the_first_slot_is_that_of_the_active_node() -> None:
    proxy = Proxy(mode="mesh")
    proxy.settle(server(2, backup=True), server(1), server(3, backup=True))
    assert proxy.places["t1"] == 1


def test_a_node_that_stands_by_goes_on_where_it_is_when_the_active_one_goes() -> None:
    proxy = Proxy(mode="mesh")
    proxy.settle(server(1), server(2, backup=True))
    proxy.bring(server(2), server(1, Wish.LEAVE, backup=True))
    assert proxy.serving() == {("10.0.0.2", 30000)}
    proxy.settle(server(1), server(2, backup=True))
    assert len(proxy.serving()) == 2
    proxy.bring(server(2))
    assert proxy.serving() == {("10.0.0.2", 30000)}


NUMBERS = some.sets(some.integers(1, 6), max_size=6)


@settings(max_examples=60)
@given(some.lists(some.tuples(NUMBERS, NUMBERS, some.booleans()), max_size=8))
def test_no_request_is_ever_without_a_server_that_could_answer(
    looks: list[tuple[set[int], set[int], bool]],
) -> None:
    """As long as one that answers is there; and what is wanted serves in the end."""
    proxy = Proxy(slots=16)
    for serve, leave, checks in looks:
        wanted = [server(n) for n in sorted(serve)] + [leaving(n) for n in sorted(leave - serve)]
        answered = {
            one.key
            for one in wanted
            if one.key in proxy.places
            and proxy.slots[proxy.places[one.key]].admin is Admin.READY
            and proxy.slots[proxy.places[one.key]].is_up
        }
        proxy.bring(*wanted)
        assert not answered or proxy.serving()
        if checks:
            proxy.check(True)
    final = [server(n) for n in (1, 2)]
    proxy.settle(*final)
    assert proxy.serving() == {("10.0.0.1", 30000), ("10.0.0.2", 30000)}
