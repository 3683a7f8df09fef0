"""The pods of an attempt as the platform team shapes them: images, resources, volumes, tolerations, security.

One YAML file with a PodTemplateSpec for each room; the launcher adds names, labels, variables and the owner, and
changes nothing else:

    learning:          {metadata: {…}, spec: {containers: [{name: pinetune, image: …}], …}}
    generation:        {…}
    generation-vllm:   {…}      # for jobs with engine.name vllm; without it they are refused
    worker:            {…}
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pinetune.pod.errors import InvalidInput, Unsupported

SETTING = "PINETUNE_JOBS_POD_TEMPLATES"
CONTAINER = "pinetune"
REQUIRED = ("learning", "generation", "worker")
VLLM = "generation-vllm"

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as its JSON has it."""


class PodTemplates:
    """The templates of one file, checked when the service starts."""

    def __init__(self, templates: Mapping[str, Object]) -> None:
        for room in REQUIRED:
            if room not in templates:
                raise _wrong(f"there is no template {room!r}; needed are {', '.join(REQUIRED)}")
        for room, template in templates.items():
            if room not in (*REQUIRED, VLLM):
                raise _wrong(f"{room!r} is no room; known are {', '.join((*REQUIRED, VLLM))}")
            _check(room, template)
        self._templates = dict(templates)

    def of(self, room: str, engine: str) -> Object:
        """Return a copy of the template for a room; raises Unsupported where the engine has none."""
        name = f"{room}-{engine}" if room == "generation" and engine != "transformers" else room
        if name not in self._templates:
            raise Unsupported(
                f"pinetune.engine.name {engine}: this cluster has no pod template {name!r}; add it to the file that "
                f"{SETTING} names, or use transformers",
                reason="ENGINE_UNSUPPORTED",
                field="pinetune.engine.name",
            )
        return copy.deepcopy(self._templates[name])


def read_pod_templates(path: Path) -> PodTemplates:
    """Read the file; raises InvalidInput POD_TEMPLATES with what is wrong."""
    try:
        templates = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise _wrong(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(templates, dict):
        raise _wrong(f"{path} must be a table of pod templates, not {type(templates).__name__}")
    return PodTemplates(templates)


def container_of(template: Object) -> Object:
    """Return the container that runs the room, for variables to be added."""
    found: Object = next(one for one in template["spec"]["containers"] if one["name"] == CONTAINER)
    return found


def _check(room: str, template: object) -> None:
    match template:
        case {"spec": {"containers": [*containers]}} if all(isinstance(one, dict) for one in containers):
            named = [one for one in containers if one.get("name") == CONTAINER]
            if len(named) != 1:
                names = ", ".join(str(one.get("name")) for one in containers)
                raise _wrong(f"template {room!r} needs one container called {CONTAINER!r}; it has {names or 'none'}")
            if not named[0].get("image"):
                raise _wrong(f"template {room!r}: the container {CONTAINER!r} names no image")
        case _:
            raise _wrong(f"template {room!r} must be a PodTemplateSpec with spec.containers")


def _wrong(sentence: str) -> InvalidInput:
    return InvalidInput(f"{SETTING}: {sentence}", reason="POD_TEMPLATES", field="pod_templates")
