"""A channel against real pods: deadlines, repeats, tokens, TLS."""

import shutil
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import pytest
from tests.fakes.echo import Echo, counting, failure, method

from pinetune.pod.channel import ChannelSettings, connect
from pinetune.pod.errors import Denied, TimedOut, Unavailable
from pinetune.pod.server import Pod, PodSettings, RegisteredService, start
from pinetune.pod.tls import ClientTls

Serve = Callable[..., str]


def test_a_call_without_a_deadline_gets_one(serve: Serve) -> None:
    address = serve([Echo().registered()])
    with connect(address, settings=ChannelSettings(deadline_seconds=20.0)) as channel:
        # gRPC sends a deadline as a timeout and rounds it up.
        assert 0 < float(method(channel, "Deadline")(b"")) < 25
        assert 25 < float(method(channel, "Deadline")(b"", timeout=300)) < 310


def test_a_deadline_that_passes_is_timed_out(serve: Serve) -> None:
    with connect(serve([Echo().registered()]), settings=ChannelSettings(deadline_seconds=0.2)) as channel:
        assert type(failure(lambda: method(channel, "Wait")(b"0.5"))) is TimedOut


def test_nobody_there_is_unavailable() -> None:
    pod = start("test", PodSettings(grace_seconds=0.0), lambda _: [Echo().registered()])
    pod.close()
    with connect(pod.grpc_address) as channel:
        assert type(failure(lambda: method(channel, "Echo")(b""))) is Unavailable


def flaky(service: str, name: str, attempts: list[str]) -> RegisteredService:
    """A service whose method fails twice before it answers, and notes every attempt."""

    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        attempts.append(name)
        if attempts.count(name) < 3:
            raise Unavailable("the core is being loaded", reason="LOADING")
        return b"answer"

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {name: grpc.unary_unary_rpc_method_handler(handle)}
    handler = grpc.method_handlers_generic_handler(service, handlers)
    return RegisteredService(service, lambda server: server.add_generic_rpc_handlers((handler,)))


def test_a_safe_call_is_repeated_until_the_pod_has_recovered_and_another_is_not(serve: Serve) -> None:
    grading, learning = "pinetune.api.grading.v1.GradingService", "pinetune.api.learning.v1.LearningService"
    attempts: list[str] = []
    # Larger than gRPC's own buffer for repeats, as a batch to grade is.
    request = b"x" * 1_000_000
    with connect(serve([flaky(grading, "Grade", attempts), flaky(learning, "Update", attempts)])) as channel:
        grade: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{grading}/Grade")
        update: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{learning}/Update")
        assert grade(request) == b"answer"
        assert failure(lambda: update(request)).reason == "LOADING"
    assert attempts == ["Grade", "Grade", "Grade", "Update"]


def test_a_channel_waits_for_a_pod_that_is_starting_when_asked_to() -> None:
    asked = threading.Event()
    answers: list[bytes] = []

    def call(address: str) -> None:
        with connect(address) as channel:
            future = method(channel, "Echo").future(b"x", wait_for_ready=True)
            asked.set()
            answers.append(future.result(timeout=10))

    caller = threading.Thread(target=lambda: call(pods[0].grpc_address))
    pods: list[Pod] = []

    def start_up() -> None:
        caller.start()
        assert asked.wait(10)

    def build(pod: Pod) -> list[RegisteredService]:
        pods.append(pod)
        pod.add_startup(start_up)
        return [Echo().registered()]

    pod = start("test", PodSettings(grace_seconds=1.0), build)
    caller.join(10)
    pod.close()
    assert answers == [b"x"]


# Tokens


def test_a_pod_with_a_token_refuses_who_does_not_show_it(serve: Serve) -> None:
    address = serve([Echo().registered()], token="s3cret")
    with connect(address) as channel:
        missing = failure(lambda: method(channel, "Echo")(b"x"))
        stream = failure(lambda: list(counting(channel)(b"1")))
    with connect(address, token="guess") as channel:
        wrong = failure(lambda: method(channel, "Echo")(b"x"))
    with connect(address, token="s3cret") as channel:
        assert method(channel, "Echo")(b"x") == b"x"
    assert [type(error) for error in (missing, stream, wrong)] == [Denied] * 3
    assert [error.reason for error in (missing, stream, wrong)] == ["TOKEN_MISSING", "TOKEN_MISSING", "TOKEN_WRONG"]
    assert "s3cret" not in wrong.message


