"""A new release rolled out while people watch, call and train: nobody is told no, and no event is missed."""

import json
import os
from pathlib import Path
from typing import Any

from tests.cluster.jobs import assert_whole, demo_order, jobs_client, reached
from tests.cluster.kubectl import kubectl, pods_of, read
from tests.cluster.scripts import Script, running

from pinetune.client.jobs import ENDED

NEXT_TAG = "CLUSTER_NEXT_TAG"
"""Variable with the tag of the images that are rolled out over those of the overlay."""
CALLS_AT_LEAST = 20
"""Of each kind: a roll-out takes minutes, and the jobs service is away for seconds of them."""
SERVICES = {"grading": "deployment", "gateway": "deployment", "jobs": "statefulset"}
WATCH = """
import json, sys
from pinetune.client.jobs import JobsClient
from pinetune.pod.channel import connect

with connect("pinetune-jobs.pinetune:50051") as channel:
    print("begun", flush=True)
    interruptions = []
    events = [m.event.event_id for m in JobsClient(channel).watch(sys.argv[1], interrupted=interruptions.append)]
print(json.dumps({"events": events, "interruptions": len(interruptions)}))
"""
ASK = """
import collections, json, os, pathlib, sys, threading, time, traceback, urllib.request
from pinetune.client.grading import GradingClient
from pinetune.client.jobs import PATIENCE_SECONDS, JobsClient
from pinetune.pod.channel import connect

job_id, asked, slowest = sys.argv[1], collections.Counter(), collections.Counter()
grader = json.dumps({"type": "number", "reference": "{{item.answer}}"})

def page(path):
    with urllib.request.urlopen(f"http://pinetune-gateway.pinetune/{path}", timeout=90) as reply:
        assert job_id in reply.read().decode()

def grade():
    graded = graders.grade(grader, items_json=['{"answer": "4"}'], output_texts=["4"], item_indexes=[0])
    assert graded.grades[0].score == 1.0

def is_listed():
    assert job_id in [job.job_id for job in jobs.list_jobs()]

def has_steps():
    assert list(jobs.list_steps(job_id))

def ask_again_and_again(name, ask):
    try:
        while not pathlib.Path("/tmp/stop").exists():
            began = time.monotonic()
            ask()
            asked[name] += 1
            slowest[name] = max(slowest[name], time.monotonic() - began)
            time.sleep(0.1)
    except BaseException:
        traceback.print_exc()
        print(name, "failed after", dict(asked), file=sys.stderr, flush=True)
        os._exit(1)

with connect("pinetune-jobs.pinetune:50051") as channel:
    jobs, graders = JobsClient(channel), GradingClient(channel, patience_seconds=PATIENCE_SECONDS)
    asks = {
        "jobs": is_listed,
        "steps": has_steps,
        "grades": grade,
        "pages": lambda: page(""),
        "pages of a job": lambda: page(f"jobs/{job_id}"),
    }
    threads = [threading.Thread(target=ask_again_and_again, args=one) for one in asks.items()]
    for thread in threads:
        thread.start()
    while len(asked) < len(asks):
        time.sleep(0.1)
    print("begun", flush=True)
    for thread in threads:
        thread.join()
print(json.dumps({"asked": asked, "slowest_seconds": slowest}))
"""
KINDS_OF_CALLS = 5
GRADE = """
import json, pathlib
from pinetune.client.grading import GradingClient
from pinetune.pod.channel import connect

grader, asked = json.dumps({"type": "number", "reference": "{{item.answer}}"}), 0
with connect("dns:///pinetune-grading:50051") as channel:
    client = GradingClient(channel)
    while not pathlib.Path("/tmp/stop").exists():
        graded = client.grade(grader, items_json=['{"answer": "4"}'], output_texts=["4"], item_indexes=[0])
        assert graded.grades[0].score == 1.0
        asked += 1
        if asked == 1:
            print("begun", flush=True)
print(json.dumps({"asked": asked}))
"""


def roll_out(tag: str) -> None:
    """Give every service an image of another tag, and wait until all run it."""
    for name, kind in SERVICES.items():
        (container,) = read(kind, f"pinetune-{name}")["spec"]["template"]["spec"]["containers"]
        image = f"{container['image'].rpartition(':')[0]}:{tag}"
        kubectl("set", "image", f"{kind}/pinetune-{name}", f"{container['name']}={image}")
    for name, kind in SERVICES.items():
        kubectl("rollout", "status", f"{kind}/pinetune-{name}", "--timeout=300s", seconds=330)


def images_of(component: str) -> set[str]:
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods_of(component)}


def test_a_new_image_is_rolled_out_under_a_watch_and_under_calls(tmp_path: Path, token: str) -> None:
    tag = os.environ.get(NEXT_TAG, "next")
    with jobs_client(token) as client:
        # As long as the roll-out takes: graders are each given a minute to become known.
        ordered = demo_order(client, tmp_path, step_count=0, budget={"max_steps": 100_000, "max_seconds": 300.0})
        job_id = client.create_job(ordered).job_id
        reached(client, job_id, step=1)
    with (
        running("watch", WATCH, job_id, token=token) as watch,
        running("ask", ASK, job_id, token=token) as ask,
        running("grade", GRADE, component="worker") as grade,
    ):
        for script in (watch, ask, grade):
            script.wait_for_word("begun", seconds=120)
        roll_out(tag)
        assert {name: images_of(name) for name in SERVICES} == {name: {tag} for name in SERVICES}
        for script in (ask, grade):
            script.run("touch", "/tmp/stop")
        answered = last_line(ask, seconds=120)["asked"]
        assert len(answered) == KINDS_OF_CALLS
        assert min(answered.values()) > CALLS_AT_LEAST, answered
        assert last_line(grade, seconds=120)["asked"] > CALLS_AT_LEAST
        with jobs_client(token) as client:
            assert client.get_job(job_id).state not in ENDED, "the job ended before the new release was there"
            assert assert_whole(client, job_id, step_count=reached(client, job_id).step).attempt == 1
            known = [event.event_id for event in client.list_events(job_id)]
        seen = last_line(watch, seconds=120)
    assert seen["events"] == known
    assert seen["interruptions"] == 1


def last_line(script: Script, *, seconds: float) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(script.output(seconds=seconds).splitlines()[-1])
    return line
