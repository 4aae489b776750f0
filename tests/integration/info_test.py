"""cm-info of a run: how far it is, its curve, its newest files and their size; and --watch, which shows that while it goes."""

import contextlib
import fcntl
import functools
import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from support import BIN, FOLDER, SECONDS, ExecutableTest, environment, must_run, run, teacher, train

COLUMNS = 40


@functools.cache
def finished():
    return train("edm", "finished", "train.steps=4", "train.sample_every=2", "train.sample_count=2")


def forged(name, steps, losses, every=10, speed=10.0):
    """A run of 8 images a step whose lines, one every `every` steps, tell `speed` steps a second; it spoke just now."""
    folder = FOLDER / name
    folder.mkdir()
    (folder / "config.yaml").write_text(f"train:\n  steps: {steps}\n  batch_size: 8\n")
    (folder / "metrics.jsonl").write_text("")
    for i, loss in enumerate(losses, 1):
        say(folder, i * every, loss, speed)
    return folder


def say(folder, step, loss, speed=10.0):
    line = {"step": step, "loss": None if math.isnan(loss) else loss, "images_per_second": 8 * speed}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def spoke(folder, seconds_ago):
    then = time.time() - seconds_ago
    os.utime(folder / "metrics.jsonl", (then, then))


def finish(folder):
    """Puts the checkpoint of the last of four steps into a run."""
    (folder / "checkpoints").symlink_to(finished() / "checkpoints")


@contextlib.contextmanager
def ended(process):
    """Where something fails before the process ends."""
    try:
        yield
    finally:
        process.kill()


def told(folder):
    return json.loads(must_run("cm-info", folder, "--json").out)["run"]


def size_of(*paths):
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())


class RunTest(ExecutableTest):
    def test_a_finished_run(self):
        folder = finished()
        info = json.loads(must_run("cm-info", folder, "--json").out)
        self.assertEqual((info["step"], info["ema_rates"]), (4, [0.05, 0.9]))
        told = info["run"]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual((told["finished"], told["step"], told["steps"], told["seconds_left"]), (True, 4, 4, 0))
        self.assertEqual(told["loss_curve"], [line["loss"] for line in lines])
        self.assertEqual(told["loss"], lines[-1]["loss"])
        seconds = sum(4 / line["images_per_second"] for line in lines)
        self.assertAlmostEqual(told["steps_per_second"], 4 / seconds, delta=1e-6 * 4 / seconds)
        self.assertEqual(told["samples"], str(folder / "samples" / "step-00000004.png"))
        self.assertEqual(told["checkpoint"], str(folder / "checkpoints" / "step-00000004"))
        checkpoints = folder / "checkpoints"
        self.assertEqual(
            told["disk"],
            {
                "checkpoints": size_of(*(path for step in checkpoints.glob("step-*") for path in step.iterdir())),
                "averages": 0,
                "samples": size_of(*(folder / "samples").iterdir()),
                "logs": size_of(folder / "metrics.jsonl", *(folder / "tensorboard").iterdir()),
            },
        )
        shown = must_run("cm-info", folder).out
        self.assertIn(f"run         {folder}\nprogress    finished 4 steps\n", shown)
        self.assertRegex(shown, r"(?m)^loss        [▁▂▃▄▅▆▇█]{4}\n +\S+ now; from \S+ to \S+$")
        self.assertRegex(shown, r"(?m)^disk        checkpoints .+iB, samples .+B, logs .+B\nweights     .+ema-0\.05")

    def test_a_run_without_a_checkpoint_is_shown_all_the_same(self):
        folder = forged("begun", 1000, [8, 4, math.nan, 1, 0.5])
        shown = must_run("cm-info", folder).out
        # Its next line is due in a second: on a busy machine it may be late already, which counts.
        self.assertRegex(shown, r"progress    step 50 of 1000, [\d.]+ steps/s, ETA \d+ min \d+ s\nloss        █▇ ▃▁\n")
        self.assertIn("0.5 now; from 0.5 to 8, log scale\nsamples     none yet\ncheckpoint  none yet\n", shown)
        run = told(folder)
        self.assertEqual(run["loss_curve"], [8, 4, None, 1, 0.5])
        self.assertEqual((run["finished"], run["samples"], run["checkpoint"]), (False, None, None))

    def test_the_time_that_is_left_is_that_of_the_present_speed(self):
        folder = forged("slow-start", 10_000, [1] * 10, speed=0.1)
        for step in range(200, 2001, 100):
            say(folder, step, 1, 10.0)
        run = told(folder)
        self.assertAlmostEqual(run["steps_per_second"], 10, delta=1e-6)
        self.assertAlmostEqual(run["seconds_left"], 800, delta=10)
        self.assertLess(run["seconds_of_silence"], 10)

    def test_a_run_that_says_nothing(self):
        folder = forged("silent", 10_000, [1] * 100)
        spoke(folder, 3600)
        run = told(folder)
        self.assertAlmostEqual(run["seconds_of_silence"], 3600, delta=60)
        self.assertGreater(run["seconds_left"], 900 * 50)
        self.assertRegex(must_run("cm-info", folder).out, r"silent\nprogress    step 1000 of 10000, .*, no news for 1 h 0 min\n")

    def test_other_folders_have_no_run(self):
        info = json.loads(must_run("cm-info", teacher() / "checkpoints" / "latest", "--json").out)
        self.assertNotIn("run", info)


