"""Weight files of this framework, for the scripts that turn them into other formats and back.

A weight file is safetensors whose metadata say what the weights are: `format`, and `model` as JSON (the network, the
images, the parameterization, the noise levels, how to sample). The same as cm/training/weight_file.h.
"""

import json
import pathlib
import re

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from state_dict import InputError, written

FORMAT = "consistency.cpp 1"
START_LEFT = 0.01  # an average whose start weighs more than this still holds too much of it


def start_share(path, rate, updates):
    """What the start weighs in an average; files that do not tell had no warm-up."""
    with safe_open(path, "pt") as file:
        average = (file.metadata() or {}).get("average")
    return json.loads(average)["start_share"] if average else rate**updates


def settled_rate(files, updates):
    """The largest rate whose average has forgotten its start, or 0, which means the trained weights."""
    return max((rate for rate, path in files.items() if start_share(path, rate, updates) <= START_LEFT), default=0)


def weights_of_checkpoint(folder, rate):
    files = {float(re.fullmatch(r"ema-(.+)\.safetensors", path.name)[1]): path for path in folder.glob("ema-*.safetensors")}
    if rate is None:
        state = json.loads((folder / "state.json").read_text())
        rate = settled_rate(files, state.get("steps_in_stage", state["step"]))
    files[0.0] = folder / "model.safetensors"
    if rate not in files:
        known = ", ".join(f"{known:.16g}" for known in sorted(files))
        raise InputError(f"{folder}: has no evaluation average of rate {rate:.16g}; it has {{{known}}}")
    return files[rate]


def resolve(source, rate=None):
    """The weight file that a run, a checkpoint folder or a weight file means; `rate` chooses the average (0: none)."""
    source = pathlib.Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_file():
        if rate is not None:
            raise InputError(f"{source}: is one weight file; an average can be chosen in a run only")
        return source
    for folder in (source, source / "checkpoints" / "latest"):
        if (folder / "state.json").exists():
            return weights_of_checkpoint(folder.resolve(), rate)
    raise InputError(f"{source}: neither a run with a checkpoint nor a checkpoint folder (state.json)")


def load(path):
    """(model, {name: tensor}): the model's JSON as a dictionary, and the weights."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: has no metadata of a model (format \"{FORMAT}\")")
    try:
        return json.loads(metadata["model"]), tensors
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: the model's metadata is not valid JSON") from error


def save(path, model, tensors):
    """Writes a weight file."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with written(pathlib.Path(path)) as partial:
        save_file(contiguous, partial, {"format": FORMAT, "model": json.dumps(model)})


def karras_sigma(index, levels, low=0.002, high=80.0, rho=7):
    """EDM's grid of `levels` noise levels; index 0 is the highest."""
    return (high ** (1 / rho) + index / (levels - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
