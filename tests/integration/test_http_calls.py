"""HTTP requests to servers that are slow in every way there is: the time that a caller gives holds for all of it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.fakes.openai_api import HANGS, OpenaiApi, Reply

from pinetune.grading.http_calls import HttpCaller, NoReplyError

PIECE_SECONDS = 0.02
Drip = Callable[[bytes, bytes], str]


@pytest.fixture
def caller() -> Iterator[HttpCaller]:
    made = HttpCaller()
    yield made
    made.close()


@pytest.fixture
def drip() -> Iterator[Drip]:
    """A function that starts a server and returns its URL: it sends one text at once, another again and again."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:

        def start(begin: bytes, piece: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    stack.enter_context(connection)
                    connection.sendall(begin)
                    while not over.wait(PIECE_SECONDS):
                        connection.sendall(piece)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join)
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"

        yield start
        over.set()


def post(caller: HttpCaller, url: str, body: bytes = b"{}", *, seconds: float = 30.0) -> bytes:
    return caller.post_json(url, body, headers={}, seconds=seconds, bytes_max=1000).body


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"{"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"{"),
    ],
    ids=["header", "headers", "continue", "body", "body_without_length"],
)
def test_a_server_that_drips_is_given_up_when_the_time_is_over(
    caller: HttpCaller, drip: Drip, begin: bytes, piece: bytes
) -> None:
    with pytest.raises(NoReplyError, match=r"within 0.2 s") as caught:
        post(caller, drip(begin, piece), seconds=0.2)
    assert caught.value.timed_out


def test_a_server_that_drips_its_handshake_is_given_up_too(caller: HttpCaller, drip: Drip) -> None:
    # A record of a handshake of 16,000 bytes, of which one comes at a time.
    url = drip(b"\x16\x03\x03\x3e\x80\x02", b"\x00").replace("http:", "https:")
    with pytest.raises(NoReplyError) as caught:
        post(caller, url, seconds=0.2)
    assert caught.value.timed_out


def test_a_server_that_does_not_read_is_given_up(caller: HttpCaller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(NoReplyError) as caught:
        post(caller, f"http://127.0.0.1:{listener.getsockname()[1]}/", b"x" * 50_000_000, seconds=0.2)
    assert caught.value.timed_out


def test_the_caller_goes_on_after_a_server_was_given_up(caller: HttpCaller) -> None:
    with OpenaiApi() as api:
        api.script += [HANGS]
        with pytest.raises(NoReplyError):
            post(caller, api.url, seconds=0.1)
        api.otherwise = lambda body: Reply(b"fine")
        assert [post(caller, api.url) for _ in range(3)] == [b"fine"] * 3


def test_a_connection_is_used_again(caller: HttpCaller) -> None:
    with OpenaiApi() as api:
        for _ in range(3):
            post(caller, api.url)
        assert len({seen.peer for seen in api.seen}) == 1


def test_a_request_that_is_under_way_ends_when_its_caller_is_closed(caller: HttpCaller) -> None:
    with OpenaiApi() as api:
        asked = threading.Event()

        def answer(body: object) -> Reply:
            asked.set()
            return HANGS

        api.otherwise = answer

        def close() -> None:
            assert asked.wait(30)
            caller.close()

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(NoReplyError, match="closed") as caught:
            post(caller, api.url)
        closing.join()
    assert not caught.value.timed_out
    with pytest.raises(NoReplyError, match="closed"):
        post(caller, api.url)


def test_a_server_that_speaks_no_tls_is_no_server(caller: HttpCaller) -> None:
    with OpenaiApi() as api, pytest.raises(NoReplyError) as caught:
        post(caller, api.url.replace("http:", "https:"))
    assert not caught.value.timed_out
