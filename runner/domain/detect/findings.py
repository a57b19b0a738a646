"""What the parts of a detection amount to together."""

from dataclasses import dataclass

from runner.domain.detect.listing import Database, Service, Sidecar, Step


@dataclass(frozen=True)
class Findings:
    """What was found, in the shape of treedock.yaml.

    `said` are sentences for a person, `unsure` those that ask for a look; `leaves` are the paths
    that git should ignore, or every instance counts as changed; folders end in '/'. `omitted` is
    what a Compose file has and was left out, and why; `image` (folder, Dockerfile) of one to build.
    """

    setup: tuple[Step, ...]
    services: tuple[Service, ...]
    database: Database | None
    copy: tuple[str, ...]
    variables: dict[str, str]
    test: str | None
    said: tuple[str, ...]
    unsure: tuple[str, ...]
    leaves: tuple[str, ...]
    sidecars: tuple[Sidecar, ...] = ()
    omitted: tuple[str, ...] = ()
    image: tuple[str, str] | None = None
