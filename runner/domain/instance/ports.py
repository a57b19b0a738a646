"""Slots and ports: which ports an instance gets, decided from plain values.

A slot is an index into the port ranges: with `backend: 9100-9114` and
`frontend: 9200-9214`, slot 5 is backend 9105 and frontend 9205.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping

from runner.domain.errors import NoFreeSlot
from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class PortRange:
    """Consecutive TCP ports, both ends included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @classmethod
    def parse(cls, text: str) -> "PortRange":
        """'9100-9114' as a range. Raises ValueError with a sentence for anything else."""
        first, dash, last = text.replace(" ", "").partition("-")
        if not (dash and first.isdecimal() and last.isdecimal()):
            raise ValueError(f"{text!r} is not a port range such as 9100-9114")
        if not 1024 <= int(first) <= int(last) <= 65535:
            raise ValueError(f"{text!r} must go upwards and lie between 1024 and 65535")
        return cls(int(first), int(last))


Ranges = Mapping[str, PortRange]

NO_SLOT = (
    "Free one (treedock clean ID), widen the ranges under `ports:`, "
    "or set `overflow: dynamic` in treedock.yaml."
)


@dataclass(frozen=True)
class Slots:
    """How many slots there are, and how many of them no instance and no process holds."""

    total: int
    free: int


def home_slot(project: str, instance: str, slots: int) -> int:
    """The slot where the search for `instance` begins.

    Not hash(): Python salts it again in every process, and a preview URL has to stay.
    """
    digest = hashlib.sha256(f"{project}/{instance}".encode()).hexdigest()
    return int(digest[:8], 16) % slots


def ports_of_slot(ranges: Ranges, slot: int) -> dict[str, int]:
    """The port of every name at this slot."""
    return {name: ports.first + slot for name, ports in ranges.items()}


def choose_slot(
    project: str,
    instance: str,
    ranges: Ranges,
    holders: Mapping[int, str],
    is_free: Callable[[int], bool],
    preferred: int | None = None,
) -> int:
    """The first free slot: the `preferred` one, then from the home slot onwards and around.

    `holders` maps ports that someone holds, running or not, to the holder's name;
    `is_free` asks the host whether a port can be bound now.
    Raises NoFreeSlot, naming who holds what.
    """
    slots = len(next(iter(ranges.values())))
    home = home_slot(project, instance, slots)
    first = [preferred] if preferred is not None and preferred < slots else []
    for slot in (*first, *_around(home, slots)):
        if _is_free(ranges, slot, holders, is_free):
            return slot
    raise NoFreeSlot(
        f"{instance}: no slot is free. All {slots} slots are taken: "
        f"{who_holds(ranges, holders, is_free)}.",
        hint=NO_SLOT,
    )


def free_slots(ranges: Ranges, holders: Mapping[int, str], is_free: Callable[[int], bool]) -> Slots:
    """How many slots there are and how many are free; arguments as of `choose_slot`."""
    slots = len(next(iter(ranges.values())))
    free = sum(_is_free(ranges, slot, holders, is_free) for slot in range(slots))
    return Slots(slots, free)


def _is_free(
    ranges: Ranges, slot: int, holders: Mapping[int, str], is_free: Callable[[int], bool]
) -> bool:
    ports = ports_of_slot(ranges, slot).values()
    return all(port not in holders and is_free(port) for port in ports)


def _around(home: int, slots: int) -> Iterator[int]:
    return ((home + step) % slots for step in range(slots))


def who_holds(ranges: Ranges, holders: Mapping[int, str], is_free: Callable[[int], bool]) -> str:
    """'9100 shop/auth, 9101 another process, ...': one entry per slot that is not free."""
    entries = []
    for slot in range(len(next(iter(ranges.values())))):
        ports = list(ports_of_slot(ranges, slot).values())
        held = next((port for port in ports if port in holders), None)
        taken = held or next((port for port in ports if not is_free(port)), None)
        if taken:
            entries.append(f"{taken} {holders.get(taken, 'another process')}")
    return ", ".join(entries)