class WatchTest(ExecutableTest):
    def test_lines_where_there_is_no_terminal(self):
        folder = forged("watched", 4, [3, 2], every=1)
        command = [BIN / "cm-info", folder, "--watch"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as watch, ended(watch):
            first = watch.stdout.readline()
            self.assertRegex(first, r"^step 2 of 4, \S+ steps/s, ETA .*s, loss 2$")
            say(folder, 3, 1.5)
            say(folder, 4, 1.25)
            finish(folder)
            rest, _ = watch.communicate(timeout=SECONDS)
        self.assertEqual(rest, "finished 4 steps, loss 1.25\n")
        self.assertEqual(watch.returncode, 0)

    def test_a_terminal_is_drawn_again_in_place_and_left_clean(self):
        folder = forged("drawn", 1000, [3, 2])
        screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        command = [BIN / "cm-info", folder, "--watch"]
        with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=environment()) as watch, ended(watch):
            os.close(terminal)
            shown = self.read_until(screen, b"step 20 of 1000")
            say(folder, 30, 1)
            shown += self.read_until(screen, b"step 30 of 1000")
            watch.send_signal(signal.SIGINT)
            _, err = watch.communicate(timeout=SECONDS)
        self.assertEqual((watch.returncode, err), (0, b""))
        shown += self.read_until(screen, None)
        os.close(screen)
        text = shown.decode().replace("\r\n", "\n")
        drawings = re.split(r"\r(?:\x1b\[\dA)?\x1b\[J", text)[1:]
        self.assertGreater(len(drawings), 1)
        for drawing in drawings:
            self.assertNotIn("\x1b", drawing)
            self.assertTrue(drawing.endswith("\n"), repr(drawing))
            self.assertLessEqual(max(map(len, drawing.splitlines())), COLUMNS)
        rows = len(drawings[0].splitlines())
        self.assertIn(f"\r\x1b[{rows}A\x1b[J", text)

    @staticmethod
    def read_until(screen, words):
        """What is shown until `words`, or all that is left."""
        shown = b""
        while words is None or words not in shown:
            if not select.select([screen], [], [], SECONDS)[0]:
                raise AssertionError(f"{words} was not shown, but {shown}")
            try:
                read = os.read(screen, 1 << 16)
            except OSError:  # nobody is left to write
                break
            if not read:
                break
            shown += read
        return shown

    def test_what_is_no_run(self):
        (FOLDER / "no-run").mkdir()
        self.assert_all_refused(
            {
                ("cm-info", "no-run", "--watch"): r"no-run: holds no run, which --watch needs; name the folder that",
                ("cm-info", "nowhere", "--watch"): r"nowhere: no such file or folder",
                ("cm-info", finished(), "--watch", "--json"): r"--json excludes --watch",
            }
        )
        self.assertEqual(run("cm-info", finished(), "--watch").out.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
