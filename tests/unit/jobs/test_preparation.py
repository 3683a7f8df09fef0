"""What is tokenised before a job's first step, and what is refused there rather than hours later."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.fakes.services import Calls, FakeGeneration, FakeJobs, FakeLearning
from tests.unit.jobs.test_plan import plan_of

from pinetune.client.prompts import Example, Message, Tool
from pinetune.jobs.dataset import Item
from pinetune.jobs.journal import Journal
from pinetune.jobs.plan import Plan
from pinetune.jobs.preparation import Prepared, prepare
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import InvalidInput, PinetuneError, Unsupported

SEARCH = Tool("search", "Looks a gene up.", '{"type": "object"}')


def item(line: int, prompt: str = "two words", chain: str = "so x", tools: tuple[Tool, ...] = ()) -> Item:
    return Item(f"i{line}", line, (Message("user", prompt),), tools, "{}", "x", chain)


def prepared(plan: Plan, generation: FakeGeneration) -> Prepared:
    journal = Journal(FakeJobs(Calls()), Usage())
    return prepare(plan, generation.learning, generation, journal, checkpoint_uri="")


def services(calls: Calls | None = None) -> FakeGeneration:
    calls = Calls() if calls is None else calls
    return FakeGeneration(calls, FakeLearning(calls))


def test_what_is_imitated_is_read_with_the_tools_that_sampling_shows() -> None:
    generation = services()
    plan = replace(plan_of(), training=[item(1, tools=(SEARCH,)), item(2)])
    prepared(plan, generation)
    tools = {(example.tools, example.answer) for example in generation.tokenized if example.answer}
    assert tools == {((SEARCH,), "so x"), ((), "so x")}
    assert generation.tokenized[-1].tools == (SEARCH,), "the canary's prompt is the one that is sampled for"


def test_an_example_carries_its_tools_to_the_service() -> None:
    message = Example((Message("user", "a?"),), (SEARCH,), "so x").to_wire()
    assert [tool.name for tool in message.tools] == ["search"]
    assert (message.messages[0].content, message.answer) == ("a?", "so x")


def with_files(
    training: Sequence[Item], validation: Sequence[Item] = (), test: Sequence[Item] = (), **pinetune: object
) -> Plan:
    pinetune.setdefault("sampling", {"max_tokens": 6})
    return replace(plan_of(**pinetune), training=training, validation=validation or [item(1)], test=test or [item(1)])


def refusal_of(plan: Plan, *, limit: int = 10) -> InvalidInput:
    calls = Calls()
    generation = services(calls)
    generation.max_model_tokens = limit
    with pytest.raises(InvalidInput) as caught:
        prepared(plan, generation)
    assert caught.value.reason == "ROWS_TOO_LONG"
    assert "open" not in calls, "refused before the learner loads anything"
    return caught.value


def test_prompts_that_leave_no_room_for_an_answer_are_refused_by_file_line_limit_and_value() -> None:
    refused = refusal_of(with_files([item(1), item(7, "one two three four five"), item(9, "1 2 3 4 5 6")]))
    assert refused.message == (
        "the model reads at most 10 tokens. training_file t: counting prompt and pinetune.sampling.max_tokens (6), "
        "line 7 has 11, line 9 has 12. To go on: shorten these rows or leave them out, or lower "
        "pinetune.sampling.max_tokens"
    )
    assert refused.metadata["field"] == "training_file"


def test_a_chain_of_thought_that_does_not_fit_is_refused_unless_there_is_no_warm_up() -> None:
    long = [item(3, chain="nine words that the model has no room for")]
    message = refusal_of(with_files(long)).message
    assert "training_file t: counting prompt and chain of thought, line 3 has 11. To go on: shorten" in message
    assert "max_tokens" not in message
    generation = services()
    generation.max_model_tokens = 10
    assert len(prepared(with_files(long, warm_up={"epochs": 0}), generation).canary.token_ids) == 8


def test_many_long_rows_are_counted_and_the_first_are_named() -> None:
    message = refusal_of(with_files([item(line, "1 2 3 4 5") for line in range(1, 9)])).message
    assert "line 5 has 11 and 3 more rows are too long as well" in message
    assert "line 6" not in message


def test_a_nano_model_can_be_made_to_read_more() -> None:
    plan = with_files([item(1, "1 2 3 4 5")])
    nano = replace(plan, spec=plan.spec.model_copy(update={"model": "nano"}))
    assert refusal_of(nano).message.endswith("or raise pinetune.nano.max_tokens")


def test_validation_and_test_rows_are_checked_and_one_file_in_both_roles_is_named_once() -> None:
    long = [item(4, "1 2 3 4 5")]
    both = refusal_of(with_files([item(1)], long, long)).message
    assert both.count("line 4") == 1
    assert "validation_file v: " in both
    other = refusal_of(with_files([item(1)], [], long, evaluation={"test_file": "u"})).message
    assert "pinetune.evaluation.test_file u: " in other
    uncompared = with_files([item(1)], [], long, evaluation={"test_file": "u", "final_comparison": False})
    generation = services()
    generation.max_model_tokens = 10
    prepared(uncompared, generation)


def test_rows_that_just_fit_are_taken_and_the_canary_with_them() -> None:
    generation = services()
    generation.max_model_tokens = 10
    canary = prepared(with_files([item(1, "1 2 3 4", chain="")]), generation).canary
    assert len(canary.prompt_token_ids) == 4
    short = with_files([item(1, "1 2 3 4 5 6 7 8", chain="")], sampling={"max_tokens": 1})
    canary = prepared(short, generation).canary
    assert len(canary.prompt_token_ids) + len(canary.token_ids) == 10


@pytest.mark.parametrize(
    ("said", "sentence", "field"),
    [
        (
            InvalidInput(
                "response_format.regex cannot be kept: unclosed group",
                reason="RESPONSE_FORMAT",
                field="response_format.regex",
            ),
            "method.reinforcement.response_format.regex cannot be kept: unclosed group",
            "method.reinforcement.response_format.regex",
        ),
        (
            Unsupported("response_format: the tokens cannot be read", reason="RESPONSE_FORMAT_UNSUPPORTED"),
            "method.reinforcement.response_format: the tokens cannot be read",
            "method.reinforcement.response_format",
        ),
    ],
    ids=["shape", "tokenizer"],
)
def test_a_shape_that_the_sampler_cannot_keep_is_refused_before_anything_is_trained_or_sampled(
    said: PinetuneError, sentence: str, field: str
) -> None:
    calls = Calls()
    generation = services(calls)
    generation.format_refusal = said
    with pytest.raises(type(said)) as caught:
        prepared(plan_of(), generation)
    assert (caught.value.message, caught.value.metadata["field"]) == (sentence, field)
    assert calls == []
