"""How much is tried: everything in `make soak`, a random sample of it in `make long`.

A sample prints its seed, and TREEDOCK_SEED=<seed> repeats it.
"""

import os
import random
from collections.abc import Callable, Iterator

SOAK = os.environ.get("TREEDOCK_SOAK") == "1"
SAMPLE = 5  # one step in so many, on average
MOST = 300  # steps of one verb; more than that would be a loop


def kill_steps(tell: Callable[[str, object], None], *, every: int = 1) -> Iterator[int]:
    """Numbers of steps after which to kill, ascending: each `every`-th in a soak, else a random
    sample. `tell(name, value)` gets the seed. Raises AssertionError when nothing has ended."""
    if SOAK:
        yield from range(1, MOST, every)
    else:
        seed = int(os.environ.get("TREEDOCK_SEED") or random.randrange(2**32))
        tell("TREEDOCK_SEED", seed)
        chance, step = random.Random(seed), 0
        while step < MOST:
            step += chance.randint(1, 2 * max(every, SAMPLE) - 1)
            yield step
    raise AssertionError(f"more than {MOST} steps")
