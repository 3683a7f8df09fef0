"""Grading on a cluster: reached by its Service, locked in by policy and sandbox, restarted without losing a call."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.kubectl import forwarded, kubectl, log_of, output_of, pod_with, pods_of, read, running, wait_for

COMMAND = str(Path(sys.executable).with_name("pinetune"))
SOURCE = """
import math

def grade(sample, item):
    return 1.0 if math.isclose(float(sample["output_text"]), float(item["answer"])) else 0.0
"""
CALL_FOR_A_WHILE = """
import json, sys, time
from pinetune.client.grading import GradingClient
from pinetune.pod.channel import connect

grader = json.dumps({"type": "number", "reference": "{{item.answer}}"})
calls, end = 0, time.monotonic() + float(sys.argv[1])
with connect("dns:///pinetune-grading:50051") as channel:
    client = GradingClient(channel)
    while time.monotonic() < end:
        graded = client.grade(grader, items_json=['{"answer": "4"}'], output_texts=["4"], item_indexes=[0])
        assert graded.grades[0].score == 1.0
        calls += 1
        if calls == 1:
            print("calling", flush=True)
print(json.dumps({"calls": calls}))
"""
REACH = """
import json, socket, sys, time
time.sleep(5)  # network plugins take a moment to hear of a new pod
reached = []
for place in sys.argv[1:]:
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        reached.append(place)
    except OSError:
        pass
print(json.dumps(reached))
"""


def run_grader(grader: object, folder: Path, token: str) -> dict[str, object]:
    file = folder / "grader.json"
    file.write_text(json.dumps(grader))
    with forwarded("service/pinetune-grading", 50051) as address:
        command = [COMMAND, "graders", "run", "--server", address, "--grader", str(file), "--sample", "4", "--json"]
        done = subprocess.run(
            [*command, "--item", '{"answer": "4"}'],
            env=os.environ | {"PINETUNE_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_a_grader_is_run_through_the_service(tmp_path: Path, token: str) -> None:
    assert run_grader({"type": "number", "reference": "{{item.answer}}"}, tmp_path, token)["reward"] == 1.0


def test_a_python_grader_runs_in_its_sandbox_inside_a_restricted_pod(tmp_path: Path, token: str) -> None:
    assert run_grader({"type": "python", "source": SOURCE}, tmp_path, token)["reward"] == 1.0


def test_a_grading_pod_reaches_nothing_and_a_worker_what_it_needs() -> None:
    def address(component: str, port: int) -> str:
        return f"{pods_of(component)[0]['status']['podIP']}:{port}"

    api = read("--namespace=default", "service", "kubernetes")["spec"]["clusterIP"] + ":443"
    names = read("--namespace=kube-system", "service", "kube-dns")["spec"]["clusterIP"] + ":53"
    places = [address("jobs", 50051), address("gateway", 8080), address("grading", 50051), api, names]
    (pod, *_) = pods_of("grading")
    of_grading = kubectl("exec", pod["metadata"]["name"], "--", "python", "-P", "-c", REACH, *places[:2], *places[3:])
    assert json.loads(of_grading) == []
    with running(pod_with("reach", "worker", REACH, *places)) as name:
        of_worker = json.loads(output_of(name, seconds=120))
    assert of_worker == [places[0], places[2], names]


def test_a_pod_that_is_none_of_ours_does_not_reach_grading() -> None:
    place = f"{pods_of('grading')[0]['status']['podIP']}:50051"
    with running(pod_with("stranger", "stranger", REACH, place)) as name:
        assert json.loads(output_of(name, seconds=120)) == []


def test_a_rolling_restart_loses_no_call() -> None:
    before = {pod["metadata"]["name"] for pod in pods_of("grading")}
    with running(pod_with("caller", "worker", CALL_FOR_A_WHILE, "150")) as name:
        wait_for("the first call", lambda: "calling" in log_of(name), seconds=120)
        kubectl("rollout", "restart", "deployment/pinetune-grading")
        kubectl("rollout", "status", "deployment/pinetune-grading", "--timeout=240s")
        assert read("pod", name)["status"]["phase"] == "Running", "the calls ended before the restart did"
        said = output_of(name, seconds=300)
    assert json.loads(said.splitlines()[-1])["calls"] > 0
    assert not before & {pod["metadata"]["name"] for pod in pods_of("grading")}
