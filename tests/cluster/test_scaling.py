"""Grading scales by its processor time: up under load, down with little; needs metrics-server, as autoscalers do."""

import json

import pytest
from tests.cluster.kubectl import CommandError, kubectl, pods_of, read, wait_for
from tests.cluster.scripts import running

LOAD = """
import json, os, pathlib, threading, time, traceback
from pinetune.client.grading import GradingClient
from pinetune.pod.channel import connect

grader = json.dumps({
    "type": "text_similarity",
    "name": "load",
    "evaluation_metric": "meteor",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
})
item, texts = json.dumps({"answer": "the quick brown fox " * 100}), ["a lazy dog and the quick fox " * 100] * 256

def load(is_light):
    with connect("dns:///pinetune-grading:50051") as channel:
        while not pathlib.Path("/tmp/stop" if is_light else "/tmp/light").exists():
            mine = texts[:1] if is_light else texts
            indexes = [0] * len(mine)
            graded = GradingClient(channel).grade(grader, items_json=[item], output_texts=mine, item_indexes=indexes)
            assert all(grade.score is not None for grade in graded.grades)
            print("graded", flush=True)
            time.sleep(0.2 if is_light else 0)

def load_or_fail(is_light):
    try:
        load(is_light)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

threads = [threading.Thread(target=load_or_fail, args=[is_light]) for is_light in (False, False, True)]
for thread in threads:
    thread.start()
"""
WITHOUT_DELAY = {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}


def needs_metrics() -> None:
    try:
        kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")
    except CommandError as error:
        pytest.skip(f"the cluster has no metrics-server, without which nothing is scaled by its load: {error}")


def ready_count() -> int:
    return int(read("deployment", "pinetune-grading")["status"].get("readyReplicas", 0))


def test_grading_scales_up_under_load_and_down_under_little_and_fails_no_call() -> None:
    needs_metrics()
    kubectl("patch", "hpa", "pinetune-grading", "--patch", json.dumps(WITHOUT_DELAY))
    least = read("hpa", "pinetune-grading")["spec"]["minReplicas"]
    wait_for("few graders", lambda: ready_count() == len(pods_of("grading")) == least, seconds=400)
    with running("load", LOAD, component="worker") as load:
        wait_for("more graders", lambda: ready_count() > least, seconds=400)
        assert "graded" in load.log()
        load.run("touch", "/tmp/light")
        wait_for("few graders again", lambda: len(pods_of("grading")) == least, seconds=400)
        load.run("touch", "/tmp/stop")
        assert load.output(seconds=120)
