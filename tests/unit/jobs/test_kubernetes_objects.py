from dataclasses import replace
from typing import Any

import pytest

from pinetune.jobs.launcher.base import Engine, WorkOrder
from pinetune.jobs.launcher.kubernetes_objects import (
    QUEUE_LABEL,
    Surroundings,
    ordered_replicas,
    owned_objects,
    owner_object,
)
from pinetune.jobs.launcher.pod_templates import PodTemplates
from pinetune.jobs.launcher.room_settings import learning_settings

ENGINE = Engine("transformers", "cpu", "float32", replicas=2, threads=3)
ORDER = WorkOrder("ftjob-0a1b", 4, learns=True, model_uri="/models/base", makes_model=True, engine=ENGINE)
TEMPLATE = {
    "metadata": {"labels": {"team": "genomics"}, "annotations": {"a": "b"}},
    "spec": {
        "containers": [
            {
                "name": "pinetune",
                "image": "pinetune:1",
                "env": [{"name": "HF_HOME", "value": "/tmp"}, {"name": "PINETUNE_POD_GRPC_PORT", "value": "1"}],
            },
            {"name": "proxy", "image": "proxy:1"},
        ],
        "nodeSelector": {"gpu": "yes"},
    },
}
SURROUNDINGS = Surroundings(
    PodTemplates({"learning": TEMPLATE, "generation": TEMPLATE, "worker": TEMPLATE}), "jobs:1", "grading:2", ""
)


def objects(order: WorkOrder = ORDER, surroundings: Surroundings = SURROUNDINGS) -> dict[str, dict[str, Any]]:
    made = owned_objects(order, surroundings, owner_uid="uid-1")
    return {f"{one['kind']} {one['metadata']['name']}": one for one in made}


def variables(one: dict[str, Any]) -> dict[str, str]:
    container = one["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_an_attempt_is_a_service_a_learner_samplers_and_a_worker_owned_by_one_object() -> None:
    made = objects()
    assert list(made) == [
        "Service ftjob-0a1b-4",
        "Job ftjob-0a1b-4-learning",
        "StatefulSet ftjob-0a1b-4-generation",
        "Job ftjob-0a1b-4-worker",
    ]
    for one in made.values():
        (owner,) = one["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("ConfigMap", "ftjob-0a1b-4", "uid-1")
    assert owner_object(ORDER)["metadata"]["name"] == "ftjob-0a1b-4"


def test_an_evaluation_has_no_learner() -> None:
    assert not [name for name in objects(replace(ORDER, learns=False)) if "learning" in name]
    told = variables(objects(replace(ORDER, learns=False))["Job ftjob-0a1b-4-worker"])
    assert told["PINETUNE_WORKER_LEARNING_ADDRESS"] == ""


def test_the_worker_knows_every_pod_by_the_name_that_the_service_gives_it() -> None:
    made = objects()
    told = variables(made["Job ftjob-0a1b-4-worker"])
    assert told["PINETUNE_WORKER_GENERATION_ADDRESSES"] == (
        "ftjob-0a1b-4-generation-0.ftjob-0a1b-4:50051,ftjob-0a1b-4-generation-1.ftjob-0a1b-4:50051"
    )
    assert told["PINETUNE_WORKER_LEARNING_ADDRESS"] == "ftjob-0a1b-4-learning-0.ftjob-0a1b-4:50051"
    assert (told["PINETUNE_WORKER_JOBS_ADDRESS"], told["PINETUNE_WORKER_GRADING_ADDRESS"]) == ("jobs:1", "grading:2")
    service = made["Service ftjob-0a1b-4"]["spec"]
    assert made["StatefulSet ftjob-0a1b-4-generation"]["spec"]["serviceName"] == "ftjob-0a1b-4"
    for one in [one for name, one in made.items() if "Service" not in name]:
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
    assert made["Job ftjob-0a1b-4-learning"]["spec"]["template"]["spec"]["subdomain"] == "ftjob-0a1b-4"


def test_the_worker_knows_the_pods_that_do_not_run_yet_and_the_samplers_begin_as_ordered() -> None:
    made = objects(replace(ORDER, engine=replace(ENGINE, max_replicas=4)))
    told = variables(made["Job ftjob-0a1b-4-worker"])["PINETUNE_WORKER_GENERATION_ADDRESSES"].split(",")
    assert told == [f"ftjob-0a1b-4-generation-{number}.ftjob-0a1b-4:50051" for number in range(4)]
    assert made["StatefulSet ftjob-0a1b-4-generation"]["spec"]["replicas"] == 2


def test_the_object_that_stands_for_an_attempt_says_with_how_many_samplers_it_began() -> None:
    assert ordered_replicas(owner_object(replace(ORDER, engine=replace(ENGINE, max_replicas=4)))) == 2
    assert ordered_replicas({"metadata": {}}) is None


def test_a_template_keeps_what_the_launcher_does_not_set() -> None:
    learner = objects()["Job ftjob-0a1b-4-learning"]["spec"]["template"]
    assert learner["metadata"]["labels"]["team"] == "genomics"
    assert learner["metadata"]["annotations"] == {"a": "b"}
    assert learner["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert learner["spec"]["containers"][1] == {"name": "proxy", "image": "proxy:1"}
    told = variables(objects()["Job ftjob-0a1b-4-learning"])
    assert (told["HF_HOME"], told["PINETUNE_POD_GRPC_PORT"], told["OMP_NUM_THREADS"]) == ("/tmp", "50051", "3")
    assert told.items() >= learning_settings(ORDER).items()


@pytest.mark.parametrize("room", ["learning", "worker"])
def test_a_pod_that_ends_is_not_started_again_behind_the_schedulers_back(room: str) -> None:
    spec = objects()[f"Job ftjob-0a1b-4-{room}"]["spec"]
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")


def test_a_queue_is_named_on_all_that_makes_pods() -> None:
    queued = objects(surroundings=replace(SURROUNDINGS, queue_name="team-a"))
    labels = {name: one["metadata"]["labels"].get(QUEUE_LABEL) for name, one in queued.items()}
    assert labels.pop("Service ftjob-0a1b-4") is None
    assert set(labels.values()) == {"team-a"}
