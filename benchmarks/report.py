"""Figures: medians, ratios, and the table of goals."""

import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
from processes import run

Samples = Mapping[str, list[float]]


@dataclass(frozen=True)
class Goal:
    """`ours` against a limit: a ratio to `beside`, more seconds than `beside`, or just seconds.
    Ratios may be of sizes.

    "at least": `beside` takes so many times as long, or more; all others are met below the limit.
    """

    ours: str
    beside: str | None
    kind: str  # "ratio", "difference", "seconds" or "at least"
    limit: float

    def figure(self, samples: Samples) -> float:
        mine = statistics.median(samples[self.ours])
        if self.beside is None:
            return mine
        other = statistics.median(samples[self.beside])
        if self.kind == "at least":
            return other / mine
        return mine / other if self.kind == "ratio" else mine - other

    def met(self, samples: Samples) -> bool:
        figure = self.figure(samples)
        return figure >= self.limit if self.kind == "at least" else figure <= self.limit


GOALS = (
    Goal("up of one", "floor of one", "ratio", 1.25),
    Goal("up of one", "devcontainer up", "ratio", 0.9),
    Goal("verb: exec", "docker exec", "ratio", 2.5),
    Goal("verb: up, unchanged", "docker exec", "ratio", 3.5),
    Goal("verb: status", "docker exec", "ratio", 3.0),
    Goal("verb: sync of none", "docker exec", "ratio", 3.0),
    # "beside" is an older commit; what is not slower may differ by chance.
    *(
        Goal(f"verb: {name}", f"verb: {name}, beside", "ratio", 1.05)
        for name in ("list", "up", "merge", "clean")
    ),
    Goal("up of 20 at once", "floor of 20: starts", "ratio", 1.3),
    Goal("up of 20 at once", "floor of 20: worktrees, starts", "ratio", 1.3),
    Goal("list of 20", "wtenv ls", "ratio", 0.7),
    Goal("list of 20", "list of 1", "difference", 0.04),
    Goal("status of 20", "list of 20", "difference", 0.3),
    Goal("down of one", None, "seconds", 1.0),
    Goal("sync of one new commit", None, "seconds", 0.25),
    Goal("sync of none", None, "seconds", 0.02),
    Goal("conflicts of 20", None, "seconds", 0.8),
    Goal("merge of 10: 3 s gates, width 4", "merge of 10: 3 s gates, width 1", "at least", 2.5),
    Goal("merge of 10: 10 s gates, width 4", "mergetrain of 10: 10 s gates, ordered", "ratio", 1.2),
    Goal("merge of 10: 10 s gates, width 10", "mergetrain of 10: 10 s gates, batch", "ratio", 1.2),
    Goal("warm up", "up of an empty one and its PostgreSQL", "ratio", 1.5),
    Goal("20 warm ups at once", "floor of 40: starts", "ratio", 1.4),
    Goal("disk of 20", "disk of 1", "ratio", 1.3),
    Goal("db reset, PostgreSQL", None, "seconds", 0.5),
    Goal("db reset, SQLite", None, "seconds", 0.15),
)


def document(samples: Samples, sizes: Samples, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was measured, for results.json: `samples` in seconds, `sizes` in MB."""
    both = {**samples, **sizes}
    return {
        "schema_version": 1,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": dict(machine),
        "seconds": _summary(samples),
        "megabytes": _summary(sizes),
        "goals": [
            {
                "ours": goal.ours,
                "beside": goal.beside,
                "kind": goal.kind,
                "limit": goal.limit,
                "figure": round(goal.figure(both), 4),
                "met": goal.met(both),
            }
            for goal in GOALS
            if {goal.ours, goal.beside or goal.ours} <= both.keys()
        ],
    }


def _summary(samples: Samples) -> dict[str, Any]:
    return {
        name: {
            "median": round(statistics.median(found), 4),
            "min": round(min(found), 4),
            "max": round(max(found), 4),
            "samples": [round(sample, 4) for sample in found],
        }
        for name, found in samples.items()
    }


def tables(results: Mapping[str, Any]) -> str:
    """The document as two Markdown tables, which a terminal shows as well."""
    rows = [["process", "median", "min", "max", "runs"]]
    medians = {}
    for unit, shown in (("seconds", "{:.3f} s"), ("megabytes", "{:.0f} MB")):
        for name, found in results[unit].items():
            figures = [shown.format(found[key]) for key in ("median", "min", "max")]
            rows.append([name, *figures, str(len(found["samples"]))])
            medians[name] = figures[0]
    goals = [["treedock", "beside it", "goal", "figure", ""]]
    for goal in results["goals"]:
        limit, figure = _shown(goal["kind"], goal["limit"]), _shown(goal["kind"], goal["figure"])
        ours = f"{goal['ours']}: {medians[goal['ours']]}"
        beside = f"{goal['beside']}: {medians[goal['beside']]}" if goal["beside"] else ""
        sign = "≥" if goal["kind"] == "at least" else "≤"
        goals.append([ours, beside, f"{sign} {limit}", figure, "met" if goal["met"] else "missed"])
    machine = ", ".join(str(value) for value in results["machine"].values())
    return f"{results['date']}, {machine}\n\n{_table(rows)}\n\n{_table(goals)}"


def machine(engine: docker.APIClient) -> dict[str, str]:
    """This machine, as far as it matters for the figures."""
    info = engine.info()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": f"{os.cpu_count()} cores",
        "processor": model,
        "memory": f"{memory:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "engine": f"Docker {info['ServerVersion']} ({info['Driver']})",
        "git": run(["git", "version"]).strip(),
        "python": f"Python {platform.python_version()}",
    }


def _shown(kind: str, value: float) -> str:
    return f"{value:.2f} x" if kind in ("ratio", "at least") else f"{value:.3f} s"


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
