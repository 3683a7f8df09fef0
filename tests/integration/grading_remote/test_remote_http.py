"""Remote graders behind real HTTP servers: what they are sent, and that their failures stay errors."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY
from tests.fakes.openai_api import DROPS, HANGS, OpenaiApi, Reply
from tests.integration.grading_remote.conftest import DEEP, Make, ask, body, drip_then_answer, error, grader

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.remote.asker import RemoteAsker
from pinetune.pod.errors import InvalidInput


def test_a_url_is_sent_item_sample_and_settings_and_its_score_is_the_grade(api: OpenaiApi, asker: RemoteAsker) -> None:
    reply = {"score": -0.5, "extracted_answer": "four", "matched_rank": 2, "listed_count": 3}
    api.otherwise = lambda body: Reply(json.dumps(reply).encode())
    answers = ask(asker, grader(f"{api.url}/grade", '{"strict": true}'), [body("4", output_tools=[])])
    assert answers.grades == [Grade(score=-0.5, extracted_answer="four", matched_rank=2, listed_count=3)]
    (seen,) = api.seen
    assert seen.path == "/v1/grade"
    assert seen.headers["content-type"] == "application/json"
    assert seen.body == {
        "item": {"answer": 4},
        "sample": {"output_text": "4", "output_tools": []},
        "settings": {"strict": True},
    }


def test_grades_come_in_the_order_of_the_samples(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: Reply(json.dumps({"score": float(body["sample"]["output_text"])}).encode())
    found = ask(asker, grader(api.url), [body(str(number)) for number in range(50)]).grades
    assert [grade.score for grade in found] == list(map(float, range(50)))


@pytest.mark.parametrize(("retryable", "expected"), [({}, False), ({"retryable": True}, True)], ids=["no", "yes"])
def test_a_graders_own_error_is_told_in_its_words(
    api: OpenaiApi, asker: RemoteAsker, retryable: dict[str, bool], expected: bool
) -> None:
    api.otherwise = lambda body: Reply(json.dumps({"error": "no such unit"} | retryable).encode())
    assert error(ask(asker, grader(api.url))) == GradeError("REMOTE", "remote grader: no such unit", expected)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"0.7",
        b"{}",
        b'{"score": null}',
        b'{"score": "0.7"}',
        b'{"score": true}',
        b'{"score": NaN}',
        b'{"score": Infinity}',
        b'{"score": 1e999}',
        b'{"score": 1, "error": "both"}',
        b'{"score": 1, "mood": "good"}',
        b'{"score": 1, "matched_rank": -1}',
        b'{"score": 1, "extracted_answer": 4}',
        b'{"error": 5}',
        b'{"error": "e", "retryable": "yes"}',
        b"<html>",
    ],
)
def test_a_reply_that_is_not_as_agreed_is_an_error_and_never_a_score(
    api: OpenaiApi, asker: RemoteAsker, reply: bytes
) -> None:
    api.otherwise = lambda body: Reply(reply)
    found = error(ask(asker, grader(api.url)))
    assert (found.error_class, found.retryable) == ("REMOTE", False)


def test_a_reply_of_more_than_a_mebibyte_is_an_error(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: Reply(b'{"score": 1.0}' + b" " * 1024 * 1024)
    assert "longer than 1048576 bytes" in error(ask(asker, grader(api.url))).detail


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        (Reply(b"down", 500), True),
        (Reply(b"down", 503), True),
        (Reply(b"slow", 429), True),
        (Reply(b"who?", 401), False),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:1/"}), False),
        (DROPS, True),
    ],
    ids=["500", "503", "429", "401", "redirect", "drop"],
)
def test_a_failing_url_is_an_error_and_is_called_once(
    api: OpenaiApi, asker: RemoteAsker, reply: Reply, retryable: bool
) -> None:
    api.otherwise = lambda body: reply
    found = error(ask(asker, grader(api.url)))
    assert (found.error_class, found.retryable) == ("REMOTE", retryable)
    assert len(api.seen) == 1


def test_a_url_that_hangs_is_given_up_after_the_graders_timeout(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: HANGS
    found = error(ask(asker, grader(api.url, timeout_seconds=0.05)))
    assert (found.error_class, found.retryable) == ("REMOTE", True)


def test_a_grade_that_has_no_more_time_is_a_deadline(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: HANGS
    found = error(ask(asker, grader(api.url), seconds=0.1))
    assert (found.error_class, found.retryable) == ("DEADLINE", True)


def test_no_more_calls_are_made_at_once_than_allowed(api: OpenaiApi, make: Make) -> None:
    two_are_here = threading.Barrier(2)

    def answer(body: object) -> Reply:
        two_are_here.wait(30)
        return Reply(b'{"score": 1.0}')

    api.otherwise = answer
    ask(make(remote_endpoints=[api.url], remote_concurrency=2), grader(api.url), [body("4")] * 8)
    assert api.busiest == 2


def test_an_endpoint_that_no_operator_allowed_is_refused_and_not_called(api: OpenaiApi, make: Make) -> None:
    asker = make()
    for refused in (lambda: asker.check(grader(api.url)), lambda: ask(asker, grader(api.url))):
        with pytest.raises(InvalidInput, match="PINETUNE_GRADING_REMOTE_ENDPOINTS") as caught:
            refused()
        assert caught.value.reason == "ENDPOINT_NOT_ALLOWED"
    assert api.seen == []


@pytest.mark.parametrize(
    ("endpoint", "settings"), [("http://a.org", "{"), ("grpc://a:1", ""), ("grpc://a:1", "[]"), ("grpc://a:1", "{")]
)
def test_settings_that_cannot_be_sent_are_refused(make: Make, endpoint: str, settings: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(remote_endpoints=[endpoint]).check(grader(endpoint, settings))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("REMOTE_SETTINGS_INVALID", "settings_json")


def test_calls_are_counted_by_outcome(api: OpenaiApi, asker: RemoteAsker) -> None:
    def counts() -> list[float]:
        name = "pinetune_grading_remote_calls_total"
        return [REGISTRY.get_sample_value(name, {"outcome": each}) or 0.0 for each in ("answered", "remote")]

    before = counts()
    api.script.append(Reply(b"down", 500))
    ask(asker, grader(api.url), [body("4")] * 3)
    assert [new - old for new, old in zip(counts(), before, strict=True)] == [2, 1]


def test_status_413_says_that_the_sample_is_too_large(api: OpenaiApi, asker: RemoteAsker) -> None:
    api.otherwise = lambda body: Reply(b"too long", 413)
    assert error(ask(asker, grader(api.url))) == GradeError(
        "TOO_LARGE", f"remote grader at {api.url}: status 413: too long", False
    )


@pytest.mark.parametrize("error_class", ["TRUNCATED", "TOO_LARGE", "REMOTE"])
def test_a_grader_may_say_what_kind_of_error_it_is(api: OpenaiApi, asker: RemoteAsker, error_class: str) -> None:
    api.otherwise = lambda body: Reply(json.dumps({"error": "cut off", "class": error_class}).encode())
    assert error(ask(asker, grader(api.url))) == GradeError(error_class, "remote grader: cut off", False)


def test_a_sample_that_is_nested_too_deeply_fails_alone(api: OpenaiApi, asker: RemoteAsker) -> None:
    found = ask(asker, grader(api.url), [body("4"), DEEP, body("5")]).grades
    assert [grade.score for grade in found] == [1.0, None, 1.0]
    assert found[1].error == GradeError("REMOTE", "remote grader: item is nested too deeply to be sent", False)


def test_a_server_that_hangs_takes_no_call_from_another(api: OpenaiApi, make: Make) -> None:
    with OpenaiApi() as hanging:
        asked = threading.Event()

        def answer(body: object) -> Reply:
            asked.set()
            return HANGS

        hanging.otherwise = answer
        asker = make(remote_endpoints=[api.url, hanging.url], remote_concurrency=1)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, asker, grader(hanging.url), cancelled=(left := threading.Event()))
            assert asked.wait(30)
            assert ask(asker, grader(api.url)).grades == [Grade(score=1.0)]
            left.set()
            assert error(waiting.result(30)).error_class == "DEADLINE"


def test_a_server_that_drips_its_headers_frees_its_thread_for_the_next_call(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = threading.Thread(target=drip_then_answer, args=(listener,))
        server.start()
        asker = make(remote_endpoints=[endpoint], remote_concurrency=1)
        first = error(ask(asker, grader(endpoint, timeout_seconds=0.2)))
        assert (first.error_class, first.retryable) == ("REMOTE", True)
        assert ask(asker, grader(endpoint)).grades == [Grade(score=0.5)]
        server.join()


def test_calls_of_a_cancelled_batch_that_have_not_begun_are_not_made(api: OpenaiApi, make: Make) -> None:
    asked, go, cancelled = threading.Event(), threading.Event(), threading.Event()

    def answer(body: object) -> Reply:
        asked.set()
        assert go.wait(30)
        return Reply(b'{"score": 1.0}')

    api.otherwise = answer
    asker = make(remote_endpoints=[api.url], remote_concurrency=1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, asker, grader(api.url), [body("4")] * 20, cancelled=cancelled)
        assert asked.wait(30)
        cancelled.set()
        found = error(call.result(30))
    go.set()
    assert found.detail == "the call was cancelled before the remote grader answered"
    assert ask(asker, grader(api.url)).grades == [Grade(score=1.0)]
    assert len(api.seen) == 2


def test_a_grader_is_shown_its_own_token_and_no_other(
    api: OpenaiApi, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINETUNE_TOKEN", "pods-secret")
    monkeypatch.setenv("TEAM_TOKEN", "team-secret")
    team = f"{api.url}/team"
    asker = make(remote_endpoints=[api.url, team], remote_tokens={team: {"token_env": "TEAM_TOKEN"}})
    for endpoint in (f"{team}/grade", f"{api.url}/grade"):
        ask(asker, grader(endpoint))
    assert [seen.headers.get("authorization") for seen in api.seen] == ["Bearer team-secret", None]


def test_a_token_that_a_grader_repeats_is_cut_out_of_its_words(
    api: OpenaiApi, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "team-secret")
    asker = make(remote_endpoints=[api.url], remote_tokens={api.url: {"token_env": "TEAM_TOKEN"}})
    api.otherwise = lambda body: Reply(b"who is team-secret?", 401)
    assert error(ask(asker, grader(api.url))).detail == f"remote grader at {api.url}: status 401: who is ***?"
