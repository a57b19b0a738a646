"""Who listens where, from the kernel's own tables."""

import ipaddress
import socket
from pathlib import Path

from runner.domain.instance.listening import listeners, only_on_loopback

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
LOOPBACK = "   0: 0100007F:2391 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000\n"
EVERYWHERE = "   1: 00000000:2391 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000\n"
CONNECTED = "   2: 00000000:2391 0100007F:A2B4 01 00000000:00000000 00:00000000 00000000  1000\n"
LOOPBACK6 = f"   0: {'0' * 24}01000000:2391 {'0' * 32}:0000 0A 00000000:00000000 00:00000000\n"
EVERYWHERE6 = f"   1: {'0' * 32}:2391 {'0' * 32}:0000 0A 00000000:00000000 00:00000000\n"
MAPPED = f"   2: {'0' * 16}FFFF00000100007F:2391 {'0' * 32}:0000 0A 00000000:00000000 00:00000000\n"


def test_only_listening_sockets_count() -> None:
    found = list(listeners(HEAD + LOOPBACK + CONNECTED + LOOPBACK6))
    loopbacks = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    assert found == [(address, 9105) for address in loopbacks]


def test_loopback_of_either_family_cannot_be_reached() -> None:
    for table in (LOOPBACK, LOOPBACK6, MAPPED, LOOPBACK + LOOPBACK6):
        assert only_on_loopback(HEAD + table, 9105)


def test_one_address_beyond_loopback_is_enough() -> None:
    for table in (EVERYWHERE, EVERYWHERE6, LOOPBACK + EVERYWHERE6, LOOPBACK6 + EVERYWHERE):
        assert not only_on_loopback(HEAD + table, 9105)


def test_nobody_listening_is_not_listening_on_loopback() -> None:
    assert not only_on_loopback(HEAD + LOOPBACK, 9106)
    assert not only_on_loopback(HEAD + CONNECTED, 9105)
    assert not only_on_loopback("cat: /proc/net/tcp6: No such file or directory\n", 9105)


def test_the_kernels_own_table_is_understood() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tables = Path("/proc/net/tcp").read_text()
        assert only_on_loopback(tables, port)
