"""Processes that are killed at chosen points: what they leave is whole, and what goes on is what was never killed.

scripts/soak.sh does the same at a thousand random moments.
"""

import os
import signal
import sys
import unittest

from latents_test import encoding
from support import BIN, FOLDER, SOURCE, ExecutableTest, contents, must_run, run, student, train, training

sys.path.insert(0, str(SOURCE / "scripts" / "soak"))

try:
    import cases
    import traces
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

RUN = ("train.steps=4", "train.keep_checkpoints=1", "train.sample_every=2", "train.sample_count=2",
       "ema.power_stds=[0.05,0.1]", "ema.snapshot_every=2")  # fmt: skip

# (call, part of its path, which of them): just before it the process dies, or in the middle of a write.
POINTS = (
    ("rename", "config.yaml", 1),
    ("write", "tfevents", 1),
    ("write", "tfevents", 9),
    ("write", "metrics.jsonl", 2),
    ("rename", "step-00000002.png", 1),
    ("mkdir", "step-00000001", 1),
    ("write", "target.safetensors", 3),
    ("write", "optimizer.safetensors", 9),
    ("write", "state.json", 2),
    ("fsync", "checkpoints", 30),
    ("write", "std-0.1.safetensors", 2),
    ("rename", "step-00000002-std-0.1", 1),
    ("fsync", "averages", 4),
    ("rename", "checkpoints/step-00000002", 1),
    ("symlink", "latest", 1),
    ("rename", "latest", 2),
    ("rename", "-gone", 1),
    ("unlinkat", "step-00000001", 1),
    ("unlinkat", "step-00000002", 3),
)


def killed(command, call, path, number):
    variables = {"CM_KILL_CALL": call, "CM_KILL_PATH": path, "CM_KILL_NUMBER": str(number)}
    return run(*command, LD_PRELOAD=os.environ["CM_FAULTS"], **variables)


@unittest.skipUnless(os.environ.get("CM_FAULTS"), "built without the library that plays a failing system")
class KillsTest(ExecutableTest):
    def test_a_training_killed_anywhere_leaves_whole_checkpoints_and_goes_on(self):
        twin = train("cd", "twin", *RUN)
        with_all = train("cd", "with-all", *RUN, "train.keep_checkpoints=0")
        for number, point in enumerate(POINTS):
            with self.subTest(point):
                command = training("cd", f"killed-{number}", *RUN, "--resume", "auto")
                folder = FOLDER / f"killed-{number}"
                self.assertEqual(killed(command, *point).code, -signal.SIGKILL)
                self.assertEqual(traces.run_problems(folder, twin, with_all), [])
                must_run(*command)
                self.assertEqual(traces.run_problems(folder, twin, with_all), [])
                self.assertEqual(traces.run_differences(folder, twin), [])

    def test_starting_over_never_leaves_half_of_the_old_run(self):
        twin = train("cd", "new-twin", *RUN, "train.seed=1")
        for number, point in enumerate((("unlinkat", "gone", 3), ("rename", "samples", 1), ("rename", "config.yaml", 1))):
            with self.subTest(point):
                folder = train("cd", f"over-{number}", *RUN)
                command = training("cd", f"over-{number}", *RUN, "train.seed=1", "--force")
                self.assertEqual(killed(command, *point).code, -signal.SIGKILL)
                for checkpoint in folder.glob("checkpoints/step-*"):
                    self.assertTrue((checkpoint / "state.json").exists(), checkpoint)
                must_run(*command)
                self.assertEqual(traces.run_differences(folder, twin), [])

    def test_a_search_killed_anywhere_goes_on(self):
        def searching(out, *arguments):
            return ("cm-search", "--checkpoint", student(), "--reference", SOURCE / "data/digits/digits.csv.gz",
                    "--steps", "2", "--num", "24", "--out", out, *arguments)  # fmt: skip

        must_run(*searching("searched"))
        for number, (resumes, *point) in enumerate(
            ((False, "rename", "search.json", 1), (True, "write", "evaluations.jsonl", 2), (True, "rename", "search.png", 1))
        ):
            with self.subTest(point):
                name = f"killed-search-{number}"
                self.assertEqual(killed(searching(name), *point).code, -signal.SIGKILL)
                must_run(*searching(name, *(["--resume"] if resumes else [])))
                self.assertEqual(traces.leftovers(FOLDER / name), [])
                for file in ("search.json", "search.png"):
                    self.assertEqual((FOLDER / name / file).read_bytes(), (FOLDER / "searched" / file).read_bytes())
                self.assertEqual(*(traces.logged(FOLDER / one, "evaluations.jsonl") for one in (name, "searched")))

    def test_files_are_whole_or_absent(self):
        def sampling(out):
            return ("cm-sample", "--checkpoint", student(), "--steps", "2", "--num", "6", "--float", "--png", "--out", out)

        must_run(*sampling("sampled"))
        whole = contents(FOLDER / "sampled")
        for number, point in enumerate((("write", "samples.safetensors", 3), ("write", "sample-000003.png", 1), ("rename", "grid.png", 1))):
            with self.subTest(point):
                name = f"killed-samples-{number}"
                self.assertEqual(killed(sampling(name), *point).code, -signal.SIGKILL)
                for file, digest in contents(FOLDER / name).items():
                    self.assertTrue(file.startswith(".") or digest == whole[file], file)
                must_run(*sampling(name))


