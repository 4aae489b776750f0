"""Averages whose width is chosen after training: snapshots, cm-average, and what takes the weight files that it makes."""

import functools
import json
import unittest

from support import FOLDER, ExecutableTest, contents, load_tensors, metadata_of, must_run, run, teacher, train, training

OUT = "never-made.safetensors"


@functools.cache
def with_snapshots():
    return train("edm", "with-snapshots", "train.steps=8", "ema.power_stds=[0.05,0.1]", "ema.snapshot_every=1")


def averages(folder):
    return {path.name: path.read_bytes() for path in (folder / "averages").iterdir()}


class AverageTest(ExecutableTest):
    def test_any_width_becomes_a_weight_file_that_is_sampled_and_evaluated(self):
        out = FOLDER / "made" / "average.safetensors"
        told = must_run("cm-average", "--run", with_snapshots(), "--std", "0.075", "--out", out).out
        self.assertRegex(told, r"^the average of σ_rel 0\.075 after step 8, of 16 snapshots to 1\.\d %: .*average\.safetensors\n$")
        average = json.loads(metadata_of(out)["average"])
        self.assertEqual((average["power_std"], average["updates"], average["start_share"]), (0.075, 8, 0))
        snapshot = load_tensors(with_snapshots() / "averages" / "step-00000008-std-0.1.safetensors")
        self.assertEqual({name: tensor.shape for name, tensor in load_tensors(out).items()}, {name: t.shape for name, t in snapshot.items()})
        must_run("cm-sample", "--checkpoint", out, "--num", "2", "--steps", "2", "--out", FOLDER / "sampled")
        self.assertIn(str(out), must_run("cm-info", out).out)
        self.assertEqual(run("cm-average", "--run", with_snapshots(), "--std", "0.1", "--out", out).code, 2)
        must_run("cm-average", "--run", with_snapshots(), "--std", "0.1", "--at", "4", "--out", out, "--force")
        self.assertEqual(json.loads(metadata_of(out)["average"])["updates"], 4)

    def test_cm_info_shows_the_snapshots(self):
        told = json.loads(must_run("cm-info", with_snapshots(), "--json").out)["run"]
        self.assertEqual(told["snapshots"], [{"step": step, "std": std} for step in range(1, 9) for std in (0.05, 0.1)])
        self.assertEqual(told["disk"]["averages"], sum(map(len, averages(with_snapshots()).values())))
        shown = must_run("cm-info", with_snapshots()).out
        self.assertRegex(shown, r"(?m)^snapshots   16 of σ_rel \{0\.05, 0\.1\} at steps 1 to 8$")
        self.assertRegex(shown, r"(?m)^disk        checkpoints .+iB, snapshots .+iB, samples .+B, logs ")

    def test_a_run_that_was_stopped_has_the_snapshots_of_one_that_was_not(self):
        options = ("ema.power_stds=[0.05,0.1]", "ema.snapshot_every=1")
        stopped = train("edm", "stopped", "train.steps=3", *options)
        (stopped / "averages" / "step-00000005-std-0.05.safetensors").write_bytes(b"of a lost future")
        must_run(*training("edm", "stopped", "--resume", "train.steps=4", *options))
        self.assertEqual(sorted(averages(stopped)), sorted(name for name in averages(with_snapshots()) if name < "step-00000005"))
        must_run(*training("edm", "stopped", "--resume", "train.steps=8", *options))
        self.assertEqual(averages(stopped), averages(with_snapshots()))
        must_run(*training("edm", "stopped", "--force", "train.steps=1"))
        self.assertFalse((stopped / "averages").exists())

    def test_what_cannot_be_made_is_refused(self):
        before = contents(with_snapshots())

        def made(*arguments, folder=None, out=OUT):
            return ("cm-average", "--run", folder or with_snapshots(), *arguments, "--out", out)

        self.assert_all_refused(
            {
                made("--std", "0.3"): r"σ_rel of an average must lie between 0 and 0\.289, got 0\.3",
                made("--std", "0"): r"σ_rel of an average must lie between 0 and 0\.289, got 0$",
                made("--std", "0.01"): r"only to 5\d % \(at most 10 %\); choose a σ_rel nearer to theirs",
                made("--std", "0.1", "--at", "9"): r"no average after step 9 .* at steps 1 to 8",
                made("--std", "0.1", folder=teacher()): r"keeps no snapshots of averages; train with ema\.power_stds",
                made("--std", "0.1", out="average.pt"): r"--out average\.pt: must be the name of a \.safetensors file",
                made(): r"--std is required",
            }
        )
        self.assertFalse((FOLDER / OUT).exists())
        self.assertEqual(contents(with_snapshots()), before)


if __name__ == "__main__":
    unittest.main()
