"""States change along the table and no other way."""

import itertools

import pytest

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs.messages import STATE_TO_WIRE
from pinetune.jobs.states import TRANSITIONS, State, check_transition
from pinetune.pod.errors import Conflict

PAIRS = list(itertools.product(State, State))


@pytest.mark.parametrize(("old", "new"), [pair for pair in PAIRS if pair[1] not in TRANSITIONS[pair[0]]])
def test_what_the_table_lacks_is_refused(old: State, new: State) -> None:
    with pytest.raises(Conflict) as caught:
        check_transition("ftjob-1", old, new)
    assert caught.value.metadata == {"work_id": "ftjob-1", "state": old.value, "wanted": new.value}


def test_every_state_can_come_to_an_end() -> None:
    for start in State:
        reached, todo = {start}, [start]
        while todo:
            for state in TRANSITIONS[todo.pop()] - reached:
                reached.add(state)
                todo.append(state)
        assert any(state.is_end for state in reached)


def test_exactly_the_ends_lead_nowhere() -> None:
    assert {state for state in State if state.is_end} == {State.SUCCEEDED, State.FAILED, State.CANCELLED}


def test_every_state_of_the_contract_is_in_the_table() -> None:
    assert set(STATE_TO_WIRE.values()) == set(wire.JobState.values()) - {wire.JOB_STATE_UNSPECIFIED}
