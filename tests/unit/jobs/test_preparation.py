"""What is tokenised before a job's first step, and what is refused there rather than hours later."""

from collections.abc import Sequence
from dataclasses import replace

from tests.fakes.services import FakeGeneration, FakeJobs, FakeLearning
from tests.unit.jobs.test_plan import plan_of

from pinetune.client.generation import Example, Message, Tool
from pinetune.jobs.dataset import Item
from pinetune.jobs.journal import Journal
from pinetune.jobs.plan import Plan
from pinetune.jobs.preparation import Prepared, prepare
from pinetune.jobs.usage import Usage

SEARCH = Tool("search", "Looks a gene up.", '{"type": "object"}')


def item(line: int, prompt: str = "two words", chain: str = "so x", tools: tuple[Tool, ...] = ()) -> Item:
    return Item(f"i{line}", line, (Message("user", prompt),), tools, "{}", "x", chain)


def prepared(plan: Plan, generation: FakeGeneration) -> Prepared:
    journal = Journal(FakeJobs([]), Usage())
    return prepare(plan, generation.learning, generation, journal, checkpoint_uri="")


def services(calls: list[str] | None = None) -> FakeGeneration:
    calls = [] if calls is None else calls
    return FakeGeneration(calls, FakeLearning(calls))


def with_training(plan: Plan, items: Sequence[Item]) -> Plan:
    return replace(plan, training=items)


def test_what_is_imitated_is_read_with_the_tools_that_sampling_shows() -> None:
    generation = services()
    plan = with_training(plan_of(), [item(1, tools=(SEARCH,)), item(2)])
    prepared(plan, generation)
    tools = {(example.tools, example.answer) for example in generation.tokenized if example.answer}
    assert tools == {((SEARCH,), "so x"), ((), "so x")}
    assert generation.tokenized[-1].tools == (SEARCH,), "the canary's prompt is the one that is sampled for"


def test_an_example_carries_its_tools_to_the_service() -> None:
    message = Example((Message("user", "a?"),), (SEARCH,), "so x").to_wire()
    assert [tool.name for tool in message.tools] == ["search"]
    assert (message.messages[0].content, message.answer) == ("a?", "so x")
