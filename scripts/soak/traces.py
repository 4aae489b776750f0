"""What a killed run may leave behind, and what the one that went on must have in common with one that was never killed."""

import json
import logging
import os
from pathlib import Path

import numpy
import safetensors
import support
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what it forgets

OF_A_RUN = {"config.yaml", "metrics.jsonl", "tensorboard", "samples", "averages", "checkpoints"}


def leftovers(folder: Path) -> list[str]:
    """Of writes that never ended."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


def logged(folder: Path, file: str = "metrics.jsonl") -> list[dict]:
    """The whole lines, without what a clock says."""
    path = folder / file
    text = path.read_text() if path.exists() else ""
    lines = text.splitlines()[: text.count("\n")]
    clocks = ("images_per_second", "seconds")
    return [{key: value for key, value in json.loads(line).items() if key not in clocks} for line in lines]


def steps_in_tensorboard(folder: Path) -> list[int]:
    if not (folder / "tensorboard").exists():
        return []
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars("train/loss")] if "train/loss" in events.Tags()["scalars"] else []


def checkpoint_problems(checkpoint: Path, files: set[str]) -> list[str]:
    """Why a folder is no whole checkpoint of these files; every tensor of it is read."""
    found = {path.name for path in checkpoint.iterdir()}
    if found != files:
        return [f"{checkpoint.name} holds {sorted(found)}, not {sorted(files)}"]
    try:
        state = json.loads((checkpoint / "state.json").read_text())
        if f"step-{state['step']:08}" != checkpoint.name:
            return [f"{checkpoint.name} says that it is of step {state['step']}"]
        for path in checkpoint.glob("*.safetensors"):
            tensors = support.load_tensors(path)
            if not all(numpy.isfinite(tensor).all() for tensor in tensors.values()):
                return [f"{checkpoint.name}/{path.name} holds numbers that are not finite"]
    except (ValueError, KeyError, safetensors.SafetensorError) as error:
        return [f"{checkpoint.name}: {error}"]
    return []


def run_problems(folder: Path, twin: Path, with_all: Path) -> list[str]:
    """What is wrong in the folder of a run, at whatever moment it died. `twin`: the same run, never killed; `with_all`: the
    same with all its checkpoints."""
    if not folder.exists():
        return []
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    problems = [f"{name} is none of a run's files" for name in sorted(names - OF_A_RUN)]
    problems += checkpoints_problems(folder / "checkpoints", with_all / "checkpoints")
    for source, steps in (("metrics.jsonl", [line["step"] for line in logged(folder)]), ("TensorBoard", steps_in_tensorboard(folder))):
        if steps != sorted(set(steps)):
            problems.append(f"{source} has the steps {steps}")
    mine, theirs = support.contents(folder), support.contents(twin)
    for name in mine:
        is_result = name == "config.yaml" or (name.startswith(("samples/", "averages/")) and "/." not in name)
        if is_result and mine[name] != theirs.get(name):
            problems.append(f"{name} is another than that of the run that was never killed")
    return problems


def checkpoints_problems(folder: Path, whole: Path) -> list[str]:
    if not folder.exists():
        return []
    checkpoints = [path for path in folder.iterdir() if path.name != "latest" and not path.name.startswith(".")]
    files = {path.name for path in (whole / "latest").iterdir()}
    problems = []
    for checkpoint in checkpoints:
        problems += checkpoint_problems(checkpoint, files)
        twin = whole / checkpoint.name
        if twin.exists() and support.contents(checkpoint) != support.contents(twin):
            problems.append(f"{checkpoint.name} is another than that of the run that was never killed")
    latest = folder / "latest"
    if latest.is_symlink() and not latest.exists():
        problems.append(f"latest leads to {os.readlink(latest)}, which is not there")
    if not latest.is_symlink() and len(checkpoints) > 1:
        problems.append("there is no latest, but several checkpoints")
    return problems


def run_differences(folder: Path, twin: Path) -> list[str]:
    """Between a run that was killed and went on to its end and the same run never killed: to the last bit."""
    problems = [f"{name} was left" for name in leftovers(folder)]
    if logged(folder) != logged(twin):
        problems.append("metrics.jsonl has other numbers")
    if steps_in_tensorboard(folder) != [line["step"] for line in logged(twin)]:
        problems.append(f"TensorBoard has the steps {steps_in_tensorboard(folder)}")
    for part in ("checkpoints", "samples", "averages"):
        mine, theirs = support.contents(folder / part), support.contents(twin / part)
        different = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        problems += [f"{part}/{name} is another or missing" for name in different if not is_older(name, twin)]
    return problems


def is_older(name: str, twin: Path) -> bool:
    """Of a checkpoint before those that a run keeps: killed after its last one and before it removed that, it still has it."""
    kept = [path.name for path in (twin / "checkpoints").glob("step-*")]
    step = name.split("/")[0]
    return step.startswith("step-") and step not in kept and step < max(kept)
