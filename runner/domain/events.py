"""What happens while a verb works: one stream of typed, numbered events.

A listener gets each event in an envelope, `Notice`; `Notice.to_json` is the JSON of both, which is
also a line of an events.jsonl:

    {"seq": 7, "at": "2026-01-31T09:30:00.250Z", "operation": "5f2a90c1", "instance": "auth",
     "event": "step_finished", "step": "starting the container", "seconds": 0.312}

`event` is the name of the class in snake case; what follows are the fields of the class. Those of
an instance are kept in its events.jsonl, except the ones that only narrate (see PASSING); those of
a merge also in the events.jsonl of its run. Each such file gets the end of the operation, too: one
whose end is missing was killed, or is still at work.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class StepStarted:
    """A step of the work began; `step` reads as 'creating the container'."""

    step: str


@dataclass(frozen=True)
class StepFinished:
    """A step ended well after `seconds`."""

    step: str
    seconds: float


@dataclass(frozen=True)
class StepFailed:
    """A step ended with an error after `seconds`. `code` is that of the error, or the name of its
    class where it is none of treedock's; the message is in the answer."""

    step: str
    seconds: float
    code: str


@dataclass(frozen=True)
class OperationEnded:
    """The verb is done; no event follows. `code` is that of its first error, None without one."""

    verb: str
    exit_code: int
    code: str | None


@dataclass(frozen=True)
class Said:
    """Something a person should know; nothing failed."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something a person should look at; the work goes on."""

    text: str


@dataclass(frozen=True)
class Output:
    """One line that a build or a command printed."""

    line: str


@dataclass(frozen=True)
class Created:
    """A new instance has its record; slot is None where its ports are none of a slot's."""

    branch: str
    base: str
    commit: str
    slot: int | None
    ports: dict[str, int]


@dataclass(frozen=True)
class ContainerCreated:
    """The instance got a container, `id`, of an image."""

    id: str
    image: str


@dataclass(frozen=True)
class Up:
    """The instance came up: something had to be done for it."""

    worktree: str
    workspace: str


@dataclass(frozen=True)
class UpFailed:
    """The instance could not be brought up."""

    code: str
    message: str


@dataclass(frozen=True)
class Down:
    """The instance was stopped."""


@dataclass(frozen=True)
class Tampered:
    """The instance's .git file was not as it should be; its container was stopped."""

    message: str


@dataclass(frozen=True)
class Synced:
    """The branch moved from `was` to `head` on the side that it was brought to: `to` is 'host' for
    commits that came out, 'inside' for those that went in."""

    to: str
    head: str
    was: str | None


@dataclass(frozen=True)
class Pushed:
    """The instance's branch was pushed to a remote."""

    remote: str
    branch: str
    commit: str


@dataclass(frozen=True)
class PullRequestOpened:
    """A pull request for the instance's branch is there; `url` is empty where it is not known."""

    url: str


@dataclass(frozen=True)
class Tested:
    """The gates of a candidate, which holds the instances of `chain`, passed (green) or not."""

    chain: tuple[str, ...]
    commit: str
    green: bool


@dataclass(frozen=True)
class NotMerged:
    """The instance did not land: `state` is 'blocked' by a conflict, or 'red' by a gate."""

    state: str
    message: str


@dataclass(frozen=True)
class Landed:
    """The instance's `head` is in base, by the candidate `commit` of a run."""

    run: str
    commit: str
    head: str


@dataclass(frozen=True)
class BaseMoved:
    """A run moved base from `was` to `commit`."""

    base: str
    was: str
    commit: str


@dataclass(frozen=True)
class Undone:
    """What a run had landed was taken back: base is at `to`."""

    base: str
    to: str


PASSING = (StepStarted, Said, Output)
"""Events that no journal keeps."""

Event = (
    StepStarted
    | StepFinished
    | StepFailed
    | OperationEnded
    | Said
    | Warned
    | Output
    | Created
    | ContainerCreated
    | Up
    | UpFailed
    | Down
    | Tampered
    | Synced
    | Pushed
    | PullRequestOpened
    | Tested
    | NotMerged
    | Landed
    | BaseMoved
    | Undone
)


@dataclass(frozen=True)
class Notice:
    """An event as it is told.

    `seq` counts the events of one operation from 1, without a gap for its listener; `at` is the
    time in UTC, with milliseconds; `operation` is a short random id of the verb at work;
    `instance` is None for what concerns the verb as a whole.
    """

    seq: int
    at: str
    operation: str
    instance: str | None
    event: Event

    def to_json(self) -> dict[str, Any]:
        """One flat object: the envelope, the name of the event and its fields."""
        envelope = {key: getattr(self, key) for key in ("seq", "at", "operation", "instance")}
        return envelope | {"event": kind_of(type(self.event))} | asdict(self.event)


Listener = Callable[[Notice], None]
"""What a face hands to a verb. Threads may call it, one at a time."""


class Emit(Protocol):
    """The stream of one operation: numbers an event, hands it to the listener, and returns it."""

    def __call__(self, event: Event, instance: str | None = None) -> Notice: ...

    def ends_in(self, name: str, append: Callable[[Notice], object]) -> None:
        """The end of the operation is appended to the journal `name`, too, once."""
        ...

    def aside(self, instance: str) -> "Emit":
        """For a throwaway instance that works for `instance`: what it says and warns of is told as
        that one's, the rest is not."""
        ...


def kind_of(cls: type) -> str:
    """The name of a class of events in JSON: StepFinished -> 'step_finished'."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).removeprefix("_")
