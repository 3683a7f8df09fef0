"""An update of the samplers' weights on each way, checks and canary included, beside a peer that checks nothing.

    python -m benchmarks.weights [--rounds 5] [--folder /dev/shm] [--dtype float32] [--vllm-python PYTHON]

The model has 82 million random weights in the shape of distilgpt2. Learner and sampler are two processes that speak
gRPC, as in a job; `--folder` is where policies are written, memory by default: no disk is measured. An update is

    shared files   the learner writes the policy, the sampler loads it, both score the canary; with `--vllm-python`
                   (`.venv-vllm/bin/python` after `make test-vllm`) also with a sampler on vLLM
    stream         the learner sends the policy over gRPC, both score the canary
    broadcast      the same over torch's gloo, as to many samplers at once
    adapter        the sampler loads a LoRA adapter of rank 16 on every attention and feed-forward weight

Peer: `save_file` and `load_file` of safetensors and `load_state_dict` of torch, in one process: nothing is hashed, no
manifest is written, nobody compares anything. Interleaved rounds. Wall-clock time: the median, the best in brackets.
CPU time of both processes together: the median; other work on the machine counts little there. A ratio of 2 means twice
the peer's time.
"""

import argparse
import copy
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import grpc
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from benchmarks.generation_pod import generation_pod
from pinetune.client.generation import GenerationClient
from pinetune.client.prompts import TokenSequence
from pinetune.learning.batches import TokenSequence as LearnerSequence
from pinetune.learning.broadcasting import broadcast
from pinetune.learning.policy import Policy
from pinetune.learning.policy_files import entries_of, policy_tensors, write_policy
from pinetune.learning.ppo import Trajectory
from pinetune.learning.pushing import Send, held_policy, push
from pinetune.pod.manifest import Manifest, content_hash, write_manifest

VOCABULARY_SIZE = 50_257
CANARY = TokenSequence(tuple(range(10, 42)), tuple(range(100, 164)))
RANK, ALPHA = 16, 32
ADAPTED = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
SHARED, STREAM, BROADCAST, ADAPTER = "shared files", "stream", "broadcast", "adapter"
SHARED_VLLM = "shared files, vllm"
PEER = "save_file, load_file, load_state_dict"


def lapses(moments: Sequence[float]) -> list[float]:
    """Return the seconds from each moment to the next."""
    return [later - earlier for earlier, later in pairwise(moments)]


class Learner:
    """The learning side: a model whose weights change a little before every update."""

    def __init__(self, model: GPT2LMHeadModel, dtype: torch.dtype) -> None:
        self.model, self.dtype, self.version = model, dtype, 0
        self._policy = Policy(model)
        self._canary: list[LearnerSequence] = [
            Trajectory("", "", CANARY.prompt_token_ids, CANARY.token_ids, [0.0] * len(CANARY.token_ids), 0.0)
        ]

    @torch.no_grad()
    def change(self) -> None:
        """Take a step, so that every tensor is another one."""
        self.version += 1
        for parameter in self.model.parameters():
            parameter.add_(1e-4)

    def canary(self) -> list[float]:
        """Score the canary."""
        scores: list[float] = self._policy.score(self._canary, 1024).logprobs_BT[0].tolist()
        return scores


class Sampler:
    """The sampling side, in a process of its own."""

    def __init__(self, channel: grpc.Channel, address: str, pid: int) -> None:
        self.client, self.address = GenerationClient(channel), address
        self._pid = pid

    def cpu_seconds(self) -> float:
        """Return the CPU time that this process and the sampler's processes have taken."""
        return time.process_time() + sum(map(cpu_seconds_of, family(self._pid)))

    def attest(self, expected: list[float]) -> None:
        """Score the canary and compare."""
        scored = self.client.score([CANARY])[0]
        gap = sum(abs(one - other) for one, other in zip(scored, expected, strict=True)) / len(expected)
        assert gap < 0.1, f"sampler and learner disagree by {gap}"


def family(pid: int) -> Iterator[int]:
    """Yield a process and those that it has started: vLLM computes in one of its own."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_model(folder: Path) -> GPT2LMHeadModel:
    """Write the model's folder; return the model."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=6, vocab_size=VOCABULARY_SIZE, bos_token_id=0, eos_token_id=0)
    model: GPT2LMHeadModel = GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    words = {f"w{number}": number for number in range(VOCABULARY_SIZE)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w1"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0").save_pretrained(folder)
    return model


@contextmanager
def sampler_process(model: Path, dtype: str, vllm_python: str = "") -> Iterator[Sampler]:
    """Run a generation pod; with `vllm_python` one on vLLM."""
    with generation_pod(model, dtype, name="vllm" if vllm_python else "generation", vllm_python=vllm_python) as pod:
        yield Sampler(pod.channel, pod.address, pod.pid)


def shared_files(learner: Learner, sampler: Sampler, folder: Path) -> list[float]:
    """Update through files; returns the seconds of writing, loading and the canary."""
    uri = str(folder / "shared")
    moments = [time.perf_counter()]
    manifest = write_policy(learner.model, uri, learner.version, {}, dtype=learner.dtype)
    moments.append(time.perf_counter())
    sampler.client.load_policy(uri, policy_version=learner.version, content_hash=manifest.content_hash)
    moments.append(time.perf_counter())
    sampler.attest(learner.canary())
    moments.append(time.perf_counter())
    return lapses(moments)


