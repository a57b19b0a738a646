"""The values an instance gets, and the text of its .ports.env and .env."""

import re
from collections.abc import Mapping

from runner.domain.errors import ConfigError
from runner.domain.sizes import shown_size

PORTS_FILE = ".ports.env"
ENV_FILE = ".env"
ENV_BYTES = 2**20  # of an .env file; one with keys and certificates is larger than 64 KiB
LONGEST = 120 * 2**10  # bytes
BLOCK_START = "# >>> treedock: generated, replaced by every `treedock up` >>>"
BLOCK_END = "# <<< treedock <<<"

_VARIABLE = re.compile(r"\$(?:(\$)|\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
# Variables with which a shell, a loader, an interpreter or a tool finds code, or is told to run
# some: by name, or by the beginning of the name. Not compiled here: `list` imports this.
_LOADERS = (
    r"PATH|IFS|PS4|CDPATH|PROMPT_COMMAND|SHELL(OPTS)?|HOME|TMPDIR|ZDOTDIR|LOCPATH|GCONV_PATH|CC|CXX"
    r"|CLASSPATH|EDITOR|VISUAL|PAGER|BROWSER|VIRTUAL_ENV|PHPRC|NODE_(?!ENV$).*"
    r"|GO(PATH|ROOT|FLAGS|ENV|PROXY|BIN|TOOLCHAIN|SUMDB)|RUST(C|UP|DOC|FLAGS).*"
    r"|(BASH|PYTHON|PERL|RUBY|MAKE|LUA)[A-Z0-9_].*"
    r"|(LD|DYLD|GLIBC|MALLOC|PYTEST|COVERAGE|TOX|NOX|PIP|UV|CONDA|POETRY|PDM|PIPENV|NPM|npm|YARN"
    r"|PNPM|COREPACK|BUN|DENO|TS_NODE|TSX|JEST|VITEST|GEM|BUNDLE|RAKE|PHP_INI|COMPOSER|JAVA|_JAVA"
    r"|JDK|MAVEN|MVN|GRADLE|KOTLIN|SBT|CARGO|CMAKE|CTEST|GTEST|SPEC|R|MYPY|RUFF|GIT|SSH|XDG|DOTNET"
    r"|COR|ERL|MIX)_.*|MYPYPATH"
)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


def port_variable(name: str) -> str:
    """The variable that carries a port: 'backend' -> 'BACKEND_PORT'."""
    return name.upper().replace("-", "_") + "_PORT"


def one_argument(text: str) -> str:
    """A text that a program can get as an argument or a variable: Linux allows 128 KiB
    (MAX_ARG_STRLEN), the variable's name with it. Raises ValueError."""
    size = len(text.encode(errors="surrogateescape"))
    if size > LONGEST:
        raise ValueError(
            f"has {shown_size(size)}; a command or variable holds at most {shown_size(LONGEST)}. "
            "Put it into a file"
        )
    return text


def require_one_argument(where: str, text: str) -> None:
    """The same, with a ConfigError that says `where` it stands."""
    try:
        one_argument(text)
    except ValueError as error:
        raise ConfigError(f"{where} {error}.", hint="Name that file in its place.") from None


def values_of(instance: str, ports: Mapping[str, int], added: Mapping[str, str]) -> dict[str, str]:
    """Everything treedock tells the app: its ports, its id, and `env.set` with ${...} filled in.

    Raises ConfigError for a variable that is not known.
    """
    values = {port_variable(name): str(port) for name, port in ports.items()}
    values["TREEDOCK_ID"] = instance
    for key, template in added.items():
        values[key] = expand(template, values, f"env.set.{key}")
        require_one_argument(f"env.set.{key}", values[key])
    return values


def expand(template: str, values: Mapping[str, str], where: str) -> str:
    """`template` with ${NAME} and $NAME replaced from `values`; `$$` is a dollar sign.

    `where` names the key for the ConfigError that an unknown name raises.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2] if match[2] is not None else match[3]
        if name not in values:
            raise ConfigError(
                f"{where}: ${{{name}}} is not known here.",
                hint=f"Known are: {', '.join(sorted(values))}. Write $$ for a dollar sign.",
            )
        return values[name]

    return _VARIABLE.sub(replace, template)


def rewritten(data: bytes, checkout: str, worktree: str) -> bytes:
    """`data` with the path of the checkout turned into the worktree's. A longer name that begins
    the same (`shop2` for `shop`) stays."""
    old, new = (path.encode(errors="surrogateescape") for path in (checkout, worktree))
    return re.sub(re.escape(old) + rb"(?![\w\x80-\xff-]|\.\w)", lambda match: new, data)


def without_loaders(given: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """`given` with the variables that decide which code is found or run as `own` has them: what
    it lacks is left out."""
    found = {key: value for key, value in given.items() if not re.fullmatch(_LOADERS, key)}
    return found | {key: own[key] for key in given if key in own and key not in found}


def render_ports_env(values: Mapping[str, str]) -> str:
    """The text of `.ports.env`: one assignment a line, for shells and dotenv readers alike."""
    return "".join(f"{key}={_quoted(value)}\n" for key, value in values.items())


def with_block(text: str, values: Mapping[str, str]) -> str:
    """`text` (an .env file) with the values in one marked block at its end.

    A block that is there is replaced, so a second run changes nothing. Lines outside the block
    are kept byte for byte, also those after a start mark whose end mark someone deleted.
    """
    own = f"{BLOCK_START}\n{render_ports_env(values)}{BLOCK_END}\n"
    before, start, rest = text.partition(BLOCK_START + "\n")
    if start:
        inside, end, after = rest.partition(BLOCK_END + "\n")
        if end:
            return before + own + after
        keys = tuple(f"{key}=" for key in values)
        kept = [line for line in inside.splitlines(keepends=True) if not line.startswith(keys)]
        text = before + "".join(kept)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + own


def without_block(text: str) -> str:
    """`text` without the block that with_block put there."""
    before, start, rest = text.partition(BLOCK_START + "\n")
    _, end, after = rest.partition(BLOCK_END + "\n")
    return before + after if start and end else text


def _quoted(value: str) -> str:
    """The value as `sh` and python-dotenv both read it.

    dotenv has escapes in single quotes too, and in double quotes none for $ and `. A value with
    one of those and with a quote or backslash suits only one reader: the shell's rules win.
    """
    if _PLAIN.fullmatch(value):
        return value
    expands = "$" in value or "`" in value
    if "'" not in value and (expands or "\\" not in value):
        return f"'{value}'"
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'"{escaped}"'
