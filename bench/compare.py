#!/usr/bin/env python3
"""Times our executables and the Python peers in turns, in one run, and prints tables in Markdown.

    scripts/bench.sh [--release PATH] [--case cifar32 tiny8] [--jobs train_cd sample_onestep] [--threads 1 2] [--rounds 5]
    scripts/bench.sh --edm2 PATH --case edm2_32 edm2_s64 [--jobs train_edm sample_heun18] …
    scripts/bench.sh --meanflow PATH --case meanflow_32 --jobs train_mean_flow …
    scripts/bench.sh --case sd_vae --jobs encode decode …

A round runs each contender once, as a process of its own, on the same network, batch, precision and device; a ratio is taken
within a round, because what else the machine does changes between rounds. Above 1 means that ours is faster. --threads,
--device, --batch, --steps, --warmup and --max-seconds override the case's file. `release` is the official PyTorch release, from
a checkout that --release names; `diffusers` comes from PyPI; `edm2` is the official code of EDM2, from a checkout that --edm2 names,
and `meanflow` is MeanFlow's, Gsunshine/py-meanflow, from one that --meanflow names; both stand beside cases of their architecture
alone. torch.compile takes minutes to warm up: --no-compile leaves it out.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
CASES = ROOT / "bench" / "cases"
PEERS = ROOT / "bench" / "peers"
JOBS = ("train_edm", "train_cd", "train_ct", "sample_onestep", "sample_multistep2", "sample_heun18", "cold_start")
OURS = "consistency.cpp"
EDM2_JOBS = ("train_edm", "sample_heun18")
MEANFLOW_JOBS = ("train_mean_flow",)
AUTOENCODER_JOBS = ("encode", "decode")
ALL_JOBS = (*JOBS, *MEANFLOW_JOBS, *AUTOENCODER_JOBS)
OFFICIAL = {"edm2": EDM2_JOBS, "meanflow": MEANFLOW_JOBS}  # beside cases of the architecture of that name alone
DIFFUSERS_JOBS = ("sample_onestep", "sample_multistep2", "cold_start")
OVERRIDES = ("device", "dtype", "batch", "steps", "warmup", "max_seconds")
SHOWN_OPERATORS = 12


class Failed(Exception):
    """A contender's process ended with an error."""


def peers(case, arguments):
    """{name: (command, jobs)} of the programs that have the case's network."""
    python = sys.executable
    architecture = json.loads(case.read_text()).get("architecture")
    if architecture == "autoencoder":
        return {"diffusers": ([python, PEERS / "autoencoder.py"], AUTOENCODER_JOBS)}
    if architecture in OFFICIAL:
        checkout = getattr(arguments, architecture)
        command = [python, PEERS / f"{architecture}.py", f"--{architecture}", checkout and checkout.resolve()]
        return {architecture: (command, OFFICIAL[architecture])} if checkout else {}
    found = {"diffusers": ([python, PEERS / "diffusers_pipeline.py"], DIFFUSERS_JOBS)}
    if not arguments.release:
        return found
    return {"release": ([python, PEERS / "release.py", "--release", arguments.release.resolve()], JOBS)} | found


def contenders(case, arguments):
    """{name: (command, jobs)}; ours first."""
    ours = [arguments.bin / "cm-bench", *(["--cuda-graph"] if arguments.cuda_graph else [])]
    found = {OURS: (ours, ALL_JOBS)}
    for name, (command, jobs) in peers(case, arguments).items():
        found[name] = (command, jobs)
        if arguments.compile:
            found[f"{name}, compiled"] = ([*command, "--compile"], [job for job in jobs if job != "cold_start"])
    return found


def commands_of(job, case, arguments):
    """{name: command} of those that can do the job; ours first."""
    return {name: command for name, (command, jobs) in contenders(case, arguments).items() if job in jobs}


def run(command, job, case, threads, arguments, *extra):
    """The JSON object on the last line of stdout. Failed when there is none."""
    with tempfile.TemporaryDirectory(prefix="cm-compare-") as folder:
        words = [*command, "--job", job, "--config", case, "--threads", threads, "--out", f"{folder}/image.png", *extra]
        for name in OVERRIDES:
            if getattr(arguments, name) is not None:
                words += ["--" + name.replace("_", "-"), getattr(arguments, name)]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values, digits=2):
    """median (smallest to largest)"""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratios(theirs, ours, key):
    """Round by round."""
    return [their[key] / our[key] for their, our in zip(theirs, ours, strict=True)]


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def comparison_row(name, rounds, ours):
    medians = {key: statistics.median(line[key] for line in rounds) for key in ("ms_median", "cpu_ms_median", "peak_rss_mb")}
    fastest = min(line["ms_min"] for line in rounds)
    memory = number(medians["peak_rss_mb"])
    if "peak_device_mb" in rounds[0]:
        memory += f", GPU {number(statistics.median(line['peak_device_mb'] for line in rounds))}"
    cells = [name, number(medians["ms_median"]), number(fastest), number(medians["cpu_ms_median"]), memory]
    if name == OURS:
        return [*cells, "", "", ""]
    smallest = [their["ms_min"] / our["ms_min"] for their, our in zip(rounds, ours, strict=True)]
    return [*cells, spread(ratios(rounds, ours, "ms_median")), spread(smallest), spread(ratios(rounds, ours, "cpu_ms_median"))]


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


HEADER = ["", "ms, median", "ms, least", "processor ms", "peak MB", "ratio of medians", "ratio of least", "ratio of processor ms"]


