"""The routes: which page answers which address. Errors are one sentence of plain text."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import grpc
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.gateway import metrics, report
from pinetune.gateway.reading import Reader
from pinetune.pod.errors import InvalidInput, PinetuneError

STATUS_OF_CODE = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""How an error of ours is said in HTTP; 500 for the others."""
PURPOSES = {
    "": rollout_pb2.ROLLOUT_PURPOSE_UNSPECIFIED,
    "training": rollout_pb2.ROLLOUT_PURPOSE_TRAINING,
    "validation": rollout_pb2.ROLLOUT_PURPOSE_VALIDATION,
}
"""What a job samples for; the rollouts of its evaluations belong to those."""


def make_app(reader: Reader) -> FastAPI:
    """Return the application that serves the pages."""
    app = FastAPI(title="pinetune", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(PinetuneError, _say)
    app.middleware("http")(_count)

    @app.get("/healthz", response_class=PlainTextResponse)
    def healthz() -> str:
        return "serving\n"

    @app.get("/plotly.js")
    def plotly() -> Response:
        headers = {"Cache-Control": "max-age=86400"}
        return Response(report.plotly_script(), media_type="text/javascript", headers=headers)

    @app.get("/", response_class=HTMLResponse)
    def jobs() -> str:
        return report.jobs_page(reader.jobs())

    @app.get("/jobs/{job_id}", response_class=HTMLResponse)
    def job(job_id: str) -> str:
        return report.job_page(reader.history(job_id), reader.runs_of([job_id]))

    @app.get("/jobs/{job_id}/rollouts", response_class=HTMLResponse)
    def rollouts(job_id: str, step: str = "", purpose: str = "", page_token: str = "") -> str:
        number = _step(step)
        page = reader.rollouts(job_id, step=number, purpose=_purpose(purpose), page_token=page_token)
        return report.rollouts_page(job_id, page, step=number, purpose=purpose)

    @app.get("/compare", response_class=HTMLResponse)
    def compare(evaluations: str = "") -> str:
        ids = [each.strip() for each in evaluations.split(",") if each.strip()]
        if len(ids) < 2:
            raise InvalidInput("evaluations: name two or more, separated by commas", reason="TOO_FEW_EVALUATIONS")
        return report.comparison_page(reader.runs(ids))

    @app.get("/report.html")
    def download(job: Annotated[list[str], Query()]) -> Response:
        histories = [reader.history(job_id) for job_id in job]
        page = report.report(histories, reader.runs_of(job))
        headers = {"Content-Disposition": f'attachment; filename="pinetune-{len(job)}-jobs.html"'}
        return HTMLResponse(page, headers=headers)

    return app


def _step(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidInput(f"step: must be a number from 0 on; given {text!r}", reason="INVALID_STEP")
    return int(text)


def _purpose(word: str) -> rollout_pb2.RolloutPurpose:
    if word not in PURPOSES:
        raise InvalidInput(
            f"purpose: {word!r} is none of {', '.join(filter(None, PURPOSES))}", reason="UNKNOWN_PURPOSE"
        )
    return PURPOSES[word]


def _say(request: Request, error: Exception) -> Response:
    assert isinstance(error, PinetuneError)
    return PlainTextResponse(f"{error}\n", status_code=STATUS_OF_CODE.get(error.code, 500))


async def _count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    with metrics.REQUEST_TIME.time():
        response = await answer(request)
    metrics.REQUESTS.labels(str(response.status_code)).inc()
    return response
