"""The limits of sampling parameters, and the sentences for values beyond them."""

import math
from typing import Literal

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.client.prompts import FORMAT_BYTES_MAX
from pinetune.generation.samples import AnswerFormat, SamplingParams
from pinetune.pod.errors import InvalidInput

# Below it, float32 logits divided by the temperature lose what they differ in; 0 says what is meant.
TEMPERATURE_MIN, TEMPERATURE_MAX = 1e-4, 10.0
STOP_MAX = 16


def checked_sampling(given: wire.SamplingParams, response_format: wire.ResponseFormat) -> SamplingParams:
    """Return the parameters as the engine takes them; raises InvalidInput with field, limit and value."""
    top_p = given.top_p or 1.0
    faults = {
        "temperature": (
            given.temperature == 0 or TEMPERATURE_MIN <= given.temperature <= TEMPERATURE_MAX,
            f"0 or {TEMPERATURE_MIN:g} to {TEMPERATURE_MAX:g}",
            given.temperature,
        ),
        "top_p": (0 < top_p <= 1, "above 0 to 1", given.top_p),
        "top_k": (given.top_k >= 0, "at least 0", given.top_k),
        "max_tokens": (given.max_tokens >= 1, "at least 1", given.max_tokens),
        "min_tokens": (0 <= given.min_tokens <= max(given.max_tokens, 0), "0 to max_tokens", given.min_tokens),
        "stop": (len(given.stop) <= STOP_MAX and all(given.stop), f"at most {STOP_MAX} texts, none empty", given.stop),
    }
    answer_format = checked_format(response_format)
    if answer_format is not None and given.stop:
        faults["stop"] = (False, "empty where response_format is given, whose shape it would cut", given.stop)
    for field, (right, limit, value) in faults.items():
        if not right or (isinstance(value, float) and not math.isfinite(value)):
            raise InvalidInput(
                f"sampling.{field} must be {limit}; it is {value}",
                reason="SAMPLING",
                field=f"sampling.{field}",
                limit=limit,
                given=str(value),
            )
    return SamplingParams(
        max_tokens=given.max_tokens,
        temperature=given.temperature,
        top_p=top_p,
        top_k=given.top_k,
        min_tokens=given.min_tokens,
        stop=tuple(given.stop),
        seed=given.seed,
        answer_format=answer_format,
    )


def checked_format(given: wire.ResponseFormat) -> AnswerFormat | None:
    """Return the shape, whose grammar the engine checks; raises InvalidInput RESPONSE_FORMAT for too long a text."""
    kind: Literal["json_schema", "regex"] = "json_schema" if given.HasField("json_schema") else "regex"
    if not given.HasField(kind):
        return None
    text: str = getattr(given, kind)
    if (size := len(text.encode())) > FORMAT_BYTES_MAX:
        raise InvalidInput(
            f"response_format.{kind} must have at most {FORMAT_BYTES_MAX} bytes; it has {size}",
            reason="RESPONSE_FORMAT",
            field=f"response_format.{kind}",
            limit=FORMAT_BYTES_MAX,
            given=size,
        )
    return AnswerFormat(kind, text)
