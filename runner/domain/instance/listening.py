"""Reading /proc/net/tcp and tcp6: who listens where.

Format: Documentation/networking/proc_net_tcp.rst of the Linux kernel. Addresses are hexadecimal,
in groups of four bytes, each group in the byte order of the machine (little-endian here).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_LISTEN = "0A"

Address = Union["IPv4Address", "IPv6Address"]


def listeners(tables: str) -> Iterator[tuple[Address, int]]:
    """(address, port) of every listening socket in the text of one or both tables."""
    return ((_address(address), port) for address, port in _listening(tables))


def listening_ports(tables: str) -> set[int]:
    """Every port that is listened on, at whatever address."""
    return {port for _, port in _listening(tables)}


def _listening(tables: str) -> Iterator[tuple[str, int]]:
    for line in tables.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN and ":" in fields[1]:
            address, _, port = fields[1].partition(":")
            yield address, int(port, 16)


def is_loopback(address: Address) -> bool:
    """Whether only this machine reaches it; ::ffff:127.0.0.1 counts as 127.0.0.1."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def only_on_loopback(tables: str, port: int) -> bool:
    """Whether `port` is listened on, and on loopback addresses only."""
    found = [address for address, listening in listeners(tables) if listening == port]
    return bool(found) and all(is_loopback(address) for address in found)


def _address(text: str) -> Address:
    import ipaddress  # late: `list` needs no more than the ports

    groups = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(groups))
