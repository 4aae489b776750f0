#!/usr/bin/env python3
"""Images a second of Inception's features on the CPU: torch-fidelity, pytorch-fid and this framework, in turns.

    scripts/build.sh --dev cm-time-inception
    .venv/bin/python bench/inception_speed.py [--threads 1 2] [--rounds 5] [--images 32] [--size 32]

All start from bytes in memory and end with the 2,048 numbers of pool_3; each resizes in its own way. The weights are
random: speed does not depend on them. A round times the three one after the other; the table shows medians over the
rounds, of images a second and of the processors' time an image, which other work on the machine disturbs less.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import unittest.mock

import pytorch_fid.inception
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import export_inception  # noqa: E402


def random_weights():
    """He's scale for convolutions, normalisations that do nothing."""
    weights = {}
    for name, shape in export_inception.weight_shapes().items():
        if len(shape) == 4:
            weights[name] = torch.randn(shape) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        else:
            weights[name] = torch.ones(shape) if name.endswith(("weight", "var")) else torch.zeros(shape)
    return weights | {"fc.bias": torch.zeros(export_inception.CLASSES)}


def torch_fidelity_pass(source):
    return FeatureExtractorInceptionV3("network", ["2048"], feature_extractor_weights_path=source)


def pytorch_fid_pass(source):
    state = torch.load(source, weights_only=True)
    with unittest.mock.patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state):
        network = pytorch_fid.inception.InceptionV3().eval()
    return lambda images: network(images.to(torch.float32).div(255))


def timed(run, images, threads):
    torch.set_num_threads(threads)
    with torch.no_grad():
        run(images[:8])  # warm-up
        start, processors = time.perf_counter(), time.process_time()
        run(images)
    seconds, busy = time.perf_counter() - start, time.process_time() - processors
    return {"images_per_second": len(images) / seconds, "processor_ms": 1000 * busy / len(images)}


def ours(executable, weights, images, threads):
    command = [executable, "--weights", weights, "--images", str(len(images)), "--size", str(images.shape[-1]),
               "--threads", str(threads), "--device", "cpu"]  # fmt: skip
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--executable", type=pathlib.Path, default=ROOT / "build" / "bin" / "cm-time-inception")
    arguments = parser.parse_args()
    images = torch.randint(0, 256, (arguments.images, 3, arguments.size, arguments.size), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        source, weights = pathlib.Path(folder, "random.pth"), pathlib.Path(folder, "random.safetensors")
        torch.save(random_weights(), source)
        export_inception.export(source, weights)
        fidelity, pytorch = torch_fidelity_pass(str(source)), pytorch_fid_pass(source)
        print(f"{arguments.images} images of {arguments.size} pixels, medians of {arguments.rounds} rounds\n")
        print("| threads | implementation | images/s | processor ms an image |\n|---|---|---|---|")
        for threads in arguments.threads:
            times = {"torch-fidelity": [], "pytorch-fid": [], "consistency.cpp": []}
            for _ in range(arguments.rounds):
                times["torch-fidelity"].append(timed(fidelity, images, threads))
                times["pytorch-fid"].append(timed(pytorch, images, threads))
                times["consistency.cpp"].append(ours(arguments.executable, weights, images, threads))
            for name, rounds in times.items():
                rate, busy = (
                    statistics.median(r[key] for r in rounds) for key in ("images_per_second", "processor_ms")
                )
                print(f"| {threads} | {name} | {rate:.2f} | {busy:.0f} |", flush=True)


if __name__ == "__main__":
    main()
