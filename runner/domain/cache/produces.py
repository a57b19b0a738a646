"""What a set-up step makes and what decides it: named in treedock.yaml, or known of the manager
that its run line calls."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Protocol

from runner.domain.cache import managers
from runner.domain.data.migrations import paths_in
from runner.domain.frozen import dataclass

Read = Callable[[str], bytes | None]
"""A file of the checkout by its path there; None for what is no regular file."""


_HOME = "~/"


class Step(Protocol):
    """A set-up step, as treedock.yaml has it: see `runner.domain.config.sections.Step`."""

    @property
    def run(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def produces(self) -> Sequence[str] | None: ...
    @property
    def key(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Product:
    """Folders that a step makes, and the files that decide what is in them; all relative to the
    checkout."""

    paths: tuple[str, ...]
    key: tuple[str, ...]


def product_of(step: Step, read: Read) -> Product | None:
    """What a step makes; None for one of which nothing can be kept: nothing is named and its run
    line is no plain call of a known manager, a file of its key is not there, or the manager copies
    something else of the checkout too, such as a dependency that is a folder there.

    Files that the run line names decide too: `sh install.sh`.
    """
    known, closed = _known(step, read)
    return known if closed else None


def _known(step: Step, read: Read) -> tuple[Product | None, bool]:
    """What a step makes, and whether its key files decide all of that."""
    known = managers.Inferred(tuple(step.produces or ()), tuple(step.key))
    if step.produces is None:
        known = managers.inferred(step.run, lambda path: read(_below(step.folder, path)))
    paths, key = _all_below(step.folder, known.folders), _all_below(step.folder, known.key)
    if not paths or any(read(path) is None for path in key):
        return None, True
    named = [path for path in sorted(paths_in(step.folder, step.run)) if read(path) is not None]
    more = [p for p in named if p not in key and not any(overlap(p, own) for own in paths)]
    return Product(paths, (*key, *more)), known.closed


def products_of(steps: Sequence[Step], read: Read) -> list[Product | None]:
    """The same for all steps; of two that make the same folder only the first counts."""
    found: list[Product | None] = []
    taken: list[str] = []
    for step in steps:
        product = product_of(step, read)
        if product and any(overlap(mine, other) for mine in product.paths for other in taken):
            product = None
        taken += product.paths if product else ()
        found.append(product)
    return found


def downloads_of(step: Step) -> tuple[str, ...]:
    """The download caches of what a step calls, each as '~/.npm'."""
    return tuple(f"{_HOME}{path}" for path in managers.downloads(step.run))


def below_home(path: str) -> str | None:
    """'.npm' of '~/.npm'; None for a path in the checkout."""
    return path.removeprefix(_HOME) if path.startswith(_HOME) else None


def folders_of(step: Step) -> tuple[str, ...]:
    """The folders that a step makes as far as its words tell, whatever lock files there are."""
    if step.produces is not None:
        return _all_below(step.folder, step.produces)
    return _all_below(step.folder, managers.folders(step.run))


def overlap(one: str, other: str) -> bool:
    """Whether one of two paths is the other or lies below it."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def done_key(step: Step, product: Product | None, read: Read) -> str:
    """Changes exactly when a step has to run again, be its product shared or not."""
    text = f"{step.folder}\0{step.run}"
    product = product or _known(step, read)[0]
    if product:
        text += "\0" + json.dumps([product.paths, _contents(product, read)])
    return sha256(text.encode()).hexdigest()[:16]


def done_keys(steps: Sequence[Step], read: Read) -> list[str]:
    """The same for all steps."""
    found = zip(steps, products_of(steps, read), strict=True)
    return [done_key(step, product, read) for step, product in found]


def snapshot_key(
    steps: Sequence[Step],
    number: int,
    products: Sequence[Product | None],
    read: Read,
    shared: str,
) -> str:
    """Names what step `number` makes. `ground` is what it stands on: image, platform, user.

    What earlier steps run counts too, unless all they make is their own product.
    """
    step, product = steps[number], products[number]
    assert product is not None
    before = [(s.folder, s.run) for s, p in zip(steps[:number], products, strict=False) if not p]
    what = [step.folder, step.run, product.paths, _contents(product, read), before, shared]
    return sha256(json.dumps(what).encode()).hexdigest()[:24]


def kin_key(step: Step, product: Product, shared: str) -> str:
    """The same for all snapshots that differ in the content of key files only."""
    what = [step.folder, step.run, product.paths, shared]
    return sha256(json.dumps(what).encode()).hexdigest()[:24]


def _contents(product: Product, read: Read) -> dict[str, str]:
    return {path: sha256(read(path) or b"").hexdigest() for path in product.key}


def _below(folder: str, path: str) -> str:
    return str(PurePosixPath(folder) / path)


def _all_below(folder: str, paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(_below(folder, path) for path in paths)
