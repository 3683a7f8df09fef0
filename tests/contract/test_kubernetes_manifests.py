"""The manifests agree with the code and with each other, as far as that shows without a cluster."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models

from pinetune.gateway.config import GatewaySettings
from pinetune.jobs.config import JobsSettings
from pinetune.jobs.launcher.kubernetes_objects import GRPC_PORT, METRICS_PORT
from pinetune.jobs.launcher.pod_templates import container_of, read_pod_templates
from pinetune.pod.channel import ChannelSettings
from pinetune.pod.config import variable_of
from pinetune.pod.settings import PodSettings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("local", "gpu", "production")
Object = dict[str, Any]


def objects(folder: Path) -> Iterator[Object]:
    for path in sorted(folder.glob("*.yaml")):
        if path.name not in ("kustomization.yaml", "pod-templates.yaml"):
            yield from yaml.safe_load_all(path.read_text())


def unknown_fields(value: object, kind: str, place: str) -> Iterator[str]:
    """Yield the places of what Kubernetes has no field for, by the types of its Python client."""
    if value is None:  # what a patch takes away
        return
    if inner := re.fullmatch(r"List\[(.+)\]", kind):
        assert isinstance(value, list), place
        for index, one in enumerate(value):
            yield from unknown_fields(one, inner[1], f"{place}[{index}]")
    elif inner := re.fullmatch(r"Dict\[(.+?), (.+)\]", kind):
        assert isinstance(value, dict), place
        for key, one in value.items():
            yield from unknown_fields(one, inner[2], f"{place}.{key}")
    elif (model := getattr(models, kind, None)) is not None:
        assert isinstance(value, dict), place
        fields = {name: model.openapi_types[field] for field, name in model.attribute_map.items()}
        for key, one in value.items():
            if key in fields:
                yield from unknown_fields(one, fields[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"


def model_of(one: Object) -> str:
    version = one["apiVersion"].rpartition("/")[2]
    return f"{version[:1].upper()}{version[1:]}{one['kind']}"


def specs_of_base() -> dict[str, Object]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in objects(KUBERNETES / "base")
        if one["kind"] in ("Deployment", "StatefulSet")
    }


def templates(overlay: str) -> dict[str, Object]:
    found: dict[str, Object] = yaml.safe_load((KUBERNETES / "overlays" / overlay / "pod-templates.yaml").read_text())
    return found


def test_no_manifest_has_a_field_that_kubernetes_has_not() -> None:
    folders = [KUBERNETES / "base", *(KUBERNETES / "overlays" / overlay for overlay in OVERLAYS)]
    found = [one for folder in folders for one in objects(folder)]
    assert len(found) > 30
    for one in found:
        assert list(unknown_fields(one, model_of(one), f"{one['kind']} {one['metadata']['name']}")) == []
    for overlay in OVERLAYS:
        for room, template in templates(overlay).items():
            assert list(unknown_fields(template, "V1PodTemplateSpec", f"{overlay} {room}")) == []


def test_a_misspelt_field_is_found_wherever_it_is() -> None:
    (deployment, *_) = (one for one in objects(KUBERNETES / "base") if one["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    assert list(unknown_fields(deployment, "V1Deployment", "")) == [".spec.template.spec.containers[0].imagePullPolice"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_launcher_reads_the_pod_templates_of_every_overlay(overlay: str) -> None:
    read = read_pod_templates(KUBERNETES / "overlays" / overlay / "pod-templates.yaml")
    for room in ("learning", "generation", "worker"):
        ports = {port["name"]: port["containerPort"] for port in container_of(read.of(room, "transformers"))["ports"]}
        assert ports == {"grpc": GRPC_PORT, "metrics": METRICS_PORT}
    if overlay != "local":
        assert "vllm" in container_of(read.of("generation", "vllm"))["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_one_version_of_all_images(overlay: str) -> None:
    kustomization = yaml.safe_load((KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text())
    tags = {image["newTag"] for image in kustomization["images"]}
    tags |= {container_of(template)["image"].rpartition(":")[2] for template in templates(overlay).values()}
    assert len(tags) == 1
    assert {image["name"] for image in kustomization["images"]} == set(specs_of_base())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_that_is_named_is_one_that_is_built(overlay: str) -> None:
    built = set(re.findall(r"^FROM run AS (\w+)$", (DEPLOY / "images" / "Containerfile").read_text(), re.MULTILINE))
    named = {container_of(template)["image"] for template in templates(overlay).values()} | set(specs_of_base())
    assert {re.split("[/:]", image.rpartition("pinetune-")[2])[0] for image in named} <= built


def test_only_the_jobs_service_has_a_token_for_the_api_server() -> None:
    specs = specs_of_base()
    for overlay in OVERLAYS:
        specs |= {f"{overlay} {room}": template["spec"] for room, template in templates(overlay).items()}
    assert [name for name, spec in specs.items() if spec["automountServiceAccountToken"]] == ["pinetune-jobs"]


def test_every_setting_that_a_manifest_names_exists() -> None:
    known = {"PINETUNE_TOKEN"}
    for kind in (PodSettings, ChannelSettings, GatewaySettings, JobsSettings):
        known |= {variable_of(kind, field) for field in kind.model_fields}
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.suffix == ".yaml" or path.name == "Containerfile"]
    named = {name for text in texts for name in re.findall(r"\bPINETUNE_[A-Z_]+\b", text)}
    assert len(named) > 10
    assert named <= known


def grace_seconds(container: Object) -> float:
    variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    return PodSettings.model_validate(
        {"grace_seconds": value} if (value := variables.get("PINETUNE_POD_GRACE_SECONDS")) else {}
    ).grace_seconds


def test_every_service_is_left_alive_until_its_calls_in_flight_have_ended() -> None:
    for name, spec in specs_of_base().items():
        (container,) = spec["containers"]
        ahead = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert ahead + grace_seconds(container) + 5 <= spec["terminationGracePeriodSeconds"], name


def test_a_page_may_wait_for_the_jobs_service_longer_than_it_does() -> None:
    (container,) = specs_of_base()["pinetune-gateway"]["containers"]
    assert grace_seconds(container) > GatewaySettings().jobs_patience_seconds
