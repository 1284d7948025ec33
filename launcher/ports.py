"""Loopback ports for servers that are about to start.

What lives here: finding free ones. What never does: holding them; between the answer and the
server's start another program may take one.
"""

import contextlib
import socket


def free_ports(count: int, *, below: int = 65536) -> list[int]:
    """Loopback ports that are free now, all different and less than ``below``."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:  # all at once: a port given back may be given again
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if port < below:
                ports.append(port)
    return ports


def free_port() -> int:
    """A loopback port that is free now."""
    return free_ports(1)[0]
