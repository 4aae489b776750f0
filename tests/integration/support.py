"""Runs the executables as a user does, on the smallest models that train, and reads back what they write.

The environment says where things are: CM_BIN, the folder of the executables, and CM_SOURCE_DIR, the repository.
"""

import atexit
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import typing
import unittest

try:
    import numpy
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh installs it")
    sys.exit(77)

BIN = pathlib.Path(os.environ["CM_BIN"])
SOURCE = pathlib.Path(os.environ["CM_SOURCE_DIR"])
DIGITS = SOURCE / "data" / "digits" / "digits.csv.gz"
PHOTOGRAPHS = SOURCE / "data" / "photographs"

# In place of the tiny configuration's digits: patches of the photographs, 3 × 32 × 32.
PATCHES = ("data.kind=patches", f"data.path={PHOTOGRAPHS}", "data.patches.reduce=4", "model.attention_resolutions=[]")

# Of this process; every test makes its own names in it. Executables run in it, so relative paths are relative to it.
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="cm-integration-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

TINY = f"""\
objective: edm
data:
  kind: digits
  path: {DIGITS}
  horizontal_flip: true
model:
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: [8]
  head_channels: 16
  dropout: 0.1
optimizer:
  rule: adam
  lr: 1e-2
ema:
  rates: [0.05, 0.9]
  warmup: none
train:
  steps: 2
  batch_size: 4
  micro_batch_size: 2
  log_every: 1
  sample_every: 0
  checkpoint_every: 1
  keep_checkpoints: 0
"""

# What would show that an exception got through to the user as it was thrown.
RAW_EXCEPTION = r"terminate called|frame #|Exception raised|what\(\)|c10::|std::|enforce fail|\[json|filesystem error"

# Progressive distillation of the tiny network: stages of 4, 2 and 1 sampling steps from training steps 0, 1 and 3.
PD_STAGES = ("pd.start_steps=4", "pd.steps_per_stage=1", "pd.steps_two=2")

SECONDS = 300


class Result(typing.NamedTuple):
    name: str
    code: int
    out: str
    err: str


def environment(**changes):
    return os.environ | {"OMP_NUM_THREADS": "1"} | changes


def run(name, *arguments, cwd=FOLDER, **changes):
    """`changes` are environment variables."""
    command = [str(BIN / name), *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        errors="replace",  # a path may hold any bytes
        timeout=SECONDS,
        check=False,
    )
    return Result(name, done.returncode, done.stdout, done.stderr)


def run_all(commands):
    """[(name, argument, ...)], two at a time: a process spends most of its time being loaded."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda command: run(*command), commands))


def must_run(name, *arguments, **settings):
    result = run(name, *arguments, **settings)
    if result.code != 0:
        raise AssertionError(f"{name} {' '.join(map(str, arguments))}: exit code {result.code}\n{result.err}")
    return result


def run_script(name, *arguments, scripts=SOURCE / "scripts", **changes):
    """scripts/NAME, by the Python that runs the tests; `changes` are environment variables."""
    command = [sys.executable, scripts / name, *map(str, arguments)]
    return subprocess.run(command, cwd=FOLDER, env=os.environ | changes, capture_output=True, text=True, check=False)


METHODS = {method["objective"]: method for method in json.loads(must_run("cm-train-edm", "--list-methods").out)}
TRAINERS = {objective: method["executable"] for objective, method in METHODS.items()}


@functools.cache
def tiny_config():
    path = FOLDER / "tiny.yaml"
    path.write_text(TINY)
    return path


def training(objective, out, *arguments):
    """The command (name, argument, ...) that trains the tiny network."""
    command = [TRAINERS[objective], "--config", tiny_config(), "--out", out, f"objective={objective}"]
    if METHODS[objective]["needs_teacher"]:
        command.append(f"teacher.checkpoint={teacher()}")
    if METHODS[objective]["has_stages"]:
        command.extend(PD_STAGES)
    if METHODS[objective]["takes_pairs"]:
        command.extend(("data.kind=pairs", f"data.path={pairs()}", "data.horizontal_flip=false"))
    if METHODS[objective]["group"] > 1:
        command.append("train.micro_batch_size=4")
    if METHODS[objective]["needs_init"]:
        command.append(f"init.checkpoint={student() if METHODS[objective]['keeps_start'] else teacher()}")
    return (*command, *arguments)


def train(objective, out, *arguments, **settings):
    must_run(*training(objective, out, *arguments), **settings)
    return FOLDER / out


@functools.cache
def teacher():
    """A diffusion run of two steps."""
    return train("edm", "teacher")


@functools.cache
def student():
    """A consistency run of two steps."""
    return train("cd", "student")


@functools.cache
def pairs():
    """Six pairs of the teacher's."""
    must_run("cm-sample", "--pairs", "--checkpoint", teacher(), "--steps", "2", "--num", "6", "--out", "pairs")
    return FOLDER / "pairs"


def has_text(file):
    return file.exists() and file.stat().st_size > 0


def contents(folder):
    """{relative path: a digest, or where a link points}: equal when nothing was touched. (Of bytes, a failed comparison
    would take minutes to print.)"""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def load_tensors(path):
    return safetensors.numpy.load_file(path)


def save_tensors(path, tensors, metadata=None):
    safetensors.numpy.save_file(tensors, path, metadata)
    return path


def metadata_of(path):
    with safetensors.safe_open(path, "numpy") as file:
        return file.metadata()


def load_npz(path):
    with numpy.load(path) as archive:
        return dict(archive)


class ExecutableTest(unittest.TestCase):
    def begin(self, name, *arguments):
        """A program that goes on while the test does, and not longer."""
        process = subprocess.Popen(
            [str(BIN / name), *map(str, arguments)], cwd=FOLDER, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        self.addCleanup(process.kill)
        return process

    def wait_until(self, holds):
        deadline = time.monotonic() + SECONDS
        while not holds():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def assert_refused(self, result, *patterns, code=2):
        """One line for each pattern, each beginning with the program's name, and nothing else on stderr."""
        shown = f"{result.name} said:\n{result.err}"
        lines = result.err.splitlines()
        self.assertEqual(result.code, code, shown)
        self.assertEqual(len(lines), len(patterns), shown)
        for line, pattern in zip(lines, patterns):
            self.assertTrue(line.startswith(f"{result.name}: "), shown)
            self.assertRegex(line, pattern)
        self.assertNotRegex(result.err, RAW_EXCEPTION)

    def assert_all_refused(self, cases):
        """{(name, argument, ...): pattern, or a tuple of them}"""
        for (command, patterns), result in zip(cases.items(), run_all(cases)):
            with self.subTest(" ".join(map(str, command))):
                self.assert_refused(result, *([patterns] if isinstance(patterns, str) else patterns))
