"""Measurements that take turns, so that a drift of the machine hits all that is compared."""

import sys
from collections import defaultdict
from collections.abc import Callable

# One measurement: seconds by the name of what was measured; whatever it needs or leaves it
# prepares or removes outside of the measured time.
Measurement = Callable[[], dict[str, float]]


class Turns:
    """Takes measurements in turns (A B A B); `samples` is what they have found so far, and
    `sizes`, in MB, what was weighed beside."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.sizes: dict[str, list[float]] = defaultdict(list)

    def weigh(self, name: str, megabytes: float) -> None:
        say(f"  {name}: {megabytes:.0f} MB")
        self.sizes[name].append(megabytes)

    def take(
        self, what: str, rounds: int, measurements: list[Measurement], *, warm_up: bool = True
    ) -> None:
        """`rounds` times all of them; a first round that warms up does not count."""
        for number in range(0 if warm_up else 1, rounds + 1):
            say(f"{what}: round {number} of {rounds}" if number else f"{what}: warming up")
            for measurement in measurements:
                found = measurement()
                for name, sample in found.items():
                    say(f"  {name}: {sample:.3f} s")
                    if number:
                        self.samples[name].append(sample)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
