"""What a grader sees of a completion: `sample.*` of its templates, and the `sample` of Python and remote graders.

    output_text       the final answer: what a user of the model would read, without reasoning and calls
    output_tools      the calls of tools, as chat completions have them; missing where calls were not looked for
    choices           the answer as the one choice of a chat completion
    reasoning_text    the reasoning before the final answer; empty where there is none
    raw_text          all that the model wrote, marks included

`output_text` travels by itself; the others are made for graders that read them, which most do not.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.grader_samples import Sample
from pinetune.client.rollout import Completion, FinishReason

OUTPUT_TOOLS = "output_tools"
VALUES = frozenset({OUTPUT_TOOLS, "choices", "reasoning_text", "raw_text"})
"""All values besides `output_text`."""
SEE_ALL = ("python", "remote")
"""Kinds of graders that are given the whole sample."""
NAMED = re.compile(r"\{\{\s*sample\.(\w+)")


def values_needed(grader: object) -> frozenset[str]:
    """Return which of `VALUES` a grader (openai JSON), or a part of it, cannot grade without."""
    return frozenset(_values_named(grader)) & VALUES


def values_read(grader: object) -> frozenset[str]:
    """Return which of `VALUES` a grader (openai JSON), or a part of it, may read."""
    return VALUES if _sees_all(grader) else values_needed(grader)


def values_json(completion: Completion, values: frozenset[str]) -> str:
    """Return those values of a completion as a JSON object; empty where there are none to tell."""
    told: dict[str, object] = {}
    if OUTPUT_TOOLS in values and completion.calls_read:
        told[OUTPUT_TOOLS] = _calls(completion)
    if "choices" in values:
        told["choices"] = [_choice(completion)]
    if "reasoning_text" in values:
        told["reasoning_text"] = completion.reasoning_content
    if "raw_text" in values:
        told["raw_text"] = completion.text
    return json.dumps(told, ensure_ascii=False) if told else ""


def samples_json(grader: object, completions: Sequence[Completion]) -> list[str]:
    """Return what the grader reads of each completion besides its final answer; nothing where it reads no more."""
    values = values_read(grader)
    return [values_json(completion, values) for completion in completions] if values else []


def sample_of_rollout(rollout: rollout_pb2.Rollout, values: frozenset[str]) -> Sample:
    """Return what a stored rollout is graded by again: what the job's grader saw, and those of `values` it has."""
    completion = Completion.from_wire(rollout.completion)
    return Sample(completion.final_answer, rollout.item.fields_json, values_json(completion, values))


def _values_named(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from NAMED.findall(value)
    elif isinstance(value, Mapping):
        if value.get("type") == "tool_calls" and not value.get("input"):
            yield OUTPUT_TOOLS
        # A Python source is no template, nor are the settings of whoever grades elsewhere.
        if value.get("type") not in SEE_ALL:
            for part in value.values():
                yield from _values_named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _values_named(part)


def _sees_all(grader: object) -> bool:
    if isinstance(grader, Mapping):
        return grader.get("type") in SEE_ALL or any(map(_sees_all, grader.values()))
    return isinstance(grader, list) and any(map(_sees_all, grader))


def _calls(completion: Completion) -> list[dict[str, object]]:
    return [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_json},
        }
        for call in completion.tool_calls
    ]


def _choice(completion: Completion) -> dict[str, object]:
    # As the openai API: no content where there are calls alone, and the calls are why it stopped.
    content = completion.final_answer or (None if completion.tool_calls else "")
    message: dict[str, object] = {"role": "assistant", "content": content, "refusal": None}
    if completion.reasoning_content:
        message["reasoning_content"] = completion.reasoning_content
    if completion.tool_calls:
        message["tool_calls"] = _calls(completion)
    stopped = completion.finish_reason is FinishReason.STOP
    reason = "tool_calls" if completion.tool_calls and stopped else completion.finish_reason.value
    return {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
