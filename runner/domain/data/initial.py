"""What the data of an instance begins with, decided before its sidecars are made."""

from collections.abc import Callable
from enum import Enum, auto

from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class Keep:
    """The data stays as it is. `reason`: what a person should know about that, '' for nothing."""

    reason: str = ""


@dataclass(frozen=True)
class Restore:
    """The data begins with the golden state `key`. It lies in `volume`, or in a file where that is
    ''."""

    key: str
    volume: str


@dataclass(frozen=True)
class Run:
    """`database.reset` runs. `reason`: why no golden state is used, '' for nothing to say. `keep`:
    the key that the result is kept under as the golden state; '' where it is not kept."""

    reason: str = ""
    keep: str = ""


Decision = Keep | Restore | Run


class Share(Enum):
    """How an instance takes part in golden states."""

    MAKE = auto()
    """Nothing has run in it yet: it begins with one, or makes it for others."""
    TAKE = auto()
    """It begins with one; what it makes itself is its own."""
    NONE = auto()
    """Its reset runs in any case."""


@dataclass(frozen=True)
class Past:
    """The earlier resets of an instance. `key`: that of the last one that ended well; `begun`: one
    was started; `used`: the instance was ready without any."""

    key: str | None = None
    begun: bool = False
    used: bool = False


def initial_data(
    past: Past,
    wanted: str,
    share: Share,
    *,
    own: Callable[[], str],
    key_of: Callable[[], str],
    find: Callable[[str], str | None],
    is_base: Callable[[], bool],
) -> Decision:
    """Decide for an instance whose reset has the key `wanted`.

    `own` returns why its data is its own, '' where it is shared; `key_of` the key of the golden
    state; `find` the volume of the golden state with a key, None where there is none; `is_base`
    whether its files are those of base. Each is called only where the answer counts: they read
    files and ask git.
    """
    if past.key is not None:
        same = past.key == wanted
        return Keep("" if same else "database.reset has changed; renew the data with")
    if past.used:  # whatever is there now was put there by the user
        return Keep("there is a database.reset now; make the data with")
    if share is Share.NONE:
        return Run()
    if past.begun:  # the data was used since, or is set aside
        return Run("an earlier reset did not end well: it runs again")
    reason = own()
    if reason:
        return Run(f"its data is its own: {reason}")
    key = key_of()
    volume = find(key)
    if volume is not None:
        return Restore(key, volume)
    if share is Share.MAKE and is_base():
        return Run(keep=key)
    return Run("no golden state for this database yet")


def after_waiting(key: str, volume: str | None) -> Decision:
    """Decide again once another instance has tried to make the state `key`, which lies in `volume`
    now. One that waited in vain does not try as well, so that those who wait do not queue."""
    return Run() if volume is None else Restore(key, volume)
