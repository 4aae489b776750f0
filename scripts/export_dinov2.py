#!/usr/bin/env python3
"""Makes DINOv2's features, by which FD-DINOv2 is defined, a TorchScript module that cm-evaluate reads.

    .venv/bin/python scripts/export_dinov2.py --weights dinov2_vitl14_pretrain.pth --out weights/dinov2.pt

The weights are the authors' (facebookresearch/dinov2: dinov2_vit{s,b,l}14_pretrain.pth) or timm's
(vit_{small,base,large}_patch14_dinov2.lvd142m, .safetensors or .pth). Both have the same names, but for the authors'
mask_token, which only training needs. FD-DINOv2 (Stein et al. 2023, arXiv 2306.04675) is defined by the large one. Those
with registers are other networks, and refused.

The module takes uint8 images of any size, grey or RGB, brings them to 224 × 224, normalises them by ImageNet's mean and
standard deviation, and gives the class token after the last normalisation. --resize torch is EDM2's rule
(calculate_metrics.py): bicubic, antialiased, in fp32, neither rounded nor clipped. --resize pil is dgm-eval's: the same
filter as Pillow computes it, rows, then columns, each rounded to bytes.

    cm-evaluate --samples out/samples.npz --reference reference.npz --features dinov2 --metrics frechet,precision,recall
"""

import argparse
import io
import json
import sys
import typing
import zipfile
from pathlib import Path

try:
    import torch
    from state_dict import InputError, read_state_dict, sha256_of, take, written
    from torch import Tensor, nn
    from torch.jit import Final
    from torch.nn import functional
except ImportError as missing:
    sys.exit(f"export_dinov2: {missing}; run it with .venv/bin/python, which scripts/setup.sh makes")

NAME = "dinov2"
FACTS = "features.json"  # what cm-evaluate reads in a module to know its features by name

SIDE = 224
PATCH = 14
TRAINED_GRID = 37  # patches a side of the images that the weights were trained with last
GRID = SIDE // PATCH
EPSILON = 1e-6

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Size(typing.NamedTuple):
    width: int
    depth: int
    heads: int


MODELS = {
    "vit_small_patch14": Size(384, 12, 6),
    "vit_base_patch14": Size(768, 12, 12),
    "vit_large_patch14": Size(1024, 24, 16),
}

# The network, with the names of its weights.


