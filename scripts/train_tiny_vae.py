#!/usr/bin/env python3
"""Trains a tiny autoencoder on the two photographs, as small as it can be to be looked at, and writes diffusers' folder.

    .venv/bin/python scripts/train_tiny_vae.py --out runs/tiny_vae [--picture runs/tiny_vae.png]

Three levels of 16, 32 and 64 channels, so that a 64 × 64 patch is 16 × 16 latents of 4 numbers; its loss is the mean
absolute difference of pixels and of their neighbours' differences, plus a little of the KL divergence that keeps latents
near N(0, 1). scaling_factor is one over their deviation. The right fifth of both photographs is held out: what is printed,
and shown in --picture (originals over reconstructions), is of patches there. The seed is
fixed. Needs diffusers (scripts/requirements-dev.txt).
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PATCH = 64
BATCH = 8
SHOWN = 8
KL_WEIGHT = 1e-5
LEARNING_RATE = 2e-3
CONFIG = {
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "latent_channels": 4,
    "sample_size": PATCH,
    "force_upcast": False,
}


class InputError(Exception):
    """A mistake of the user's: exit code 2."""


def load_photographs(folder: Path) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Each photograph [3, H, W] in [-1, 1]: the left four fifths, and the right fifth."""
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise InputError(f"{folder}: expected photographs, *.jpg; found none")
    photographs = []
    for path in paths:
        try:
            pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
        except OSError as error:
            raise InputError(f"{path}: {error}") from error
        photographs.append(torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1))
        if pixels.shape[0] < PATCH or pixels.shape[1] // 5 < PATCH:
            raise InputError(f"{path}: expected at least {5 * PATCH} × {PATCH} pixels, found {pixels.shape[1]} × {pixels.shape[0]}")
    cuts = [photograph.shape[2] * 4 // 5 for photograph in photographs]
    pairs = list(zip(photographs, cuts, strict=True))
    return [photograph[:, :, :cut] for photograph, cut in pairs], [photograph[:, :, cut:] for photograph, cut in pairs]


def patches(photographs: list[torch.Tensor], count: int) -> torch.Tensor:
    """Random ones, half of them mirrored."""
    found = []
    for _ in range(count):
        photograph = photographs[torch.randint(len(photographs), ()).item()]
        top = torch.randint(photograph.shape[1] - PATCH + 1, ()).item()
        left = torch.randint(photograph.shape[2] - PATCH + 1, ()).item()
        patch = photograph[:, top : top + PATCH, left : left + PATCH]
        found.append(patch.flip(2) if torch.rand(()) < 0.5 else patch)
    return torch.stack(found)


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of pixels, and of what neighbours differ by, without which edges blur."""
    error = a - b
    return error.abs().mean() + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


def train(photographs: list[torch.Tensor], steps: int):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(**CONFIG)
    optimizer = torch.optim.Adam(vae.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start = time.monotonic()
    for step in range(1, steps + 1):
        x = patches(photographs, BATCH)
        latents = vae.encode(x).latent_dist
        loss = distance(vae.decode(latents.sample()).sample, x) + KL_WEIGHT * latents.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            left = (time.monotonic() - start) * (steps - step) / step
            print(f"step {step}/{steps}: loss {loss.item():.4f}, {left:.0f} s left", flush=True)
    return vae.eval()


@torch.no_grad()
def set_scaling_factor(vae, photographs: list[torch.Tensor]) -> float:
    deviation = vae.encode(patches(photographs, 64)).latent_dist.sample().std().item()
    vae.register_to_config(scaling_factor=round(1 / deviation, 5))
    return vae.config.scaling_factor


def write_picture(path: Path, originals: torch.Tensor, reconstructions: torch.Tensor) -> None:
    rows = [torch.cat(list(images), dim=2) for images in (originals[:SHOWN], reconstructions[:SHOWN])]
    pixels = (127.5 * torch.cat(rows, dim=1) + 127.5).round().clamp(0, 255).to(torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/photographs"), help="a folder of photographs, *.jpg")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--picture", type=Path, help="a PNG of patches over their reconstructions")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        kept, held_out = load_photographs(arguments.data)
    except InputError as error:
        print(f"train_tiny_vae: {error}", file=sys.stderr)
        return 2

    torch.manual_seed(arguments.seed)
    start = time.monotonic()
    vae = train(kept, arguments.steps)
    factor = set_scaling_factor(vae, kept)
    vae.save_pretrained(arguments.out)
    originals = patches(held_out, 64)
    with torch.no_grad():
        reconstructions = vae.decode(vae.encode(originals).latent_dist.mode()).sample.clamp(-1, 1)
    if arguments.picture:
        write_picture(arguments.picture, originals, reconstructions)
    psnr = 10 * torch.log10(4 / (originals - reconstructions).square().mean()).item()
    print(f"{arguments.out}: {sum(p.numel() for p in vae.parameters())} parameters, {arguments.steps} steps in "
          f"{time.monotonic() - start:.0f} s; scaling_factor {factor}; held-out patches come back with {psnr:.1f} dB")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
