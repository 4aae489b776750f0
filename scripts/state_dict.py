"""State dicts of PyTorch, checked tensor by tensor, and the files that the scripts make of them."""

import argparse
import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

DIFFERENCES_SHOWN = 5

Tensors = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]


class InputError(Exception):
    """What the user gave is not what is needed: one line."""


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_state_dict(path: Path) -> dict:
    """Of a file of torch.save, or of safetensors if its name says so."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the unpickler's words about a file that is then refused
            with torch.serialization.safe_globals([argparse.Namespace]):  # the arguments that DiT's checkpoints hold
                content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # whatever a foreign or damaged file makes the unpickler raise
        raise InputError(f"{path}: not a file of PyTorch weights (tensors, and no code), or a damaged one") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, a state dict (names and tensors) is needed")
    return content


def differences(state: dict, shapes: Shapes) -> list[str]:
    """One phrase a tensor that is missing, of another shape, or not finite floating-point numbers."""
    found = []
    for name, shape in shapes.items():
        tensor = state.get(name)
        if not isinstance(tensor, torch.Tensor):
            found.append(f"{name} {list(shape)} is missing")
        elif tuple(tensor.shape) != shape:
            found.append(f"{name} is {list(tensor.shape)}, {list(shape)} is needed")
        elif not tensor.is_floating_point() or not tensor.isfinite().all():
            found.append(f"{name} is not made of finite floating-point numbers")
        elif name.endswith("running_var") and tensor.min() < 0:
            found.append(f"{name} must be at least 0 everywhere, got {tensor.min():g}")
    return found


def take(path: Path, state: dict, shapes: Shapes, what: str) -> Tensors:
    """The tensors of `shapes` in the state dict of the file `path`, as fp32; whatever else is in it is left out."""
    found = differences(state, shapes)
    if found:
        shown = "; ".join(found[:DIFFERENCES_SHOWN]) + ("; …" if len(found) > DIFFERENCES_SHOWN else "")
        raise InputError(f"{path}: not {what}, {len(found)} of {len(shapes)} tensors differ: {shown}")
    return {name: state[name].to(torch.float32).contiguous() for name in shapes}


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place in the end: files are complete or absent."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{path}: could not be written: {str(error).splitlines()[0]}") from error


def save(tensors: Tensors, out: Path, metadata: dict[str, str]) -> str:
    """Says how much the file holds."""
    with written(out) as partial:
        save_file(tensors, partial, metadata)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    return f"{out}: {len(tensors)} tensors, {numbers:,} numbers"
