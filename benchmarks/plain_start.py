"""The floor under `treedock up`: what no tool can save, in one plain script.

    plain_start.py REPOSITORY WISHES.json

For each wish: `git worktree add`, then create and start a container through docker-py, all starts
at once. A wish is {"branch", "worktree", "name", "container"}; `container` is the body of the
engine's create call, taken from an instance of treedock's, so it is the same container. A wish
without "branch" starts its container only; "beside" is one more container, in the network
namespace of the first.
"""

import json
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import docker
from docker.errors import DockerException

failed = False


def start(engine: Any, wish: dict[str, Any]) -> None:
    global failed
    try:
        made = engine.create_container_from_config(wish["container"], wish["name"])
        engine.start(made["Id"])
        if "beside" in wish:
            wish["beside"]["HostConfig"]["NetworkMode"] = f"container:{made['Id']}"
            beside = engine.create_container_from_config(wish["beside"], f"{wish['name']}-beside")
            engine.start(beside["Id"])
    except DockerException as error:
        print(error, file=sys.stderr)
        failed = True


repository, wishes = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
for wish in wishes:
    if "branch" in wish:
        add = ["git", "-C", repository, "worktree", "add", "-q", "-b", wish["branch"]]
        subprocess.run([*add, wish["worktree"]], check=True)
engine = docker.APIClient(version="auto")
threads = [Thread(target=start, args=(engine, wish)) for wish in wishes]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(failed)
