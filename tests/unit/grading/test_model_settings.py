"""Judge models in the settings: where their keys are, and that no key is told."""

import json
from pathlib import Path

import pytest

from pinetune.grading.config import GradingSettings
from pinetune.grading.models.judge import JudgeAsker
from pinetune.grading.models.settings import ModelSettings
from pinetune.pod.config import read
from pinetune.pod.errors import InvalidInput

URL = "https://api.example.com/v1"


def test_models_stand_in_tables_of_the_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "pinetune.toml"
    path.write_text(f'[grading.models."gpt-4.1"]\nbase_url = "{URL}"\ntoken_budget = 5_000\n')
    monkeypatch.setenv("PINETUNE_CONFIG_FILE", str(path))
    assert read(GradingSettings).models == {"gpt-4.1": ModelSettings(base_url=URL, token_budget=5000)}


def test_models_may_stand_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_MODELS", json.dumps({"judge": {"base_url": "grpc://judge:50051"}}))
    assert read(GradingSettings).models["judge"].is_generation_service


def test_a_key_written_where_its_place_belongs_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"judge": {"base_url": URL, "api_key": "sk-very-secret"}}
    monkeypatch.setenv("PINETUNE_GRADING_MODELS", json.dumps(models))
    with pytest.raises(InvalidInput) as caught:
        read(GradingSettings)
    assert str(caught.value) == "PINETUNE_GRADING_MODELS['judge']['api_key']: no setting of that name."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELS", {"gpt": {"api_key": "sk-very-secret"}}),
        ("MODELS", {"gpt": {"base_url": URL, "api_key": {"value": "sk-very-secret"}}}),
        ("MODELS", {"gpt": "sk-very-secret"}),
        ("MODELS", {"gpt": ["sk-very-secret"]}),
        ("MODELS", "sk-very-secret"),
        ("MODELS", ["sk-very-secret"]),
        ("MODELS", {"gpt": {"base_url": "ftp://me:sk-very-secret@api.example.com"}}),
        ("MODELS", {"gpt": {"base_url": URL, "concurrency": "sk-very-secret"}}),
        ("MODELS", {"gpt": {"base_url": URL, "api_key_env": "A", "api_key_file": "sk-very-secret"}}),
        ("MODELS", {"gpt": {"base_url": URL, "api_key_env": "sk-very-secret"}}),
        ("EMBEDDING_MODEL", {"model": "e", "api_key": "sk-very-secret"}),
        ("EMBEDDING_MODEL", "sk-very-secret"),
        ("REMOTE_ENDPOINTS", [{"https://a.org": "sk-very-secret"}]),
        ("REMOTE_ENDPOINTS", "sk-very-secret"),
    ],
)
def test_a_key_that_is_written_at_a_wrong_place_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setenv(f"PINETUNE_GRADING_{name}", json.dumps(value))
    with pytest.raises(InvalidInput) as caught:
        read(GradingSettings)
    assert f"PINETUNE_GRADING_{name}" in str(caught.value)
    assert "sk-very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"base_url": "api.example.com"}, "['base_url']"),
        ({"base_url": "grpc://judge"}, "['base_url']"),
        ({"base_url": URL, "concurrency": 0}, "['concurrency']"),
        ({"base_url": URL, "api_key_env": "A", "api_key_file": "b"}, "two places for one key"),
        ({"base_url": "grpc://judge:1", "api_key_env": "A"}, "PINETUNE_TOKEN and no API key"),
    ],
    ids=["no_scheme", "no_port", "concurrency", "two_keys", "key_for_grpc"],
)
def test_a_fault_of_a_model_is_named(monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], sentence: str) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_MODELS", json.dumps({"judge": fields}))
    with pytest.raises(InvalidInput) as caught:
        read(GradingSettings)
    assert sentence in str(caught.value)
    assert "PINETUNE_GRADING_MODELS['judge']" in str(caught.value)


def test_a_key_comes_from_its_variable_or_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-1\n")
    path = tmp_path / "key"
    path.write_text("sk-2\n")
    assert ModelSettings(base_url=URL, api_key_env="JUDGE_KEY").api_key() == "sk-1"
    assert ModelSettings(base_url=URL, api_key_file=path).api_key() == "sk-2"
    assert ModelSettings(base_url=URL).api_key() is None


@pytest.mark.parametrize("key", [None, " ", "sk-1\nsk-2", "sk-é"], ids=["absent", "blank", "lines", "letters"])
def test_a_key_that_is_missing_or_no_header_is_an_error_that_does_not_tell_it(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key is not None:
        monkeypatch.setenv("JUDGE_KEY", key)
    with pytest.raises(InvalidInput, match="JUDGE_KEY") as caught:
        ModelSettings(base_url=URL, api_key_env="JUDGE_KEY").api_key()
    assert caught.value.reason == "API_KEY_UNREADABLE"
    assert "sk-" not in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    settings = GradingSettings(models={"judge": ModelSettings(base_url="https://me:secret@api.example.com/v1")})
    with pytest.raises(InvalidInput, match="api_key_env") as caught:
        JudgeAsker(settings)
    assert "secret" not in str(caught.value)