def compare(case, job, threads, arguments):
    """{contender: [a line a round]}, the order turned round every other round. A peer that fails is left out from then on,
    with no line at all."""
    commands = commands_of(job, case, arguments)
    found = {name: [] for name in commands}
    for i in range(arguments.rounds):
        for name in list(found) if i % 2 == 0 else list(reversed(found)):
            try:
                line = run(commands[name], job, case, threads, arguments)
            except Failed as failure:
                if name == OURS:
                    raise
                print(f"{case.stem} {job} {threads} threads: {name} failed and is left out: {failure}", file=sys.stderr)
                del found[name]
                continue
            found[name].append(line)
            print(f"{case.stem} {job} {threads} threads, round {i + 1}: {name} {line['ms_median']:.1f} ms", file=sys.stderr)
    check_same_work(found)
    return found


def check_same_work(found):
    """A ratio between different networks or batches would mean nothing."""
    for key in ("parameters", "batch"):
        values = {line[key] for lines in found.values() for line in lines if key in line}
        if len(values) > 1:
            sys.exit(f"bench: the contenders differ in {key}: {sorted(values)}")


def arithmetic_row(job, threads, rounds, peak):
    rate = max(1e3 * line["gflop"] / line["ms_min"] for line in rounds)
    return [job, str(threads), f"{rounds[0]['gflop']:.1f}", f"{rate:.0f}", f"{peak:.0f}", f"{100 * rate / peak:.0f} %"]


def operator_rows(line):
    whole = sum(operator["self_ms"] for operator in line["operators"])
    shown = sorted(line["operators"], key=lambda operator: -operator["self_ms"])[:SHOWN_OPERATORS]
    for operator in shown:
        share = 100 * operator["self_ms"] / whole
        yield [operator["name"], f"{operator['self_ms']:.2f}", f"{share:.1f} %", f"{operator['calls']:g}"]


def report(case, arguments):
    """Prints one case's tables; returns what they say as one object a measurement."""
    everything, arithmetic = [], []
    print(f"\n## {case.stem}\n")
    for threads in arguments.threads:
        peak = run([arguments.bin / "cm-bench"], "matmul_peak", case, threads, arguments)["gflops_per_second"]
        for job in arguments.jobs:
            found = compare(case, job, threads, arguments)
            print(f"### {job}, {threads} thread{'s' if threads > 1 else ''}\n")
            for name in [name for name in commands_of(job, case, arguments) if name not in found]:
                print(f"{name} failed.\n")
            print(table(HEADER, [comparison_row(name, lines, found[OURS]) for name, lines in found.items()]) + "\n", flush=True)
            if job != "cold_start":
                arithmetic.append(arithmetic_row(job, threads, found[OURS], peak))
            everything.append({"case": case.stem, "job": job, "threads": threads, "peak": peak, "rounds": found})
    if arithmetic:
        print("### Arithmetic\n")
        print(table(["job", "threads", "GFLOP", "GFLOP/s of the fastest", "matmul peak", "share"], arithmetic) + "\n")
    for job in [job for job in arguments.jobs if job != "cold_start"]:
        line = run([arguments.bin / "cm-bench"], job, case, arguments.threads[0], arguments, "--operators")
        print(f"### Where {job}'s time goes, {arguments.threads[0]} thread(s)\n")
        print(table(["operator", "own processor ms", "share", "calls"], operator_rows(line)) + "\n", flush=True)
    return everything


def case_file(name):
    path = pathlib.Path(name) if name.endswith(".json") else CASES / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(case.stem for case in CASES.glob("*.json")))
        sys.exit(f"bench: --case must be a JSON file or one of {known}; got {name}")
    return path


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, help="a checkout of openai/consistency_models; without it: no release")
    parser.add_argument("--edm2", type=pathlib.Path, help="a checkout of NVlabs/edm2; without it: no edm2")
    parser.add_argument("--meanflow", type=pathlib.Path, help="a checkout of Gsunshine/py-meanflow; without it: no meanflow")
    parser.add_argument("--case", nargs="+", type=case_file, default=[case_file("tiny8"), case_file("cifar32")])
    parser.add_argument("--jobs", nargs="+", choices=ALL_JOBS, default=list(JOBS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave out torch.compile")
    parser.add_argument("--json", type=pathlib.Path, help="also write all lines of all rounds to this file")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "bin", help="where cm-bench is")
    parser.add_argument("--device")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"),
                        help="bf16: the peers under torch.autocast; fp16: edm2 on a GPU")  # fmt: skip
    parser.add_argument("--cuda-graph", action="store_true", help="ours plays recorded steps and evaluations")
    for name, kind in (("batch", int), ("steps", int), ("warmup", int), ("max-seconds", float)):
        parser.add_argument(f"--{name}", type=kind)
    return parser.parse_args()


def machine():
    names = [line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]  # fmt: skip
    return f"{len(names)} × {names[0]}" if names else platform.machine()


def main():
    arguments = parse()
    if not (arguments.bin / "cm-bench").exists():
        sys.exit(f"bench: no {arguments.bin / 'cm-bench'}; scripts/build.sh apps makes it")
    print(f"{datetime.date.today()}, {machine()}, {arguments.rounds} rounds; a ratio is theirs to ours")
    try:
        everything = [entry for case in arguments.case for entry in report(case, arguments)]
    except Failed as failure:
        sys.exit(f"bench: failed: {failure}")
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
