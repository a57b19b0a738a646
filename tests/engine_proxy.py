"""A way to the real engine that is cut off after so many connections.

    python -m tests.engine_proxy SOCKET CONNECTIONS

A process of its own: what is cut off has nothing to tidy up. It prints a line when it is ready.
"""

import contextlib
import socket
import sys
import threading

ENGINE = "/var/run/docker.sock"


def main(path: str, allowed: int) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    print("ready", flush=True)
    while True:
        client, _ = server.accept()
        if allowed <= 0:
            client.close()
            continue
        allowed -= 1
        threading.Thread(target=join, args=(client,), daemon=True).start()


def join(client: socket.socket) -> None:
    """Pass on all that a client and the engine say to each other, until both have ended."""
    with client, socket.socket(socket.AF_UNIX) as engine:
        engine.connect(ENGINE)
        back = threading.Thread(target=pass_on, args=(engine, client), daemon=True)
        back.start()
        pass_on(client, engine)
        back.join()


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
