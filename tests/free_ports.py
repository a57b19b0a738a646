"""Ports for one test: below the kernel's ephemeral range, and not treedock's own."""

import os
import random

import portpicker

SHARES = 4
FIRST, LAST = 15000, 32000  # below the kernel's ephemeral range, whose default starts at 32768
_next = random.randrange((LAST - FIRST) // SHARES)


def free_block(length: int) -> int:
    """The first of `length` consecutive ports that are free now.

    Each process of a parallel run has its own share and goes round in it: ports come again only
    after all the others, when the test that had them is long over.

    Raises:
        RuntimeError: nothing in the share is free.
    """
    global _next
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    share = (LAST - FIRST) // SHARES
    for _ in range(2 * share // length):
        if _next + length > share:
            _next = 0
        first = FIRST + worker * share + _next
        _next += length
        if all(portpicker.is_port_free(port) for port in range(first, first + length)):
            return first
    raise RuntimeError(f"no {length} consecutive free ports in {share} from {FIRST}")
