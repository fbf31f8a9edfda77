"""nginx's own log stays small, whatever clients have it write."""

from pathlib import Path

from mooring.edge.nginx.logfile import kept_small


def test_of_a_log_that_has_grown_only_the_end_stays_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    with log.open("ab") as writer:  # as nginx has it open
        for number in range(100):
            writer.write(b"line %03d\n" % number)
        writer.flush()
        kept_small(log, largest=900, kept=27)
        assert log.stat().st_size == 900
        writer.write(b"line 100\n")
        writer.flush()
        kept_small(log, largest=900, kept=27)
        writer.write(b"line 101\n")
        writer.flush()
    assert log.read_bytes() == b"line 101\n"
    assert (tmp_path / "nginx.log.1").read_bytes() == b"line 098\nline 099\nline 100\n"


def test_one_that_is_not_there_or_has_no_room_beside_it_is_no_fault(tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    kept_small(log)
    (tmp_path / "nginx.log.1").mkdir()
    log.write_bytes(b"x" * 10)
    kept_small(log, largest=9)
    assert log.read_bytes() == b""
