"""Which format a chat template belongs to; the excerpts are of templates that come with models."""

from typing import get_args, get_type_hints

import pytest

from pinetune.generation.config import GenerationSettings
from pinetune.generation.parts_format import AUTO, PARTS_FORMATS, format_of_template
from pinetune.jobs.spec.settings import EngineSpec

SHOWN_CALLS = '{{- \'<tool_call>\\n{"name": "\' }}{{- tool_call.name }}'
LLAMA_CALLS = '<|start_header_id|>… Respond in the format {"name": function name, "parameters": dictionary …}.'


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (None, "none"),
        ("<|im_start|>{{ message.content }}<|im_end|>", "none"),
        ("{%- set content = message.content.split('</think>')[-1] %}", "think"),
        (SHOWN_CALLS, "hermes"),
        (f"{SHOWN_CALLS} <think>\n\n</think>\n\n", "think+hermes"),
        ("<tool_call>\n<function=name>\n<parameter=a>", "none"),
        ("<tool_call>name\n<arg_key>a</arg_key> </think>", "think"),
        ("{{- '[TOOL_CALLS]' }}", "mistral"),
        (LLAMA_CALLS, "llama3"),
        ("{{- '<|python_tag|>' + tool_call.name }}", "llama3"),
        ('an example: "parameters": {}', "none"),
    ],
)
def test_a_template_shows_the_format_by_its_own_marks(template: str | None, name: str) -> None:
    assert format_of_template(template).name == name


@pytest.mark.parametrize("settings", [GenerationSettings, EngineSpec], ids=["service", "job"])
def test_every_format_can_be_named_in_settings(settings: type) -> None:
    assert set(get_args(get_type_hints(settings)["parts_format"])) == {AUTO, *PARTS_FORMATS}
