"""Label dropout and classifier-free guidance, from training to samples."""

import functools
import json
import shutil
import unittest

import numpy
from support import (
    DIGITS,
    FOLDER,
    ExecutableTest,
    contents,
    load_tensors,
    metadata_of,
    must_run,
    run,
    student,
    teacher,
    train,
    training,
)

DROPOUT = "train.label_dropout=0.5"
FLOAT_TOLERANCE = 1e-4


@functools.cache
def guidable():
    """A diffusion run that saw half of its examples without their class."""
    return train("edm", "guidable", DROPOUT)


@functools.cache
def guided_student():
    return train("cd", "guided-cd", f"teacher.checkpoint={guidable()}", "teacher.guidance=3")


def model_of(path):
    return json.loads(metadata_of(path)["model"])


def weights_of(folder, name="model"):
    return folder / "checkpoints" / "latest" / f"{name}.safetensors"


def sample(out, checkpoint, *arguments):
    must_run("cm-sample", "--checkpoint", checkpoint, "--out", out, "--num", "4", "--float", *arguments)
    return load_tensors(FOLDER / out / "samples.safetensors")["x"], json.loads((FOLDER / out / "samples.json").read_text())


class GuidanceTest(ExecutableTest):
    def test_a_run_with_label_dropout_says_so_and_goes_on_bit_for_bit(self):
        whole = train("edm", "dropped-whole", DROPOUT, "train.steps=4", "train.checkpoint_every=2")
        self.assertEqual(model_of(weights_of(whole))["label_dropout"], 0.5)
        self.assertEqual(model_of(weights_of(teacher()))["label_dropout"], 0)
        died = FOLDER / "dropped-died"
        shutil.copytree(whole, died, symlinks=True)
        checkpoints = died / "checkpoints"
        shutil.rmtree(checkpoints / "step-00000004")
        (checkpoints / "latest").unlink()
        (checkpoints / "latest").symlink_to("step-00000002")
        must_run("cm-train-edm", "--resume", "--out", died)
        self.assertEqual(contents(checkpoints / "step-00000004"), contents(whole / "checkpoints" / "step-00000004"))
        without = train("edm", "not-dropped", "train.steps=4")
        difference = load_tensors(weights_of(without))["label_emb.weight"] - load_tensors(weights_of(whole))["label_emb.weight"]
        self.assertGreater(numpy.abs(difference).max(), 1e-3)

    def test_samples_are_guided(self):
        walk = ("--steps", "3", "--class", "3")
        x, said = sample("unguided", guidable(), *walk)
        self.assertEqual((said["guidance"], said["evaluations"]), (1, 5))
        same, said = sample("guided-1", guidable(), *walk, "--guidance", "1")
        numpy.testing.assert_array_equal(same, x)
        guided, said = sample("guided-3", guidable(), *walk, "--guidance", "3")
        self.assertEqual((said["guidance"], said["evaluations"]), (3, 10))
        self.assertGreater(numpy.abs(guided - x).max(), 1e-3)
        batched, _ = sample("guided-batched", guidable(), *walk, "--guidance", "3", "--batch", "3")
        numpy.testing.assert_allclose(batched, guided, rtol=0, atol=FLOAT_TOLERANCE)
        # Without the class, it does not matter which one.
        null, said = sample("guided-0", guidable(), *walk, "--guidance", "0")
        self.assertEqual(said["evaluations"], 5)
        other, _ = sample("guided-0-other", guidable(), "--steps", "3", "--class", "7", "--guidance", "0")
        numpy.testing.assert_array_equal(null, other)

    def test_a_weaker_model_guides_in_an_interval(self):
        walk = ("--steps", "3", "--class", "3")
        guide = teacher() / "checkpoints" / "latest"
        own, _ = sample("own", guidable(), *walk)
        weak, _ = sample("weak", guide, *walk)
        guided, said = sample("autoguided-0", guidable(), *walk, "--guidance", "0", "--guide", guide)
        numpy.testing.assert_array_equal(guided, weak)
        guided, said = sample("autoguided", guidable(), *walk, "--guidance", "3", "--guide", guide)
        self.assertEqual((said["guidance"], said["evaluations"]), (3, 10))
        self.assertRegex(said["guide"], r"\.safetensors$")
        self.assertGreater(numpy.abs(guided - own).max(), 1e-3)
        interval = ("--guidance-sigma-min", "0.5", "--guidance-sigma-max", "40")
        within, said = sample("within", guidable(), *walk, "--guidance", "3", "--guide", guide, *interval)
        self.assertEqual((said["guidance_sigma_min"], said["guidance_sigma_max"], said["evaluations"]), (0.5, 40, 7))
        self.assertGreater(numpy.abs(within - guided).max(), 1e-3)
        measured = must_run("cm-evaluate", "--checkpoint", guidable(), "--num", "20", *walk[:2], "--guidance", "3", "--guide", guide,
                            "--reference", DIGITS, "--json").out  # fmt: skip
        self.assertEqual(json.loads(measured)["samples"]["guide"], said["guide"])

    def test_a_teacher_with_a_guide_is_distilled(self):
        guided = (f"teacher.checkpoint={guidable()}", "teacher.guidance=2", f"teacher.guide={teacher()}")
        folder = train("cd", "autoguided-cd", *guided, "teacher.guidance_sigma_max=40")
        self.assertEqual(model_of(weights_of(folder))["guidance"], 2)
        whole = train("pd", "autoguided-pd", *guided, "pd.start_steps=2", "train.steps=4", "train.checkpoint_every=1",
                      "train.keep_checkpoints=0")  # fmt: skip
        died = train("pd", "autoguided-pd-died", *guided, "pd.start_steps=2", "train.steps=4", "train.checkpoint_every=1",
                     "train.keep_checkpoints=0")  # fmt: skip
        for step in (2, 3, 4):
            shutil.rmtree(died / "checkpoints" / f"step-0000000{step}")
        must_run("cm-train-pd", "--resume", "--out", died)  # in the stage whose teacher is guided
        self.assertEqual(contents(died / "checkpoints" / "step-00000004"), contents(whole / "checkpoints" / "step-00000004"))

    def test_edits_and_searches_are_guided(self):
        seeds = ("--seeds", "1,2", "--class", "3", "--steps", "2")
        edit = ("cm-edit", "interpolate", "--checkpoint", guidable(), *seeds, "--float", "--out", "edited")
        must_run(*edit, "--guidance", "2")
        said = json.loads((FOLDER / "edited" / "edit.json").read_text())
        self.assertEqual((said["guidance"], said["evaluations"]), (2, 6))
        end, _ = sample("edited-end", guidable(), "--seed", "2", *seeds[2:], "--guidance", "2")
        edited = load_tensors(FOLDER / "edited" / "results.safetensors")["x"]
        numpy.testing.assert_allclose(edited[-1], end[0], rtol=0, atol=FLOAT_TOLERANCE)
        consistency = train("ict", "guidable-ict", DROPOUT)
        search = ("cm-search", "--checkpoint", consistency, "--steps", "2", "--reference", DIGITS, "--num", "8",
                  "--grid", "4", "--out", "searched")  # fmt: skip
        must_run(*search, "--guidance", "2")
        self.assertEqual(json.loads((FOLDER / "searched" / "search.json").read_text())["settings"]["guidance"], 2)
        self.assert_refused(run(*search, "--resume"), r"other settings: .*guidance")
        must_run(*search, "--guidance", "2", "--guide", student(), "--force")
        self.assert_refused(run(*search, "--guidance", "2", "--resume"), r"other settings: guide was .*, not none")

    def test_a_guided_teacher_is_distilled(self):
        for name in ("model", "target", "ema-0.05"):
            with self.subTest(name):
                model = model_of(weights_of(guided_student(), name))
                self.assertEqual((model["guidance"], model["label_dropout"]), (3, 0))
        unguided = train("cd", "unguided-cd", f"teacher.checkpoint={guidable()}")
        self.assertIsNone(model_of(weights_of(unguided))["guidance"])
        self.assertNotEqual(load_tensors(weights_of(unguided))["out.2.weight"].tolist(),
                            load_tensors(weights_of(guided_student()))["out.2.weight"].tolist())  # fmt: skip
        _, said = sample("guided-student", guided_student(), "--class", "3")
        self.assertEqual((said["guidance"], said["evaluations"]), (1, 1))
        for objective in ("continuous_cd", "scd"):
            folder = train(objective, f"guided-{objective}", f"teacher.checkpoint={guidable()}", "teacher.guidance=3")
            self.assertEqual(model_of(weights_of(folder))["guidance"], 3)

    def test_progressive_distillation_learns_guidance_once(self):
        source = (f"teacher.checkpoint={guidable()}", "teacher.guidance=3")
        whole = train("pd", "guided-pd", *source, "train.steps=4", "train.checkpoint_every=2")
        first = whole / "checkpoints" / "step-00000001"
        self.assertIsNone(model_of(first / "teacher.safetensors")["guidance"])
        self.assertEqual(model_of(first / "model.safetensors")["guidance"], 3)
        self.assertEqual(model_of(weights_of(whole, "teacher"))["guidance"], 3)
        # One that goes on from a stage whose teacher has learned it.
        died = train("pd", "guided-pd-died", *source, "train.steps=2")
        must_run("cm-train-pd", "--resume", "--out", died, "train.steps=4")
        self.assertEqual(contents(died / "checkpoints" / "step-00000004"), contents(whole / "checkpoints" / "step-00000004"))
        halved = train("pd", "guided-pd-halved", f"teacher.checkpoint={first}", "pd.start_steps=2", "train.steps=1")
        self.assertEqual(model_of(weights_of(halved))["guidance"], 3)

    def test_what_cannot_be_guided(self):
        def sampling(checkpoint, guidance):
            return ("cm-sample", "--checkpoint", checkpoint, "--out", "never-made", "--guidance", guidance)

        def distilling(*arguments):
            return training("cd", "never-made", *arguments)

        unlabelled = train("edm", "unlabelled", "data.labels=false", "train.steps=1")
        unlabelled_student = train("ict", "unlabelled-ict", "data.labels=false", "train.steps=1")
        without = r"was trained without label dropout, so it doesn't know how to do without a class"
        first_stage = train("pd", "guided-4", f"teacher.checkpoint={guidable()}", "teacher.guidance=2", "train.steps=1")
        self.assert_all_refused(
            {
                sampling(teacher(), "2"): rf"--guidance 2: the model {without}",
                sampling(unlabelled, "2"): r"--guidance 2: the model has no classes",
                sampling(guided_student(), "2"): r"--guidance 2: guidance of weight 3 was distilled into the model",
                sampling(guidable(), "-1"): r"--guidance must be a number at least 0, got '-1'",
                sampling(guidable(), "nan"): r"--guidance must be a number at least 0, got 'nan'",
                sampling(guidable(), "much"): r"--guidance",
                (*sampling(guidable(), "2"), "--guide", FOLDER / "nowhere"): r"nowhere: no such file or folder",
                (*sampling(guidable(), "2"), "--guide", unlabelled_student): r"--guide .*: is a consistency model and would guide a diff",
                (*sampling(unlabelled, "2"), "--guide", guidable()): r"--guide .*: is a model of other images \(1 × 8 × 8, 10 classes\)",
                (*sampling(guidable(), "1"), "--guide", teacher()): r"--guidance 1 guides nothing, so --guide would have no effect",
                (*sampling(guidable(), "2"), "--guidance-sigma-min", "3", "--guidance-sigma-max", "2"): r"holds for sigma above 3 and up to 2",
                distilling("teacher.guidance=2", f"teacher.guide={unlabelled_student}"): r"teacher\.guide .*: is a consistency model",
                distilling(f"teacher.guide={teacher()}"): r"teacher\.guide has no effect without teacher\.guidance",
                distilling(DROPOUT, f"teacher.checkpoint={guidable()}", "teacher.guidance=2", f"teacher.guide={teacher()}"):
                    r"teacher\.guide .*: was trained without label dropout and does not know the null class",
                distilling("teacher.guidance=2"): rf"teacher\.guidance 2 of {teacher()}: the model {without}",
                distilling(DROPOUT): rf"train\.label_dropout 0\.5: teacher\.checkpoint {teacher()} was trained without",
                training("pd", "never-made", f"teacher.checkpoint={first_stage}", "pd.start_steps=2", "teacher.guidance=3"):
                    r"guidance of weight 2 was distilled into the model already",
                training("edm", "never-made", "teacher.guidance=2"):
                    r"teacher\.guidance is not used by objective edm",
                training("edm", "never-made", DROPOUT, "data.labels=false"):
                    r"train\.label_dropout 0\.5: .*digits\.csv\.gz gives no classes",
                training("edm", "never-made", "train.label_dropout=1"): r"train\.label_dropout must be in \[0, 1\), got 1",
            }
        )  # fmt: skip
        self.assertFalse((FOLDER / "never-made").exists())


if __name__ == "__main__":
    unittest.main()
