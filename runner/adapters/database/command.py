"""A database that only the project's own reset command knows."""

from collections.abc import Mapping
from pathlib import Path

from runner.adapters.database import Kind, Site
from runner.domain.config.sections import Database, Sidecar
from runner.domain.errors import Refused


class Adapter:
    """Nothing is known of it, so nothing but the reset command can be done with it."""

    def __init__(self, database: Database, sidecar: Sidecar | None) -> None:
        """Neither says anything."""

    def variables(self) -> dict[str, str]:
        return {}

    def url(self, ports: Mapping[str, int], worktree: str) -> str | None:
        return None

    def provision(self, site: Site, *, new: bool) -> None:
        """The reset command begins with what is there."""

    def put_back(self, site: Site) -> bool:
        return False

    def forget(self, site: Site) -> None:
        """Nothing is set aside."""

    def seal(self, site: Site) -> bool:
        return False

    def reset(self, site: Site) -> bool:
        return False

    def golden_file(self, site: Site) -> Path | None:
        return None

    def snapshot(self, site: Site, target: Path) -> None:
        raise _unknown()

    def restore(self, site: Site, source: Path) -> None:
        raise _unknown()

    def others(self, site: Site) -> dict[tuple[Kind, str], str]:
        return {}

    def shell(self, site: Site) -> tuple[str, list[str]]:
        raise _unknown()


def _unknown() -> Refused:
    return Refused(
        "treedock.yaml does not say which database an instance has.",
        hint="Name it, e.g. database: {engine: sqlite, path: app.db}",
    )
