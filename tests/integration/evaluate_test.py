"""cm-evaluate: checkpoints that are sampled and measured in one go, statistics in the place of a reference's images, KID,
the extrapolated distance; the commands of docs/published.md."""

import json
import re
import shlex
import unittest

import numpy
from support import FOLDER, SOURCE, ExecutableTest, contents, must_run, run, run_all, student, teacher, train

RANDOM = numpy.random.default_rng(0)


def write_images(name, count, brightest):
    numpy.savez(FOLDER / name, arr_0=RANDOM.integers(0, brightest, (count, 4, 4, 1), numpy.uint8))
    return name


def evaluate(*arguments):
    return json.loads(must_run("cm-evaluate", *arguments, "--json").out)


class EvaluateTest(ExecutableTest):
    @classmethod
    def setUpClass(cls):
        cls.samples = write_images("made.npz", 120, 200)
        cls.reference = write_images("real.npz", 150, 255)

    def test_statistics_give_what_their_images_give(self):
        said = must_run("cm-evaluate", "--samples", self.reference, "--save-stats", "stats.npz", "--force")
        self.assertEqual(said.out, "")
        statistics = numpy.load(FOLDER / "stats.npz")
        pixels = numpy.load(FOLDER / self.reference)["arr_0"].reshape(150, 16) / 127.5 - 1
        numpy.testing.assert_allclose(statistics["mu"], pixels.mean(0), atol=1e-6)
        numpy.testing.assert_allclose(statistics["sigma"], numpy.cov(pixels, rowvar=False), atol=1e-6)

        by_statistics = evaluate("--samples", self.samples, "--reference", "stats.npz")
        by_images = evaluate("--samples", self.samples, "--reference", self.reference)
        self.assertAlmostEqual(by_statistics["frechet"], by_images["frechet"], delta=1e-9)
        self.assertEqual(by_statistics["reference"], {"path": "stats.npz", "count": None, "statistics": True})

    def test_the_releases_file_has_both(self):
        must_run("cm-evaluate", "--samples", self.reference, "--save-stats", "stats.npz", "--force")
        both = dict(numpy.load(FOLDER / "stats.npz")) | dict(numpy.load(FOLDER / self.reference))
        both["mu"] = both["mu"] + 1  # to tell them apart
        numpy.savez(FOLDER / "both.npz", **both)
        report = evaluate("--samples", self.samples, "--reference", "both.npz", "--metrics", "frechet,precision")
        by_images = evaluate("--samples", self.samples, "--reference", self.reference, "--metrics", "frechet,precision")
        self.assertGreater(report["frechet"], by_images["frechet"] + 1)
        self.assertEqual(report["precision"], by_images["precision"])

    def test_kid_and_the_extrapolated_distance(self):
        asked = ("--samples", self.samples, "--reference", self.reference, "--metrics", "frechet,kid", "--extrapolate")
        report = evaluate(*asked)
        self.assertGreater(report["kid"], 0)
        self.assertGreaterEqual(report["kid_deviation"], 0)
        self.assertLess(report["frechet_infinity"], report["frechet"])
        self.assertEqual(report["warnings"], [])
        self.assertEqual(report, evaluate(*asked))
        self.assertRegex(must_run("cm-evaluate", *asked).out, r"(?m)^frechet_infinity +[\d.]+$")

    def test_too_few_images_are_said_to_be(self):
        few = write_images("few.npz", 10, 255)
        result = run("cm-evaluate", "--samples", few, "--reference", self.reference, "--json")
        self.assertEqual(result.code, 0, result.err)
        self.assertRegex(result.err, r"10 samples for features 16 wide")
        self.assertEqual(len(json.loads(result.out)["warnings"]), 1)

    def test_what_is_refused(self):
        must_run("cm-evaluate", "--samples", self.reference, "--save-stats", "stats.npz", "--force")
        nameless = {k: v for k, v in numpy.load(FOLDER / "stats.npz").items() if k != "features"}
        numpy.savez(FOLDER / "nameless.npz", **nameless)
        numpy.savez(FOLDER / "half.npz", mu=nameless["mu"])
        made = ("cm-evaluate", "--samples", self.samples)
        self.assert_all_refused(
            {
                made: r"--reference is required: what",
                (*made, "--reference", "half.npz"): r"half\.npz: has mu but no sigma",
                (*made, "--reference", "nameless.npz"): r"taken for Inception's, but the features are pixels",
                (*made, "--reference", "stats.npz", "--metrics", "kid"): r"stats\.npz: holds statistics and no images",
                (*made, "--save-stats", "stats.npz"): r"stats\.npz: exists already; --force writes over it",
                (*made, "--reference", self.reference, "--metrics", "kid", "--extrapolate"): r"add frechet to the",
            }
        )