# (rank, call, part of its path, which of them): where one of two processes dies.
RANK_POINTS = (
    (0, "writev", "socket", 1),  # while they meet
    (1, "writev", "socket", 3),
    (1, "writev", "socket", 40),  # in a step
    (0, "write", "metrics.jsonl", 2),
    (0, "rename", "step-00000002.png", 1),
    (0, "write", "state.json", 2),
)


@unittest.skipUnless(os.environ.get("CM_FAULTS"), "built without the library that plays a failing system")
class RankKillsTest(ExecutableTest):
    def start(self, command, rank=None, call="", path="", number=0):
        """Two ranks, one of which dies at its point."""
        name, *arguments = command
        fault = {"CM_KILL_CALL": call, "CM_KILL_PATH": path, "CM_KILL_NUMBER": str(number), "LD_PRELOAD": os.environ["CM_FAULTS"]}
        return [
            cases.popen([str(BIN / name), *map(str, arguments)], FOLDER, **place, **(fault if one == rank else {}))
            for one, place in enumerate(cases.places(2))
        ]

    def assert_all_end_well(self, processes):
        for process in processes:
            _, said = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, said)

    def assert_the_other_ends(self, processes, rank):
        survivor = processes[1 - rank]
        _, said = survivor.communicate(timeout=60)
        processes[rank].communicate(timeout=60)
        self.assertEqual(processes[rank].returncode, -signal.SIGKILL)
        self.assertEqual(survivor.returncode, 1, said)
        lines = [line for line in said.splitlines() if line.startswith("cm-")]
        self.assertEqual(len(lines), 1, said)
        self.assertRegex(lines[0], rf"^cm-\S+: rank {1 - rank} (of 2 lost another rank, which ended or|did not meet the other 1)")

    def test_wherever_a_rank_dies_the_other_ends_and_the_run_goes_on(self):
        settings = (*RUN, "train.batch_size=8")
        command = training("cd", "ranks-twin", *settings, "--resume", "auto")
        self.assert_all_end_well(self.start(command))
        for number, (rank, *point) in enumerate(RANK_POINTS):
            with self.subTest(rank=rank, point=point):
                command = training("cd", f"ranks-{number}", *settings, "--resume", "auto")
                self.assert_the_other_ends(self.start(command, rank, *point), rank)
                self.assert_all_end_well(self.start(command))
                self.assertEqual(traces.run_differences(FOLDER / f"ranks-{number}", FOLDER / "ranks-twin"), [])

    def test_a_rank_that_dies_while_sampling_or_measuring(self):
        sampled = ("--checkpoint", student(), "--num", "40", "--batch", "5")
        for command in (
            ("cm-sample", *sampled, "--steps", "2", "--out", "ranks-samples"),
            ("cm-evaluate", *sampled, "--reference", SOURCE / "data/digits/digits.csv.gz", "--json"),
        ):
            with self.subTest(command[0]):
                self.assert_the_other_ends(self.start(command, 1, "writev", "socket", 12), 1)
        self.assertFalse((FOLDER / "ranks-samples").exists())

    def test_a_rank_that_dies_while_encoding(self):
        must_run(*encoding("whole.zip"))
        command = encoding("ranks.zip")
        self.assert_the_other_ends(self.start(command, 0, "rename", "latents-000001", 1), 0)  # its second file
        self.assertFalse((FOLDER / "ranks.zip").exists())
        self.assertTrue((FOLDER / "ranks.zip.unfinished" / "latents-000000.safetensors").exists())
        self.assert_all_end_well(self.start(command))
        self.assertEqual((FOLDER / "ranks.zip").read_bytes(), (FOLDER / "whole.zip").read_bytes())


if __name__ == "__main__":
    unittest.main()
