"""Runs tasks that need one another, several at a time, each once: what is done already is not done again.

A task is a list of commands. Its fingerprint covers the commands, the files they read and the tasks it needs, so a task
runs again when any of these has changed, and goes on where it stopped when it was interrupted.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

STATUS_SECONDS = 30

# Before a command: it ends with this process even where that is killed, or the next start would run the same beside it.
ENDS_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class TaskFailed(Exception):
    """A command failed; the message names it and the end of its log."""


@dataclass(frozen=True)
class Task:
    name: str
    commands: Callable[[bool], list[list[str]]]  # given whether an interrupted start of this very task is there
    cost: float  # an estimate of its seconds, for the order and the time left
    needs: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    stdout: Path | None = None  # where the last command's output goes, rather than into the log
    # Whether its result is there: a program that is interrupted, saves its state and ends has exit code 0 as well.
    is_complete: Callable[[], bool] = lambda: True
    resolve: Callable[[str], str] = str  # completes an argument by what an earlier task found, just before it is run


class Runner:
    """Keeps its records under `folder`/tasks: NAME.json when a task is done, NAME.started while it is not, NAME.log."""

    def __init__(self, tasks: list[Task], folder: Path, jobs: int, environment: dict[str, str]) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.folder = folder / "tasks"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.jobs = jobs
        self.environment = os.environ | environment
        self.fingerprints: dict[str, str] = {}
        self.children: set[subprocess.Popen] = set()
        self.stopping = False
        self.lock = threading.Lock()

    def run(self) -> None:
        """Returns when all are done; raises TaskFailed at the first that fails, KeyboardInterrupt when interrupted."""
        finished = {name for name in self.tasks if self.is_done(name)}
        waiting = [name for name in self.tasks if name not in finished]
        print(f"{len(finished)} of {len(self.tasks)} steps are done already, {len(waiting)} to do, {self.jobs} at a time")
        started, spent = time.monotonic(), 0.0
        running: dict[Future, str] = {}
        next_status = started + STATUS_SECONDS
        pool = ThreadPoolExecutor(self.jobs)
        try:
            while waiting or running:
                for name in [n for n in waiting if finished.issuperset(self.tasks[n].needs)][: self.jobs - len(running)]:
                    waiting.remove(name)
                    running[pool.submit(self.execute, name)] = name
                done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    name = running.pop(future)
                    seconds = future.result()
                    finished.add(name)
                    spent += self.tasks[name].cost
                    left = sum(self.tasks[n].cost for n in [*waiting, *running.values()])
                    eta = (time.monotonic() - started) * left / spent
                    count = f"[{len(finished)}/{len(self.tasks)}]"
                    print(f"{count} {name}: {seconds:.0f} s; about {eta / 60:.0f} min left", flush=True)
                    next_status = time.monotonic() + STATUS_SECONDS
                if time.monotonic() > next_status:
                    print("running: " + ", ".join(self.progress(name) for name in sorted(running.values())), flush=True)
                    next_status = time.monotonic() + STATUS_SECONDS
        except BaseException:
            self.stop()
            raise
        finally:
            pool.shutdown()

    def progress(self, name: str) -> str:
        """The task's name and the last that its program said of its progress."""
        log = self.folder / f"{name}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        said = [line for line in lines if "ETA" in line]
        return f"{name} ({said[-1].split('] ', 1)[-1].strip()})" if said else name

    def fingerprint(self, name: str) -> str:
        if name not in self.fingerprints:
            task = self.tasks[name]
            digest = hashlib.sha256(json.dumps(task.commands(False)).encode())
            for path in task.reads:
                digest.update(path.read_bytes())
            for needed in task.needs:
                digest.update(self.fingerprint(needed).encode())
            self.fingerprints[name] = digest.hexdigest()
        return self.fingerprints[name]

    def is_done(self, name: str) -> bool:
        record = self.record(name, "json")
        return record.get("fingerprint") == self.fingerprint(name)

    def seconds(self, name: str) -> float:
        """Processor time of a task that is done, summed over its interruptions: what others run meanwhile does not count."""
        return self.record(name, "json")["seconds"]

    def record(self, name: str, kind: str) -> dict:
        path = self.folder / f"{name}.{kind}"
        return json.loads(path.read_text()) if path.exists() else {}

    def write(self, name: str, kind: str, record: dict) -> None:
        beside = self.folder / f"{name}.{kind}.part"
        beside.write_text(json.dumps(record) + "\n")
        beside.replace(self.folder / f"{name}.{kind}")

    def execute(self, name: str) -> float:
        task = self.tasks[name]
        before = self.record(name, "started")
        resuming = before.get("fingerprint") == self.fingerprint(name)
        seconds = before["seconds"] if resuming else 0.0
        self.write(name, "started", {"fingerprint": self.fingerprint(name), "seconds": seconds})
        commands = task.commands(resuming)
        try:
            with open(self.folder / f"{name}.log", "a" if resuming else "w") as log:
                for index, command in enumerate(commands, 1):
                    command = [task.resolve(argument) for argument in command]
                    seconds += self.call(name, command, log, task.stdout if index == len(commands) else None)
        finally:
            self.write(name, "started", {"fingerprint": self.fingerprint(name), "seconds": seconds})
        if not task.is_complete():
            raise TaskFailed(f"{name} was stopped before its end; the same command goes on from there")
        self.write(name, "json", {"fingerprint": self.fingerprint(name), "seconds": seconds})
        (self.folder / f"{name}.started").unlink()
        return seconds

    def call(self, name: str, command: list[str], log, stdout: Path | None) -> float:
        """The processor seconds that it took."""
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        output = subprocess.PIPE if stdout else log
        with self.lock:
            if self.stopping:
                raise TaskFailed(f"{name}: not started")
            child = subprocess.Popen([*ENDS_WITH_US, *command], stdout=output, stderr=log, env=self.environment, start_new_session=True)
            self.children.add(child)
        text = child.stdout.read() if stdout else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        with self.lock:
            self.children.discard(child)
        if child.returncode != 0:
            tail = "".join(f"    {line}\n" for line in Path(log.name).read_text().splitlines()[-6:])
            raise TaskFailed(f"{name} failed (exit code {child.returncode}); the end of {log.name}:\n{tail}")
        if stdout:
            stdout.write_bytes(text)
        return usage.ru_utime + usage.ru_stime

    def stop(self) -> None:
        """Asks what runs to save and end; training goes on from there the next time."""
        with self.lock:
            self.stopping = True
            for child in self.children:
                os.killpg(child.pid, signal.SIGTERM)  # SIGINT is ignored by what a script started in the background
        if self.children:
            print("stopping: what runs saves its state first", file=sys.stderr)
