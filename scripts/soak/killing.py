"""Kills a case at random moments until it is done, and looks at what is left each time."""

import random
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import support
from cases import MOST_SECONDS, Case

SECONDS_TO_END = 40  # for ranks that lost one
LOST = re.compile(r"cm-\S+: rank \d( of \d lost another rank| did not meet the other)")


@dataclass
class Tally:
    kills: int = 0
    at_start: int = 0  # of these, before anything was written
    in_a_write: int = 0  # and with a file or folder half written
    chains: int = 0  # that came to their end
    starts: int = 0
    seconds: float = 0
    failures: list[str] = field(default_factory=list)


class Failure(Exception):
    """What was wrong."""


def run_chain(case: Case, seed: int, most_kills: int, tally: Tally) -> None:
    """From an empty folder to the end of the command, killed at most so many times. Failure when anything is wrong."""
    lot = random.Random(f"{case.name} {seed}")
    case.clear()
    for kills in range(most_kills + 1):
        before = stamps(case.folder)
        begin = time.monotonic()
        processes = case.start(case.folder)
        tally.starts += 1
        if kills == most_kills:
            ended = wait(processes, MOST_SECONDS)
        else:
            ended = wait(processes, lot.triangular(0, 1.1 * case.seconds, 0.8 * case.seconds))
        if ended:
            if kills == 0:  # the machine may be busier than it was, or less
                case.seconds = time.monotonic() - begin
            check("what it said", [said for code, said in ended if code != 0])
            check("what it left when it was killed", case.problems())
            check("its result", case.differences())
            tally.chains += 1
            return
        problems = kill(processes, lot)
        tally.kills += 1
        after = stamps(case.folder)
        tally.at_start += after == before
        tally.in_a_write += any(path.name.startswith(".") for path in after.keys() - before.keys())
        check("how the others ended", problems)
        check("what it left when it was killed", case.problems())


def check(what: str, problems: list[str]) -> None:
    if problems:
        raise Failure(f"{what}: {'; '.join(problems)}")


def wait(processes: list[subprocess.Popen], seconds: float) -> list[tuple[int, str]] | None:
    """[(exit code, stderr)], or None where one goes on for longer."""
    deadline = time.monotonic() + seconds
    try:
        for process in processes:
            process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    return [(process.returncode, process.stderr.read()) for process in processes]


def kill(processes: list[subprocess.Popen], lot: random.Random) -> list[str]:
    """Kills one; what is wrong in how the others end."""
    lost = lot.choice(processes)
    lost.kill()
    lost.communicate()
    return [problem for process in processes if process is not lost for problem in problems_of_survivor(process)]


def problems_of_survivor(process: subprocess.Popen) -> list[str]:
    try:
        _, said = process.communicate(timeout=SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return [f"a rank went on for {SECONDS_TO_END} s after another was killed"]
    lines = [line for line in said.splitlines() if line.startswith("cm-")]
    if process.returncode == 0 or (process.returncode == 1 and len(lines) == 1 and LOST.match(lines[0])):
        return []
    return [f"a rank ended with exit code {process.returncode} and said: {said}"]


def stamps(folder: Path) -> dict[Path, int]:
    found = {}
    for path in folder.rglob("*"):
        try:
            found[path] = path.lstat().st_mtime_ns
        except FileNotFoundError:  # a study's last child may still be ending
            continue
    return found


def keep(case: Case, seed: int) -> Path:
    """The folder of what failed, out of the way of those that follow."""
    kept = support.FOLDER.parent / f"failed-{case.name}-{seed}"
    if case.folder.exists():
        case.folder.rename(kept)
    return kept
