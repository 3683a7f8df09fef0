"""Who may end a pod's process, and how the main thread hears of it: signals, the end of stdin, the pod itself.

Python runs signal handlers in the main thread between two instructions, also in the middle of `Event.set`; so a handler
here takes no lock. It fills a `SimpleQueue`, which allows that, or interrupts the startup with an exception.
"""

import os
import queue
import signal
import threading
from types import FrameType

STDIN = 0
LOOK_SECONDS = 1.0


class StartupInterrupted(BaseException):
    """The pod was asked to stop while it was starting; not an Exception, so that no library's handler eats it."""


class StopRequests:
    """Collects requests to stop; `wait` returns the reason of the first."""

    def __init__(self) -> None:
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._starting = False
        self._phase_change = threading.Lock()

    def ask(self, reason: str) -> None:
        """Ask the pod to stop, from any thread; asking again changes nothing."""
        self._reasons.put(reason)
        with self._phase_change:
            if self._starting:
                # The main thread may be loading weights; only a signal gets it out of there.
                os.kill(os.getpid(), signal.SIGTERM)

    def wait(self) -> str:
        """Return why the pod is to stop, once it is."""
        while True:
            try:
                # Not without end: a signal between the last look of Python and the wait itself is handled only once the
                # wait is over.
                return self._reasons.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue

    def listen_to_signals(self) -> None:
        """Take SIGTERM and SIGINT as requests, in the main thread; a second one of a kind ends the process at once."""
        self._starting = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def listen_to_stdin(self) -> None:
        """Take the end of stdin as a request: a child whose parent is gone, even by kill -9, reads it."""
        threading.Thread(target=self._read_stdin, name="stdin", daemon=True).start()

    def startup_is_over(self) -> None:
        """Interrupt nothing any more; requests wait for `wait`."""
        with self._phase_change:
            self._starting = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._reasons.put(signal.Signals(number).name)
        if self._starting:
            self._starting = False
            raise StartupInterrupted
        signal.signal(number, signal.SIG_DFL)

    def _read_stdin(self) -> None:
        # Not sys.stdin: at exit the interpreter would wait for the lock that a blocked read holds on it.
        while os.read(STDIN, 4096):
            pass
        self.ask("stdin ended")
