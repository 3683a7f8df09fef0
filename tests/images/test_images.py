"""The images as containers, locked as the manifests lock them: run by whom, holding what, and whether they serve."""

import json
import os
import subprocess

import pytest

pytestmark = [pytest.mark.images, pytest.mark.timeout(300)]
RUNNER = os.environ.get("RUNNER", "podman")
NAMES = os.environ.get("IMAGES", "grading gateway jobs learning generation").split()
LOCKED = [
    "--rm",
    "--network=none",
    "--read-only",
    "--tmpfs=/tmp:exec",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
]
TOOLS = ["cc", "gcc", "g++", "clang", "ld", "make", "cargo", "rustc", "go"]
COMPILER = ["cc", "gcc", "g++", "ld"]
COMPILE = """
from triton.runtime.build import compile_module_from_src

source = '''
#include <Python.h>
static struct PyModuleDef probe = {PyModuleDef_HEAD_INIT, "probe"};
PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&probe); }
'''
print(compile_module_from_src(source, "probe").__name__)
"""
MEET = f"""
import importlib.metadata, importlib.util, json, os, shutil
with open("/opt/pinetune/sbom.cdx.json") as file:
    listed = json.load(file)["components"]
print(json.dumps({{
    "user": os.getuid(),
    "tools": [tool for tool in {TOOLS} if shutil.which(tool)],
    "has_pip": importlib.util.find_spec("pip") is not None,
    "listed": {{part["name"].lower().replace("_", "-"): part["version"] for part in listed}},
    "there": {{d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}},
    "writable": [place for place in ("/", "/opt/pinetune", "/tmp") if os.access(place, os.W_OK)],
}}))
"""
SERVE = """
import signal, subprocess, sys
from pinetune.client.calls import wait_until_serving
from pinetune.pod.channel import connect

pod = subprocess.Popen([sys.executable, "-P", "-m", f"pinetune.{sys.argv[1]}"])
with connect("127.0.0.1:50051") as channel:
    wait_until_serving(channel, sys.argv[1], seconds=60)
pod.send_signal(signal.SIGTERM)
sys.exit(pod.wait(60))
"""


def contained(name: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the image's Python; `make images` has named the image."""
    image = f"{os.environ.get('IMAGE_NAME', 'pinetune-')}{name}:{os.environ.get('IMAGE_TAG', 'dev')}"
    given = [f"--env={key}={value}" for key, value in variables.items()]
    command = [RUNNER, "run", *LOCKED, *given, "--entrypoint=python", image, "-P", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_holds_what_its_list_says_and_only_the_tools_it_needs_and_runs_as_nobody(name: str) -> None:
    done = contained(name, "-c", MEET)
    assert done.returncode == 0, done.stderr
    met = json.loads(done.stdout)
    assert met["tools"] == (COMPILER if name == "vllm" else [])
    assert (met["user"], met["has_pip"], met["writable"]) == (65532, False, ["/tmp"])
    assert met["listed"] == met["there"]
    assert "pinetune" in met["listed"]


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("grading", "gateway", "jobs")])
def test_a_service_serves_from_its_image_and_ends_on_sigterm(name: str) -> None:
    done = contained(name, "-c", SERVE, name, PINETUNE_JOBS_DATA_DIR="/tmp/state", PINETUNE_TOKEN="a-token")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("generation", "vllm")])
def test_a_sampler_without_a_model_says_what_it_needs(name: str) -> None:
    done = contained(name, "-m", "pinetune.generation")
    assert done.returncode != 0
    assert "PINETUNE_GENERATION_MODEL" in done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in NAMES if name == "vllm"])
def test_triton_can_compile_what_it_launches_kernels_with(name: str) -> None:
    done = contained(name, "-c", COMPILE)
    assert (done.returncode, done.stdout.strip()) == (0, "probe"), done.stderr
