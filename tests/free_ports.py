"""Ports for one test: below the kernel's ephemeral range, and not treedock's own."""

import os
import random

import portpicker

SHARES = 4
_given: set[int] = set()


def free_block(length: int) -> int:
    """The first of `length` consecutive ports that are free now."""
    # Each process of a parallel run has its own share, and gives out no port twice.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    share = (32000 - 15000) // SHARES
    while True:
        first = 15000 + worker * share + random.randrange(share - length)
        if _given & set(range(first, first + length)):
            continue
        if all(portpicker.is_port_free(port) for port in range(first, first + length)):
            _given.update(range(first, first + length))
            return first