class CheckpointTest(ExecutableTest):
    """The tiny models make digits, 1 × 8 × 8."""

    @classmethod
    def setUpClass(cls):
        numpy.savez(FOLDER / "digits.npz", arr_0=RANDOM.integers(0, 255, (90, 8, 8, 1), numpy.uint8))
        cls.options = ("--reference", "digits.npz", "--metrics", "frechet,recall", "--num", 70)

    def test_it_measures_what_cm_sample_writes(self):
        steps = ("--sigmas", "80,0.66", "--seed", 5)
        must_run("cm-sample", "--checkpoint", student(), "--num", 70, "--out", "written", *steps)
        written = evaluate("--samples", "written", *self.options[:4])
        before = contents(FOLDER)
        for batch in (64, 7):
            direct = evaluate("--checkpoint", student(), *self.options, *steps, "--batch", batch)
            self.assertEqual(direct["recall"], written["recall"])
            self.assertAlmostEqual(direct["frechet"], written["frechet"], delta=1e-3 * written["frechet"])
        self.assertEqual(contents(FOLDER), before)
        made = direct["samples"]
        self.assertEqual((made["count"], made["sampler"], made["evaluations"], made["step"]), (70, "multistep", 2, 2))
        self.assertEqual(made["run"], str(student()))
        self.assertEqual(direct["seed"], 5)

    def test_checkpoints_and_averages_give_a_table_and_a_plot(self):
        checkpoints = sorted((student() / "checkpoints").glob("step-*"))
        asked = ("--checkpoint", *checkpoints, "--ema", "0,0.05,0.9", *self.options, "--plot", "plots")
        reports = evaluate(*asked)["evaluations"]
        self.assertEqual([(r["samples"]["step"], r["samples"]["ema"]) for r in reports],
                         [(step, rate) for step in (1, 2) for rate in (None, 0.05, 0.9)])  # fmt: skip
        for name in ("frechet.png", "recall.png"):
            self.assertTrue((FOLDER / "plots" / name).read_bytes().startswith(b"\x89PNG"))
        alone = evaluate("--checkpoint", checkpoints[1], "--ema", "0.05", *self.options)
        self.assertEqual(alone, reports[4])

        said = must_run("cm-evaluate", *asked)
        lines = said.out.splitlines()
        self.assertRegex(lines[0], r"^checkpoint +step +ema +frechet +recall$")
        self.assertEqual([line.split()[1:3] for line in lines[1:7]],
                         [[str(step), rate] for step in (1, 2) for rate in ("0", "0.05", "0.9")])  # fmt: skip
        self.assertIn("6 of 6", said.err)

    def test_a_teacher_is_measured_too_and_statistics_are_kept(self):
        must_run("cm-evaluate", "--checkpoint", teacher(), "--num", 40, "--steps", 3, "--save-stats", "made.npz")
        self.assertEqual(numpy.load(FOLDER / "made.npz")["mu"].shape, (64,))
        for sampler, evaluations in {"heun": 5, "rk4": 9}.items():
            walk = ("--steps", 3, "--sampler", sampler)
            said = must_run("cm-evaluate", "--checkpoint", teacher(), *self.options, *walk, "--dry-run")
            by = rf"70 images, .*, by {sampler}, {evaluations} evaluation\(s\) each\n.*nothing was computed\n"
            self.assertRegex(said.out, by)

    def test_what_is_refused(self):
        checkpoint = ("cm-evaluate", "--checkpoint", student())
        weights = student() / "checkpoints" / "step-00000002" / "model.safetensors"
        (FOLDER / "alone.safetensors").write_bytes(weights.read_bytes())
        self.assert_all_refused(
            {
                ("cm-evaluate", *self.options[:2]): r"one of --samples, .*and --checkpoint",
                (*checkpoint, "--samples", "digits.npz"): r"excludes --(samples|checkpoint)",
                ("cm-evaluate", "--samples", "digits.npz", "--steps", 2): r"--steps requires --checkpoint",
                (*checkpoint, *self.options, "--sampler", "heun"): r"heun sampler walks a diffusion model's ODE",
                (*checkpoint, *self.options, "--ema", "0.7"): r"no evaluation average of rate 0\.7; it has",
                (*checkpoint, *self.options, "--class", 10): r"--class must be .* in 0 … 9",
                (*checkpoint, *self.options[:4], "--num", 0): r"--num must be an integer in \[1, 10000000\]",
                (*checkpoint, student(), "--save-stats", "s.npz"): r"one set of images, but these are 2",
                ("cm-evaluate", "--checkpoint", "alone.safetensors", *self.options, "--plot", "p"): r"lies in no check",
                (*checkpoint, *self.options, "--plot", "digits.npz"): r"--plot digits\.npz: is a file",
                (*checkpoint, "--reference", write_images("four.npz", 9, 255)): r"1×8×8, but the reference four\.npz has",
            }
        )

    def test_a_model_that_makes_nan_is_refused(self):
        broken = train("ct", "broken", "train.steps=1")
        weights = broken / "checkpoints" / "step-00000001" / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-4:] = numpy.float32("nan").tobytes()
        weights.write_bytes(data)
        result = run("cm-evaluate", "--checkpoint", broken, "--ema", 0, *self.options)
        self.assert_refused(result, r"model\.safetensors: .*(NaN|nan)")


