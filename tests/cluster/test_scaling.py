"""Grading scales by its processor time: up under load, down without; needs metrics-server, as autoscalers do."""

import json

import pytest
from tests.cluster.kubectl import CommandError, kubectl, pods_of, read, wait_for
from tests.cluster.scripts import running

LOAD = """
import json, threading
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

def load():
    with connect("dns:///pinetune-grading:50051") as channel:
        while True:
            graded = GradingClient(channel).grade(grader, items_json=[item], output_texts=texts, item_indexes=[0] * 256)
            assert all(grade.score is not None for grade in graded.grades)
            print("graded", flush=True)

threads = [threading.Thread(target=load) for _ in range(2)]
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


def test_grading_scales_up_under_load_and_down_without() -> None:
    needs_metrics()
    kubectl("patch", "hpa", "pinetune-grading", "--patch", json.dumps(WITHOUT_DELAY))
    least = read("hpa", "pinetune-grading")["spec"]["minReplicas"]
    wait_for("few graders", lambda: ready_count() == len(pods_of("grading")) == least, seconds=400)
    with running("load", LOAD, component="worker") as load:
        wait_for("more graders", lambda: ready_count() > least, seconds=400)
        assert "graded" in load.log()
        assert load.phase() == "Running"
    wait_for("few graders again", lambda: len(pods_of("grading")) == least, seconds=400)
