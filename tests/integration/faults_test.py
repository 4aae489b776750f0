"""A disk that is full or cannot be written to, a folder that is removed, a clock that jumps: one line each, nothing lost that was
there, and the run goes on later."""

import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

from support import (
    BIN,
    DIGITS,
    FOLDER,
    SECONDS,
    SOURCE,
    ExecutableTest,
    contents,
    environment,
    must_run,
    run,
    student,
    train,
    training,
)

sys.path.insert(0, str(SOURCE / "scripts" / "soak"))

try:
    import traces
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

# Too many to finish.
LONG = ("train.steps=1000000", "train.checkpoint_every=5", "train.keep_checkpoints=2")

SAMPLING = ("cm-sample", "--checkpoint", student(), "--steps", "1", "--num", "4", "--float", "--png")
SEARCHING = ("cm-search", "--checkpoint", student(), "--reference", DIGITS, "--steps", "2", "--num", "24")
EVALUATING = ("cm-evaluate", "--checkpoint", student(), "--reference", DIGITS, "--num", "24", "--force")


def on_full_disk(command, files, size=0):
    variables = {"CM_DISK_FILES": files, "CM_DISK_BYTES": str(size), "LD_PRELOAD": os.environ["CM_FAULTS"]}
    return run(*command, **variables)


def mounted(mount, folder, command, then=""):
    """Runs the command where `mount` was done to the folder, for it alone."""
    script = f'{mount} "$0" && "$@" {then}'
    name, *arguments = map(str, command)
    arguments = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(folder), str(BIN / name), *arguments]
    return subprocess.run(arguments, cwd=FOLDER, env=environment(), capture_output=True, text=True, check=False)


def losses(folder):
    lines = (FOLDER / folder / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


@unittest.skipUnless(os.environ.get("CM_FAULTS"), "built without the library that plays a failing system")
class FullDiskTest(ExecutableTest):
    def test_the_last_good_checkpoint_survives(self):
        whole = train("edm", "whole", "train.steps=3")
        first = whole / "checkpoints" / "step-00000001"
        checkpoint_bytes = sum(path.stat().st_size for path in first.glob("*.safetensors"))
        result = on_full_disk(training("edm", "full", "train.steps=3"), ".safetensors", checkpoint_bytes * 3 // 2)
        self.assert_refused(
            result,
            r"could not write full/checkpoints/\S+: No space left on device; free some space and run again; "
            r"the last good checkpoint is full/checkpoints/step-00000001 \(go on with --resume\)$",
            code=1,
        )
        folder = FOLDER / "full" / "checkpoints"
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["latest", "step-00000001"])
        self.assertEqual(os.readlink(folder / "latest"), "step-00000001")
        self.assertEqual(contents(folder / "step-00000001"), contents(first))
        self.assertIn("step        1\n", must_run("cm-info", "full").out)
        must_run("cm-sample", "--checkpoint", "full", "--steps", "1", "--num", "1", "--out", "full-samples")

        must_run("cm-train-edm", "--resume", "--out", "full")
        self.assertEqual(contents(folder), contents(whole / "checkpoints"))

    def test_logs_that_no_longer_fit_end_the_run_and_it_goes_on(self):
        train("edm", "logged", "train.steps=3")
        for number, files in enumerate(("metrics.jsonl", "tfevents", "state.json")):
            with self.subTest(files):
                name = f"full-{number}"
                result = on_full_disk(training("edm", name, "train.steps=3"), files, 100)
                self.assert_refused(result, r"could not write [^:]*: No space left on device; free some space and run again; the last good checkpoint is ", code=1)
                must_run("cm-train-edm", "--resume", "--out", name)
                self.assertEqual(losses(name), losses("logged"))

    def test_files_that_do_not_fit_are_absent(self):
        for command, files in (
            ((*SAMPLING, "--out", "no-1"), ".safetensors"),
            ((*SAMPLING, "--out", "no-2"), "grid.png"),
            ((*SAMPLING, "--out", "no-3"), "samples.json"),
            ((*SEARCHING, "--out", "no-4"), "search.json"),
            ((*SEARCHING, "--out", "no-5"), "evaluations.jsonl"),
            ((*SEARCHING, "--out", "no-6"), "search.png"),
            (training("edm", "no-7"), "config.yaml"),
        ):
            with self.subTest(files=files):
                result = on_full_disk(command, files)
                self.assertEqual(result.code, 1)
                last = result.err.splitlines()[-1]
                self.assertRegex(last, rf"^{command[0]}: could not write .*No space left on device; free some space and run again")
                found = [path for path in FOLDER.glob("no-*/*") if files in path.name and path.stat().st_size > 0]
                self.assertEqual(found, [])

    def test_archives_that_do_not_fit_are_absent(self):
        """On a real small disk: what writes them does so by calls that nothing can be put before."""
        disk = FOLDER / "small-disk"
        disk.mkdir()
        for command, size in (
            (("cm-sample", "--checkpoint", student(), "--steps", "1", "--num", "2000", "--out", disk / "samples"), "64k"),
            ((*EVALUATING, "--save-stats", disk / "stats.npz"), "16k"),
        ):
            with self.subTest(command[0]):
                result = mounted(f"mount -t tmpfs -o size={size} none", disk, command, then='; code=$?; find "$0" -type f; exit $code')
                if "mount" in result.stderr:
                    self.skipTest("this system lets nobody mount")
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertRegex(result.stderr.splitlines()[-1], rf"^{command[0]}: could not write .*npz.*No space left on device")
                self.assertNotIn(".npz", result.stdout)

    def test_what_cannot_be_printed_is_a_failure(self):
        with open("/dev/full", "w") as full:
            command = [str(BIN / "cm-info"), str(student())]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^cm-info: could not write to standard output.*\n$")


class GoneTest(ExecutableTest):
    """The run's folder, or one in it, goes away under a run that would take weeks."""

    def lose(self, name, change):
        """What a run says that has made a checkpoint when `change` is done to its folder."""
        process = self.begin(*training("edm", name, *LONG))
        self.wait_until((FOLDER / name / "checkpoints" / "latest").exists)
        change(FOLDER / name)
        return process

    def test_a_run_whose_folder_goes_away_ends(self):
        changes = {
            "removed": lambda folder: folder.rename(FOLDER / "away") and shutil.rmtree(FOLDER / "away"),
            "moved": lambda folder: folder.rename(FOLDER / "elsewhere"),
            "without-metrics": lambda folder: (folder / "metrics.jsonl").unlink(),
        }
        for name, change in changes.items():
            with self.subTest(name):
                process = self.lose(name, change)
                _, said = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 1)
                self.assertRegex(said, r"\Acm-train-edm: could not [^\n]*the last good checkpoint is [^\n]*\n\Z")
        self.assertFalse((FOLDER / "removed").exists())

    def test_checkpoints_that_were_removed_come_anew(self):
        process = self.lose("emptied", lambda folder: (folder / "checkpoints").rename(FOLDER / "old-checkpoints"))
        latest = FOLDER / "emptied" / "checkpoints" / "latest"
        self.wait_until(lambda: latest.exists() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)
        if process.returncode == 0:
            must_run("cm-info", "emptied")
        else:  # it was removed in the middle of a checkpoint
            self.assertRegex(said, r"\Acm-train-edm: could not [^\n]*the last good checkpoint is [^\n]*\n\Z")


