"""A process that closed its network to itself."""

from __future__ import annotations

import socket
import subprocess
import sys

SCRIPT = """
import socket, sys
from agentflow.guard.offline import forbid
forbid()
port = int(sys.argv[1])
datagram = socket.socket(type=socket.SOCK_DGRAM)
ways = [
    lambda: socket.create_connection(("127.0.0.1", port)),
    lambda: socket.getaddrinfo("example.com", 443),
    lambda: socket.gethostbyname("example.com"),
    lambda: datagram.sendto(b"x", ("127.0.0.1", port)),
    lambda: datagram.sendmsg([b"x"], [], 0, ("127.0.0.1", port)),
    lambda: socket.socket().bind(("127.0.0.1", 0)),
]
for number, way in enumerate(ways):
    try:
        way()
    except PermissionError:
        continue
    raise SystemExit(f"way {number} was open")
one, other = socket.socketpair()
one.sendall(b"x")
assert other.recv(1) == b"x"
print("closed")
"""


def test_no_way_out_is_left_but_the_file_systems() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(server.getsockname()[1])],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("closed\n", 0), done.stderr
