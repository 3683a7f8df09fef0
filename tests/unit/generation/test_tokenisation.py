from pathlib import Path

import pytest
from tests.unit.generation.tiny_models import CHAT_TEMPLATE, make_tokenizer
from transformers import AddedToken, PreTrainedTokenizerFast

from pinetune.generation.conversation import Example, Message, Tool, ToolCall
from pinetune.generation.tokenisation import Tokenisation
from pinetune.pod.errors import InvalidInput

QUESTION = Message("user", "Tom has 3 apples.")
TOOL = Tool("add", "Adds.", '{"type": "object"}')
TOOL_TEMPLATE = (
    "{% if tools %}{% for t in tools %}[{{ t.function.name }}]{% endfor %}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}{% endif %}"
    "{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}<|end|>{% endfor %}"
)


def with_template(template: str | None, choice: str = "model") -> Tokenisation:
    return Tokenisation(make_tokenizer(template), choice)


def shown(tokenisation: Tokenisation, *messages: Message, tools: tuple[Tool, ...] = ()) -> str:
    """Return the prompt as text, special tokens included."""
    text = make_tokenizer().decode(list(tokenisation.prompt_ids(messages, tools)), clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


def test_a_prompt_ends_where_the_answer_begins() -> None:
    assert shown(with_template(CHAT_TEMPLATE), QUESTION) == "<|user|>Tom has 3 apples.<|end|>\n<|assistant|>"


def test_special_tokens_of_the_template_are_single_tokens() -> None:
    ids = with_template(CHAT_TEMPLATE).prompt_ids([QUESTION])
    tokenizer = make_tokenizer()
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|user|>")
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|assistant|>")


def test_an_answer_is_its_ids_and_the_end_of_turn() -> None:
    tokenisation = with_template(CHAT_TEMPLATE)
    example = tokenisation.tokenise(Example((QUESTION,), answer=" The answer is 7."))
    assert example.prompt_token_ids == tokenisation.prompt_ids([QUESTION])
    assert example.answer_token_ids[-1] == tokenisation.end_of_turn_token_id
    assert tokenisation.text(example.answer_token_ids) == " The answer is 7."


def test_an_example_without_an_answer_has_no_answer_ids() -> None:
    assert with_template(CHAT_TEMPLATE).tokenise(Example((QUESTION,))).answer_token_ids == ()


def test_prompt_and_answer_make_the_conversation_that_the_template_writes() -> None:
    tokenisation, answer = with_template(CHAT_TEMPLATE), "The answer is 7."
    example = tokenisation.tokenise(Example((QUESTION,), answer=answer))
    # The next prompt of the same conversation begins with what was sampled.
    next_prompt = tokenisation.prompt_ids([QUESTION, Message("assistant", answer), QUESTION])
    sampled = example.prompt_token_ids + example.answer_token_ids
    assert next_prompt[: len(sampled)] == sampled


def test_a_developer_is_a_system_where_the_template_knows_none() -> None:
    prompt = shown(with_template(CHAT_TEMPLATE), Message("developer", "Be brief."), QUESTION)
    assert prompt.startswith("<|system|>Be brief.<|end|>")


def test_a_developer_stays_one_where_the_template_knows_him() -> None:
    template = CHAT_TEMPLATE + "{# developer #}"
    assert shown(with_template(template), Message("developer", "x")).startswith("<|developer|>x")


def test_the_end_of_turn_is_what_the_template_puts_behind_an_answer() -> None:
    tokenisation = with_template("{% for m in messages %}{{ m.content }}<|tool|>\n{% endfor %}")
    assert tokenisation.end_of_turn_token_id == make_tokenizer().convert_tokens_to_ids("<|tool|>")


def test_a_template_that_closes_no_turn_ends_with_the_text() -> None:
    tokenisation = with_template("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    assert tokenisation.end_of_turn_token_id == make_tokenizer().eos_token_id


def test_without_any_end_no_answer_could_end() -> None:
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InvalidInput, match="no answer could end; set eos_token"):
        Tokenisation(tokenizer, "plain")


def test_a_base_model_without_template_is_refused_with_what_to_set() -> None:
    with pytest.raises(InvalidInput, match="set PINETUNE_GENERATION_CHAT_TEMPLATE=plain") as caught:
        with_template(None)
    assert caught.value.reason == "CHAT_TEMPLATE_MISSING"


def test_plain_shows_the_contents_letter_by_letter() -> None:
    tokenisation = with_template(None, "plain")
    assert shown(tokenisation, Message("user", "Question: 1+1?\nAnswer:")) == "Question: 1+1?\nAnswer:"
    assert shown(tokenisation, Message("system", "Be brief."), QUESTION) == "Be brief.\nTom has 3 apples."
    example = tokenisation.tokenise(Example((QUESTION,), answer=" 7"))
    assert example.answer_token_ids[-1] == make_tokenizer().eos_token_id


def test_plain_shows_no_tools() -> None:
    with pytest.raises(InvalidInput, match="has no way to show tools"):
        with_template(None, "plain").prompt_ids([QUESTION], [TOOL])


def test_tools_that_the_template_would_drop_are_refused() -> None:
    with pytest.raises(InvalidInput, match="does not show tools to the model"):
        with_template(CHAT_TEMPLATE).prompt_ids([QUESTION], [TOOL])


def test_a_template_file_shows_tools_calls_and_reasoning(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text(TOOL_TEMPLATE)
    tokenisation = with_template(None, str(tmp_path / "chat.jinja"))
    call = ToolCall("1", "add", '{"a": 1}')
    turn = Message("assistant", "", tool_calls=(call,), reasoning_content="why")
    assert shown(tokenisation, turn, tools=(TOOL,)) == '[add]<|assistant|>{"a": 1}(why)<|end|>'


def test_malformed_arguments_are_shown_as_they_were_written() -> None:
    turn = Message("assistant", "", tool_calls=(ToolCall("1", "add", "{a:"),))
    assert shown(with_template(TOOL_TEMPLATE), turn) == '<|assistant|>"{a:"<|end|>'


@pytest.mark.parametrize(
    ("template", "messages", "tools", "sentence"),
    [
        (CHAT_TEMPLATE + "{{ raise_exception('no user turn') }}", [QUESTION], [], "refuses the conversation: no user"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", [Message("user", "")], [], "has no tokens"),
        (TOOL_TEMPLATE, [QUESTION], [Tool("add", "", "{")], "parameters_json of 'add' is not JSON"),
    ],
)
def test_what_cannot_be_shown_is_invalid(
    template: str, messages: list[Message], tools: list[Tool], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        with_template(template).prompt_ids(messages, tools)


def test_a_template_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"CHAT_TEMPLATE=/nowhere/x\.jinja is neither 'model' nor 'plain'"):
        with_template(None, "/nowhere/x.jinja")


def test_text_leaves_special_tokens_out_and_keeps_spaces() -> None:
    tokenisation = with_template(CHAT_TEMPLATE)
    ids = tokenisation.answer_ids('He said , "no" .  It \'s über 7 .')
    assert tokenisation.text(ids) == 'He said , "no" .  It \'s über 7 .'


def with_special(*marks: str, template: str = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer(template)
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=True) for mark in marks])
    return tokenizer


def test_marks_of_calls_stay_in_the_text_even_where_they_are_special_tokens() -> None:
    tokenizer = with_special("[TOOL_CALLS]", "[ARGS]")
    ids = tokenizer("Yes.[TOOL_CALLS]now[ARGS]{}<|tool|>")["input_ids"]
    assert Tokenisation(tokenizer, parts_format="mistral").text(ids) == "Yes.[TOOL_CALLS]now[ARGS]{}"
    assert Tokenisation(tokenizer, parts_format="none").text(ids) == "Yes.now{}"
    assert Tokenisation(tokenizer, parts_format="mistral").text([]) == ""


def test_a_template_that_begins_the_thought_opens_reasoning() -> None:
    question = [Message("user", "How many apples?")]
    opening = CHAT_TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n")
    for tokenizer in (make_tokenizer(opening), with_special("<think>", "</think>", template=opening)):
        tokenisation = Tokenisation(tokenizer, parts_format="think")
        assert tokenisation.opens_reasoning(tokenisation.prompt_ids(question))
        closed = Tokenisation(tokenizer, parts_format="hermes")
        assert not closed.opens_reasoning(closed.prompt_ids(question))
    tokenizer = make_tokenizer(opening.replace("<think>\n", "<think>\n\n</think>\n\n"))
    tokenisation = Tokenisation(tokenizer, parts_format="think")
    assert not tokenisation.opens_reasoning(tokenisation.prompt_ids(question))


def test_what_a_user_writes_opens_no_reasoning() -> None:
    tokenisation = Tokenisation(make_tokenizer(), parts_format="think")
    assert not tokenisation.opens_reasoning(tokenisation.prompt_ids([Message("user", "What is <think>")]))
    assert not tokenisation.opens_reasoning([])
