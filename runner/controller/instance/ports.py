"""Who holds which port of this machine's slots, and how many slots are free."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from runner.adapters.host import sockets
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.domain.errors import NoFreeSlot, OtherVersion
from runner.domain.instance.container import LABEL_REPOSITORY, Container
from runner.domain.instance.ports import (
    NO_SLOT,
    PortRange,
    Ranges,
    Slots,
    choose_slot,
    free_slots,
    ports_of_slot,
    who_holds,
)

if TYPE_CHECKING:
    from runner.domain.config.project import Config


def holders_of(
    repository: Repository, containers: Sequence[Container], *, but: str | None = None
) -> dict[int, str]:
    """Every port that an instance has, running or not, and the name of that instance. `containers`
    are all of this engine, of any project; other instances of this repository are read from their
    records, because not all of them have a container yet. `but` is an instance of this repository
    that does not count."""
    holders = {
        port: container.holder
        for container in containers
        if not is_of(repository, container, but)
        for port in container.ports.values()
    }
    for record in repository.records.all():
        if record.id != but:
            holders |= dict.fromkeys(record.ports.values(), f"{record.project}/{record.id}")
    return holders


def is_of(repository: Repository, container: Container, instance: str | None) -> bool:
    """Whether a container is that of an instance of this repository."""
    return is_ours(repository, container) and container.instance == instance


def is_ours(repository: Repository, container: Container) -> bool:
    """Whether a container belongs to this repository."""
    return container.labels.get(LABEL_REPOSITORY) == repository.key


def slots_of(
    repository: Repository,
    ranges: Ranges,
    containers: Sequence[Container],
    is_free: Callable[[int], bool],
) -> Slots:
    """How many slots there are, and how many are free."""
    return free_slots(ranges, holders_of(repository, containers), is_free)


def last_ranges(repository: Repository) -> Ranges | None:
    """The port ranges as of the last `up`, read without treedock.yaml; None where that is not
    known."""
    try:
        records = [record for record in repository.records.all() if record.ranges]
    except OtherVersion:
        return None
    if not records:
        return None
    latest = max(records, key=lambda record: record.created_at)
    try:
        return {name: PortRange.parse(text) for name, text in latest.ranges.items()}
    except ValueError:
        return None


def require_slots(
    repository: Repository, config: "Config", containers: Sequence[Container], wanted: int
) -> None:
    """Raises NoFreeSlot where there are fewer free slots than `wanted` and no other ports are to
    be taken."""
    if config.overflow != "refuse" or not wanted:
        return
    holders = holders_of(repository, containers)
    slots = free_slots(config.ports, holders, sockets.is_free)
    if slots.free < wanted:
        free = f"Only {slots.free} of {slots.total}" if slots.free else f"None of {slots.total}"
        raise NoFreeSlot(
            f"{free} slots are free, and {wanted} are needed: "
            f"{who_holds(config.ports, holders, sockets.is_free)}.",
            hint=NO_SLOT,
        )


def choose_ports(
    operation: Operation, containers: list[Container], *, preferred: int | None = None
) -> tuple[int | None, dict[str, int]]:
    """A slot and its ports, or any free ports (slot None) when overflowing, which is said.
    Repository lock. `containers` are all of this engine; `preferred` is the slot that it had.
    """
    config = operation.config
    own = {
        port
        for one in containers
        if is_of(operation.repository, one, operation.id)
        for port in one.ports.values()
    }
    holders = holders_of(operation.repository, containers, but=operation.id)
    try:
        slot = choose_slot(
            operation.project.name, operation.id, config.ports, holders,
            lambda port: port in own or sockets.is_free(port), preferred,
        )  # fmt: skip
    except NoFreeSlot:
        if config.overflow == "refuse":
            raise
        ports = _dynamic_ports(list(config.ports), holders)
        named = ", ".join(map(str, ports.values()))
        operation.say(
            f"all {config.slots} slots are taken: it gets free ports, and keeps them: {named}"
        )
        return None, ports
    return slot, ports_of_slot(config.ports, slot)


def ranges_of(operation: Operation) -> dict[str, str]:
    """The port ranges of today's configuration, as the record keeps them."""
    return {name: str(ports) for name, ports in operation.config.ports.items()}


def _dynamic_ports(wanted: list[str], holders: Mapping[int, str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for name in wanted:
        port = sockets.any_free()
        while port in holders or port in ports.values():
            port = sockets.any_free()
        ports[name] = port
    return ports
