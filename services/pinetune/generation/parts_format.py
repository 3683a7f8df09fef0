"""The formats in which models mark the parts of an answer, each under a name.

An answer may have reasoning before it and calls of tools in it. Who writes which marks:

    think      `<think>…</think>` before the answer                        Qwen3, QwQ, DeepSeek-R1
    hermes     `<tool_call>{"name", "arguments"}</tool_call>`              Hermes, Qwen2.5, Qwen3
    llama3     `{"name", "parameters"}; …`, perhaps after `<|python_tag|>`  Llama 3.1 to 3.3
    mistral    `[TOOL_CALLS][{"name", "arguments", "id"}, …]`, or          Mistral up to tokenizer version 7
               `[TOOL_CALLS]name[CALL_ID]id[ARGS]{…}` for each call        Mistral from version 11 on

`think+hermes` is both. `auto` looks at the model's chat template, which shows earlier turns in the model's own format.
"""

from dataclasses import dataclass

AUTO = "auto"
THINK_OPENING, THINK_CLOSING = "<think>", "</think>"


@dataclass(frozen=True)
class CallFormat:
    """How calls of tools are marked."""

    opening: str
    """What stands before a call, or before a list of them."""
    closing: str = ""
    """What stands behind it; empty for nothing."""
    named: bool = False
    """Whether the name may stand before the arguments instead of in the JSON."""
    listed: bool = False
    """Whether the JSON may be an array of calls."""
    bare: bool = False
    """Whether an answer that begins with a JSON object is a call without any mark, where there are tools to call."""
    inner_marks: tuple[str, ...] = ()
    """Further marks inside a call, for tokenizers to which they are special."""


@dataclass(frozen=True)
class PartsFormat:
    """How an answer is taken apart."""

    name: str
    """Its name in settings."""
    thinks: bool = False
    """Whether reasoning is marked."""
    calls: CallFormat | None = None
    """How calls are marked; None where they are not looked for."""

    @property
    def marks(self) -> tuple[str, ...]:
        """All marks, which have to be in the text whether or not they are special tokens."""
        thinking = (THINK_OPENING, THINK_CLOSING) if self.thinks else ()
        calls = (self.calls.opening, self.calls.closing, *self.calls.inner_marks) if self.calls else ()
        return tuple(mark for mark in (*thinking, *calls) if mark)


CALL_FORMATS = {
    "hermes": CallFormat("<tool_call>", "</tool_call>"),
    "llama3": CallFormat("<|python_tag|>", bare=True),
    "mistral": CallFormat("[TOOL_CALLS]", named=True, listed=True, inner_marks=("[CALL_ID]", "[ARGS]")),
}
NONE = PartsFormat("none")
PARTS_FORMATS = {
    one.name: one
    for one in (
        NONE,
        PartsFormat("think", thinks=True),
        *(PartsFormat(name, calls=calls) for name, calls in CALL_FORMATS.items()),
        *(PartsFormat(f"think+{name}", thinks=True, calls=calls) for name, calls in CALL_FORMATS.items()),
    )
}
"""Every format by its name."""


def format_of_template(template: str | None) -> PartsFormat:
    """Return the format that a chat template's own marks belong to; `none` where it has no marks that are known."""
    text = template or ""
    names = ["think"] if THINK_CLOSING in text else []
    # Others write `<tool_call>` around XML: `<function=` is Qwen3-Coder's, `<arg_key>` GLM's.
    if "<tool_call>" in text and not any(mark in text for mark in ("<function=", "<arg_key>")):
        names.append("hermes")
    elif "[TOOL_CALLS]" in text:
        names.append("mistral")
    elif "<|python_tag|>" in text or ("<|start_header_id|>" in text and '"parameters": ' in text):
        names.append("llama3")
    return PARTS_FORMATS["+".join(names) or "none"]