def stream(learner: Learner, sampler: Sampler, send: Send) -> list[float]:
    """Update over the network; returns the seconds of hashing, sending with loading, and the canary."""
    moments = [time.perf_counter()]
    source = held_policy(policy_tensors(learner.model, learner.dtype), learner.version)
    moments.append(time.perf_counter())
    (pushed,) = send(source, [sampler.address], deadline_seconds=120)
    assert pushed.content_hash == source.manifest.content_hash
    moments.append(time.perf_counter())
    sampler.attest(learner.canary())
    moments.append(time.perf_counter())
    return lapses(moments)


def adapter(learner: Learner, sampler: Sampler, folder: Path) -> list[float]:
    """Load a new adapter over the base that is held; returns the seconds of writing and loading."""
    base = sampler.client.describe().policy.content_hash
    tensors: dict[str, Tensor] = {}
    for name, parameter in learner.model.named_parameters():
        module = name.removesuffix(".weight")
        if module.endswith(ADAPTED):
            rows, columns = parameter.shape  # GPT-2 has its weights as [in, out].
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(RANK, rows) / 100
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(columns, RANK) / 100
    text = json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "fan_in_fan_out": True})
    place = folder / "adapter"
    place.mkdir(exist_ok=True)
    moments = [time.perf_counter()]
    save_file(tensors, place / "adapter_model.safetensors")
    (place / "adapter_config.json").write_text(text)
    entries = entries_of(tensors, "adapter_model.safetensors")
    hashed = content_hash(entries, base_content_hash=base, adapter_config_json=text)
    version = learner.version + 1
    write_manifest(str(place), Manifest(version, hashed, entries, "lora", base, "2026-01-31T12:00:00Z", text))
    moments.append(time.perf_counter())
    held = sampler.client.load_policy(str(place), policy_version=version, content_hash=hashed)
    assert held.content_hash == hashed
    moments.append(time.perf_counter())
    sampler.client.score([CANARY])  # The learner has no adapter to compare with; what it costs is the same.
    moments.append(time.perf_counter())
    return lapses(moments)


def peer(learner: Learner, twin: GPT2LMHeadModel, folder: Path) -> list[float]:
    """Save, load and place the weights without any check."""
    path = folder / "peer.safetensors"
    moments = [time.perf_counter()]
    # As `save_pretrained` does: tied weights once.
    save_file({name: one.detach().to(learner.dtype) for name, one in learner.model.named_parameters()}, path)
    moments.append(time.perf_counter())
    twin.load_state_dict(load_file(path), strict=False)
    moments.append(time.perf_counter())
    return lapses(moments)


PARTS = {
    SHARED: ("write", "load", "canary"),
    SHARED_VLLM: ("write", "load", "canary"),
    STREAM: ("hash", "send and load", "canary"),
    BROADCAST: ("hash", "send and load", "canary"),
    ADAPTER: ("write", "load", "canary"),
    PEER: ("write", "load"),
}


def main() -> None:
    """Print one line a way: seconds of its parts and in all, and the ratio to the peer."""
    parser = argparse.ArgumentParser(description="Weight updates beside safetensors and torch without checks.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--folder", default="/dev/shm", help="where policies are written")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="what samplers hold")
    parser.add_argument("--vllm-python", default="", help="a Python that has vLLM, to measure it too")
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    dtype = getattr(torch, arguments.dtype)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        model = make_model(folder / "model")
        twin = copy.deepcopy(model).to(dtype)
        learner = Learner(model, dtype)
        with ExitStack() as pods:
            sampler = pods.enter_context(sampler_process(folder / "model", arguments.dtype))
            ways: dict[str, Callable[[], list[float]]] = {
                SHARED: lambda: shared_files(learner, sampler, folder),
                STREAM: lambda: stream(learner, sampler, push),
                BROADCAST: lambda: stream(learner, sampler, partial(broadcast, backend="gloo")),
                ADAPTER: lambda: adapter(learner, sampler, folder),
                PEER: lambda: peer(learner, twin, folder),
            }
            samplers = dict.fromkeys(ways, sampler)
            if arguments.vllm_python:
                vllm = sampler_process(folder / "model", arguments.dtype, arguments.vllm_python)
                samplers[SHARED_VLLM] = pods.enter_context(vllm)
                ways[SHARED_VLLM] = lambda: shared_files(learner, samplers[SHARED_VLLM], folder)
            rounds: dict[str, list[list[float]]] = {way: [] for way in ways}
            cpu: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(arguments.rounds + 1):
                for way, update in ways.items():
                    if way not in (ADAPTER, PEER):
                        learner.change()
                    before = samplers[way].cpu_seconds()
                    taken = update()
                    if number:  # The first round fills memory.
                        rounds[way].append(taken)
                        cpu[way].append(samplers[way].cpu_seconds() - before)
    _print(rounds, cpu, arguments.dtype)


def _print(rounds: dict[str, list[list[float]]], cpu: dict[str, list[float]], dtype: str) -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"82 million weights in {dtype}, {cores} cores; wall ms: median (best), ratio; CPU ms: median, ratio; parts")
    base = statistics.median(sum(parts) for parts in rounds[PEER])
    cpu_base = statistics.median(cpu[PEER])
    for way, taken in rounds.items():
        total = [sum(parts) for parts in taken]
        parts = ", ".join(
            f"{name} {1000 * statistics.median(column):.0f} ({1000 * min(column):.0f})"
            for name, column in zip(PARTS[way], zip(*taken, strict=True), strict=True)
        )
        median, cpu_median = statistics.median(total), statistics.median(cpu[way])
        print(
            f"{way:40} {1000 * median:6.0f} ({1000 * min(total):.0f}) {median / base:5.2f}   "
            f"{1000 * cpu_median:6.0f} {cpu_median / cpu_base:5.2f}   {parts}",
            flush=True,
        )


if __name__ == "__main__":
    main()
