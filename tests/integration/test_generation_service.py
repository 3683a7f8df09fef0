"""The generation service over real gRPC: tokens out, limits, policies that are loaded, callers who leave."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from prometheus_client import REGISTRY
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model, make_tokenizer

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import (
    GenerationServiceStub,
    add_GenerationServiceServicer_to_server,
)
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import call
from pinetune.client.generation import GenerationClient
from pinetune.client.prompts import Message as ClientMessage
from pinetune.client.prompts import Prompt, Sampling
from pinetune.generation.service import SERVICE_NAME, GenerationService
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.pod.channel import connect
from pinetune.pod.errors import Conflict, Corrupt, InvalidInput, NotFound, PinetuneError, TimedOut, Unsupported
from pinetune.pod.server import RegisteredService

SERVICES = Path(__file__).resolve().parents[2] / "services"
DEADLINE_SECONDS = 60.0
Request = wire.GenerateRequest | wire.ScoreRequest | wire.LoadPolicyRequest
USER = rollout_pb2.Message(role=rollout_pb2.ROLE_USER, content="Tom has 3 apples.")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def address(model: Path, serve: Callable[..., str]) -> str:
    service = GenerationService()
    service.hold(TransformersEngine(EngineOptions(str(model), threads=1, waiting_calls_max=4)))
    return serve(
        [RegisteredService(SERVICE_NAME, lambda server: add_GenerationServiceServicer_to_server(service, server))]
    )


@pytest.fixture
def stub(address: str) -> Iterator[GenerationServiceStub]:
    with connect(address) as channel:
        yield GenerationServiceStub(channel)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    write_policy(tmp_path / "policy", tensors_of("llama", seed=1), version=3)
    return tmp_path / "policy"


def generate_request(**changes: object) -> wire.GenerateRequest:
    request = wire.GenerateRequest(
        prompts=[
            wire.Prompt(prompt_id="text", messages=[USER]),
            wire.Prompt(prompt_id="ids", token_ids=[9, 50, 17]),
        ],
        sample_count=2,
        sampling=wire.SamplingParams(temperature=1.0, max_tokens=8, seed=5),
    )
    request.MergeFrom(wire.GenerateRequest(**changes))  # type: ignore[arg-type]  # fields of a test's own choice
    return request


def generate(stub: GenerationServiceStub, request: wire.GenerateRequest) -> wire.GenerateResponse:
    return call(stub.Generate, request, deadline_seconds=DEADLINE_SECONDS)


def load(stub: GenerationServiceStub, folder: Path, version: int = 3) -> wire.LoadPolicyResponse:
    request = wire.LoadPolicyRequest(policy_uri=str(folder), policy_version=version)
    return call(stub.LoadPolicy, request, deadline_seconds=DEADLINE_SECONDS)


def ask(stub: GenerationServiceStub, request: Request) -> Message:
    match request:
        case wire.GenerateRequest():
            return generate(stub, request)
        case wire.ScoreRequest():
            return call(stub.Score, request, deadline_seconds=DEADLINE_SECONDS)
        case wire.LoadPolicyRequest():
            return call(stub.LoadPolicy, request, deadline_seconds=DEADLINE_SECONDS)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_is_tokenised_is_what_is_sampled_from_and_scored(stub: GenerationServiceStub) -> None:
    tokenised = call(
        stub.Tokenize,
        wire.TokenizeRequest(examples=[wire.Example(messages=[USER], answer="7"), wire.Example(messages=[USER])]),
        deadline_seconds=DEADLINE_SECONDS,
    ).examples
    response = generate(stub, generate_request())
    assert [group.prompt_id for group in response.prompts] == ["text", "ids"]
    assert response.prompts[0].prompt_token_ids == tokenised[0].prompt_token_ids == tokenised[1].prompt_token_ids
    assert not tokenised[1].answer_token_ids
    description = call(stub.DescribeEngine, wire.DescribeEngineRequest(), deadline_seconds=DEADLINE_SECONDS)
    assert tokenised[0].answer_token_ids[-1] == description.end_of_turn_token_id

    pairs = [(group.prompt_token_ids, one) for group in response.prompts for one in group.completions]
    scored = call(
        stub.Score,
        wire.ScoreRequest(
            sequences=[wire.TokenSequence(prompt_token_ids=ids, token_ids=one.token_ids) for ids, one in pairs]
        ),
        deadline_seconds=DEADLINE_SECONDS,
    )
    for (_, one), logprobs in zip(pairs, scored.sequences, strict=True):
        assert list(logprobs.logprobs) == pytest.approx(list(one.logprobs), abs=1e-5)
        assert [(span.policy_version, span.token_count) for span in one.policy_spans] == [(0, len(one.token_ids))]
    assert [one.index for one in response.prompts[0].completions] == [0, 1]
    assert len({one.completion_id for _, one in pairs}) == 4
    assert scored.policy == response.policy == description.policy


@pytest.mark.parametrize(
    ("sampling", "field", "why"),
    [
        (Sampling(max_tokens=8, regex="(a"), "response_format.regex", "unclosed group"),
        (Sampling(max_tokens=8, json_schema='{"type": "text"}'), "response_format.json_schema", "Invalid type: text"),
        (
            Sampling(max_tokens=8, regex="a" * 65_537),
            "response_format.regex",
            "must have at most 65536 bytes; it has 65537",
        ),
    ],
    ids=["regex", "schema", "long"],
)
def test_a_shape_is_refused_as_for_sampling_without_any(address: str, sampling: Sampling, field: str, why: str) -> None:
    before = metric("pinetune_generation_tokens_total", kind="completion")
    with connect(address) as channel:
        client = GenerationClient(channel)
        with pytest.raises(InvalidInput, match=f"^{field} .*{why}") as caught:
            client.check_format(sampling)
        assert (caught.value.reason, caught.value.metadata["field"]) == ("RESPONSE_FORMAT", field)
        with pytest.raises(InvalidInput) as sampled:
            client.generate([Prompt("a", (ClientMessage("user", "b"),))], sampling)
        assert sampled.value.message == caught.value.message
        client.check_format(Sampling(regex="a+"))
        client.check_format(Sampling())
    assert metric("pinetune_generation_tokens_total", kind="completion") == before


def test_the_same_request_gives_the_same_tokens(stub: GenerationServiceStub) -> None:
    first, second = generate(stub, generate_request()), generate(stub, generate_request())
    assert first.prompts == second.prompts


def test_a_call_without_a_deadline_is_answered(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        assert len(GenerationServiceStub(channel).Generate(generate_request()).prompts) == 2


def test_a_loaded_policy_is_named_by_every_token(stub: GenerationServiceStub, policy: Path) -> None:
    with pytest.raises(Conflict, match="policy 0 is held and at least 3 is asked for") as caught:
        generate(stub, generate_request(min_policy_version=3))
    assert caught.value.reason == "POLICY_TOO_OLD"

    loaded = load(stub, policy)
    assert load(stub, policy).changed_tensor_count == 0

    response = generate(stub, generate_request(min_policy_version=3))
    assert response.policy == loaded.policy
    versions = {span.policy_version for g in response.prompts for one in g.completions for span in one.policy_spans}
    assert versions == {3}
    assert metric("pinetune_generation_policy_version") == 3


def test_a_damaged_policy_is_data_loss(address: str, policy: Path) -> None:
    weights = policy / "model-0.safetensors"
    data = bytearray(weights.read_bytes())
    # The first byte behind the header, which is of a tensor that the base model holds otherwise.
    data[8 + int.from_bytes(data[:8], "little")] ^= 1
    weights.write_bytes(data)
    with connect(address) as channel, pytest.raises(Corrupt) as caught:
        load(GenerationServiceStub(channel), policy)
    assert caught.value.code is grpc.StatusCode.DATA_LOSS
    assert caught.value.reason == "TENSOR_HASH_MISMATCH"


def test_a_policy_that_is_not_there_is_not_found(stub: GenerationServiceStub, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"holds no manifest\.json"):
        load(stub, tmp_path)


REFUSED: dict[str, tuple[Request, type[PinetuneError], str]] = {
    "no samples": (generate_request(sample_count=-1), InvalidInput, "sample_count must be at least 1; it is -1"),
    "no tokens": (
        wire.GenerateRequest(prompts=[wire.Prompt(prompt_id="a", token_ids=[9])], sample_count=1),
        InvalidInput,
        r"sampling\.max_tokens must be at least 1; it is 0",
    ),
    "hot": (
        generate_request(sampling=wire.SamplingParams(temperature=10.5)),
        InvalidInput,
        r"sampling\.temperature must be 0 or 0\.0001 to 10; it is 10\.5",
    ),
    "nearly greedy": (
        generate_request(sampling=wire.SamplingParams(temperature=1e-5)),
        InvalidInput,
        r"sampling\.temperature must be 0 or",
    ),
    "top_p": (
        generate_request(sampling=wire.SamplingParams(top_p=1.5)),
        InvalidInput,
        r"sampling\.top_p must be above 0 to 1; it is 1\.5",
    ),
    "top_k": (generate_request(sampling=wire.SamplingParams(top_k=-1)), InvalidInput, r"sampling\.top_k"),
    "min_tokens": (generate_request(sampling=wire.SamplingParams(min_tokens=9)), InvalidInput, r"min_tokens must be 0"),
    "empty stop": (generate_request(sampling=wire.SamplingParams(stop=[""])), InvalidInput, r"sampling\.stop must be"),
    "no prompts": (
        wire.GenerateRequest(sample_count=1, sampling=wire.SamplingParams(max_tokens=1)),
        InvalidInput,
        "prompts must have at least one prompt",
    ),
    "prompt id twice": (
        generate_request(prompts=[wire.Prompt(prompt_id="ids", token_ids=[9])]),
        InvalidInput,
        r"prompts\[2\]\.prompt_id must be set and unique in the request; it is 'ids'",
    ),
    "nothing to read": (
        generate_request(prompts=[wire.Prompt(prompt_id="none")]),
        InvalidInput,
        r"prompts\[2\] must have messages or token_ids",
    ),
    "token id": (
        generate_request(prompts=[wire.Prompt(prompt_id="big", token_ids=[320])]),
        InvalidInput,
        r"prompts\[2\]: token ids must be at least 0 and below 320; one is 320",
    ),
    "role": (
        generate_request(prompts=[wire.Prompt(prompt_id="role", messages=[rollout_pb2.Message(content="x")])]),
        InvalidInput,
        r"prompts\[2\]\.messages\[0\]\.role must be one of system",
    ),
    "long prompt": (
        generate_request(prompts=[wire.Prompt(prompt_id="long", token_ids=[9] * 121)]),
        InvalidInput,
        r"\(long\) has 121 tokens, which with max_tokens 8 passes the 128 tokens of the model",
    ),
    "response format": (
        generate_request(response_format=wire.ResponseFormat(regex="(a")),
        InvalidInput,
        r"response_format\.regex cannot be kept: unclosed group",
    ),
    "response format with a stop": (
        generate_request(
            response_format=wire.ResponseFormat(json_schema="{}"), sampling={"max_tokens": 8, "stop": ["}"]}
        ),
        InvalidInput,
        r"sampling\.stop must be empty where response_format is given, whose shape it would cut; it is \['}'\]",
    ),
    "long response format": (
        generate_request(response_format=wire.ResponseFormat(regex="é" * 32_769)),
        InvalidInput,
        r"response_format\.regex must have at most 65536 bytes; it has 65538",
    ),
    "selection without graders": (
        generate_request(selection=wire.Selection(rule=wire.SELECTION_RULE_MAJORITY_VOTE, grader_json="{}")),
        Unsupported,
        "this service knows no grading service; set PINETUNE_GENERATION_GRADING_ADDRESS",
    ),
    "scoring from nothing": (
        wire.ScoreRequest(sequences=[wire.TokenSequence(token_ids=[9])]),
        InvalidInput,
        r"sequences\[0\]\.prompt_token_ids must have at least one id",
    ),
    "scoring too much": (
        wire.ScoreRequest(sequences=[wire.TokenSequence(prompt_token_ids=[9], token_ids=[9] * 128)]),
        InvalidInput,
        r"sequences\[0\] has 129 tokens; the model reads at most 128",
    ),
    "loading nothing": (wire.LoadPolicyRequest(policy_version=1), InvalidInput, "policy_uri is required"),
}


@pytest.mark.parametrize(("request_message", "kind", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_out_of_bounds_is_refused_by_name(
    request_message: Request, kind: type[PinetuneError], sentence: str, stub: GenerationServiceStub
) -> None:
    with pytest.raises(kind, match=sentence):
        ask(stub, request_message)


def stream_request(**changes: object) -> wire.StreamGenerateRequest:
    request = wire.StreamGenerateRequest(
        prompt=wire.Prompt(prompt_id="text", messages=[USER]),
        sampling=wire.SamplingParams(temperature=1.0, max_tokens=40, seed=5, stop=["e"]),
    )
    request.MergeFrom(wire.StreamGenerateRequest(**changes))  # type: ignore[arg-type]  # fields of a test's own choice
    return request


def test_a_stream_tells_token_by_token_what_generate_returns_at_once(stub: GenerationServiceStub) -> None:
    for seed in range(5):
        request = stream_request(sampling=wire.SamplingParams(seed=seed))
        *messages, last = stub.StreamGenerate(request, timeout=DEADLINE_SECONDS)
        whole = generate(
            stub, wire.GenerateRequest(prompts=[request.prompt], sample_count=1, sampling=request.sampling)
        ).prompts[0]
        (completion,) = whole.completions
        assert "".join(message.text_delta for message in [*messages, last]) == completion.text
        assert [token for message in messages for token in message.token_ids] == list(completion.token_ids)
        assert [one for message in messages for one in message.logprobs] == list(completion.logprobs)
        assert {message.policy_version for message in [*messages, last]} == {0}
        assert last.finish_reason == completion.finish_reason
        assert list(last.completion.prompt_token_ids) == list(whole.prompt_token_ids)
        assert (last.completion.text, last.completion.token_ids) == (completion.text, completion.token_ids)
        assert not any(message.finish_reason or message.HasField("completion") for message in messages)


FORMATS = {
    "json schema": (
        wire.ResponseFormat(
            json_schema='{"type": "object", "properties": {"a": {"enum": ["ja", "né"]}, "b": {"type": "boolean"}}, '
            '"required": ["a", "b"], "additionalProperties": false}'
        ),
        r'\{"a":"(ja|né)","b":(true|false)\}',
    ),
    "regex": (wire.ResponseFormat(regex="(ja|né) [0-9]{3}"), "(ja|né) [0-9]{3}"),
}


@pytest.mark.parametrize(("response_format", "regex"), FORMATS.values(), ids=FORMATS)
def test_answers_of_a_given_shape_have_it_at_once_and_as_a_stream(
    response_format: wire.ResponseFormat, regex: str, stub: GenerationServiceStub
) -> None:
    sampling = wire.SamplingParams(temperature=1.0, max_tokens=60, seed=5)
    prompt = wire.Prompt(prompt_id="text", messages=[USER])
    request = wire.GenerateRequest(prompts=[prompt], sample_count=4, sampling=sampling, response_format=response_format)
    completions = generate(stub, request).prompts[0].completions
    assert all(re.fullmatch(regex, one.text) for one in completions), [one.text for one in completions]
    assert {one.finish_reason for one in completions} == {rollout_pb2.FINISH_REASON_STOP}
    *messages, last = stub.StreamGenerate(
        wire.StreamGenerateRequest(prompt=prompt, sampling=sampling, response_format=response_format),
        timeout=DEADLINE_SECONDS,
    )
    assert "".join(message.text_delta for message in [*messages, last]) == completions[0].text
    assert [token for message in messages for token in message.token_ids] == list(completions[0].token_ids)


def test_a_stream_tells_of_a_token_before_the_last_one_is_sampled(stub: GenerationServiceStub) -> None:
    sampling = wire.SamplingParams(max_tokens=100, min_tokens=100, temperature=1.0)
    request = wire.StreamGenerateRequest(prompt=stream_request().prompt, sampling=sampling)
    call_of = stub.StreamGenerate(request, timeout=DEADLINE_SECONDS)
    first = next(call_of)
    assert 0 < len(first.token_ids) < 100
    assert sum(len(message.token_ids) for message in call_of) == 100 - len(first.token_ids)


def describe(stub: GenerationServiceStub) -> wire.DescribeEngineResponse:
    return call(stub.DescribeEngine, wire.DescribeEngineRequest(), deadline_seconds=DEADLINE_SECONDS)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def test_a_reader_who_cancels_a_stream_frees_the_engine(stub: GenerationServiceStub) -> None:
    sampling = wire.SamplingParams(max_tokens=100, min_tokens=100, temperature=1.0)
    stream = stub.StreamGenerate(
        wire.StreamGenerateRequest(prompt=stream_request().prompt, sampling=sampling), timeout=DEADLINE_SECONDS
    )
    next(stream)
    stream.cancel()
    assert len(generate(stub, generate_request()).prompts) == 2
    assert (describe(stub).running_count, describe(stub).waiting_count) == (0, 0)


def test_readers_who_leave_before_their_turn_leave_the_queue(stub: GenerationServiceStub) -> None:
    busy = stub.Generate.future(LONG, timeout=DEADLINE_SECONDS)
    wait_for(lambda: describe(stub).running_count > 0, "the long call does not begin")
    before = metric("pinetune_generation_completions_total", outcome="cancelled")
    streams = [stub.StreamGenerate(stream_request(), timeout=DEADLINE_SECONDS) for _ in range(2)]
    wait_for(lambda: describe(stub).waiting_count == 2, "the streams do not wait")
    for stream in streams:
        stream.cancel()
    wait_for(lambda: describe(stub).waiting_count == 0, "the streams wait on")
    counted = "pinetune_generation_completions_total"
    wait_for(lambda: metric(counted, outcome="cancelled") == before + 2, "those who left are not counted")
    busy.cancel()


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"prompt": wire.Prompt(token_ids=[400])}, grpc.StatusCode.INVALID_ARGUMENT, "prompt must have messages or"),
        ({"sampling": wire.SamplingParams(top_p=2)}, grpc.StatusCode.INVALID_ARGUMENT, "sampling.top_p must be"),
        ({"min_policy_version": 1}, grpc.StatusCode.FAILED_PRECONDITION, "policy 0 is held and at least 1"),
    ],
    ids=["prompt", "sampling", "policy"],
)
def test_a_stream_that_cannot_begin_says_why(
    changes: dict[str, object], code: grpc.StatusCode, sentence: str, stub: GenerationServiceStub
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.StreamGenerate(stream_request(**changes), timeout=DEADLINE_SECONDS))
    assert caught.value.code() is code
    assert sentence in (caught.value.details() or "")


LONG = generate_request(sample_count=150, sampling=wire.SamplingParams(max_tokens=100, min_tokens=100))


def test_a_caller_who_leaves_frees_the_engine(stub: GenerationServiceStub) -> None:
    with pytest.raises(TimedOut):
        call(stub.Generate, LONG, deadline_seconds=0.2)
    generate(stub, generate_request())
    description = call(stub.DescribeEngine, wire.DescribeEngineRequest(), deadline_seconds=DEADLINE_SECONDS)
    assert (description.running_count, description.waiting_count) == (0, 0)


def test_a_load_waits_for_completions_in_flight(stub: GenerationServiceStub, policy: Path) -> None:
    answers: list[wire.GenerateResponse] = []
    caller = threading.Thread(target=lambda: answers.append(generate(stub, LONG)))
    caller.start()
    while not call(stub.DescribeEngine, wire.DescribeEngineRequest(), deadline_seconds=DEADLINE_SECONDS).running_count:
        assert caller.is_alive()
    assert load(stub, policy).policy.policy_version == 3
    caller.join(DEADLINE_SECONDS)
    (answer,) = answers
    assert answer.policy.policy_version == 0
    spans = [span for group in answer.prompts for one in group.completions for span in one.policy_spans]
    assert {span.policy_version for span in spans} == {0}


def test_tokens_and_completions_are_counted(stub: GenerationServiceStub) -> None:
    counted = "pinetune_generation_tokens_total"
    before = [metric(counted, kind=kind) for kind in ("prompt", "completion")]
    response = generate(stub, generate_request())
    sampled = sum(len(one.token_ids) for group in response.prompts for one in group.completions)
    read = sum(len(group.prompt_token_ids) for group in response.prompts)
    after = [metric(counted, kind=kind) for kind in ("prompt", "completion")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [read, sampled]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"MODEL": "/nowhere/model"}, "PINETUNE_GENERATION_MODEL: there is no folder '/nowhere/model'"),
        ({"MODEL": "x", "DEVICE": "gpu"}, "PINETUNE_GENERATION_DEVICE: "),
        ({"MODEL": "x", "ENGINE": "sglang"}, "PINETUNE_GENERATION_ENGINE: "),
        ({}, "PINETUNE_GENERATION_MODEL: "),
    ],
    ids=["no folder", "device", "engine", "no model"],
)
def test_a_pod_that_cannot_start_says_why_and_exits_with_2(variables: dict[str, str], sentence: str) -> None:
    settings = {f"PINETUNE_GENERATION_{name}": value for name, value in variables.items()}
    pod = subprocess.run(
        [sys.executable, "-m", "pinetune.generation"],
        env=os.environ | {"PYTHONPATH": str(SERVICES), "PINETUNE_POD_LOG_FORMAT": "text"} | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert pod.returncode == 2, pod.stderr
    assert sentence in pod.stderr
    assert "Traceback" not in pod.stderr