class ReadOnlyTest(ExecutableTest):
    """By a mount, for permissions do not stop an administrator."""

    def test_what_cannot_be_written_is_said(self):
        folder = train("edm", "fixed")
        before = contents(folder)
        read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro'
        if mounted(read_only, folder, ("cm-info", folder)).returncode != 0:
            self.skipTest("this system lets nobody mount")
        for command in (
            ("cm-train-edm", "--resume", "--out", folder, "train.steps=3"),
            (*training("edm", folder), "--force"),
            (*training("edm", folder / "inner"),),
            (*SAMPLING, "--out", folder / "samples"),
            (*SEARCHING, "--out", folder / "search"),
            (*EVALUATING, "--save-stats", folder / "stats.npz"),
        ):
            with self.subTest(command[0]):
                result = mounted(read_only, folder, command)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertRegex(result.stderr.splitlines()[-1], rf"^{command[0]}: could not .*Read-only file system")
        self.assertEqual(contents(folder), before)


@unittest.skipUnless(os.environ.get("CM_FAULTS"), "built without the library that plays a failing system")
class ClockTest(ExecutableTest):
    def test_a_clock_that_jumps_changes_nothing(self):
        train("edm", "steady", "train.steps=6")
        for step in (-3600, 3600):
            with self.subTest(step):
                name = f"jumping{step}"
                jumping, back = ({"LD_PRELOAD": os.environ["CM_FAULTS"], "CM_CLOCK_STEP": str(s)} for s in (step, -step))
                must_run(*training("edm", name, "train.steps=3"), **jumping)
                must_run("cm-train-edm", "--resume", "--out", name, "train.steps=6", **back)
                self.assertEqual(losses(name), losses("steady"))
                lines = (FOLDER / name / "metrics.jsonl").read_text().splitlines()
                self.assertTrue(all(0 < json.loads(line)["images_per_second"] < 1e6 for line in lines))
                # Its events are read in the order of the files' names, which have the clock in them.
                self.assertEqual(traces.steps_in_tensorboard(FOLDER / name), [1, 2, 3, 4, 5, 6])
                self.assertEqual(contents(FOLDER / name / "checkpoints"), contents(FOLDER / "steady" / "checkpoints"))
                must_run(*SEARCHING, "--out", f"search{step}", **jumping)


if __name__ == "__main__":
    unittest.main()
