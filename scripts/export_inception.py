#!/usr/bin/env python3
"""Makes the weights of Inception features (FID, sFID, Inception Score) from a file that a Python implementation uses.

    .venv/bin/python scripts/export_inception.py pt_inception-2015-12-05-6726825d.pth --out weights/inception.safetensors

The source is the state dict of TensorFlow's Inception-v3 of 2015-12-05 with torchvision's names, as two packages publish
it on their release pages: pytorch-fid's pt_inception-2015-12-05-6726825d.pth and torch-fidelity's
weights-inception-2015-12-05-6726825d.pth. torchvision's own Inception is another network with other weights and is
refused: it has 1,000 classes. The classifier's bias is left out, for the Inception Score takes the logits without it.

cm-evaluate reads the result and reports it with every number:

    cm-evaluate --samples out/samples.npz --reference reference.npz --features inception --metrics fid,sfid,is
"""

import argparse
import sys
from pathlib import Path

try:
    import torch
    from state_dict import InputError, Shapes, Tensors, read_state_dict, save, sha256_of, take
except ImportError as missing:
    sys.exit(f"export_inception: {missing}; run it with .venv/bin/python, which scripts/setup.sh makes")

KIND = "inception_v3_fid"
CLASSES = 1008

# Convolutions by name: (output channels, input channels, height, width).

STEM = {
    "Conv2d_1a_3x3": (32, 3, 3, 3),
    "Conv2d_2a_3x3": (32, 32, 3, 3),
    "Conv2d_2b_3x3": (64, 32, 3, 3),
    "Conv2d_3b_1x1": (80, 64, 1, 1),
    "Conv2d_4a_3x3": (192, 80, 3, 3),
}


def block_a(inputs: int, pool: int) -> Shapes:
    return {
        "branch1x1": (64, inputs, 1, 1),
        "branch5x5_1": (48, inputs, 1, 1),
        "branch5x5_2": (64, 48, 5, 5),
        "branch3x3dbl_1": (64, inputs, 1, 1),
        "branch3x3dbl_2": (96, 64, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
        "branch_pool": (pool, inputs, 1, 1),
    }


def block_b(inputs: int) -> Shapes:
    return {
        "branch3x3": (384, inputs, 3, 3),
        "branch3x3dbl_1": (64, inputs, 1, 1),
        "branch3x3dbl_2": (96, 64, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
    }


def block_c(inner: int) -> Shapes:
    return {
        "branch1x1": (192, 768, 1, 1),
        "branch7x7_1": (inner, 768, 1, 1),
        "branch7x7_2": (inner, inner, 1, 7),
        "branch7x7_3": (192, inner, 7, 1),
        "branch7x7dbl_1": (inner, 768, 1, 1),
        "branch7x7dbl_2": (inner, inner, 7, 1),
        "branch7x7dbl_3": (inner, inner, 1, 7),
        "branch7x7dbl_4": (inner, inner, 7, 1),
        "branch7x7dbl_5": (192, inner, 1, 7),
        "branch_pool": (192, 768, 1, 1),
    }


def block_d(inputs: int) -> Shapes:
    return {
        "branch3x3_1": (192, inputs, 1, 1),
        "branch3x3_2": (320, 192, 3, 3),
        "branch7x7x3_1": (192, inputs, 1, 1),
        "branch7x7x3_2": (192, 192, 1, 7),
        "branch7x7x3_3": (192, 192, 7, 1),
        "branch7x7x3_4": (192, 192, 3, 3),
    }


def block_e(inputs: int) -> Shapes:
    return {
        "branch1x1": (320, inputs, 1, 1),
        "branch3x3_1": (384, inputs, 1, 1),
        "branch3x3_2a": (384, 384, 1, 3),
        "branch3x3_2b": (384, 384, 3, 1),
        "branch3x3dbl_1": (448, inputs, 1, 1),
        "branch3x3dbl_2": (384, 448, 3, 3),
        "branch3x3dbl_3a": (384, 384, 1, 3),
        "branch3x3dbl_3b": (384, 384, 3, 1),
        "branch_pool": (192, inputs, 1, 1),
    }


BLOCKS = {
    "Mixed_5b": block_a(192, 32),
    "Mixed_5c": block_a(256, 64),
    "Mixed_5d": block_a(288, 64),
    "Mixed_6a": block_b(288),
    "Mixed_6b": block_c(128),
    "Mixed_6c": block_c(160),
    "Mixed_6d": block_c(160),
    "Mixed_6e": block_c(192),
    "Mixed_7a": block_d(768),
    "Mixed_7b": block_e(1280),
    "Mixed_7c": block_e(2048),
}


def weight_shapes() -> Shapes:
    """What is needed, and what the result holds."""
    convolutions = STEM | {f"{block}.{name}": shape for block, parts in BLOCKS.items() for name, shape in parts.items()}
    shapes: Shapes = {}
    for name, shape in convolutions.items():
        shapes[f"{name}.conv.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = shape[:1]
    shapes["fc.weight"] = (CLASSES, 2048)
    return shapes


def read_inception(path: Path) -> Tensors:
    """The weights as fp32; whatever else is in the file is left out."""
    state = read_state_dict(path)
    classes = state.get("fc.weight")
    if isinstance(classes, torch.Tensor) and tuple(classes.shape) == (1000, 2048):
        raise InputError(
            f"{path}: torchvision's Inception, of 1000 classes; FID is defined by TensorFlow's, which pytorch-fid and "
            "torch-fidelity publish as …inception-2015-12-05-6726825d.pth"
        )
    return take(path, state, weight_shapes(), "the Inception of FID")


def export(source: Path, out: Path) -> str:
    tensors = read_inception(source)
    metadata = {
        "kind": KIND,
        "description": "TensorFlow's Inception-v3 of 2015-12-05, torchvision's names: for FID, sFID, Inception Score",
        "source": source.name,
        "source_sha256": sha256_of(source),
    }
    return f"{save(tensors, out, metadata)}, from {source}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the state dict (….pth) of pytorch-fid or torch-fidelity")
    parser.add_argument("--out", type=Path, required=True, help="the file to write (.safetensors)")
    arguments = parser.parse_args()
    try:
        print(export(arguments.source, arguments.out))
    except InputError as error:
        print(f"export_inception: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