class PatchEmbed(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        images, tokens, width = x.shape
        q, k, v = self.qkv(x).view(images, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind()
        return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x


class Block(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width, EPSILON)
        self.attn = Attention(size.width, size.heads)
        self.ls1 = LayerScale(size.width)
        self.norm2 = nn.LayerNorm(size.width, EPSILON)
        self.mlp = Mlp(size.width)
        self.ls2 = LayerScale(size.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    def __init__(self, size: Size, grid: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, size.width))
        self.patch_embed = PatchEmbed(size.width)
        self.blocks = nn.Sequential(*(Block(size) for _ in range(size.depth)))
        self.norm = nn.LayerNorm(size.width, EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """fp32 [N, 3, 14 · grid, 14 · grid], normalised → the class tokens [N, width]."""
        patches = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
        return self.norm(self.blocks(x))[:, 0]


def position_embedding(trained: Tensor) -> Tensor:
    """That of the trained grid at the places of ours, as the authors' own code makes it: their scale is by a tenth of a
    patch larger than the grids', and timm's resampling, which is antialiased, gives other numbers."""
    classes, patches = trained.split([1, TRAINED_GRID * TRAINED_GRID], 1)
    square = patches.unflatten(1, (TRAINED_GRID, TRAINED_GRID)).permute(0, 3, 1, 2)
    scale = (GRID + 0.1) / TRAINED_GRID
    ours = functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([classes, ours.flatten(2).transpose(1, 2)], 1)


# What the network is shown of an image: fp32 [N, C, H, W] from 0 to 255 → [N, C, 224, 224].


class TorchResize(nn.Module):
    side: Final[int] = SIDE

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, (self.side, self.side), mode="bicubic", antialias=True)


class PilResize(nn.Module):
    side: Final[int] = SIDE

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.float64)  # in fp32, what lies half-way between two bytes is rounded either way
        for height in (x.shape[2], self.side):
            x = functional.interpolate(x, (height, self.side), mode="bicubic", antialias=True)
            x = (x + 0.5).floor().clamp(0, 255)
        return x.to(torch.float32)


RESIZES = {"torch": TorchResize, "pil": PilResize}


class Features(nn.Module):
    images_at_once: Final[int] = 32  # more take memory and no less time

    def __init__(self, network: VisionTransformer, resize: nn.Module):
        super().__init__()
        self.network = network
        self.resize = resize
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [N, 1 or 3, H, W] → fp32 [N, width]."""
        assert pixels.shape[1] in (1, 3), "DINOv2 takes images of 1 or 3 channels"
        features = []
        for part in pixels.split(self.images_at_once):
            unit = self.resize(part.to(torch.float32)) / 255
            features.append(self.network((unit - self.mean) / self.deviation))
        return torch.cat(features)


def check_kind(path: Path, state: dict, model: str) -> None:
    """Says it in words where the weights are another model of the family."""
    if "register_tokens" in state or "reg_token" in state:
        raise InputError(f"{path}: DINOv2 with registers, by which FD-DINOv2 is not defined; take the weights without")
    token = state.get("cls_token")
    found = token.shape[-1] if isinstance(token, Tensor) and token.dim() == 3 else None
    for name, size in MODELS.items():
        if size.width == found and name != model:
            raise InputError(f"{path}: holds {name}, but {model} is asked for; give --model {name}, or other weights")


def read_network(path: Path, model: str) -> VisionTransformer:
    state = read_state_dict(path)
    check_kind(path, state, model)
    size = MODELS[model]
    with torch.device("meta"):
        trained = VisionTransformer(size, TRAINED_GRID).state_dict()
        network = VisionTransformer(size, GRID)
    shapes = {name: tuple(tensor.shape) for name, tensor in trained.items()}
    weights = take(path, state, shapes, f"DINOv2's {model}")
    weights["pos_embed"] = position_embedding(weights["pos_embed"])
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def save_module(module: torch.jit.ScriptModule, facts: dict[str, str], out: Path) -> None:
    """Without what LibTorch adds and needs not, the file's name and the places of the code: equal weights make equal
    files, whose SHA-256 is what tells features apart."""
    content = io.BytesIO()
    torch.jit.save(module, content, _extra_files={FACTS: json.dumps(facts)})
    with zipfile.ZipFile(content) as whole, zipfile.ZipFile(out, "w") as kept:
        for entry in whole.infolist():
            if not entry.filename.endswith((".debug_pkl", "/serialization_id")):
                kept.writestr(entry, whole.read(entry))


def export(weights: Path, model: str, resize: str, out: Path) -> str:
    features = Features(read_network(weights, model), RESIZES[resize]()).eval()
    facts = {"name": NAME, "model": model, "resize": resize, "source": weights.name, "source_sha256": sha256_of(weights)}
    # Frozen, because the attributes of a module that is not are written in the order of Python's sets.
    module = torch.jit.freeze(torch.jit.script(features), optimize_numerics=False)
    with written(out) as partial:
        save_module(module, facts, partial)
    numbers = sum(tensor.numel() for tensor in features.network.parameters())
    return f"{out}: {model}, {numbers:,} numbers, {MODELS[model].width} features of an image, from {weights}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="the authors' or timm's file (.pth, .safetensors)")
    parser.add_argument("--model", choices=MODELS, default="vit_large_patch14", help="default: %(default)s")
    parser.add_argument("--resize", choices=RESIZES, default="torch", help="how images get their size; default: "
                        "%(default)s")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="the file to write (.pt)")
    arguments = parser.parse_args()
    try:
        print(export(arguments.weights, arguments.model, arguments.resize, arguments.out))
    except InputError as error:
        print(f"export_dinov2: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
