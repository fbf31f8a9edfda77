"""What HAProxy says on its sockets."""

from pathlib import Path

import pytest

from mooring.edge.errors import ProxyAway
from mooring.edge.haproxy.runtime import asked, busy_in, slots_of
from mooring.edge.haproxy.slots import Admin, Slot

# Of HAProxy 2.6.12: a server that serves, one that is checked, one at rest, one that failed.
STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 svc_a_ 2 s2 10.0.0.2 0 12 1 1 0 8 2 0 6 0 0 0 slot.invalid 18099 - 0 0 - - 0
3 svc_a_ 1 s1 10.0.0.1 2 4 1 1 10 6 3 2 6 0 0 0 slot.invalid 18091 - 0 0 - - 0
3 svc_a_ 3 s3 127.0.0.1 0 5 1 1 627 1 0 0 14 0 0 0 slot.invalid 1 - 0 0 - - 0
3 svc_a_ 4 s4 10.0.0.4 2 12 1 1 0 8 2 1 6 0 0 0 slot.invalid 18091 - 0 0 - - 0
4 other 1 srv 10.0.0.9 2 0 1 1 0 6 3 2 6 0 0 0 - 80 - 0 0 - - 0

"""


def test_slots_are_read_from_a_state() -> None:
    assert slots_of(STATE) == {
        "svc_a_": [
            Slot(1, "10.0.0.1", 18091, Admin.READY, True),
            Slot(2, "10.0.0.2", 18099, Admin.DRAIN, False),
            Slot(3, "127.0.0.1", 1, Admin.MAINT, False),
            # Up by what it was before, and no check passed since.
            Slot(4, "10.0.0.4", 18091, Admin.DRAIN, False),
        ]
    }


def test_slots_with_requests_are_read_from_what_it_counts() -> None:
    stat = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,
svc_a_,s1,0,0,2,8,,41,
svc_a_,s2,0,0,0,8,,40,
svc_a_,s13,0,0,1,1,,1,

"""
    assert busy_in(stat) == {1, 13}


async def test_without_a_socket_it_is_away(tmp_path: Path) -> None:
    with pytest.raises(ProxyAway, match="No such file"):
        await asked(tmp_path / "admin.sock", "show info")
