"""Reading /proc/net/tcp and tcp6: who listens where.

Format: Documentation/networking/proc_net_tcp.rst of the Linux kernel. Addresses are hexadecimal,
in groups of four bytes, each group in the byte order of the machine (little-endian here).
"""

import ipaddress
from collections.abc import Iterator

_LISTEN = "0A"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def listeners(tables: str) -> Iterator[tuple[Address, int]]:
    """(address, port) of every listening socket in the text of one or both tables."""
    for line in tables.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN and ":" in fields[1]:
            address, _, port = fields[1].partition(":")
            yield _address(address), int(port, 16)


def is_loopback(address: Address) -> bool:
    """Whether only this machine reaches it; ::ffff:127.0.0.1 counts as 127.0.0.1."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def only_on_loopback(tables: str, port: int) -> bool:
    """Whether `port` is listened on, and on loopback addresses only."""
    found = [address for address, listening in listeners(tables) if listening == port]
    return bool(found) and all(is_loopback(address) for address in found)


def _address(text: str) -> Address:
    groups = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(groups))
