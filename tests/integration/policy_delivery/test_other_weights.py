"""A sampler that computes with other weights than it says is found by the canary."""

import math
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from tests.integration.policy_delivery.conftest import FAULTY_VERSION, WAYS, Delivery, sampler_of
from torch import Tensor, nn

from pinetune.generation.engine import CALLER, Caller, InFlight, LoadedPolicy, PolicyState
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.pod.errors import Conflict


class ForgetfulEngine(TransformersEngine):
    """Says that it holds policy 2, hash and all, and has done nothing."""

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        if policy_version < FAULTY_VERSION:
            return super().load_policy(policy_uri, policy_version, content_hash, in_flight, caller)
        self._weights.state = PolicyState(policy_version, content_hash, "2026-01-31T12:00:00Z")
        return LoadedPolicy(self._weights.state, changed_tensor_count=0, seconds=0.0)


class StaleHead(nn.Module):
    """Has the tied weight, and computes with a copy of what that was before the last policy."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self._copy = [weight.detach().clone()]

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden, self._copy[0])


class StaleEngine(TransformersEngine):
    """Holds what it was given and computes with an old copy of its output layer."""

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        if policy_version == FAULTY_VERSION:
            model = self._model.model
            weight = model.get_input_embeddings().weight
            assert isinstance(weight, nn.Parameter)
            model.set_output_embeddings(StaleHead(weight))
        return super().load_policy(policy_uri, policy_version, content_hash, in_flight, caller)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", [ForgetfulEngine, StaleEngine])
def test_a_sampler_that_computes_with_other_weights_than_it_says_is_found_by_the_canary(
    engine: type[TransformersEngine], way: str, deliver: Callable[..., Delivery]
) -> None:
    job = deliver(way, service=lambda model: sampler_of(model, engine))
    error = job.fails(Conflict, r"disagree on policy 2: the canary's log-probabilities differ by \d.* above the limit")
    assert error.reason == "POLICY_NOT_ATTESTED"
    gap = float(error.metadata["canary_gap"])
    assert 0.01 < gap < math.inf
    assert REGISTRY.get_sample_value("pinetune_worker_canary_gap") == gap
