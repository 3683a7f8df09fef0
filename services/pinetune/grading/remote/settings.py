"""Where the token of a remote grader is written: one table of the settings an endpoint.

[grading.remote_tokens."https://graders.example.com/team"]   # an entry of remote_endpoints, as it stands there
token_env = "TEAM_GRADERS_TOKEN"                             # or token_file; never the token itself
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pinetune.grading.key_places import VARIABLE, read_key


class RemoteToken(BaseModel):
    """The place of one token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_env: str | None = Field(default=None, pattern=VARIABLE)
    """Name of the environment variable that holds it."""
    token_file: Path | None = None
    """File that holds it, for secrets that are mounted; instead of `token_env`."""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.token_env is None) == (self.token_file is None):
            raise ValueError("give either token_env or token_file")
        return self

    def read(self, endpoint: str) -> str | None:
        """Read the token; raises InvalidInput REMOTE_TOKEN_UNREADABLE."""
        return read_key(endpoint, env=self.token_env, file=self.token_file, reason="REMOTE_TOKEN_UNREADABLE")
