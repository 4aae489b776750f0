"""Averages whose width is chosen after training: snapshots, cm-average, and what takes the weight files that it makes."""

import functools
import json
import unittest

from support import DIGITS, FOLDER, ExecutableTest, contents, load_tensors, metadata_of, must_run, run, teacher, train, training

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

    def test_a_width_is_made_on_the_fly_wherever_weights_are_chosen(self):
        out = FOLDER / "by-hand.safetensors"
        must_run("cm-average", "--run", with_snapshots(), "--std", "0.075", "--out", out)
        for command in (
            ("cm-sample", "--num", "2", "--steps", "2", "--float"),
            ("cm-edit", "interpolate", "--seeds", "1,2", "--num", "2", "--sampler", "euler", "--float"),
        ):
            with self.subTest(command[0]):
                made, by_hand = FOLDER / f"{command[0]}-made", FOLDER / f"{command[0]}-by-hand"
                told = must_run(*command, "--checkpoint", with_snapshots(), "--ema-std", "0.075", "--out", made).out
                self.assertRegex(told, r"of \S*averages \(the average of σ_rel 0\.075 after step 8, made of 16 snapshots to 1\.\d %\)")
                must_run(*command, "--checkpoint", out, "--out", by_hand)
                name = {"cm-sample": "samples", "cm-edit": "results"}[command[0]]
                self.assertEqual((made / f"{name}.safetensors").read_bytes(), (by_hand / f"{name}.safetensors").read_bytes())
                record = json.loads((made / {"cm-sample": "samples.json", "cm-edit": "edit.json"}[command[0]]).read_text())
                self.assertEqual((record["step"], record["ema_std"]), (8, 0.075))

    def test_a_sweep_has_a_row_a_width_and_its_chart(self):
        evaluating = ("cm-evaluate", "--checkpoint", with_snapshots(), "--reference", DIGITS, "--num", "24", "--steps", "2")
        command = (*evaluating, "--ema-std", "0.05,0.075,0.1")
        result = must_run(*command, "--plot", FOLDER / "plots")
        self.assertEqual([line.split()[2:4] for line in result.out.splitlines()[1:4]], [["std", std] for std in ("0.05", "0.075", "0.1")])
        self.assertIn("frechet over sigma_rel: ", result.err)
        self.assertTrue((FOLDER / "plots" / "frechet.png").exists())
        reports = json.loads(must_run(*command, "--json").out)["evaluations"]
        self.assertEqual([(r["samples"]["step"], r["samples"]["ema"], r["samples"]["ema_std"]) for r in reports],
                         [(8, None, std) for std in (0.05, 0.075, 0.1)])  # fmt: skip
        # That of a checkpoint is the one after its own step.
        earlier = (*evaluating[:2], with_snapshots() / "checkpoints" / "step-00000004", *evaluating[3:], "--ema-std", "0.075", "--json")
        self.assertEqual(json.loads(must_run(*earlier).out)["samples"]["step"], 4)

    def test_a_teacher_can_be_of_any_width(self):
        folder = train("cd", "of-a-width", f"teacher.checkpoint={with_snapshots()}", "teacher.ema_std=0.075", "train.steps=1")
        self.assertIn("ema_std: 0.075", (folder / "config.yaml").read_text())

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

        def sampled(*arguments, folder=None):
            return ("cm-sample", "--checkpoint", folder or with_snapshots(), *arguments, "--num", "2", "--out", "never-sampled")

        self.assert_all_refused(
            {
                made("--std", "0.3"): r"σ_rel of an average must lie between 0 and 0\.289, got 0\.3",
                made("--std", "0"): r"σ_rel of an average must lie between 0 and 0\.289, got 0$",
                made("--std", "0.01"): r"only to 5\d % \(at most 10 %\); choose a σ_rel nearer to theirs",
                made("--std", "0.1", "--at", "9"): r"no average after step 9 .* at steps 1 to 8",
                made("--std", "0.1", folder=teacher()): r"keeps no snapshots of averages; train with ema\.power_stds",
                made("--std", "0.1", out="average.pt"): r"--out average\.pt: must be the name of a \.safetensors file",
                made(): r"--std is required",
                sampled("--ema-std", "0.08", "--ema", "0.9"): r"--ema excludes --ema-std",
                sampled("--ema-std", "0.01"): r"only to 5\d % \(at most 10 %\); choose a σ_rel nearer to theirs",
                sampled("--ema-std", "0.5"): r"--ema-std must be a number in \(0, 0\.28867513459481287\), got '0\.5'",
                sampled("--ema-std", "0.08", folder=teacher()): r"keeps no snapshots of averages; train with ema\.power_stds",
            }
        )
        self.assertFalse((FOLDER / OUT).exists())
        self.assertEqual(contents(with_snapshots()), before)


if __name__ == "__main__":
    unittest.main()
