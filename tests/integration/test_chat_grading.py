"""Reasoning and calls of tools on their whole way: from the model's tokens through the service and a job to its grades.

The models' weights are set by hand so that they say what a test wants; all else is real.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import torch
from pydantic import JsonValue
from tests.fakes.services import Calls, FakeJobs
from tests.unit.generation.scripted_models import TOOLS_TEMPLATE, save_scripted_model
from transformers import AutoTokenizer

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import (
    GenerationServiceStub,
    add_GenerationServiceServicer_to_server,
)
from pinetune.api.learning.v1.learning_pb2_grpc import add_LearningServiceServicer_to_server
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.generation import GenerationClient
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.grader_view import sample_of_rollout, values_read
from pinetune.client.grading import GradingClient
from pinetune.client.learning import LearningClient
from pinetune.client.prompts import ToolCall
from pinetune.client.replica_set import Replica
from pinetune.client.rollout import RewardSource
from pinetune.generation.service import SERVICE_NAME as GENERATION
from pinetune.generation.service import GenerationService
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.grading.__main__ import build
from pinetune.jobs.clock import Clock
from pinetune.jobs.components import Components
from pinetune.jobs.dataset import Item, read_items
from pinetune.jobs.grader_check import GraderCheck
from pinetune.jobs.journal import Journal
from pinetune.jobs.keeper import Keeper
from pinetune.jobs.loop import Loop
from pinetune.jobs.messages import rollout_message
from pinetune.jobs.plan import Plan
from pinetune.jobs.policies import Policies
from pinetune.jobs.preparation import prepare
from pinetune.jobs.rollout_files import Rollout, read_rollouts
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.spec import JobSpec
from pinetune.jobs.spec.settings import DatasetSettings
from pinetune.jobs.usage import Usage
from pinetune.learning.service import SERVICE_NAME as LEARNING
from pinetune.learning.service import LearningService
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import PodSettings, RegisteredService, start

Serve = Callable[..., str]
ADD, MULTIPLY, TALK, BREAK = "What is 1 + 2?", "What is 3 * 4?", "Who are you?", "Break it."
SCRIPTS = {
    ADD: [
        "<think>",
        "\nI have",
        " a tool.\n",
        "</think>",
        "\n\nLet me",
        " add.\n",
        '<tool_call>\n{"name": "add", ',
        '"arguments": {"a": 1, "b": 2.0}}\n</tool_call>',
    ],
    MULTIPLY: ["<think>x", "</think>\n", '<tool_call>{"name": "add", "arguments": {"a": 3, "b": 4}}</tool_call>'],
    TALK: ["I am ", "a model."],
    BREAK: ["<think>so", "</think>\n\n", '<tool_call>{"name": "add", "arg', "</tool_call>"],
}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
ADDED = ToolCall("call00000", "add", '{"a": 1, "b": 2.0}')
GRADER: dict[str, JsonValue] = {
    "type": "multi",
    "graders": {
        "calls": {"type": "tool_calls", "reference": "{{item.calls}}"},
        # What the reasoning says must not count.
        "silent": {
            "type": "string_check",
            "input": "{{sample.output_text}}",
            "reference": "I have",
            "operation": "like",
        },
        "code": {
            "type": "python",
            "source": "def grade(sample, item):\n"
            "    calls = sample['choices'][0]['message'].get('tool_calls', [])\n"
            "    assert calls == sample['output_tools']\n"
            "    thought = 'tool' in sample['reasoning_text']\n"
            "    return len(calls) + thought / 4 + ('<think>' in sample['raw_text']) / 8\n",
        },
    },
    "calculate_output": "calls - silent",
    "shadow": ["code"],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("scripted")
    save_scripted_model(folder, SCRIPTS)
    return folder


@pytest.fixture
def serve_model(serve: Serve) -> Iterator[Callable[..., grpc.Channel]]:
    """A function that serves a model and returns the way to it."""
    with ExitStack() as channels:

        def make(folder: Path, parts_format: str = "auto") -> grpc.Channel:
            service = GenerationService()
            service.hold(TransformersEngine(EngineOptions(str(folder), threads=1, parts_format=parts_format)))
            address = serve(
                [RegisteredService(GENERATION, lambda it: add_GenerationServiceServicer_to_server(service, it))]
            )
            return channels.enter_context(connect(address))

        yield make


@pytest.fixture
def grading() -> Iterator[grpc.Channel]:
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    with connect(pod.grpc_address) as channel:
        yield channel
    pod.close()


def prompt_of(question: str) -> wire.Prompt:
    return wire.Prompt(
        prompt_id="p",
        messages=[rollout_pb2.Message(role=rollout_pb2.ROLE_USER, content=question)],
        tools=[rollout_pb2.Tool(name="add", description="Adds.", parameters_json='{"type": "object"}')],
    )


def answer(channel: grpc.Channel, question: str, **sampling: object) -> rollout_pb2.Completion:
    """Return the completion, after the stream of it told the same piece by piece."""
    stub, prompt = GenerationServiceStub(channel), prompt_of(question)
    params = wire.SamplingParams(temperature=1.0, max_tokens=50, **sampling)  # type: ignore[arg-type]  # a test's own
    request = wire.GenerateRequest(prompts=[prompt], sample_count=1, sampling=params)
    (completion,) = stub.Generate(request, timeout=60).prompts[0].completions
    messages = list(stub.StreamGenerate(wire.StreamGenerateRequest(prompt=prompt, sampling=params), timeout=60))
    assert "".join(message.text_delta for message in messages) == completion.text
    assert "".join(message.reasoning_delta for message in messages) == completion.reasoning_content
    content = completion.content if completion.HasField("content") else completion.text
    assert "".join(message.content_delta for message in messages) == content
    assert [call for message in messages for call in message.tool_calls] == list(completion.tool_calls)
    last = messages[-1].completion
    last.ClearField("prompt_token_ids")  # Beside the completions in the answer of Generate.
    assert last == completion
    return completion


def test_an_answer_comes_with_its_parts_and_whole(model: Path, serve_model: Callable[..., grpc.Channel]) -> None:
    channel = serve_model(model)
    found = answer(channel, ADD)
    assert found.text == "".join(SCRIPTS[ADD])
    assert (found.reasoning_content, found.content) == ("I have a tool.", "Let me add.")
    assert [ToolCall.from_wire(call) for call in found.tool_calls] == [ADDED]
    assert len(found.token_ids) == len(found.logprobs) == len(SCRIPTS[ADD]) + 1
    assert found.parts_format == "think+hermes"
    description = GenerationServiceStub(channel).DescribeEngine(wire.DescribeEngineRequest(), timeout=60)
    assert description.parts_format == "think+hermes"


def test_what_is_malformed_or_cut_off_stays_readable(model: Path, serve_model: Callable[..., grpc.Channel]) -> None:
    channel = serve_model(model)
    broken = answer(channel, BREAK)
    assert (broken.reasoning_content, broken.content) == ("so", '<tool_call>{"name": "add", "arg</tool_call>')
    assert not broken.tool_calls
    plain = answer(channel, TALK)
    assert not plain.HasField("content")
    thinking = answer(channel, ADD, stop=["tool"])
    assert (thinking.reasoning_content, thinking.content) == ("I have a ", "")
    assert thinking.HasField("content")


def test_with_no_format_the_text_is_the_answer(model: Path, serve_model: Callable[..., grpc.Channel]) -> None:
    found = answer(serve_model(model, "none"), ADD)
    assert found.text == "".join(SCRIPTS[ADD])
    assert (found.HasField("content"), found.reasoning_content, list(found.tool_calls)) == (False, "", [])


def test_a_prompt_that_opens_the_reasoning_needs_no_mark_in_the_answer(
    tmp_path: Path, serve_model: Callable[..., grpc.Channel]
) -> None:
    # The model answers to the last token, which is the mark here.
    template = TOOLS_TEMPLATE.replace("<|assistant|>{{ messages[-1]['content'] }}", "<|assistant|><think>\n")
    save_scripted_model(tmp_path, {"<think>\n": ["1 + 2", "</think>\n\n", "It is 3."]}, chat_template=template)
    found = answer(serve_model(tmp_path), "1 + 2?")
    assert (found.text, found.reasoning_content, found.content) == ("1 + 2</think>\n\nIt is 3.", "1 + 2", "It is 3.")


def test_calls_marked_by_special_tokens_are_found(tmp_path: Path, serve_model: Callable[..., grpc.Channel]) -> None:
    template = TOOLS_TEMPLATE.rpartition("{#")[0] + "{# [TOOL_CALLS] #}"
    scripts = {ADD: ["[TOOL_CALLS]", "add", "[ARGS]", '{"a": 1, "b": 2.0}']}
    save_scripted_model(tmp_path, scripts, chat_template=template, special=["[TOOL_CALLS]", "[ARGS]"])
    found = answer(serve_model(tmp_path), ADD)
    assert (found.parts_format, found.text) == ("mistral", '[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2.0}')
    assert (found.content, [ToolCall.from_wire(call) for call in found.tool_calls]) == ("", [ADDED])


def write_rows(folder: Path) -> Path:
    """Write a data set as openai's chat format for reinforcement has it."""
    expected = {ADD: [{"name": "add", "arguments": {"b": 2, "a": 1}}], MULTIPLY: [], TALK: [], BREAK: []}
    rows = [
        {"messages": [{"role": "user", "content": question}], "tools": [TOOL], "calls": calls}
        for question, calls in expected.items()
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job_spec(model: Path, parts_format: str) -> JobSpec:
    return JobSpec.model_validate(
        {
            "model": str(model),
            "training_file": "t",
            "validation_file": "t",
            "method": {
                "type": "reinforcement",
                "reinforcement": {"grader": GRADER, "hyperparameters": {"n_epochs": 1, "batch_size": 4}},
            },
            "pinetune": {
                "warm_up": {"epochs": 0},
                "sampling": {"samples_per_prompt": 2, "max_tokens": 50},
                "evaluation": {"final_comparison": False},
                "engine": {"device": "cpu", "threads": 1, "parts_format": parts_format},
            },
        }
    )


def train(plan: Plan, sampling: grpc.Channel, learner: grpc.Channel, grading: grpc.Channel, jobs: FakeJobs) -> None:
    """Do what the worker does."""
    learning, usage, clock = LearningClient(learner), Usage(), Clock()
    journal = Journal(jobs, usage)
    generation = GenerationReplicas([Replica("generation-0", GenerationClient(sampling))])
    prepared = prepare(plan, learning, generation, journal, checkpoint_uri="")
    parameters = prepared.learner.parameter_count
    sampler = Sampler(generation, GradingClient(grading), plan.grader or {}, plan.rewards, clock, usage, parameters)
    policies = Policies(learning, generation, folder=f"{plan.artifacts_uri}/policies", max_canary_gap=0.01)
    keeper = Keeper(journal, learning, policies, artifacts_uri=plan.artifacts_uri)
    Loop(plan, prepared, Components(learning, sampler, policies, None, keeper, journal, clock)).run()


@pytest.fixture
def learner(serve: Serve) -> Iterator[grpc.Channel]:
    service = LearningService()
    address = serve([RegisteredService(LEARNING, lambda it: add_LearningServiceServicer_to_server(service, it))])
    with connect(address) as channel:
        yield channel


def plan_of(model: Path, folder: Path, items: Sequence[Item], parts_format: str = "auto") -> Plan:
    return Plan("ftjob-1", job_spec(model, parts_format), str(folder), str(model), items, items, items)


def test_a_job_grades_the_calls_that_its_model_makes(
    model: Path,
    tmp_path: Path,
    serve_model: Callable[..., grpc.Channel],
    learner: grpc.Channel,
    grading: grpc.Channel,
) -> None:
    items = read_items(str(write_rows(tmp_path)), DatasetSettings())
    GraderCheck(grading, "").refuse_ungradable(GRADER, items, field="grader")
    jobs = FakeJobs(Calls())
    train(plan_of(model, tmp_path, items), serve_model(model), learner, grading, jobs)

    rollouts = read_rollouts(jobs.steps[-1].rollouts_uri)
    by_question: dict[str, Rollout] = {rollout.messages[0].content: rollout for rollout in rollouts}
    scores = {question: rollout.grade.score for question, rollout in by_question.items()}
    assert (len(rollouts), scores) == (8, {ADD: 1.0, MULTIPLY: 0.0, TALK: 1.0, BREAK: 1.0})
    assert {rollout.reward_source for rollout in rollouts} == {RewardSource.GRADE}
    # The shadow saw the calls, the reasoning and the whole text.
    seen = {question: rollout.grade.part_scores["code"] for question, rollout in by_question.items()}
    assert seen == {ADD: 1.375, MULTIPLY: 1.125, TALK: 0.0, BREAK: 0.125}

    added = by_question[ADD].completion
    assert (added.tool_calls, added.reasoning_content, added.content) == ((ADDED,), "I have a tool.", "Let me add.")
    assert added.text == "".join(SCRIPTS[ADD])
    shown = AutoTokenizer.from_pretrained(model).decode(list(added.prompt_token_ids))
    assert '"name": "add"' in shown

    grader = json.dumps(GRADER)
    messages = [rollout_message(rollout, with_tokens=False) for rollout in rollouts]
    samples = [sample_of_rollout(message, values_read(GRADER)) for message in messages]
    again = GradingClient(grading).grade_samples(grader, samples).grades
    assert list(again) == [rollout.grade for rollout in rollouts]


def test_a_job_whose_grader_needs_calls_that_nobody_looks_for_is_refused(
    model: Path,
    tmp_path: Path,
    serve_model: Callable[..., grpc.Channel],
    learner: grpc.Channel,
    grading: grpc.Channel,
) -> None:
    items = read_items(str(write_rows(tmp_path)), DatasetSettings())
    plan = plan_of(model, tmp_path, items, "think")
    with pytest.raises(InvalidInput, match=r"parts_format: the grader reads sample\.output_tools.*is 'think'"):
        train(plan, serve_model(model, "think"), learner, grading, FakeJobs(Calls()))
