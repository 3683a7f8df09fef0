"""The settings of every pod: what belongs together is checked together."""

from pathlib import Path

import pytest

from pinetune.pod.channel import ChannelSettings
from pinetune.pod.config import read
from pinetune.pod.errors import InvalidInput
from pinetune.pod.settings import PodSettings
from pinetune.pod.tls import ClientTls, ServerTls


def test_without_variables_a_pod_listens_on_this_machine_only_and_asks_for_no_token() -> None:
    settings = read(PodSettings)
    assert (settings.host, settings.grpc_port, settings.token_text(), settings.tls()) == ("127.0.0.1", 0, None, None)


def test_pods_and_callers_read_the_same_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_TOKEN", "s3cret")
    caller = read(ChannelSettings).token
    assert caller is not None
    assert read(PodSettings).token_text() == caller.get_secret_value() == "s3cret"


def test_an_empty_token_is_refused_rather_than_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_TOKEN", "")
    with pytest.raises(InvalidInput, match="PINETUNE_TOKEN"):
        read(PodSettings)


def test_the_token_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    assert read(PodSettings, token_file=path).token_text() == "s3cret"


@pytest.mark.parametrize("content", [None, " \n"], ids=["absent", "empty"])
def test_a_token_file_without_a_token_never_means_no_token(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidInput, match="no token in"):
        read(PodSettings, token_file=path).token_text()


@pytest.mark.parametrize(
    "fields",
    [
        {"tls_certificate_file": Path("c")},
        {"tls_key_file": Path("k")},
        {"tls_client_ca_file": Path("ca")},
        {"token": "a", "token_file": Path("t")},
    ],
    ids=["certificate", "key", "client CA", "two tokens"],
)
def test_half_a_setting_of_a_pod_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        read(PodSettings, **fields)


@pytest.mark.parametrize(
    "fields",
    [{"tls_certificate_file": Path("c")}, {"tls_certificate_file": Path("c"), "tls_key_file": Path("k")}],
    ids=["no key", "no CA"],
)
def test_half_a_setting_of_a_caller_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        read(ChannelSettings, **fields)


def test_a_tls_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"key file .*absent"):
        ServerTls(tmp_path / "certificate", tmp_path / "absent").credentials()
    with pytest.raises(InvalidInput, match=r"CA file .*absent"):
        ClientTls(tmp_path / "absent").credentials()
