"""What every peer shares: cm-bench's options, its measurement, and its last line of JSON.

A peer is a module with `NAME`, `JOBS` (those of cm-bench that it can do), and

    prepare(case, job, device, arguments) -> (work, parameters)     work(): one step or one batch
    save_weights(case, path, arguments)                             for cold_start
    write_first_image(case, weights, image, device, arguments)

and DTYPES, where they are others than these.
"""

import argparse
import importlib.util
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time
import types

TRAINING = ("train_edm", "train_cd", "train_ct", "train_mean_flow")
SAMPLING = ("sample_onestep", "sample_multistep2", "sample_heun18")
# Indices on the release's grid of 40 levels; the last one ends the walk.
TWO_STEPS = (0, 22, 39)
HEUN_STEPS = 18


# Of one function; by default a network's thirtieth block would run uncompiled.
MOST_COMPILATIONS = 256


DTYPES = ("fp32", "bf16")


class InputError(Exception):
    """A mistake of the user's: exit code 2."""


def parse(peer):
    parser = argparse.ArgumentParser(prog=peer.NAME, description=peer.__doc__)
    parser.add_argument("--job", required=True, choices=[*peer.JOBS, "first_image"])
    parser.add_argument("--config", required=True, type=pathlib.Path, help="a case, as bench/cases/cifar32.json")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--warmup", type=int)
    parser.add_argument("--max-seconds", type=float)
    parser.add_argument("--out", type=pathlib.Path, help="the PNG of cold_start and first_image")
    parser.add_argument("--weights", type=pathlib.Path, help="the weights that first_image reads")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument("--release", type=pathlib.Path, help="a checkout of the official release")
    parser.add_argument("--edm2", type=pathlib.Path, help="a checkout of EDM2's official code")
    parser.add_argument("--meanflow", type=pathlib.Path, help="a checkout of MeanFlow's code in PyTorch")
    return parser.parse_args()


def stand_in(name, **contents):
    """A module under this name, unless the real one is installed."""
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module


def read_case(peer, arguments):
    case = {"in_channels": 3, "num_classes": 0, "dropout": 0.0, "scale_shift_norm": True, "resblock_updown": True}
    case |= {"warmup": 2, "steps": 10, "max_seconds": 30, "threads": 1, "device": "cpu", "dtype": "fp32"}
    case |= {"name": arguments.config.stem} | json.loads(arguments.config.read_text())
    for option in ("threads", "device", "dtype", "steps", "warmup", "max_seconds"):
        if getattr(arguments, option) is not None:
            case[option] = getattr(arguments, option)
    if arguments.batch is not None:
        case["batch" if arguments.job in TRAINING else "sample_batch"] = arguments.batch
    dtypes = getattr(peer, "DTYPES", DTYPES)
    if case["dtype"] not in dtypes:
        raise InputError(f"--dtype must be one of {', '.join(dtypes)} for {peer.NAME}, got {case['dtype']}")
    return case


def compute_in(network, case, device):
    """bf16: the network's forward pass under torch.autocast, as its users would; nothing for fp32."""
    import torch

    if case["dtype"] == "bf16":
        network.forward = torch.autocast(device.type, dtype=torch.bfloat16)(network.forward)


def fill_zeros(network):
    """Random weights where training starts at zero, as in cm-bench."""
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)


def random_pixels(count, case):
    import torch

    shape = (count, case["in_channels"], case["image_size"], case["image_size"])
    return torch.randint(0, 256, shape, dtype=torch.uint8).to(torch.float32) / 127.5 - 1


def synchronize(device):
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(case, device, work):
    start = time.perf_counter()
    for _ in range(case["warmup"]):
        work()
    synchronize(device)
    warmup = time.perf_counter() - start
    wall, busy, start = [], [], time.perf_counter()
    for _ in range(case["steps"]):
        if len(wall) >= 3 and time.perf_counter() - start > case["max_seconds"]:
            break
        processors, begin = time.process_time(), time.perf_counter()
        work()
        synchronize(device)
        wall.append(1e3 * (time.perf_counter() - begin))
        busy.append(1e3 * (time.process_time() - processors))
    return timings(wall, busy) | {"warmup_seconds": warmup}


def timings(wall, busy):
    return {"steps": len(wall), "ms_median": statistics.median(wall), "ms_min": min(wall),
            "cpu_ms_median": statistics.median(busy), "cpu_ms_min": min(busy)}  # fmt: skip


def peak_rss_mb(usage=None):
    return (usage or resource.getrusage(resource.RUSAGE_SELF)).ru_maxrss / 1024


def step_job(peer, case, arguments):
    import torch
    import torch._dynamo

    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = MOST_COMPILATIONS
    device = torch.device(case["device"])
    work, parameters = peer.prepare(case, arguments.job, device, arguments)
    line = measure(case, device, work)
    line |= {"peak_rss_mb": peak_rss_mb(), "parameters": parameters}
    if device.type == "cuda":
        line["peak_device_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    line["batch"] = case["batch" if arguments.job in TRAINING else "sample_batch"]
    line["images_per_second"] = 1e3 * line["batch"] / line["ms_median"]
    return line


def cold_start_job(peer, case, arguments):
    """As cm-bench: from the start of a process to the image that it has written."""
    import os

    if arguments.out is None:
        raise InputError("--job cold_start needs --out FILE.png")
    weights = arguments.out.with_suffix(".weights")
    peer.save_weights(case, weights, arguments)
    command = [sys.executable, sys.argv[0], "--job", "first_image", "--config", arguments.config,
               "--weights", weights, "--out", arguments.out, "--device", case["device"],
               "--threads", case["threads"]]  # fmt: skip
    command += ["--release", arguments.release] if arguments.release else []
    wall, busy, peak = [], [], 0
    for i in range(case["warmup"] + case["steps"]):
        if len(wall) >= 3 and sum(wall) > 1e3 * case["max_seconds"]:
            break
        start = time.perf_counter()
        child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
        child.stdout.read(1)
        seconds = time.perf_counter() - start
        child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        if status != 0:
            raise RuntimeError("the process that was to be timed failed; what it said stands above")
        peak = max(peak, peak_rss_mb(usage))
        if i >= case["warmup"]:
            wall.append(1e3 * seconds)
            busy.append(1e3 * (usage.ru_utime + usage.ru_stime))
    return timings(wall, busy) | {"peak_rss_mb": peak, "batch": 1}


def first_image_job(peer, case, arguments):
    import torch

    torch.set_num_threads(case["threads"])
    peer.write_first_image(case, arguments.weights, arguments.out, torch.device(case["device"]), arguments)
    return {"peak_rss_mb": peak_rss_mb()}


def main(peer):
    arguments = parse(peer)
    try:
        case = read_case(peer, arguments)
        line = {"peer": peer.NAME, "compiled": arguments.compile, "job": arguments.job, "case": case["name"],
                "device": case["device"], "dtype": case["dtype"], "threads": case["threads"]}  # fmt: skip
        jobs = {"cold_start": cold_start_job, "first_image": first_image_job}
        line |= jobs.get(arguments.job, step_job)(peer, case, arguments)
    except InputError as error:
        print(f"{peer.NAME}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(line), flush=True)
    return 0
