#!/usr/bin/env python3
"""Puts the quickstart's samples side by side: prints the table of scores and writes comparison.png.

    scripts/quickstart_report.py runs/quickstart

Reads samples/*/{samples.npz,samples.json,scores.json} under the folder. The picture has one row a model and one column a
class.
"""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROWS = [
    ("teacher", "teacher, Heun 18 steps"),
    ("cd-1", "CD, 1 step"),
    ("cd-2", "CD, 2 steps"),
    ("ct-1", "CT, 1 step"),
    ("ct-2", "CT, 2 steps"),
]
DIGITS = Path(__file__).resolve().parent.parent / "data" / "digits" / "digits.csv.gz"
CLASSES = 10
TILE = 56
GAP = 4
LABEL_WIDTH = 190


def real_digits() -> list[np.ndarray]:
    """One real digit a class, as uint8 [8, 8]."""
    found: dict[int, np.ndarray] = {}
    with gzip.open(DIGITS, "rt") as lines:
        for row in csv.reader(lines):
            values = np.array(row, dtype=np.int64)
            found.setdefault(int(values[64]), np.rint(values[:64].reshape(8, 8) * 255 / 16).astype(np.uint8))
    return [found[i] for i in range(CLASSES)]


def generated_digits(folder: Path) -> list[np.ndarray]:
    """The first sample of each class."""
    batch = np.load(folder / "samples.npz")
    return [batch["arr_0"][batch["arr_1"] == i][0, :, :, 0] for i in range(CLASSES)]


def picture(rows: list[tuple[str, list[np.ndarray]]]) -> Image.Image:
    step = TILE + GAP
    canvas = Image.new("RGB", (LABEL_WIDTH + CLASSES * step + GAP, len(rows) * step + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=14)
    for y, (name, digits) in enumerate(rows):
        draw.text((GAP * 2, GAP + y * step + TILE // 2), name, fill="black", font=font, anchor="lm")
        for x, digit in enumerate(digits):
            tile = Image.fromarray(digit).resize((TILE, TILE), Image.Resampling.NEAREST)
            canvas.paste(tile, (LABEL_WIDTH + x * step, GAP + y * step))
    return canvas


def table(out: Path) -> str:
    lines = [f"{'':24}{'distance':>10}{'relative':>10}{'precision':>11}{'recall':>8}{'class':>8}{'evals':>7}{'ms/image':>10}"]
    scores = {}
    for name, title in ROWS:
        folder = out / "samples" / name
        scores = json.loads((folder / "scores.json").read_text())
        run = json.loads((folder / "samples.json").read_text())
        lines.append(
            f"{title:24}{scores['frechet']:10.3f}{scores['frechet_relative']:10.4f}{scores['precision']:11.3f}"
            f"{scores['recall']:8.3f}{scores['class_accuracy']:8.1%}{run['evaluations']:7d}"
            f"{run['milliseconds_per_image']:10.2f}"
        )
    floor = scores["frechet_floor"]
    gaussian = scores["frechet_gaussian"]
    lines.append(f"{'real against real':24}{floor:10.3f}{floor / gaussian:10.4f}")
    lines.append(f"{'pixel-wise Gaussian':24}{gaussian:10.3f}{1:10.4f}")
    lines.append("")
    lines.append("distance: Fréchet distance to the real digits in the classifier's hidden layer; relative: divided by")
    lines.append("that of a pixel-wise Gaussian; class: samples that the classifier takes for the class asked for;")
    lines.append("evals: network evaluations an image.")
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    rows = [("real digits", real_digits())]
    rows += [(title, generated_digits(out / "samples" / name)) for name, title in ROWS]
    picture(rows).save(out / "comparison.png")
    print(table(out))


if __name__ == "__main__":
    main()
