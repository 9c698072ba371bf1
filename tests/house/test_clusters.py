"""The files of docs/clusters, as far as they can be tried without a cluster."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nstbatch.cli.commands.paint import paint
from places import DOCS

FOLDER = DOCS / "clusters"

COMMAND = re.compile(r"nstbatch (?:\"\$PHOTOS\"|/shared/photos|s3://\S+)([^|&]*?)(?:&|\|\||\ncluster_name)")

TEXTS = {path.name: path.read_text() for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", TEXTS)
def test_its_options_are_known(name: str) -> None:
    known = {option for parameter in paint.params for option in parameter.opts}
    commands = COMMAND.findall(TEXTS[name])
    assert commands, "each shows a command"
    used = set(re.findall(r"(?<=\s)--[a-z-]+", commands[0]))
    assert used >= {"--style", "--output", "--bundle", "--provider"}
    assert used <= known


def fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(("code", "expected", "requeued"), [(0, 0, False), (3, 0, False), (10, 0, True), (2, 2, False)])
def test_the_slurm_job_by_what_the_program_ends_with(code: int, expected: int, requeued: bool, tmp_path: Path) -> None:
    fake(tmp_path, "nstbatch", f'printf "%s\\n" "$@" > {tmp_path}/arguments; exit {code}')
    fake(tmp_path, "scontrol", f'echo "$@" > {tmp_path}/requeued')
    environment = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "8"}
    environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    found = subprocess.run(["bash", FOLDER / "nstbatch.sbatch"], env=environment, check=False)
    assert found.returncode == expected
    assert (tmp_path / "requeued").exists() == requeued
    if requeued:
        assert (tmp_path / "requeued").read_text() == "requeue 17_3\n"
    assert "8" in (tmp_path / "arguments").read_text().splitlines()


def test_the_slurm_job_hands_its_signal_on(tmp_path: Path) -> None:
    stopped = f"sleep 0.3; echo stopped > {tmp_path}/end; exit 130"
    fake(tmp_path, "nstbatch", f"trap '{stopped}' TERM\ntouch {tmp_path}/up\nsleep 30 & wait")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(["bash", FOLDER / "nstbatch.sbatch"], env=environment, stdout=subprocess.DEVNULL) as job:
        while not (tmp_path / "up").exists():
            assert job.poll() is None
        job.terminate()
        assert job.wait(20) == 130
    assert (tmp_path / "end").read_text() == "stopped\n"


def test_the_ray_cluster_is_one_by_rays_schema() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    config = yaml.safe_load(TEXTS["ray-cluster.yaml"])
    util.validate_config(util.prepare_config(config))
    assert len(config["provider"]["worker_ips"]) == config["max_workers"]


def test_the_kubernetes_job_has_a_shard_for_each_pod(tmp_path: Path) -> None:
    secret, job = yaml.safe_load_all(TEXTS["kubernetes-job.yaml"])
    spec: dict[str, Any] = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["envFrom"][0]["secretRef"]["name"] == secret["metadata"]["name"]
    assert spec["completions"] == spec["parallelism"]
    fake(tmp_path, "nstbatch", f'printf "%s\\n" "$@" > {tmp_path}/arguments; exit ${{CODE}}')
    for code, expected in (("0", 0), ("3", 0), ("1", 1)):
        environment = {"JOB_COMPLETION_INDEX": "7", "CODE": code, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        found = subprocess.run([*container["command"], *container["args"]], env=environment, check=False)
        assert found.returncode == expected
        arguments = (tmp_path / "arguments").read_text().splitlines()
        assert arguments[arguments.index("--shard") + 1] == f"8/{spec['completions']}"
