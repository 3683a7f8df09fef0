"""Which addresses a remote grader may call: by parts, since a prefix of a text is no border."""

import pytest

from pinetune.grading.remote.endpoints import AllowedEndpoints
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
