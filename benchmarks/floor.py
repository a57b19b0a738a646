"""The least that an instance costs: a worktree, and the same container through docker-py.

    python benchmarks/floor.py REPOSITORY IMAGE PORT NAME...

One plain script, nothing around it. With several names the worktrees are added one by one and
the containers started in parallel, as `treedock up` with several ids does it.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import docker

LABEL = "treedock-benchmark"


def main(repository: str, image: str, first_port: int, names: list[str]) -> None:
    api = docker.APIClient(version="auto")
    for name in names:
        branch = f"floor/{name}"
        tree = f"{repository}/floor/{name}"
        subprocess.run(
            ["git", "worktree", "add", "-q", "-b", branch, tree], cwd=repository, check=True
        )

    def start(at: int) -> None:
        ports = [first_port + at, first_port + 100 + at]
        host = api.create_host_config(
            init=True,
            binds=[f"{repository}/floor/{names[at]}:/workspace"],
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=2**31,
            memswap_limit=2**31,
            nano_cpus=2 * 10**9,
            pids_limit=512,
            network_mode="treedock",
            port_bindings={port: ("127.0.0.1", port) for port in ports},
        )
        made = api.create_container(
            image, ["sleep", "infinity"], host_config=host, ports=ports, labels={LABEL: "floor"}
        )
        api.start(made["Id"])

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        list(pool.map(start, range(len(names))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
