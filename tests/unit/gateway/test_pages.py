import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.gateway.http_server import HttpServer
from pinetune.gateway.pages import make_app
from pinetune.gateway.reading import Reader
from pinetune.pod.errors import InvalidInput, Unavailable

MINUS = "\N{MINUS SIGN}"
Get = Callable[[str], tuple[int, str]]


@pytest.fixture
def address(reader: Reader) -> Iterator[str]:
    server = HttpServer(make_app(reader), "127.0.0.1", 0, grace_seconds=5.0)
    server.start()
    yield f"http://{server.address}"
    server.stop()


@pytest.fixture
def get(address: str) -> Get:
    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{address}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return ask


def test_the_list_shows_every_job(get: Get) -> None:
    status, page = get("/")
    assert status == 200
    assert 'href="/jobs/ftjob-rl"' in page
    assert 'href="/jobs/ftjob-sft"' in page


def test_a_job_has_its_result_curves_samples_and_settings(get: Get) -> None:
    status, page = get("/jobs/ftjob-rl")
    assert status == 200
    for words in (
        f"fine_tuned {MINUS} warm_up",
        "0.386 to 0.524",
        "KL to the reference policy",
        "2 scored better",
        "kl_coefficient",
    ):
        assert words in page
    assert page.count("data-figure=") == 6
    _well_formed(page)


@pytest.mark.parametrize(
    ("state", "refreshes"),
    [(wire.JOB_STATE_RUNNING, True), (wire.JOB_STATE_QUEUED, True), (wire.JOB_STATE_PAUSED, False)],
)
def test_a_page_loads_itself_again_only_while_its_job_is_under_way(
    get: Get, jobs: FakeJobs, state: wire.JobState, refreshes: bool
) -> None:
    jobs.histories["ftjob-rl"].job.state = state
    assert ('http-equiv="refresh"' in get("/jobs/ftjob-rl")[1]) == refreshes


def test_a_job_that_just_began_has_a_page(get: Get, jobs: FakeJobs) -> None:
    young = wire.Job(job_id="ftjob-young", state=wire.JOB_STATE_QUEUED, waiting_for="")
    young.spec.method.type = "reinforcement"
    jobs.add(history.History(young))
    status, page = get("/jobs/ftjob-young")
    assert status == 200
    assert "queued" in page


def test_a_failed_job_says_why(get: Get, jobs: FakeJobs) -> None:
    job = jobs.histories["ftjob-rl"].job
    job.state, job.error.reason, job.error.message = wire.JOB_STATE_FAILED, "UNGRADED", "too many ungraded"
    assert "too many ungraded (UNGRADED)" in get("/jobs/ftjob-rl")[1]


def test_rollouts_are_paged_within_their_step(get: Get) -> None:
    _, page = get("/jobs/ftjob-rl/rollouts")
    seen = page.count('<td class="number">')
    link = re.search(r'href="(\?[^"]*page_token[^"]*)"', page)
    assert link is not None
    _, following = get("/jobs/ftjob-rl/rollouts" + link[1].replace("&amp;", "&"))
    assert seen > 0
    assert following != page
    _, one_step = get("/jobs/ftjob-rl/rollouts?step=3&purpose=training")
    assert one_step.count("Rosa picked") == 3
    assert "truncated: the sample was cut off" in one_step


def test_a_job_s_rollouts_offer_only_what_a_job_has(get: Get) -> None:
    _, page = get("/jobs/ftjob-rl/rollouts")
    assert re.findall(r'<option value="(\w*)"', page) == ["", "training", "validation"]
    assert "pinetune rollouts list EVAL" in page


def test_a_part_that_could_not_be_graded_is_shown(get: Get, jobs: FakeJobs) -> None:
    rollout = jobs.histories["ftjob-rl"].rollouts[0]
    history.fail_part(rollout, "judge", "the judge refused")
    _, page = get(f"/jobs/ftjob-rl/rollouts?step={rollout.step}")
    assert "judge: model_refusal: the judge refused" in page


def test_evaluations_are_compared_by_id(get: Get) -> None:
    status, page = get("/compare?evaluations=eval-base,eval-sft")
    assert status == 200
    assert f"fine_tuned {MINUS} base" in page


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/jobs/ftjob-9", 404, "there is no job 'ftjob-9'\n"),
        ("/report.html?job=ftjob-rl&job=ftjob-9", 404, "there is no job 'ftjob-9'\n"),
        ("/compare?evaluations=eval-base", 400, "evaluations: name two or more, separated by commas\n"),
        ("/jobs/ftjob-rl/rollouts?step=x", 400, "step: must be a number from 0 on; given 'x'\n"),
        ("/jobs/ftjob-rl/rollouts?purpose=fun", 400, "purpose: 'fun' is none of training, validation\n"),
    ],
)
def test_an_error_is_one_sentence_with_its_status(get: Get, path: str, status: int, sentence: str) -> None:
    assert get(path) == (status, sentence)


def test_a_jobs_service_that_is_away_is_said_so(get: Get, jobs: FakeJobs) -> None:
    jobs.refuse("ListJobs", *[Unavailable("the database is locked", reason="DATABASE_LOCKED")] * 4)
    assert get("/") == (503, "the database is locked\n")
    assert get("/healthz") == (200, "serving\n")


def test_a_data_set_that_cannot_be_asked_for_is_not_shown_as_if_it_were_deleted(get: Get, jobs: FakeJobs) -> None:
    jobs.refuse("GetDataset", *[Unavailable("the database is locked", reason="DATABASE_LOCKED")] * 4)
    assert get("/jobs/ftjob-rl") == (503, "the database is locked\n")


def test_what_a_model_writes_is_text_and_never_markup(get: Get, jobs: FakeJobs) -> None:
    for rollout in jobs.histories["ftjob-rl"].rollouts:
        rollout.completion.text = "<script>alert(1)</script>"
        rollout.item.messages[0].content = "</div><img src=x onerror=alert(2)>"
    jobs.histories["ftjob-rl"].job.spec.suffix = "'><b>"
    for path in ("/jobs/ftjob-rl", "/jobs/ftjob-rl/rollouts", "/"):
        _, page = get(path)
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "'><b>" not in page


def test_a_report_holds_everything_and_asks_no_network(get: Get) -> None:
    status, page = get("/report.html?job=ftjob-rl&job=ftjob-sft")
    assert status == 200
    assert "plotly.js v" in page
    assert "sums (ftjob-sft)" in page
    assert f"fine_tuned {MINUS} sft" in page
    assert _well_formed(page) == {"data:,"}, "a report must not load anything"


def test_a_taken_port_is_refused(address: str, reader: Reader) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(InvalidInput, match="PINETUNE_GATEWAY_HTTP_PORT"):
        HttpServer(make_app(reader), "127.0.0.1", port, grace_seconds=5.0)


VOID = frozenset({"meta", "link", "input", "img", "br"})


def _well_formed(page: str) -> set[str]:
    """Check that every element is closed; return the addresses that the browser loads by itself."""
    open_elements: list[str] = []
    loaded: set[str] = set()

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("script", "img", "link"):
                loaded.update(value for name, value in attrs if name in ("src", "href") and value)
            if tag not in VOID:
                open_elements.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_elements.pop() == tag

    Checker().feed(page)
    assert open_elements == []
    return loaded
