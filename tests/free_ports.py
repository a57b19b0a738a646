"""Ports for one test: below the kernel's ephemeral range, and not treedock's own."""

import random

import portpicker


def free_block(length: int) -> int:
    """The first of `length` consecutive ports that are free now."""
    while True:
        first = random.randrange(15000, 32000 - length)
        if all(portpicker.is_port_free(port) for port in range(first, first + length)):
            return first
