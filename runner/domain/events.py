"""What happens while a verb works, as plain values that any face can show."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepStarted:
    """A step of the work on one instance began; `step` reads as 'creating the container'."""

    instance: str
    step: str


@dataclass(frozen=True)
class StepFinished:
    """The step named by the last StepStarted ended well after `seconds`."""

    instance: str
    step: str
    seconds: float


@dataclass(frozen=True)
class Said:
    """Something a person should know; nothing failed. `instance` is empty for the whole verb."""

    instance: str
    text: str


@dataclass(frozen=True)
class Warned:
    """Something a person should look at; the work goes on."""

    instance: str
    text: str


@dataclass(frozen=True)
class Output:
    """One line that a build or a command printed."""

    instance: str
    line: str


Event = StepStarted | StepFinished | Said | Warned | Output
Emit = Callable[[Event], None]
