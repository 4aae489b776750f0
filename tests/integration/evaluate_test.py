"""cm-evaluate: statistics in the place of a reference's images, KID, and the extrapolated distance."""

import json
import unittest

import numpy
from support import FOLDER, ExecutableTest, must_run, run

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


if __name__ == "__main__":
    unittest.main()
