"""A sync of which the caller decides what becomes of a failure."""

from runner.controller.operation import Operation
from runner.controller.sync.sync import sync
from runner.domain.errors import EngineUnavailable, RunnerError, unavailable


def attempt(operation: Operation) -> RunnerError | None:
    """Sync; returns why that is impossible. Raises EngineUnavailable, without which nothing can
    be stopped or removed either."""
    try:
        sync(operation)
    except EngineUnavailable:
        raise
    except RunnerError as error:
        return error
    except OSError as error:  # a full disk
        return unavailable(error)
    return None
