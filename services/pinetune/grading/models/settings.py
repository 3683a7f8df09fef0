"""How a model that graders ask is reached, and how much it may be used: one table of the settings a model.

[grading.models."gpt-4.1"]              # the name that graders use
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"          # the variable that holds the key; never the key itself
token_budget = 5_000_000
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pinetune.grading.key_places import VARIABLE, read_key


class ModelSettings(BaseModel):
    """A model behind an openai-compatible endpoint, or behind a generation service of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^(https?://\S+|grpcs?://[^/\s]+:\d+)$")
    """`https://host/v1` of an openai-compatible server, or `grpc://host:port` of a generation service."""
    model: str = ""
    """What the server calls the model; empty for the name that graders use. A generation service has just one."""
    api_key_env: str | None = Field(default=None, pattern=VARIABLE)
    """Name of the environment variable that holds the API key."""
    api_key_file: Path | None = None
    """File that holds the API key, for secrets that are mounted; instead of `api_key_env`."""
    concurrency: int = Field(default=8, ge=1, le=1024)
    """Questions asked at once; further ones wait."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """Longest wait for one reply."""
    request_budget: int | None = Field(default=None, ge=1)
    """Requests that this process may send in all; None for no bound."""
    token_budget: int | None = Field(default=None, ge=1)
    """Tokens, of prompts and replies, that this process may use in all; None for no bound."""
    tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """How the server calls the bound on a reply's tokens; older servers know `max_tokens` only."""
    cache_entries: int = Field(default=4096, ge=0)
    """Replies kept, so that equal questions are asked once; an embedding of 3,072 numbers takes 24 kB. 0 for none."""

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.api_key_env is not None and self.api_key_file is not None:
            raise ValueError("api_key_env and api_key_file are two places for one key; give one")
        if self.is_generation_service and (self.api_key_env or self.api_key_file):
            raise ValueError("a generation service takes PINETUNE_TOKEN and no API key")
        return self

    @property
    def is_generation_service(self) -> bool:
        """True where `base_url` names a generation service."""
        return self.base_url.startswith("grpc")

    def api_key(self) -> str | None:
        """Read the API key, None where the server needs none; raises InvalidInput API_KEY_UNREADABLE."""
        return read_key(self.base_url, env=self.api_key_env, file=self.api_key_file, reason="API_KEY_UNREADABLE")
