"""What a listener has heard of a call's completions, so that he hears each token once and none that is cut later."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pinetune.generation.engine import Caller
from pinetune.generation.samples import SampledCompletion, SampledTokens


@dataclass
class Listening:
    """Tells one call's listener of tokens; of nothing where nobody listens."""

    caller: Caller
    """Who listens."""
    policy_version: Callable[[], int]
    """The version that writes tokens now."""
    _heard: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether somebody listens."""
        return self.caller.hears is not None

    def token(self, prompt: int, sample_index: int, token_id: int, logprob: float) -> None:
        """Tell the next token of a completion that goes on."""
        self._tell(SampledTokens(prompt, sample_index, (token_id,), (logprob,), self.policy_version()))

    def end(self, prompt: int, sample_index: int, completion: SampledCompletion) -> None:
        """Tell what is not heard yet of a completion that has ended."""
        heard, stop = self._heard.get((prompt, sample_index), 0), 0
        for span in completion.spans:
            start, stop = max(heard, stop), stop + span.token_count
            ids, logprobs = completion.token_ids[start:stop], completion.logprobs[start:stop]
            self._tell(SampledTokens(prompt, sample_index, ids, logprobs, span.policy_version, ended=True))

    def _tell(self, tokens: SampledTokens) -> None:
        if self.caller.hears is not None and tokens.token_ids:
            place = (tokens.prompt, tokens.sample_index)
            self._heard[place] = self._heard.get(place, 0) + len(tokens.token_ids)
            self.caller.hears(tokens)
