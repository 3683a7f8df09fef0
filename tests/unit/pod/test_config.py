"""Settings from variables and a file; every wrong one is named in a sentence."""

from pathlib import Path

import pytest
from pydantic import BaseModel, Field, SecretStr

from pinetune.pod.channel import ChannelSettings
from pinetune.pod.config import RoomSettings, load, read
from pinetune.pod.errors import InvalidInput


class Model(BaseModel, extra="forbid"):
    url: str = Field(pattern="^https?://")
    key_env: str = Field(default="KEY", pattern="^[A-Z_]+$")
    limit: int = Field(default=1, ge=1)


class GradingSettings(RoomSettings, env_prefix="PINETUNE_GRADING_"):
    threads: int = Field(default=4, ge=1)
    languages: tuple[str, ...] = ()
    models: dict[str, Model] = Field(default_factory=dict)
    password: SecretStr = Field(default=SecretStr("none"), max_length=4)


def sentences() -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read(GradingSettings)
    assert caught.value.reason == "INVALID_SETTINGS"
    return caught.value.message.splitlines()


def test_a_variable_sets_the_field_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "7")
    monkeypatch.setenv("PINETUNE_GRADING_LANGUAGES", '["en", "de"]')
    settings = read(GradingSettings)
    assert (settings.threads, settings.languages) == (7, ("en", "de"))


def test_an_override_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "7")
    assert read(GradingSettings, threads=2).threads == 2


def test_each_fault_is_one_sentence_with_variable_limit_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "-3")
    monkeypatch.setenv("PINETUNE_GRADING_THREDS", "3")
    assert sentences() == [
        "PINETUNE_GRADING_THREDS: no setting of that name; did you mean PINETUNE_GRADING_THREADS?",
        "PINETUNE_GRADING_THREADS: Input should be greater than or equal to 1; given '-3'.",
    ]


def test_a_list_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_LANGUAGES", "en,de")
    assert sentences() == ['PINETUNE_GRADING_LANGUAGES: write lists and tables as JSON, e.g. ["a", "b"].']


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_PASSWORD", "hunter2")
    (sentence,) = sentences()
    assert sentence.startswith("PINETUNE_GRADING_PASSWORD: ")
    assert "hunter2" not in sentence


def test_a_fault_of_all_settings_together_shows_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_TOKEN", "hunter2")
    monkeypatch.setenv("PINETUNE_CLIENT_TLS_KEY_FILE", "key.pem")
    with pytest.raises(InvalidInput, match="come together") as caught:
        read(ChannelSettings)
    assert "hunter2" not in str(caught.value)


def test_a_password_in_a_url_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "https://me:hunter2@example.com")
    (sentence,) = sentences()
    assert "valid integer" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize("name", ["PINETUNE_GARDING_THREADS", "PINETUNE_THREADS", "PINETUNE_GRADING_"])
def test_a_name_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    (sentence,) = sentences()
    assert sentence.startswith(f"{name}: no setting of that name")


@pytest.mark.parametrize("name", ["PINETUNE_TOKEN", "PINETUNE_POD_GRPC_PORT", "PINETUNE_JOBS_ANYTHING", "PATH_LIKE"])
def test_shared_names_and_those_of_other_rooms_are_not_this_rooms_business(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert read(GradingSettings).threads == 4


def test_what_kubernetes_sets_for_services_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    # As seen in a pod beside a Service called pinetune-grading with a port called grpc.
    for name, value in {
        "PINETUNE_GRADING_SERVICE_HOST": "10.0.0.7",
        "PINETUNE_GRADING_SERVICE_PORT": "50051",
        "PINETUNE_GRADING_SERVICE_PORT_GRPC": "50051",
        "PINETUNE_GRADING_PORT": "tcp://10.0.0.7:50051",
        "PINETUNE_GRADING_PORT_50051_TCP": "tcp://10.0.0.7:50051",
        "PINETUNE_GRADING_PORT_50051_TCP_PROTO": "tcp",
        "PINETUNE_GRADING_PORT_50051_TCP_PORT": "50051",
        "PINETUNE_GRADING_PORT_50051_TCP_ADDR": "10.0.0.7",
    }.items():
        monkeypatch.setenv(name, value)
    assert read(GradingSettings).threads == 4


def test_a_port_without_a_service_is_still_a_misspelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_PORT", "50051")
    assert len(sentences()) == 1


def test_the_file_sets_what_no_variable_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "pinetune.toml"
    path.write_text('[grading]\nthreads = 9\nlanguages = ["fr"]\n[jobs]\nwhatever = 1\n')
    monkeypatch.setenv("PINETUNE_CONFIG_FILE", str(path))
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "8")
    settings = read(GradingSettings)
    assert (settings.threads, settings.languages) == (8, ("fr",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[grading]\nthreds = 9\n", "PINETUNE_GRADING_THREDS: no setting of that name"),
        ("[garding]\nthreads = 9\n", "has 'garding' at its top"),
        ("threads = 9\n", "has 'threads' at its top"),
        ("[grading\n", "cannot be read as TOML"),
    ],
    ids=["key", "table", "top", "syntax"],
)
def test_a_fault_in_the_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "pinetune.toml"
    path.write_text(text)
    monkeypatch.setenv("PINETUNE_CONFIG_FILE", str(path))
    (line,) = sentences()
    assert sentence in line


@pytest.mark.parametrize(
    ("text", "key", "given"),
    [
        ('[grading.models."m.1"]\nurl = "htp://host/v1"\n', 'grading.models."m.1".url', "; given 'htp://host/v1'."),
        (
            '[grading.models.j]\nurl = "htp://me:hunter2@host"\n',
            "grading.models.j.url",
            "; given a text of 21 characters.",
        ),
        ('[grading.models.j]\nurl = "hunter2"\n', "grading.models.j.url", "; given a text of 7 characters."),
        ('[grading.models.j]\nurl = "http://h"\nkey_env = "hunter2"\n', "grading.models.j.key_env", "7 characters."),
        ('[grading.models.j]\nurl = "http://h"\nlimit = 0\n', "grading.models.j.limit", "; given 0."),
        (
            '[grading.models.j]\nurl = "http://h"\nkey = "hunter2"\n',
            "grading.models.j.key",
            ": no setting of that name.",
        ),
        ("[grading]\nthreads = 0\n", "grading.threads", "; given 0."),
    ],
    ids=["url", "password", "no url", "secret", "number", "unknown", "top"],
)
def test_a_wrong_value_of_the_file_is_named_by_file_and_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, key: str, given: str
) -> None:
    path = tmp_path / "pinetune.toml"
    path.write_text(text)
    monkeypatch.setenv("PINETUNE_CONFIG_FILE", str(path))
    (line,) = sentences()
    assert line.startswith(f"{path}: {key}: ")
    assert line.endswith(given)
    assert "hunter2" not in line


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PINETUNE_CONFIG_FILE", str(tmp_path / "absent.toml"))
    (line,) = sentences()
    assert "absent.toml" in line


def test_load_prints_the_sentences_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "many")
    with pytest.raises(SystemExit) as caught:
        load(GradingSettings)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("PINETUNE_GRADING_THREADS: Input should be a valid integer")


def test_settings_do_not_change_afterwards() -> None:
    settings = read(GradingSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.threads = 5


def test_settings_without_a_room_are_a_fault_of_ours() -> None:
    class Homeless(RoomSettings):
        threads: int = 1

    with pytest.raises(TypeError, match="env_prefix"):
        read(Homeless)
