"""Free ports of this machine, chosen before the processes start that will listen on them."""

import contextlib
import logging
import socket
from collections.abc import Iterable

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that nobody listens on now.

    Another process may still take one before its owner does; that one then refuses to start, and is started again.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]


class HeldPorts:
    """Ports kept free for processes that may start hours later: bound, so that the kernel gives them to nobody else."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def hold(self, ports: Iterable[int]) -> None:
        """Keep the ports; one that somebody has taken is logged, and its process will say so when it starts."""
        for port in ports:
            one = socket.socket()
            # The process that had it may have left connections that still wait for their end.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((LOOPBACK, port))
            except OSError as error:
                one.close()
                log.warning("port %d is not kept for its process: %s", port, error)
            else:
                self._sockets[port] = one

    def release(self, ports: Iterable[int]) -> None:
        """Give the ports to the process that starts now."""
        for port in ports:
            if port in self._sockets:
                self._sockets.pop(port).close()

    def close(self) -> None:
        """Give up all of them."""
        self.release(tuple(self._sockets))
