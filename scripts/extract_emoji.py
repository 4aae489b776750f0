#!/usr/bin/env python3
"""Writes the Noto emoji as PNGs, in one folder for each of Unicode's groups: a small set of colour images with classes.

    .venv/bin/python scripts/extract_emoji.py --out data/emoji [--size 32]

The font is that of Debian's fonts-noto-color-emoji (SIL Open Font License), the groups those of unicode-data; --font and
--groups name others. Every fully qualified emoji is taken but those of the five skin tones, which are the same pictures in
other colours. A picture is laid on white and made square before it is reduced.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
GROUPS = Path("/usr/share/unicode/emoji/emoji-test.txt")
PIXELS = 109  # the one size of the font's bitmaps, which are 136 × 128
SQUARE = 136
SKIN_TONES = range(0x1F3FB, 0x1F400)


class InputError(Exception):
    """A mistake of the user's: exit code 2."""


def read_groups(path: Path) -> list[tuple[str, list[str]]]:
    """(name, emoji) of each of Unicode's groups, in their order."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; install unicode-data, or name an emoji-test.txt with --groups") from error
    groups: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("# group: "):
            groups.append((line.removeprefix("# group: "), []))
        elif found := re.match(r"([0-9A-F ]+); fully-qualified ", line):
            points = [int(point, 16) for point in found[1].split()]
            if not groups:
                raise InputError(f"{path}: expected a line '# group: …' before the first emoji; found none")
            if not any(point in SKIN_TONES for point in points):
                groups[-1][1].append("".join(map(chr, points)))
    groups = [(name, emoji) for name, emoji in groups if emoji]
    if not groups:
        raise InputError(f"{path}: expected lines of fully-qualified emoji; found none")
    return groups


def load_font(path: Path) -> ImageFont.FreeTypeFont:
    if not features.check("raqm"):
        raise InputError("Pillow cannot join the parts of an emoji: install libfribidi0")
    try:
        return ImageFont.truetype(path, PIXELS, layout_engine=ImageFont.Layout.RAQM)
    except OSError as error:
        raise InputError(f"{path}: {error}; install fonts-noto-color-emoji, or name a font of such bitmaps with --font") from error


def picture(font: ImageFont.FreeTypeFont, emoji: str, size: int) -> Image.Image | None:
    """RGB, size × size; None when the font has no such emoji, but its parts or nothing."""
    left, top, right, bottom = font.getbbox(emoji)
    if right - left > SQUARE or bottom - top > SQUARE:
        return None
    image = Image.new("RGB", (SQUARE, SQUARE), "white")
    corner = ((SQUARE - right + left) // 2 - left, (SQUARE - bottom + top) // 2 - top)
    ImageDraw.Draw(image).text(corner, emoji, font=font, embedded_color=True)
    if image.getextrema() == ((255, 255),) * 3:
        return None
    return image.resize((size, size), Image.Resampling.BOX)


def folder_of(index: int, group: str) -> str:
    """Sorted as the groups are: 03-food-drink."""
    return f"{index:02d}-" + "-".join(re.findall(r"[a-z0-9]+", group.lower()))


def write(groups: list[tuple[str, list[str]]], font: ImageFont.FreeTypeFont, out: Path, size: int) -> None:
    missing = Counter()
    for index, (group, all_emoji) in enumerate(groups):
        folder = out / folder_of(index, group)
        folder.mkdir(parents=True)
        for emoji in all_emoji:
            image = picture(font, emoji, size)
            if image is None:
                missing[group] += 1
                continue
            image.save(folder / ("-".join(f"{ord(point):x}" for point in emoji) + ".png"))
        print(f"{folder}: {len(all_emoji) - missing[group]} emoji", flush=True)
    if missing:
        print("not in the font: " + ", ".join(f"{count} of {group}" for group, count in missing.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder, new or empty")
    parser.add_argument("--size", type=int, default=32, help=f"pixels of a side, at most {SQUARE}")
    parser.add_argument("--font", type=Path, default=FONT)
    parser.add_argument("--groups", type=Path, default=GROUPS)
    arguments = parser.parse_args()
    if not 1 <= arguments.size <= SQUARE:
        raise InputError(f"--size must lie in [1, {SQUARE}], got {arguments.size}")
    if arguments.out.exists() and (not arguments.out.is_dir() or any(arguments.out.iterdir())):
        raise InputError(f"{arguments.out}: expected a new or empty folder; name another --out")
    write(read_groups(arguments.groups), load_font(arguments.font), arguments.out, arguments.size)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        print(f"extract_emoji: {error}", file=sys.stderr)
        sys.exit(2)