def test_a_caller_takes_the_token_from_its_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    address = serve([Echo().registered()], token="s3cret")
    monkeypatch.setenv("PINETUNE_TOKEN", "s3cret")
    with connect(address) as channel:
        assert method(channel, "Echo")(b"x") == b"x"


# TLS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two CAs (`ours`, `other`), from each a pod's certificate, a caller's and one for all."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates of these tests")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    (folder / "shared").write_text("subjectAltName=DNS:pinetune")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ours", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN={ca}")
        for owner, names in (("pod", "names"), ("caller", "names"), ("any", "shared")):
            name = f"{ca}-{owner}"
            openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            signer = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", names, "-days", "2")
            openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signer)
    return folder


def tls_of_pod(folder: Path) -> dict[str, Path]:
    return {"tls_certificate_file": folder / "ours-pod.pem", "tls_key_file": folder / "ours-pod.key"}


def test_a_pod_with_a_certificate_speaks_tls_to_who_trusts_its_ca(serve: Serve, certificates: Path) -> None:
    address = serve([Echo().registered()], **tls_of_pod(certificates))
    with connect(address, tls=ClientTls(certificates / "ours.pem")) as channel:
        assert method(channel, "Echo")(b"x") == b"x"
    with connect(address, tls=ClientTls(certificates / "other.pem")) as channel:
        assert type(failure(lambda: method(channel, "Echo")(b"x"))) is Unavailable
    with connect(address) as channel:
        assert type(failure(lambda: method(channel, "Echo")(b"x"))) is Unavailable


def test_mutual_tls_lets_in_callers_of_one_ca_only(serve: Serve, certificates: Path) -> None:
    settings = tls_of_pod(certificates) | {"tls_client_ca_file": certificates / "ours.pem"}
    address = serve([Echo().registered()], **settings)

    def caller(ca: str) -> ClientTls:
        return ClientTls(
            certificates / "ours.pem", certificates / f"{ca}-caller.pem", certificates / f"{ca}-caller.key"
        )

    with connect(address, tls=caller("ours")) as channel:
        assert method(channel, "Echo")(b"x") == b"x"
    for tls in (caller("other"), ClientTls(certificates / "ours.pem")):
        with connect(address, tls=tls) as channel:
            assert type(failure(partial(method(channel, "Echo"), b"x"))) is Unavailable


def test_a_caller_takes_its_certificate_from_its_environment(
    serve: Serve, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tls_of_pod(certificates) | {"tls_client_ca_file": certificates / "ours.pem"}
    address = serve([Echo().registered()], **settings)
    monkeypatch.setenv("PINETUNE_CLIENT_TLS_CA_FILE", str(certificates / "ours.pem"))
    monkeypatch.setenv("PINETUNE_CLIENT_TLS_CERTIFICATE_FILE", str(certificates / "ours-caller.pem"))
    monkeypatch.setenv("PINETUNE_CLIENT_TLS_KEY_FILE", str(certificates / "ours-caller.key"))
    with connect(address) as channel:
        assert method(channel, "Echo")(b"x") == b"x"


def test_one_certificate_serves_all_pods_under_a_name_that_callers_are_told(
    serve: Serve, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"tls_certificate_file": certificates / "ours-any.pem", "tls_key_file": certificates / "ours-any.key"}
    address = serve([Echo().registered()], **files)
    tls = ClientTls(certificates / "ours.pem")
    with connect(address, tls=tls) as channel:
        assert type(failure(lambda: method(channel, "Echo")(b"x"))) is Unavailable
    monkeypatch.setenv("PINETUNE_CLIENT_TLS_SERVER_NAME", "pinetune")
    with connect(address, tls=tls) as channel:
        assert method(channel, "Echo")(b"x") == b"x"


# Connections


def test_an_old_connection_is_ended_without_the_loss_of_a_call(serve: Serve) -> None:
    with connect(serve([Echo().registered()], connection_age_seconds=0.2)) as channel:
        waiting = method(channel, "Wait").future(b"1.0")
        peers: set[bytes] = set()
        while len(peers) < 3:
            peers.add(method(channel, "Peer")(b""))
        assert waiting.result() == b"waited"
