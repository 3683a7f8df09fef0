"""A judge behind `/v1/chat/completions`, held to its answer's schema by the server (structured outputs)."""

from collections.abc import Mapping

from pydantic import JsonValue

from pinetune.grading.models.attempts import Answered, AttemptError, Usage
from pinetune.grading.models.judge_question import JudgeQuestion
from pinetune.grading.models.judge_reply import read_answer, schema_of
from pinetune.grading.models.openai_server import OpenaiServer, read_usage
from pinetune.grading.models.settings import ModelSettings

PATH = "/chat/completions"


class ChatJudge:
    """Asks one model of an openai-compatible server."""

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self._name = name
        self._tokens_field = settings.tokens_field
        self._server = OpenaiServer(name, settings)

    def refuses(self, sampling: Mapping[str, JsonValue]) -> str:
        """Refuse nothing: which parameters a model takes is the server's to say."""
        return ""

    def ask(self, question: JudgeQuestion, seconds: float) -> Answered[float | str]:
        """Ask once, within `seconds`; raises AttemptError."""
        reply = self._server.post(PATH, self.request(question), seconds)
        usage = read_usage(reply)
        try:
            return Answered(read_answer(self._content(reply, usage, question), question.verdict), usage)
        except ValueError as error:
            raise self._unusable(str(error), usage) from error

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def request(self, question: JudgeQuestion) -> dict[str, JsonValue]:
        """Return the body of the request; what the grader leaves out is left to the server."""
        sampling = dict(question.sampling)
        if "max_completions_tokens" in sampling:
            sampling[self._tokens_field] = sampling.pop("max_completions_tokens")
        json_schema: dict[str, JsonValue] = {
            "name": question.verdict.name,
            "strict": True,
            "schema": schema_of(question.verdict),
        }
        return {
            "model": self._server.model,
            "messages": [dict(message) for message in question.messages],
            "response_format": {"type": "json_schema", "json_schema": json_schema},
            **sampling,
        }

    def _content(self, reply: Mapping[str, JsonValue], usage: Usage, question: JudgeQuestion) -> str:
        """Return the text of a reply that is whole; raises AttemptError for a refusal and for one that was cut."""
        match reply:
            case {"choices": [{"message": {"refusal": str(refusal)}}, *_]} if refusal:
                raise self._refusal(refusal, usage)
            case {"choices": [{"finish_reason": "content_filter"}, *_]}:
                raise self._refusal("a filter cut its answer off", usage)
            case {"choices": [{"finish_reason": "length"}, *_]}:
                limit = question.sampling.get("max_completions_tokens", "not set, so the server's own")
                detail = f"its answer was cut off by the token limit; max_completions_tokens is {limit}"
                raise self._unusable(detail, usage)
            case {"choices": [{"message": {"content": str(content)}}, *_]}:
                return content
        raise self._unusable("the reply holds no answer", usage)

    def _refusal(self, detail: str, usage: Usage) -> AttemptError:
        detail = f"model {self._name} refused: {detail[:300]}"
        return AttemptError("MODEL_REFUSAL", detail, retryable=False, usage=usage)

    def _unusable(self, detail: str, usage: Usage) -> AttemptError:
        return AttemptError("MODEL_PARSE", f"model {self._name}: {detail}", retryable=True, usage=usage)
