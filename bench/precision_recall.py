#!/usr/bin/env python3
"""Peak memory and time of precision and recall on random images, the most of which are their features:

    .venv/bin/python bench/precision_recall.py [--count 50000] [--side 26]

26 × 26 × 3 pixels are 2,028 features, about as many as Inception's.
"""

import argparse
import pathlib
import resource
import subprocess
import tempfile

import numpy

BIN = pathlib.Path(__file__).resolve().parent.parent / "build" / "bin"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000, help="images of each set")
    parser.add_argument("--side", type=int, default=26, help="pixels")
    arguments = parser.parse_args()
    random = numpy.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / name for name in ("samples.npz", "reference.npz")]
        for path in paths:
            numpy.savez(path, random.integers(0, 256, (arguments.count, arguments.side, arguments.side, 3), numpy.uint8))
        command = ["--samples", paths[0], "--reference", paths[1], "--metrics", "precision,recall"]
        subprocess.run([BIN / "cm-evaluate", *command], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"peak memory {used.ru_maxrss / 2**20:.2f} GiB, processor time {used.ru_utime + used.ru_stime:.0f} s")


if __name__ == "__main__":
    main()
