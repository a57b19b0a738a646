"""treedock: isolated full-stack instances of one repository, merged back safely.

    from runner import Controller, Up

    answer = Controller.open().run(Up(ids=("auth",)))
    answer.require()
    print(answer.instances[0].preview)

Controller is the only door (runner.controller.verbs); for each verb there is a request, named in
runner.controller.table and imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from runner.version import __version__ as __version__

if TYPE_CHECKING:
    from runner.controller.verbs import Controller as Controller
    from runner.domain.requests.cache import ListCache as ListCache
    from runner.domain.requests.cache import Prune as Prune
    from runner.domain.requests.cache import Warm as Warm
    from runner.domain.requests.cleanup import Clean as Clean
    from runner.domain.requests.data import Drop as Drop
    from runner.domain.requests.data import Keep as Keep
    from runner.domain.requests.data import ListSnapshots as ListSnapshots
    from runner.domain.requests.data import Reset as Reset
    from runner.domain.requests.data import Restore as Restore
    from runner.domain.requests.data import Url as Url
    from runner.domain.requests.inside import Exec as Exec
    from runner.domain.requests.landing import Compare as Compare
    from runner.domain.requests.landing import Look as Look
    from runner.domain.requests.landing import Merge as Merge
    from runner.domain.requests.landing import OpenPullRequest as OpenPullRequest
    from runner.domain.requests.landing import Undo as Undo
    from runner.domain.requests.lifecycle import Down as Down
    from runner.domain.requests.lifecycle import Restart as Restart
    from runner.domain.requests.lifecycle import Up as Up
    from runner.domain.requests.observe import Compose as Compose
    from runner.domain.requests.observe import List as List
    from runner.domain.requests.observe import Logs as Logs
    from runner.domain.requests.observe import Open as Open
    from runner.domain.requests.observe import Path as Path
    from runner.domain.requests.observe import Status as Status
    from runner.domain.requests.onboarding import CheckConfig as CheckConfig
    from runner.domain.requests.onboarding import ConfigSchema as ConfigSchema
    from runner.domain.requests.onboarding import Demo as Demo
    from runner.domain.requests.onboarding import Examine as Examine
    from runner.domain.requests.onboarding import Init as Init
    from runner.domain.requests.onboarding import JsonSchema as JsonSchema
    from runner.domain.requests.onboarding import ShowConfig as ShowConfig
    from runner.domain.requests.onboarding import Version as Version
    from runner.domain.requests.sync import Sync as Sync
    from runner.domain.requests.sync import Update as Update


def __getattr__(name: str) -> Any:
    """The Controller or a request, imported now: `import runner` costs nothing."""
    if name == "Controller":
        from runner.controller.verbs import Controller

        return Controller
    if name[:1].isupper():
        from runner.controller.table import VERBS, request_of

        for verb, row in VERBS.items():
            if row.request == name:
                return request_of(verb)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from runner.controller.table import VERBS

    return ["Controller", "__version__", *(row.request for row in VERBS.values())]
