"""SIGINT and SIGTERM wherever work is long: it ends promptly, with one line and nothing half written."""

import os
import signal
import subprocess
import sys
import time
import unittest

from support import BIN, DIGITS, FOLDER, SOURCE, ExecutableTest, environment, has_text, student, training

PROMPTLY = 10  # seconds

# What would take hours, by the name of the program.
LONG = {
    "cm-sample": ("--checkpoint", student(), "--steps", 2, "--num", 1_000_000, "--out", "stopped-samples"),
    "cm-evaluate": ("--checkpoint", student(), "--reference", DIGITS, "--num", 1_000_000),
    "cm-edit": ("interpolate", "--checkpoint", student(), "--seeds", "1,2", "--num", 1_000_000, "--out", "stopped-edits"),
    "cm-bench": ("--job", "train_edm", "--config", SOURCE / "bench/cases/tiny8.json", "--steps", 100_000, "--max-seconds", 100_000),
    "cm-truths": ("--out", "stopped-truths"),
}


class SignalsTest(ExecutableTest):
    def stop(self, command, number, after=1.5):
        """(exit code, stdout, stderr) of what gets the signal after so many seconds."""
        process = subprocess.Popen(
            [str(word) for word in command], cwd=FOLDER, env=environment(CM_BIN=str(BIN)), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True
        )  # fmt: skip
        self.addCleanup(process.kill)
        time.sleep(after)
        self.assertIsNone(process.poll(), command)
        process.send_signal(number)
        out, err = process.communicate(timeout=PROMPTLY)
        return process.returncode, out, err

    def test_each_program_ends_with_one_line(self):
        for name, arguments in LONG.items():
            for number in (signal.SIGTERM, signal.SIGINT):
                with self.subTest(f"{name} {number.name}"):
                    code, _, err = self.stop((BIN / name, *arguments), number)
                    self.assertEqual(code, -number, err)
                    said = [line for line in err.splitlines() if line.startswith("cm-")]
                    self.assertEqual(said, [f"{name}: ended by {number.name}; no half-written file was left"])
                    self.assertNotIn("Traceback", err)
        self.assertEqual([str(path) for path in FOLDER.glob("stopped-*/*")], [])

    def test_while_a_run_is_opened_it_ends_too(self):
        """Before there is anything to save: training's own rule, to save and stop, comes with its first step."""
        command = training("edm", "stopped-early", "train.steps=100000000")
        command = (BIN / command[0], *command[1:])
        code, _, err = self.stop(command, signal.SIGTERM, after=0.1)
        self.assertIn(code, (0, -signal.SIGTERM), err)
        self.assertNotIn("Traceback", err)

    def test_the_second_signal_does_not_wait_for_the_checkpoint(self):
        process = self.begin(*training("edm", "impatient", "train.steps=100000000", "train.batch_size=4096",
                                       "train.micro_batch_size=4096", "train.checkpoint_every=100000"))  # fmt: skip
        self.wait_until(lambda: has_text(FOLDER / "impatient" / "metrics.jsonl"))
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PROMPTLY)
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertRegex(err, r"(?m)^cm-train-edm: ended by SIGINT; no half-written file was left$")

    def test_the_study_stops_what_it_runs_and_goes_on_later(self):
        study = (sys.executable, "-B", SOURCE / "scripts/reproduce", "--out", FOLDER / "study", "--quick", "--jobs", 1)
        process = subprocess.Popen(
            [*map(str, study)], cwd=SOURCE, env=environment(CM_BIN=str(BIN)), stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, preexec_fn=os.setpgrp
        )  # fmt: skip
        self.addCleanup(process.kill)
        self.wait_until(lambda: list((FOLDER / "study").glob("tasks/*.started")))
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(err.splitlines()[-1], "stopped; the same command goes on from here")


if __name__ == "__main__":
    unittest.main()
