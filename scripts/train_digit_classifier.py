#!/usr/bin/env python3
"""Trains the small digit classifier whose hidden layer is the feature space of our Fréchet distances on digits.

    scripts/train_digit_classifier.py --data data/digits/digits.csv.gz --out runs/digit_classifier.safetensors

Two convolutions, a hidden layer of 64 units (the feature, after its ReLU) and ten logits, trained for some seconds on
the CPU with a fixed seed. A fifth of the digits is held out; the accuracy that is printed, and stored in the file, is
that of the saved weights on them. `cm-evaluate --features FILE` reads the file.
"""

import argparse
import gzip
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

SIDE = 8
CLASSES = 10
HIDDEN = 64
LEVELS = 16  # a pixel of the data is 0 … 16


class DigitClassifier(nn.Module):
    """Images [N, 1, 8, 8] in [-1, 1] -> logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, stride=2)
        self.hidden = nn.Linear(64 * (SIDE // 2) ** 2, HIDDEN)
        self.logits = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.hidden(F.dropout(x.flatten(1), 0.3, self.training)))
        return self.logits(x)


def load_digits(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [N, 1, 8, 8] in [-1, 1], as the framework sees them, and labels [N]."""
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)
    if rows.shape[1] != SIDE * SIDE + 1 or rows.min() < 0 or rows[:, :-1].max() > LEVELS or rows[:, -1].max() >= CLASSES:
        raise ValueError(f"expected rows of {SIDE * SIDE} pixels 0…{LEVELS} and a digit, found {rows.shape[1]} columns")
    pixels = np.rint(rows[:, :-1] * (255 / LEVELS))
    images = torch.from_numpy((pixels / 127.5 - 1).astype(np.float32)).reshape(-1, 1, SIDE, SIDE)
    return images, torch.from_numpy(rows[:, -1])


def shifted(x: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to one pixel in each direction; the background (-1) comes in."""
    padded = F.pad(x, (1, 1, 1, 1), value=-1.0)
    offsets = torch.randint(0, 3, (2, len(x), 1))
    rows, columns = torch.arange(SIDE) + offsets
    return padded[torch.arange(len(x))[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train(images: torch.Tensor, labels: torch.Tensor, epochs: int, batch_size: int = 64) -> DigitClassifier:
    model = DigitClassifier()
    steps = epochs * (len(images) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for rows in order[: len(images) // batch_size * batch_size].split(batch_size):
            loss = F.cross_entropy(model(shifted(images[rows])), labels[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def accuracy(model: DigitClassifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return (model(images).argmax(1) == labels).double().mean().item()


def save(model: DigitClassifier, path: Path, held_out_accuracy: float) -> None:
    metadata = {
        "kind": "digit_classifier",
        "channels": "1",
        "image_size": str(SIDE),
        "hidden": str(HIDDEN),
        "classes": str(CLASSES),
        "held_out_accuracy": f"{held_out_accuracy:.4f}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, partial, metadata)
    partial.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/digits/digits.csv.gz"), help="the digits' CSV")
    parser.add_argument("--out", type=Path, required=True, help="the file to write (.safetensors)")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    try:
        images, labels = load_digits(arguments.data)
    except (OSError, ValueError) as error:
        print(f"train_digit_classifier: {arguments.data}: {error}", file=sys.stderr)
        return 2

    torch.set_num_threads(1)  # faster for so small a network, and the same numbers on any number of cores
    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True)
    start = time.monotonic()
    order = torch.randperm(len(images))
    held_out, kept = order[: len(images) // 5], order[len(images) // 5 :]
    model = train(images[kept], labels[kept], arguments.epochs)
    held_out_accuracy = accuracy(model, images[held_out], labels[held_out])
    save(model, arguments.out, held_out_accuracy)
    print(
        f"{arguments.out}: digit classifier trained on {len(kept)} digits for {arguments.epochs} epochs in "
        f"{time.monotonic() - start:.1f} s; accuracy on {len(held_out)} held-out digits {100 * held_out_accuracy:.2f} %"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
