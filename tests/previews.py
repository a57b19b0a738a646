"""Fetch every preview of the instances that `treedock list --json` printed, and say what came.

    treedock list --json | python tests/previews.py

Exits 1 where one does not answer, or with a server error.
"""

import json
import sys
import urllib.error
import urllib.request


def main() -> int:
    instances = json.load(sys.stdin)["instances"]
    answers = []
    for instance in instances:
        for name, url in instance["urls"].items():
            status, size = fetch(url)
            answers.append(status)
            print(f"{instance['id']:<10} {name:<10} {url:<24} {status}, {size} bytes")
    return 0 if answers and max(answers) < 500 else 1


def fetch(url: str) -> tuple[int, int]:
    """Status and size of what a URL answers; an API may well have nothing at its root (404)."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, len(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, len(error.read())


if __name__ == "__main__":
    sys.exit(main())
