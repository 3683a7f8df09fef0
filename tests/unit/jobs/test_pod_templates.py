from pathlib import Path
from typing import Any

import pytest
import yaml

from pinetune.jobs.launcher.pod_templates import container_of, read_pod_templates
from pinetune.pod.errors import InvalidInput, Unsupported


def template(**container: object) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "pinetune", "image": "pinetune:1", **container}]}}


def write(folder: Path, **rooms: object) -> Path:
    path = folder / "templates.yaml"
    path.write_text(yaml.safe_dump({"learning": template(), "generation": template(), "worker": template()} | rooms))
    return path


def test_each_room_has_its_pod_and_each_caller_a_copy_of_it(tmp_path: Path) -> None:
    templates = read_pod_templates(write(tmp_path, **{"generation-vllm": template(image="pinetune-vllm:1")}))
    container_of(templates.of("generation", "transformers"))["image"] = "changed"
    assert container_of(templates.of("generation", "transformers"))["image"] == "pinetune:1"
    assert container_of(templates.of("generation", "vllm"))["image"] == "pinetune-vllm:1"
    assert container_of(templates.of("learning", "vllm"))["image"] == "pinetune:1"


def test_an_engine_without_a_pod_is_refused_by_name(tmp_path: Path) -> None:
    templates = read_pod_templates(write(tmp_path))
    with pytest.raises(Unsupported, match=r"pinetune\.engine\.name vllm: this cluster has no pod template"):
        templates.of("generation", "vllm")


@pytest.mark.parametrize(
    ("rooms", "sentence"),
    [
        ({"worker": None}, "template 'worker' must be a PodTemplateSpec"),
        ({"wroker": template()}, "'wroker' is no room; known are learning, generation, worker, generation-vllm"),
        (
            {"worker": {"spec": {"containers": [{"name": "main"}]}}},
            "needs one container called 'pinetune'; it has main",
        ),
        ({"worker": template(image="")}, "the container 'pinetune' names no image"),
    ],
    ids=["nothing", "misspelt", "other name", "no image"],
)
def test_what_is_wrong_with_a_template_is_said(rooms: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"PINETUNE_JOBS_POD_TEMPLATES: .*{sentence}"):
        read_pod_templates(write(tmp_path, **rooms))


def test_a_room_without_a_template_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(yaml.safe_dump({"learning": template(), "generation": template()}))
    with pytest.raises(InvalidInput, match="there is no template 'worker'"):
        read_pod_templates(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.yaml cannot be read"):
        read_pod_templates(tmp_path / "none.yaml")
