"""Rules that wait for the reload that brings their backend, or tells it whom to let in."""

from mooring.edge.haproxy.guards import servable, unguarded
from mooring.edge.model import Memory, Model, model_of
from mooring.edge.rules import Rule
from mooring.engine.swarm import Service
from tests.edge.making import a_service, a_swarm, some_settings

WEB, OPEN, KEPT = "web.example.com", "svc_idweb_", "10.99.0.0/16"


def made(*services: Service) -> Model:
    return model_of(a_swarm(*services), some_settings(), Memory())[0]


def unguarded_hosts(before: Model, now: Model, *, waits: bool = True) -> set[str]:
    routes = [one.route for one in before.backends.values()]
    return {one.host for one in unguarded(now, routes, [OPEN], waits=waits)}


def test_rules_of_a_backend_wait_for_each_label_that_keeps_clients_out() -> None:
    before = made(a_service(host=WEB))
    assert unguarded_hosts(before, made(a_service(host=WEB, timeout="5s"))) == set()
    for label in ({"allow": KEPT}, {"deny": KEPT}, {"limit": "5/s"}, {"max-body": "1k"}):
        assert unguarded_hosts(before, made(a_service(host=WEB, **label))) == {WEB}, label


def test_a_backend_that_is_not_known_is_guarded_unless_a_reload_is_to_come() -> None:
    now = made(a_service(host=WEB, allow=KEPT))
    assert unguarded_hosts(Model(), now, waits=True) == {WEB}
    assert unguarded_hosts(Model(), now, waits=False) == set()


def test_what_is_held_back_gets_503() -> None:
    rule, sent_on = Rule("http", WEB, "/", OPEN), Rule("http", WEB, "/y", OPEN, is_sent_on=True)
    rules = (rule, sent_on)
    assert servable(rules, [OPEN], ()) == rules
    for found in (servable(rules, [OPEN], rules), servable(rules, (), ())):
        assert set(found) == {rule._replace(backend="waiting"), sent_on}


def test_who_shares_a_place_takes_the_part_of_one_that_waits() -> None:
    first, second = (Rule("http", WEB, "/", one, weight=1) for one in (OPEN, "svc_idnew_"))
    for rules in ((first, second), (second, first)):
        assert servable(rules, [OPEN], ()) == (first,)
        # Of a place where all have to wait it is known too.
        waiting = Rule("http", WEB, "/", "waiting")
        assert servable(rules, (), ()) == (waiting,)
        assert servable(rules[:1], (), ()) == (waiting,)
