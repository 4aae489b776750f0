"""That the memory of a long run does not grow: the resident pages of a tiny training, with its checkpoints and logs."""

import subprocess
import time
from pathlib import Path

import support

WARM_STEPS = 10_000
MOST_GROWTH_MB = 8
SECONDS_BETWEEN_LOOKS = 0.5
MEGABYTE = 2**20

# One step takes milliseconds; every kind of output is written thousands of times.
SETTINGS = ("train.batch_size=4", "train.micro_batch_size=4", "train.log_every=100", "train.checkpoint_every=1000",
            "train.sample_every=1000", "train.sample_count=4", "train.keep_checkpoints=2", "data.workers=1",
            "model.attention_resolutions=[]", "model.dropout=0", "optimizer.lr=1e-4")  # fmt: skip


def resident_mb(process: subprocess.Popen) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / MEGABYTE


def steps_done(folder: Path) -> int:
    link = folder / "checkpoints" / "latest"
    return int(link.readlink().name.removeprefix("step-")) if link.is_symlink() else 0


def measure(steps: int, settings: list[str]) -> bool:
    """Prints what a run of so many steps holds after WARM_STEPS and in the end; whether it did not grow."""
    name, *arguments = support.training("edm", "memory", *SETTINGS, f"train.steps={steps}", *settings)
    command = [str(support.BIN / name), *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=support.FOLDER, env=support.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    begin, said, first, last = time.monotonic(), 0, None, 0.0
    while process.poll() is None:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        done = steps_done(support.FOLDER / "memory")
        try:
            now = resident_mb(process)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if done < steps:  # a process that ends takes memory anew, to unload its libraries, and then has none
            last = now
        if first is None and done >= min(WARM_STEPS, steps // 2):
            first = last
        if done >= said + steps // 20:
            said = done
            seconds = time.monotonic() - begin
            print(f"{done} of {steps} steps, {last:.1f} MB; about {seconds * (steps - done) / done / 60:.0f} min left", flush=True)
    if process.returncode != 0 or first is None:
        print(f"memory: the run failed, exit code {process.returncode}")
        return False
    print(f"resident memory: {first:.1f} MB after {min(WARM_STEPS, steps // 2)} steps, {last:.1f} MB after {steps}, "
          f"{last - first:+.1f} MB (at most {MOST_GROWTH_MB}), {time.monotonic() - begin:.0f} s")  # fmt: skip
    return last - first <= MOST_GROWTH_MB
