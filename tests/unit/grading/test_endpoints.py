"""Which addresses a remote grader may call: by parts, since a prefix of a text is no border."""

import json
from pathlib import Path

import pytest

from pinetune.grading.config import GradingSettings
from pinetune.grading.remote.endpoints import AllowedEndpoints
from pinetune.grading.remote.settings import RemoteToken
from pinetune.pod.config import read
from pinetune.pod.errors import InvalidInput

ALLOWED = AllowedEndpoints(["https://graders.example.com/team", "grpc://10.0.0.7:50051", "http://[::1]:8080"])


@pytest.mark.parametrize(
    "address",
    [
        "https://graders.example.com/team",
        "https://graders.example.com/team/",
        "https://graders.example.com:443/team/spelling?strict=1",
        "https://GRADERS.example.com/team/a.b",
        "grpc://10.0.0.7:50051",
        "http://[::1]:8080/grade",
    ],
)
def test_an_address_at_or_below_an_allowed_one_may_be_called(address: str) -> None:
    assert ALLOWED.endpoint(address).text == address


@pytest.mark.parametrize(
    "address",
    [
        "https://graders.example.com.elsewhere.org/team",
        "https://graders.example.com/teams",
        "https://graders.example.com/",
        "https://graders.example.com:8443/team",
        "http://graders.example.com/team",
        "https://example.com/team",
        "grpc://10.0.0.7:50052",
        "grpcs://10.0.0.7:50051",
        "grpc://10.0.0.77:50051",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_any_other_address_is_refused_with_the_way_to_allow_it(address: str) -> None:
    with pytest.raises(InvalidInput, match="PINETUNE_GRADING_REMOTE_ENDPOINTS") as caught:
        ALLOWED.endpoint(address)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("ENDPOINT_NOT_ALLOWED", "endpoint")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "graders.example.com/team",
        "ftp://graders.example.com/team",
        "https://graders.example.com@elsewhere.org/team",
        "https://user:word@graders.example.com/team",
        "https://graders.example.com/team/../admin",
        "https://graders.example.com/team/..;/admin",
        "https://graders.example.com/team/%2e%2e/admin",
        "https://graders.example.com\\@elsewhere.org/team",
        "https://graders.example.com/team#part",
        "https://graders.example.com/team\r\nHost: elsewhere",
        "https://graders.example.com/team\n",
        "https://graders.example.com:0/team",
        "https://graders.example.com:99999/team",
        "https://gr\u0430ders.example.com/team",
        "grpc://10.0.0.7",
        "grpc://10.0.0.7:50051/path",
        "grpc:///var/run/socket",
        "unix:/var/run/socket",
    ],
)
def test_what_programs_may_read_differently_is_no_address(address: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ALLOWED.endpoint(address)
    assert caught.value.reason == "ENDPOINT_INVALID"


def test_nothing_is_allowed_unless_it_is_named() -> None:
    with pytest.raises(InvalidInput, match="allowed are: none"):
        AllowedEndpoints([]).endpoint("https://graders.example.com/team")


def test_a_setting_that_is_no_address_is_a_fault_of_the_settings() -> None:
    with pytest.raises(InvalidInput, match=r"REMOTE_ENDPOINTS\[1\]") as caught:
        AllowedEndpoints(["https://a.org", "*"])
    assert caught.value.reason == "INVALID_SETTINGS"


def test_a_setting_that_is_no_address_is_not_repeated_since_it_may_hold_a_password() -> None:
    with pytest.raises(InvalidInput) as caught:
        AllowedEndpoints(["https://me:secret@graders.example.com"])
    assert "secret" not in str(caught.value)


def test_the_token_of_the_nearest_entry_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "of the team")
    (tmp_path / "token").write_text("of all\n")
    all_of_it, team, other = "https://a.org", "https://a.org/team", "https://b.org"
    tokens = {all_of_it: RemoteToken(token_file=tmp_path / "token"), team: RemoteToken(token_env="TEAM_TOKEN")}
    allowed = AllowedEndpoints([all_of_it, team, other], tokens)
    addresses = [f"{team}/grade", f"{all_of_it}/teams", other]
    assert [allowed.token(allowed.endpoint(each)) for each in addresses] == ["of the team", "of all", None]


@pytest.mark.parametrize("endpoint", ["grpc://10.0.0.7:50051", "http://graders.example.com", "http://127.0.0.1.a.org"])
def test_a_token_that_others_could_read_on_the_way_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInput, match="unencrypted") as caught:
        AllowedEndpoints([endpoint], {endpoint: RemoteToken(token_env="TEAM_TOKEN")})
    assert caught.value.reason == "INVALID_SETTINGS"


@pytest.mark.parametrize(
    "endpoint",
    ["grpcs://10.0.0.7:50051", "https://a.org", "grpc://localhost:1", "http://127.0.0.7:8080/x", "http://[::1]:8080"],
)
def test_a_token_goes_where_it_is_encrypted_or_stays_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "secret")
    allowed = AllowedEndpoints([endpoint], {endpoint: RemoteToken(token_env="TEAM_TOKEN")})
    assert allowed.token(allowed.endpoint(endpoint)) == "secret"


def test_a_token_of_an_address_that_is_not_allowed_is_a_fault_of_the_settings() -> None:
    with pytest.raises(InvalidInput, match=r"REMOTE_TOKENS\['https://b.org'\].*these are: https://a.org"):
        AllowedEndpoints(["https://a.org"], {"https://b.org": RemoteToken(token_env="TEAM_TOKEN")})


def test_a_token_that_is_not_there_is_a_fault_of_the_settings() -> None:
    with pytest.raises(InvalidInput, match="NO_SUCH_TOKEN") as caught:
        AllowedEndpoints(["https://a.org"], {"https://a.org": RemoteToken(token_env="NO_SUCH_TOKEN")})
    assert caught.value.reason == "REMOTE_TOKEN_UNREADABLE"


@pytest.mark.parametrize("places", [{}, {"token_env": "A", "token_file": "b"}, {"token": "sk-secret"}])
def test_a_token_has_one_place_and_is_never_written_in_the_settings(
    monkeypatch: pytest.MonkeyPatch, places: dict[str, str]
) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_REMOTE_TOKENS", json.dumps({"https://a.org": places}))
    with pytest.raises(InvalidInput, match="PINETUNE_GRADING_REMOTE_TOKENS") as caught:
        read(GradingSettings)
    assert "sk-secret" not in str(caught.value)
