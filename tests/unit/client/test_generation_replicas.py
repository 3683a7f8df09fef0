"""Many replicas as one: who gets which prompts, and what becomes of those whose replica dies, has no room or is slow.

The replicas are real servers on real ports; a test ends them and starts them again on the same port.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from tests.fakes.replicas import FakeReplica

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.client import replica_set, spread
from pinetune.client.generation import GenerationClient, PolicyState
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.prompts import Example, Message, Prompt, Sampling, TokenSequence
from pinetune.client.replica_news import Back, GivenUp, Joined, Lost, Moved, News, Retired
from pinetune.client.replica_set import Attendance
from pinetune.client.rollout import Completion
from pinetune.client.spread import Spread
from pinetune.pod.errors import Broken, Busy, Cancelled, Conflict, InvalidInput, TimedOut, Unavailable

PATIENCE_SECONDS = 20.0
SAMPLING = Sampling(sample_count=2)


class Group:
    """Some replicas, the client of all, and what it told."""

    def __init__(self, count: int, return_seconds: float, used: int | None) -> None:
        self.fakes = [FakeReplica(f"generation-{number}") for number in range(count)]
        self.news: list[News] = []
        self.told = threading.Condition()
        self.client = GenerationReplicas(
            [fake.replica for fake in self.fakes], tell=self.tell, return_seconds=return_seconds, count=used
        )
        self.client.describe()

    def tell(self, news: News) -> None:
        with self.told:
            self.news.append(news)
            self.told.notify_all()

    def wait_for(self, kind: type[News]) -> News:
        with self.told:
            assert self.told.wait_for(lambda: any(isinstance(one, kind) for one in self.news), PATIENCE_SECONDS)
            return next(one for one in self.news if isinstance(one, kind))

    def close(self) -> None:
        self.client.close()
        for fake in self.fakes:
            fake.close()

    @property
    def asked(self) -> list[str]:
        return [prompt_id for fake in self.fakes for ids in fake.asked for prompt_id in ids]


Make = Callable[..., Group]


@pytest.fixture
def group() -> Iterator[Make]:
    made: list[Group] = []

    def make(count: int, *, return_seconds: float = PATIENCE_SECONDS, used: int | None = None) -> Group:
        made.append(Group(count, return_seconds, used))
        return made[-1]

    yield make
    for one in made:
        one.close()


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{number}", (Message("user", "2 + 2?"),)) for number in range(count)]


def check_complete(groups: list[list[Completion]], count: int) -> None:
    """Each prompt in its place, with each sample once."""
    assert [[one.completion_id for one in group] for group in groups] == [
        [f"p{number}-0", f"p{number}-1"] for number in range(count)
    ]


def test_one_replica_gets_the_whole_step_in_one_call(group: Make) -> None:
    one = group(1)
    check_complete(one.client.generate(prompts(100), SAMPLING), 100)
    assert one.fakes[0].asked == [[f"p{number}" for number in range(100)]]
    assert one.news == []


def test_what_one_can_say_for_all_is_asked_of_the_first_that_is_there(group: Make) -> None:
    pair = group(2)
    pair.fakes[0].end()
    assert len(pair.client.tokenize([Example((Message("user", "2 + 2?"),), (), "")])) == 1
    assert isinstance(pair.wait_for(Lost), Lost)
    shapes: list[str] = []
    pair.fakes[1].shape = lambda shape: shapes.append(shape.regex)
    pair.client.check_format(SAMPLING)
    pair.client.check_format(replace(SAMPLING, regex="a+"))
    assert shapes == ["a+"], "without a shape nobody is asked"


def test_what_one_replica_is_asked_is_what_a_client_without_replicas_asks(group: Make) -> None:
    one, plain = group(1), group(1)
    one.client.generate(prompts(600), SAMPLING)
    plain.fakes[0].replica.client.generate(prompts(600), SAMPLING)
    assert one.fakes[0].asked == plain.fakes[0].asked
    assert [len(ids) for ids in one.fakes[0].asked] == [256, 256, 88]


def test_a_service_is_asked_to_sample_as_the_caller_says(group: Make) -> None:
    one = group(1)
    asked: list[wire.SamplingParams] = []
    one.fakes[0].before = lambda request, call: asked.append(request.sampling)
    one.client.generate(prompts(1), Sampling(2, 0.5, 0.25, 7, 99, 9, ("x",), 3))
    said = wire.SamplingParams(temperature=0.5, top_p=0.25, top_k=7, max_tokens=99, min_tokens=9, stop=["x"], seed=3)
    assert asked == [said]


def test_replicas_pull_units_and_a_quick_one_does_most(group: Make) -> None:
    pair = group(2)
    first_is_done = threading.Event()

    def wait_for_the_other(request: wire.GenerateRequest, call: int) -> None:
        assert first_is_done.wait(PATIENCE_SECONDS)

    def note(request: wire.GenerateRequest, call: int) -> None:
        if call == 4:  # Two of six are open at the slow one, and all others came here.
            first_is_done.set()

    pair.fakes[0].before, pair.fakes[1].before = wait_for_the_other, note
    check_complete(pair.client.generate(prompts(32), SAMPLING), 32)
    # The two calls that are open at one arrive in any order.
    assert sorted(len(ids) for ids in pair.fakes[0].asked) == [4, 8]
    assert sorted(len(ids) for ids in pair.fakes[1].asked) == [4, 4, 4, 8]
    assert sorted(ids[0] for fake in pair.fakes for ids in fake.asked if len(ids) == 8) == ["p0", "p8"], "large first"
    assert sorted(pair.asked) == sorted(f"p{number}" for number in range(32)), "each prompt once"


def test_the_prompts_of_a_replica_that_dies_are_sampled_by_the_others_once(group: Make) -> None:
    trio = group(3)
    victim = trio.fakes[1]
    may_die = threading.Event()

    def die(request: wire.GenerateRequest, call: int) -> None:
        may_die.set()
        trio.wait_for(Lost)

    victim.before = die

    def kill() -> None:
        may_die.wait(PATIENCE_SECONDS)
        victim.end()

    killer = threading.Thread(target=kill)
    killer.start()
    check_complete(trio.client.generate(prompts(48), SAMPLING), 48)
    killer.join(PATIENCE_SECONDS)
    lost = trio.wait_for(Lost)
    assert isinstance(lost, Lost)
    assert (lost.replica, lost.present_count) == ("generation-1", 2)
    moved = {name for news in trio.news if isinstance(news, Moved) for name in news.prompt_ids}
    assert moved >= {prompt_id for ids in victim.asked for prompt_id in ids}
    assert len(moved) == 12, "only what it had was moved"
    units = [ids for fake in (trio.fakes[0], trio.fakes[2]) for ids in fake.asked]
    assert sorted(map(len, units)) == [4] * 8 + [8] * 2, "what the dead one had was dealt out in the smallest units"
    elsewhere = [name for ids in units for name in ids]
    assert sorted(elsewhere) == sorted(f"p{number}" for number in range(48)), "the others sampled each prompt once"


class Mortal:
    """Dies of one prompt, and takes along whatever else it samples."""

    def __init__(self, poison: str) -> None:
        self._poison = poison
        self._dies = threading.Event()

    def __call__(self, request: wire.GenerateRequest, call: int) -> None:
        if any(prompt.prompt_id == self._poison for prompt in request.prompts):
            time.sleep(0.1)  # So that the other call has come.
            self._dies.set()
            time.sleep(0.1)
            self._dies.clear()
        elif not self._dies.wait(0.3):
            return
        raise Unavailable("the engine has died", reason="ENGINE_DEAD")


def test_prompts_over_which_samplers_are_lost_again_and_again_end_the_step_and_are_named(group: Make) -> None:
    pair = group(2)
    for fake in pair.fakes:
        fake.before = Mortal("p3")
    with pytest.raises(Broken) as caught:
        pair.client.generate(prompts(32), SAMPLING)
    assert caught.value.reason == "SAMPLERS_LOST_AGAIN"
    assert "3 times a sampler was lost" in caught.value.message
    assert "(the engine has died)" in caught.value.message
    assert caught.value.metadata["prompt_ids"] == "p0, p1, p2, p3", "the smallest unit that they are in"
    assert sum("p3" in ids for fake in pair.fakes for ids in fake.asked) == spread.LOSSES_MAX


def test_samplers_that_were_gone_before_they_were_asked_are_not_lost_over_the_prompts(
    group: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_set, "PROBE_SECONDS", PATIENCE_SECONDS)  # The first one is not back before the last.
    six = group(6)

    def die(request: wire.GenerateRequest, call: int) -> None:
        raise Unavailable("the engine has died", reason="ENGINE_DEAD")

    six.fakes[0].before = die
    for fake in six.fakes[1:5]:
        fake.end()
    check_complete(six.client.generate(prompts(1), SAMPLING), 1)
    lost = [one for one in six.news if isinstance(one, Lost)]
    assert [one.why for one in lost] == ["the engine has died", *["it does not say that it serves"] * 4]


def test_samplers_that_are_told_to_stop_are_not_lost_over_the_prompts(
    group: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_set, "PROBE_SECONDS", PATIENCE_SECONDS)
    five = group(5)

    def be_cut_off(request: wire.GenerateRequest, call: int) -> None:
        raise Cancelled("the pod stops", reason="POD_STOPPED")

    for fake in five.fakes[:4]:
        fake.before = be_cut_off
    check_complete(five.client.generate(prompts(1), SAMPLING), 1)
    assert sum(isinstance(one, Lost) for one in five.news) == 4 > spread.LOSSES_MAX


def test_a_replica_without_room_is_left_alone_for_as_long_as_it_says(group: Make) -> None:
    pair = group(2)

    def refuse(request: wire.GenerateRequest, call: int) -> None:
        raise Busy("no room", reason="ENGINE_BUSY", retry_after_seconds=600.0)

    pair.fakes[0].before = refuse
    check_complete(pair.client.generate(prompts(32), SAMPLING), 32)
    assert len(pair.fakes[0].asked) <= spread.CALLS_PER_REPLICA, "it is not asked again"
    assert {news.reason for news in pair.news if isinstance(news, Moved)} == {"busy"}


def test_a_single_replica_without_room_is_asked_again_when_it_said(group: Make) -> None:
    one = group(1)

    def refuse_twice(request: wire.GenerateRequest, call: int) -> None:
        if call <= 2:
            raise Busy("no room", reason="ENGINE_BUSY", retry_after_seconds=0.01)

    one.fakes[0].before = refuse_twice
    check_complete(one.client.generate(prompts(8), SAMPLING), 8)
    assert len(one.fakes[0].asked) == 3
    assert len(one.news) == 1, "told once, however often it refuses"


def test_a_unit_that_takes_far_too_long_is_sent_elsewhere_and_its_first_call_cancelled(
    group: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "SLOW_SECONDS_MIN", 0.3)
    pair = group(2)
    over = threading.Event()

    def hang(request: wire.GenerateRequest, call: int) -> None:
        over.wait(PATIENCE_SECONDS)

    pair.fakes[0].before = hang
    try:
        check_complete(pair.client.generate(prompts(32), SAMPLING), 32)
        assert pair.fakes[0].cancelled.wait(PATIENCE_SECONDS), "the slow call is taken back"
    finally:
        over.set()
    again = {name for news in pair.news if isinstance(news, Moved) for name in news.prompt_ids}
    assert again == {name for ids in pair.fakes[0].asked for name in ids}
    assert {news.reason for news in pair.news if isinstance(news, Moved)} == {"slow"}


@pytest.mark.parametrize(
    ("size", "seconds", "is_slow"), [(4, 10.0, False), (4, 16.0, True), (8, 16.0, True), (32, 16.0, False)]
)
def test_a_larger_unit_may_take_longer_before_it_is_slow_and_a_smaller_one_as_long(
    group: Make, size: int, seconds: float, is_slow: bool
) -> None:
    pair = group(2)
    step = Spread(pair.client._members, prompts(64), SAMPLING, min_policy_version=0, held=0, tell=pair.tell)
    step._paces += [(8, 4.0), (8, 6.0)]
    unit = spread._Unit(prompts(size))
    first, second = pair.client._members.present()
    call = pair.fakes[0].replica.client.begin(unit.prompts, SAMPLING, min_policy_version=0, deadline_seconds=9.0)
    step._flights.append(spread._Flight(unit, first, call, time.monotonic() - seconds, alone=False))
    unit.flights += step._flights
    assert (step._slow_flight(second) is not None) == is_slow


def test_the_last_replica_is_waited_for_and_loads_the_policy_before_it_gets_work(group: Make) -> None:
    one = group(1)
    fake = one.fakes[0]
    one.client.load_policy("/policies/3", policy_version=3, content_hash="three")
    checked: list[tuple[int, int]] = []
    one.client.check_returned(lambda client, version: checked.append((version, len(fake.asked))))

    def die_once(request: wire.GenerateRequest, call: int) -> None:
        if call == 1:
            one.wait_for(Lost)

    fake.before = die_once

    def restart() -> None:
        wait_until_asked(fake)
        fake.end()
        fake.begin()

    restarted = threading.Thread(target=restart)
    restarted.start()
    check_complete(one.client.generate(prompts(8), SAMPLING, min_policy_version=3), 8)
    restarted.join(PATIENCE_SECONDS)
    assert checked == [(3, 1)], "attested after it came back and before the second call"
    assert fake.policy.policy_version == 3
    assert [len(ids) for ids in fake.asked] == [8, 8]
    back = one.wait_for(Back)
    assert isinstance(back, Back)
    assert (back.policy_version, back.present_count) == (3, 1)


def wait_until_asked(fake: FakeReplica) -> None:
    for _ in range(2000):
        if fake.asked:
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody asked")


def test_a_replica_that_was_started_anew_between_two_steps_gets_the_policy_first(group: Make) -> None:
    pair = group(2)
    pair.client.load_policy("/policies/3", policy_version=3, content_hash="three")
    pair.fakes[1].end()
    pair.fakes[1].begin()
    check_complete(pair.client.generate(prompts(32), SAMPLING, min_policy_version=3), 32)
    pair.wait_for(Back)
    assert {fake.policy.policy_version for fake in pair.fakes} == {3}


def test_a_replica_that_fails_its_attestation_ends_the_step(group: Make) -> None:
    one = group(1)
    one.client.load_policy("/policies/3", policy_version=3, content_hash="three")

    def refuse(client: GenerationClient, version: int) -> None:
        raise Conflict("it scores the canary differently", reason="POLICY_NOT_ATTESTED")

    one.client.check_returned(refuse)
    one.fakes[0].end()
    one.fakes[0].begin()
    with pytest.raises(Conflict, match="canary"):
        one.client.generate(prompts(4), SAMPLING, min_policy_version=3)
    assert len(one.fakes[0].asked) <= 1


def test_a_replica_that_is_gone_while_a_policy_is_loaded_loads_it_when_it_is_back(group: Make) -> None:
    pair = group(2)
    pair.fakes[0].end()
    states = pair.client.load_policy("/policies/3", policy_version=3, content_hash="three")
    assert [state.policy_version for state in states] == [3]
    assert pair.client.attest(lambda client: client.score([TokenSequence((1,), (2, 3))])[0][0]) == -0.5
    pair.fakes[0].begin()
    pair.wait_for(Back)
    assert pair.fakes[0].policy.content_hash == "three"


def test_a_replica_that_does_not_take_a_policy_in_time_is_lost_and_the_others_hold_it(group: Make) -> None:
    made, policy = group(2), PolicyState(1, "next")
    late = [made.fakes[0].replica.client]

    def bring(client: GenerationClient) -> PolicyState:
        if client in late:
            late.remove(client)
            raise TimedOut("no answer", reason="DEADLINE")
        return policy

    assert made.client.hold(policy, bring) == [policy]
    lost, back = made.wait_for(Lost), made.wait_for(Back)
    assert isinstance(lost, Lost)
    assert isinstance(back, Back)
    assert (lost.replica, back.replica, back.policy_version) == ("generation-0", "generation-0", 1)


def test_a_policy_that_is_published_while_a_replica_comes_back_reaches_it_too(group: Make) -> None:
    pair = group(2)
    pair.client.load_policy("/policies/3", policy_version=3, content_hash="three")
    published: list[threading.Thread] = []

    def publish_meanwhile(client: GenerationClient, version: int) -> None:
        load = partial(pair.client.load_policy, "/policies/4", policy_version=4, content_hash="four")
        published.append(threading.Thread(target=load))
        published[0].start()
        published[0].join(0.3)

    pair.client.check_returned(publish_meanwhile)
    pair.fakes[1].end()
    assert len(pair.client.describe()) == 1
    pair.fakes[1].begin()
    pair.wait_for(Back)
    published[0].join(PATIENCE_SECONDS)
    assert [fake.policy.policy_version for fake in pair.fakes] == [4, 4]


def test_with_no_replica_left_the_error_says_which_died_and_why(group: Make) -> None:
    pair = group(2, return_seconds=1.0)
    for fake in pair.fakes:
        fake.end()
    with pytest.raises(Unavailable) as caught:
        pair.client.generate(prompts(4), SAMPLING)
    assert caught.value.reason == "NO_REPLICA_LEFT"
    assert "none came back within 1 s: generation-0, lost " in caught.value.message
    assert "generation-1, lost " in caught.value.message


def test_the_whole_step_has_a_deadline_that_names_who_holds_it_up(group: Make) -> None:
    pair = group(2)
    over = threading.Event()

    def hang(request: wire.GenerateRequest, call: int) -> None:
        over.wait(PATIENCE_SECONDS)

    for fake in pair.fakes:
        fake.before = hang
    step = Spread(
        pair.client._members, prompts(8), SAMPLING, min_policy_version=0, held=0, tell=pair.tell, deadline_seconds=0.5
    )
    try:
        with pytest.raises(TimedOut, match=r"completions of 8 prompts are missing after 0\.5 s") as caught:
            step.run()
    finally:
        over.set()
    assert caught.value.reason == "SAMPLING_TOO_SLOW"


@pytest.mark.parametrize("fault", ["a prompt twice", "a sample twice", "a sample too few"])
def test_an_answer_with_the_wrong_groups_is_refused(group: Make, fault: str) -> None:
    pair = group(2)

    def spoil(response: wire.GenerateResponse) -> None:
        match fault:
            case "a prompt twice":
                response.prompts[0].prompt_id = response.prompts[-1].prompt_id
            case "a sample twice":
                response.prompts[0].completions[1].index = 0
            case "a sample too few":
                del response.prompts[0].completions[1]

    pair.fakes[0].after = spoil
    with pytest.raises(Broken) as caught:
        pair.client.generate(prompts(16), SAMPLING)
    assert caught.value.reason == "GROUPS_MISMATCH"


def test_what_is_wrong_with_the_request_is_raised_at_once(group: Make) -> None:
    pair = group(2)

    def refuse(request: wire.GenerateRequest, call: int) -> None:
        raise InvalidInput("too long", reason="PROMPT_TOO_LONG")

    pair.fakes[0].before = refuse
    with pytest.raises(InvalidInput, match="too long"):
        pair.client.generate(prompts(16), SAMPLING)


def test_replicas_that_hold_different_policies_are_refused(group: Make) -> None:
    pair = group(2)
    pair.fakes[1].policy = wire.PolicyState(policy_version=0, content_hash="other")
    with pytest.raises(Conflict, match="hold different policies"):
        pair.client.describe()


def test_one_that_is_not_used_is_neither_asked_nor_missed(group: Make) -> None:
    pair = group(2, used=1)
    pair.fakes[1].end()
    check_complete(pair.client.generate(prompts(32), SAMPLING), 32)
    assert pair.fakes[0].asked == [[f"p{number}" for number in range(32)]], "with one in use nothing is cut"
    assert len(pair.client.load_policy("/policies/3", policy_version=3, content_hash="three")) == 1
    assert pair.client.attendance() == Attendance((True,), 0)
    assert pair.news == []


def test_one_that_is_added_gets_work_once_it_serves_and_holds_the_attested_policy(group: Make) -> None:
    pair = group(2, used=1)
    pair.fakes[1].end()
    pair.client.load_policy("/policies/3", policy_version=3, content_hash="three")
    checked: list[tuple[int, int]] = []
    pair.client.check_returned(lambda client, version: checked.append((version, len(pair.fakes[1].asked))))
    pair.client.resize(2)
    check_complete(pair.client.generate(prompts(32), SAMPLING, min_policy_version=3), 32)
    assert [len(ids) for ids in pair.fakes[0].asked] == [32], "while it is alone nothing is cut"
    assert pair.client.attendance() == Attendance((True, False), 0)
    assert not pair.fakes[1].asked
    pair.fakes[1].begin()
    joined = pair.wait_for(Joined)
    assert isinstance(joined, Joined)
    assert (joined.replica, joined.policy_version, joined.present_count) == ("generation-1", 3, 2)
    assert checked == [(3, 0)], "attested before its first work"
    assert pair.client.attendance() == Attendance((True, True), 1)
    check_complete(pair.client.generate(prompts(32), SAMPLING, min_policy_version=3), 32)
    assert pair.fakes[1].asked
    assert [type(one) for one in pair.news] == [Joined]


def test_one_that_joins_in_the_middle_of_a_step_takes_the_calls_that_wait(group: Make) -> None:
    pair = group(2, used=1)
    pair.fakes[1].end()
    pair.client.resize(2)

    def let_it_join(request: wire.GenerateRequest, call: int) -> None:
        if call == 1:
            pair.fakes[1].begin()
        pair.wait_for(Joined)

    pair.fakes[0].before = let_it_join
    joined_is_asked = threading.Event()
    pair.fakes[1].before = lambda request, call: joined_is_asked.set()

    def wait_for_the_other(response: wire.GenerateResponse) -> None:
        assert joined_is_asked.wait(PATIENCE_SECONDS)

    pair.fakes[0].after = wait_for_the_other
    check_complete(pair.client.generate(prompts(600), SAMPLING), 600)
    assert sorted(len(ids) for fake in pair.fakes for ids in fake.asked) == [88, 256, 256], "as one alone is asked"
    assert sorted(pair.asked) == sorted(f"p{number}" for number in range(600)), "each prompt once"


def test_the_highest_numbers_retire_get_no_more_work_and_are_not_missed(group: Make) -> None:
    trio = group(3)
    trio.client.resize(1)
    assert trio.news == [Retired("generation-1", 1), Retired("generation-2", 1)]
    for fake in trio.fakes[1:]:
        fake.end()
    check_complete(trio.client.generate(prompts(32), SAMPLING), 32)
    assert [len(fake.asked) for fake in trio.fakes] == [1, 0, 0]
    assert len(trio.client.load_policy("/policies/3", policy_version=3, content_hash="three")) == 1
    assert len(trio.news) == 2, "no loss"


def test_one_that_retired_and_is_wanted_again_joins_with_the_policy_of_the_others(group: Make) -> None:
    pair = group(2)
    pair.client.load_policy("/policies/3", policy_version=3, content_hash="three")
    pair.client.resize(1)
    pair.client.load_policy("/policies/4", policy_version=4, content_hash="four")
    assert pair.fakes[1].policy.policy_version == 3
    pair.client.resize(2)
    pair.wait_for(Joined)
    assert pair.fakes[1].policy.policy_version == 4


def test_one_that_retires_while_it_is_made_ready_does_not_join_and_its_fault_ends_nothing(group: Make) -> None:
    pair = group(2, used=1)
    is_checked, may_fail = threading.Event(), threading.Event()

    def fail(client: GenerationClient, version: int) -> None:
        is_checked.set()
        may_fail.wait(PATIENCE_SECONDS)
        raise Conflict("it scores the canary differently", reason="POLICY_NOT_ATTESTED")

    pair.client.check_returned(fail)
    pair.client.resize(2)
    assert is_checked.wait(PATIENCE_SECONDS)
    pair.client.resize(1)
    may_fail.set()
    # What made it ready has ended once somebody else may come.
    with pair.client._members.arrivals:
        check_complete(pair.client.generate(prompts(4), SAMPLING), 4)
    assert pair.news == [Retired("generation-1", 1)]


def test_a_further_one_that_cannot_be_made_ready_is_given_up_until_the_next_resize_and_ends_nothing(
    group: Make,
) -> None:
    trio = group(3, used=1)
    other_card = [trio.fakes[1].replica.client]

    def check(client: GenerationClient, version: int) -> None:
        if client in other_card:
            other_card.clear()
            raise Conflict("it scores the canary differently", reason="POLICY_NOT_ATTESTED")

    trio.client.check_returned(check)
    trio.client.resize(2)
    assert trio.wait_for(GivenUp) == GivenUp("generation-1", "it scores the canary differently", 1)
    check_complete(trio.client.generate(prompts(4), SAMPLING), 4)
    assert trio.client.attendance().present == (True, False)
    trio.client.resize(3)
    with trio.told:
        assert trio.told.wait_for(lambda: trio.client.attendance().present == (True, True, True), PATIENCE_SECONDS)


def test_a_further_one_that_fails_at_a_later_policy_is_given_up_and_one_of_the_ordered_ones_ends_the_step(
    group: Make,
) -> None:
    pair = group(2, used=1)
    pair.client.resize(2)
    pair.wait_for(Joined)
    sequences = [TokenSequence((1,), (2, 3))]

    def gap_of(client: GenerationClient) -> float:
        gap = abs(client.score(sequences)[0][0] + 0.5)
        if gap > 0.01:
            raise Conflict("it scores the canary differently", reason="POLICY_NOT_ATTESTED")
        return gap

    def without_room(client: GenerationClient) -> float:
        raise Busy("no room", reason="ENGINE_BUSY")

    with pytest.raises(Busy):
        pair.client.attest(without_room)
    assert pair.client.attendance().present == (True, True), "that passes"
    pair.fakes[1].logprob = -1.0
    assert pair.client.attest(gap_of) == 0.0
    assert pair.wait_for(GivenUp) == GivenUp("generation-1", "it scores the canary differently", 1)
    assert pair.client.attendance() == Attendance((True, False), 2)
    check_complete(pair.client.generate(prompts(32), SAMPLING), 32)
    assert not pair.fakes[1].asked
    pair.fakes[1].logprob, pair.fakes[0].logprob = -0.5, -1.0
    pair.client.resize(2)
    with pair.told:
        assert pair.told.wait_for(lambda: pair.client.attendance().present == (True, True), PATIENCE_SECONDS)
    with pytest.raises(Conflict, match="canary"):
        pair.client.attest(gap_of)


def test_a_further_one_that_holds_another_policy_than_it_was_given_is_given_up(group: Make) -> None:
    pair = group(2, used=1)
    pair.client.resize(2)
    pair.wait_for(Joined)
    further, policy = pair.fakes[1].replica.client, PolicyState(3, "three")

    def bring(client: GenerationClient) -> PolicyState:
        return PolicyState(2, "two") if client is further else policy

    assert pair.client.hold(policy, bring) == [policy]
    given_up = pair.wait_for(GivenUp)
    assert isinstance(given_up, GivenUp)
    assert given_up.why == "generation-1 was given policy 3 (three…) and holds policy 2 (two…)"
    pair.client.resize(1)
    with pytest.raises(Conflict, match="generation-0 was given policy 4"):
        pair.client.hold(PolicyState(4, "four"), bring)


def test_a_lost_one_that_retires_is_looked_after_no_more(group: Make) -> None:
    pair = group(2)
    pair.fakes[1].end()
    assert len(pair.client.describe()) == 1
    pair.wait_for(Lost)
    pair.client.resize(1)
    pair.fakes[1].begin()
    (look,) = pair.client._members._looks.values()
    assert look.is_set()
    assert [type(one) for one in pair.news] == [Lost, Retired]
    assert pair.client.attendance().present == (True,)


def test_an_added_one_that_nobody_sees_is_named_where_none_is_left(group: Make) -> None:
    pair = group(2, used=1, return_seconds=1.0)
    for fake in pair.fakes:
        fake.end()
    pair.client.resize(2)
    pair.client._members.lose(pair.fakes[0].replica, Unavailable("Socket closed", reason="UNAVAILABLE"))
    with pytest.raises(Unavailable, match=r"generation-1, wanted \d+ s ago: not there yet"):
        pair.client.generate(prompts(4), SAMPLING)


@pytest.mark.parametrize("count", [0, 3])
def test_no_set_is_made_of_none_or_of_more_than_there_are(group: Make, count: int) -> None:
    pair = group(2)
    with pytest.raises(ValueError, match=f"count must be from 1 to the 2 replicas; it is {count}"):
        pair.client.resize(count)
