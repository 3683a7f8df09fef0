"""Grading on a cluster: reached by its Service, locked in by policy and sandbox."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.kubectl import forwarded, kubectl, pods_of, read
from tests.cluster.scripts import running

COMMAND = str(Path(sys.executable).with_name("pinetune"))
SOURCE = """
import math

def grade(sample, item):
    return 1.0 if math.isclose(float(sample["output_text"]), float(item["answer"])) else 0.0
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
    with running("reach", REACH, *places, component="worker") as script:
        of_worker = json.loads(script.output(seconds=120))
    assert of_worker == [places[0], places[2], names]


def test_a_pod_that_is_none_of_ours_does_not_reach_grading() -> None:
    place = f"{pods_of('grading')[0]['status']['podIP']}:50051"
    with running("stranger", REACH, place, component="stranger") as script:
        assert json.loads(script.output(seconds=120)) == []


def test_from_outside_only_the_jobs_service_and_the_gateway_are_reached(token: str) -> None:
    ports = {"grading": 50051, "jobs": 50051, "gateway": 8080}
    places = [f"{pods_of(name)[0]['status']['podIP']}:{port}" for name, port in ports.items()]
    with running("outside", REACH, *places, token=token) as script:
        assert json.loads(script.output(seconds=120)) == places[1:]
