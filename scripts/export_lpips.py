#!/usr/bin/env python3
"""Makes the weights of the distance `lpips` from the two files that hold them.

    .venv/bin/python scripts/export_lpips.py --vgg16 vgg16-397923af.pth --out weights/lpips_vgg16.safetensors

--vgg16 is torchvision's VGG16, trained on ImageNet (its state dict, as torchvision publishes it under that name); of it
the thirteen convolutions are taken. --lin is the linear weights of LPIPS 0.1, which lie in the Python package `lpips` as
weights/v0.1/vgg.pth: where that package is installed they are found without the option. It need not run, so
.venv/bin/pip install --no-deps lpips will do.

A configuration uses the result so:

    cd:
      distance: lpips
    lpips:
      weights: weights/lpips_vgg16.safetensors
"""

import argparse
import importlib.util
import sys
from pathlib import Path

try:
    from state_dict import InputError, Shapes, Tensors, read_state_dict, save, take
except ImportError as missing:
    sys.exit(f"export_lpips: {missing}; run it with .venv/bin/python, which scripts/setup.sh makes")

KIND = "lpips_vgg16"
LIN_FILE = Path("weights", "v0.1", "vgg.pth")

# Of the convolutions, by torchvision's index of the layer: (output channels, input channels).
CONVOLUTIONS = {
    0: (64, 3),
    2: (64, 64),
    5: (128, 64),
    7: (128, 128),
    10: (256, 128),
    12: (256, 256),
    14: (256, 256),
    17: (512, 256),
    19: (512, 512),
    21: (512, 512),
    24: (512, 512),
    26: (512, 512),
    28: (512, 512),
}
LIN_CHANNELS = (64, 128, 256, 512, 512)


def vgg16_shapes() -> Shapes:
    shapes: Shapes = {}
    for index, (outputs, inputs) in CONVOLUTIONS.items():
        shapes[f"features.{index}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"features.{index}.bias"] = (outputs,)
    return shapes


def lin_shapes() -> Shapes:
    """Under the names of the `lpips` package; ours are lin0 … lin4."""
    return {f"lin{layer}.model.1.weight": (1, channels, 1, 1) for layer, channels in enumerate(LIN_CHANNELS)}


def installed_lin_file() -> Path:
    """Of the package `lpips`, which is looked for but not imported: that would need torchvision."""
    spec = importlib.util.find_spec("lpips")
    path = Path(spec.origin).parent / LIN_FILE if spec and spec.origin else None
    if path is None or not path.exists():
        raise InputError(
            f"--lin is needed, because the Python package lpips is not installed: its file {LIN_FILE} "
            "(.venv/bin/pip install --no-deps lpips brings it)"
        )
    return path


def read_lin(path: Path) -> Tensors:
    lin = take(path, read_state_dict(path), lin_shapes(), "the linear weights of LPIPS on VGG16")
    for name, tensor in lin.items():
        if tensor.min() < 0:
            raise InputError(f"{path}: {name} must be at least 0 everywhere, got {tensor.min():g}")
    return {name.split(".")[0]: tensor for name, tensor in lin.items()}


def export(vgg16: Path, lin: Path | None, out: Path) -> str:
    lin = lin or installed_lin_file()
    tensors = take(vgg16, read_state_dict(vgg16), vgg16_shapes(), "torchvision's VGG16") | read_lin(lin)
    metadata = {
        "kind": KIND,
        "description": "LPIPS 0.1 on VGG16: convolutions in torchvision's numbering, linear weights lin0 to lin4",
        "vgg16": vgg16.name,
        "lin": lin.name,
    }
    return f"{save(tensors, out, metadata)}, from {vgg16} and {lin}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vgg16", type=Path, required=True, help="torchvision's VGG16 (vgg16-397923af.pth)")
    parser.add_argument("--lin", type=Path, help="the linear weights (the lpips package's weights/v0.1/vgg.pth); "
                        "default: those of the installed package")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="the file to write (.safetensors)")
    arguments = parser.parse_args()
    try:
        print(export(arguments.vgg16, arguments.lin, arguments.out))
    except InputError as error:
        print(f"export_lpips: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