class PublishedCommandsTest(ExecutableTest):
    """Every command of docs/published.md as a dry run, with tiny models and a tiny reference in the places of theirs."""

    def test_they_are_accepted(self):
        numpy.savez(FOLDER / "tiny.npz", arr_0=RANDOM.integers(0, 255, (90, 8, 8, 1), numpy.uint8))
        train("pd", "pd")
        commands = re.findall(r"^cm-evaluate (.*)$", (SOURCE / "docs" / "published.md").read_text(), re.MULTILINE)
        self.assertGreater(len(commands), 20)
        tried = {tuple(self.with_tiny_files(shlex.split(command))) for command in commands}
        for result in run_all([("cm-evaluate", *command, "--dry-run") for command in sorted(tried)]):
            self.assertEqual(result.code, 0, result.err)

    def with_tiny_files(self, words):
        options = dict(zip(words[::2], words[1::2]))
        checkpoint = options["--checkpoint"]
        self.assert_known(checkpoint)
        name = checkpoint.split("/")[2] if checkpoint.startswith("runs/") else checkpoint.split("/")[1]
        options["--checkpoint"] = "pd" if name == "pd" else str(teacher() if name.startswith(("edm", "sit")) else student())
        self.assertEqual(options["--features"], "inception")
        officials = "VIRTUAL_" in options["--reference"]  # whose statistics name the rule of resizing
        self.assertEqual(options.pop("--resize", None), None if officials else "tensorflow")
        metrics = options["--metrics"].split(",")
        self.assertLessEqual(set(metrics), {"fid", "sfid", "is", "precision", "recall"})
        options |= {"--features": "pixels", "--metrics": "frechet", "--reference": "tiny.npz"}
        options.pop("--ema", None)
        options.pop("--ema-std", None)
        options.pop("--guidance", None)
        return [word for pair in options.items() for word in pair]

    def assert_known(self, checkpoint):
        """It is a run of a config that ships, or a file that convert_checkpoint.py makes of a published one."""
        folder, *rest = checkpoint.split("/")
        if folder == "runs":
            self.assertTrue((SOURCE / "configs" / rest[0] / f"{rest[1]}.yaml").exists(), checkpoint)
        else:
            self.assertRegex(checkpoint, r"^weights/(edm|cd|ct)_(imagenet64|bedroom256|cat256)(_lpips|_ema)?\.safetensors$")


if __name__ == "__main__":
    unittest.main()
