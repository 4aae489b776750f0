"""cm-search's promises: what it finds can be checked with the other executables, and it goes on where it stopped."""

import json
import re
import signal
import unittest

import numpy
from PIL import Image
from support import (
    DIGITS,
    FOLDER,
    SECONDS,
    ExecutableTest,
    contents,
    has_text,
    load_tensors,
    metadata_of,
    must_run,
    save_tensors,
    student,
    teacher,
)

GRID = 18  # levels of the tiny model's own grid
METRICS = {"frechet": min, "precision": max}


def searching(out, *arguments, steps=2, num=24):
    """The command (name, argument, ...): a search of the tiny model."""
    return ("cm-search", "--checkpoint", student(), "--reference", DIGITS, "--steps", str(steps), "--num", str(num),
            "--batch", "16", "--out", out, *arguments)  # fmt: skip


def evaluations(out):
    return [json.loads(line) for line in (FOLDER / out / "evaluations.jsonl").read_text().splitlines()]


def record(out):
    return json.loads((FOLDER / out / "search.json").read_text())


def sigmas_of(result):
    """What the last line says: the list as it was printed."""
    match = re.fullmatch(r"--sigmas (\S+)", result.out.splitlines()[-1])
    assert match, result.out
    return match[1]


def numbers_of(result):
    return [float(sigma) for sigma in sigmas_of(result).split(",")]


class FindingTest(ExecutableTest):
    def test_the_best_of_what_was_tried_is_found(self):
        for metric, best in METRICS.items():
            with self.subTest(metric):
                result = must_run(*searching(metric, "--metric", metric))
                tried, found = evaluations(metric), record(metric)["result"]
                self.assertEqual(found["value"], best(line["value"] for line in tried))
                self.assertEqual(numbers_of(result), found["sigmas"])
                self.assertIn((found["points"], found["value"]), [(line["points"], line["value"]) for line in tried])
                self.assertEqual([line["points"] for line in tried[:2]], [[0, 5], [0, 11]])  # thirds of 0 ... 17
                self.assertEqual(len({tuple(line["points"]) for line in tried}), len(tried))
                self.assertEqual(result.out.count(" *\n"), 1)

    def test_its_value_is_that_of_cm_sample_and_cm_evaluate(self):
        result = must_run(*searching("checked", "--seed", "3", "--class", "3,5", "--ema", "0.9", steps=3, num=40))
        found = record("checked")["result"]
        self.assertEqual(len(found["sigmas"]), 3)
        self.assertEqual(found["sigmas"][0], 80)
        must_run("cm-sample", "--checkpoint", student(), "--sigmas", sigmas_of(result), "--num", "40", "--seed", "3",
                 "--class", "3,5", "--ema", "0.9", "--batch", "16", "--out", "checked-samples")  # fmt: skip
        report = json.loads(
            must_run("cm-evaluate", "--samples", "checked-samples", "--reference", DIGITS, "--json").out
        )
        self.assertAlmostEqual(report["frechet"], found["value"], delta=1e-6 * found["value"])

    def test_the_points_of_each_step_are_searched_after_those_before(self):
        must_run(*searching("three", "--grid", "9", steps=3))
        tried, found = evaluations("three"), record("three")["result"]
        second = [line for line in tried if len(line["points"]) == 2]
        third = [line for line in tried if len(line["points"]) == 3]
        self.assertEqual(second + third, tried)
        self.assertEqual(second[0]["points"], [0, 2])  # a third of 0 ... 8
        best = min(second, key=lambda line: line["value"])
        self.assertEqual({tuple(line["points"][:2]) for line in third}, {tuple(best["points"])})
        self.assertEqual(found["points"][:2], best["points"])
        self.assertTrue(all(a < b <= 7 for a, b in zip(found["points"], found["points"][1:])))

    def test_the_folder(self):
        must_run(*searching("folder"))
        self.assertEqual(
            sorted(path.name for path in (FOLDER / "folder").iterdir()),
            ["evaluations.jsonl", "search.json", "search.png"],
        )
        settings = record("folder")["settings"]
        self.assertEqual((settings["steps"], settings["grid"], settings["metric"]), (2, GRID, "frechet"))
        self.assertEqual((settings["num"], settings["class"], settings["seed"]), (24, "all", 0))
        self.assertTrue(settings["checkpoint"]["path"].endswith("step-00000002/ema-0.05.safetensors"))
        with Image.open(FOLDER / "folder" / "search.png") as picture:
            pixels = numpy.asarray(picture)
        self.assertEqual(pixels.shape[2], 3)
        self.assertGreater(len(numpy.unique(pixels)), 20)


class ResumeTest(ExecutableTest):
    def test_a_search_that_died_in_the_middle_of_a_line(self):
        whole = must_run(*searching("whole"))
        lines = (FOLDER / "whole" / "evaluations.jsonl").read_text().splitlines(keepends=True)
        half = FOLDER / "half"
        half.mkdir()
        (half / "search.json").write_text((FOLDER / "whole" / "search.json").read_text())
        # A kept value is believed, not computed again: this one is the best there could be.
        kept = json.loads(lines[0]) | {"value": 0.125}
        (half / "evaluations.jsonl").write_text(json.dumps(kept) + "\n" + lines[1] + lines[2][:30])
        resumed = must_run(*searching("half", "--resume"))
        after = evaluations("half")
        self.assertEqual([line["value"] for line in after[:2]], [0.125, json.loads(lines[1])["value"]])
        self.assertEqual(numbers_of(resumed), kept["sigmas"])
        again = must_run(*searching("whole", "--resume"))
        self.assertEqual(again.out, whole.out)
        self.assertEqual((FOLDER / "whole" / "evaluations.jsonl").read_text(), "".join(lines))

    def test_an_interrupted_search_goes_on(self):
        process = self.begin(*searching("stopped", num=1000))
        self.wait_until(lambda: has_text(FOLDER / "stopped" / "evaluations.jsonl"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 0, err)
        self.assertRegex(out, r"\Astopped with \d+ evaluations kept; go on .* --resume\n\Z")
        kept = evaluations("stopped")
        self.assertIsNone(record("stopped")["result"])
        result = must_run(*searching("stopped", "--resume", num=1000))
        self.assertEqual(evaluations("stopped")[: len(kept)], kept)
        self.assertEqual(numbers_of(result), record("stopped")["result"]["sigmas"])


class RefusalTest(ExecutableTest):
    def test_what_cannot_be_searched(self):
        numpy.savez(FOLDER / "wide.npz", numpy.zeros((9, 16, 16, 1), numpy.uint8))
        out = "never-searched"
        labels = r"class_accuracy needs a classifier, but the features are pixels"
        self.assert_all_refused(
            {
                searching(out, steps=1): r"--steps 1: there is nothing to search",
                searching(out, steps=18): r"--steps 18: needs a grid of at least 19 levels, .* this one has 18",
                searching(out, "--grid", "1"): r"--grid must be an integer in \[2, 1048576\], got '1'",
                searching(out, "--metric", "recal"): r"got 'recal' \(did you mean recall\?\)",
                searching(out, "--metric", "fid"): r"metric 'fid' is defined by Inception features",
                searching(out, "--metric", "class_accuracy"): labels,
                searching(out, "--class", "10"): r"--class must be 'all' or classes in 0 … 9",
                searching(out, num=0): r"--num must be an integer in \[1, 10000000\], got '0'",
                searching(out, num=1): r"1 image\(s\), but the Fréchet distance needs at least 2",
                searching(out, "--resume"): r"never-searched holds no search; start one without --resume",
                searching(out, "--resum"): r"unknown option --resum \(did you mean --resume\?\)",
                searching(teacher()): r"is not empty and holds no search",
                self.of("--checkpoint", teacher()): r"is a diffusion model, .* distill it",
                self.of("--reference", "wide.npz"): r"images of 1×8×8, but the reference wide\.npz has 1×16×16",
                self.of("--reference", "nowhere.npz"): r"nowhere\.npz: no such file or folder",
            }
        )
        self.assertFalse((FOLDER / out).exists())

    def test_weights_that_are_no_numbers(self):
        weights = student() / "checkpoints" / "latest" / "model.safetensors"
        tensors = {name: tensor * numpy.nan for name, tensor in load_tensors(weights).items()}
        broken = save_tensors(FOLDER / "broken.safetensors", tensors, metadata_of(weights))
        self.assert_all_refused({self.of("--checkpoint", broken, out="broken"): r"broken\.safetensors: makes images that are NaN"})

    def of(self, option, value, out="never-searched"):
        """The search with another value of an option."""
        command = list(searching(out))
        command[command.index(option) + 1] = value
        return tuple(command)

    def test_an_earlier_search_is_kept_unless_forced(self):
        must_run(*searching("earlier"))
        before, values = contents(FOLDER / "earlier"), evaluations("earlier")
        self.assert_all_refused(
            {
                searching("earlier"): r"earlier: holds a search already; --resume continues it, --force starts over",
                searching("earlier", "--resume", "--seed", "1"): r"other settings: seed was 0, not 1; repeat them",
                searching("earlier", "--resume", "--ema", "0.9", num=25): (
                    r"checkpoint was .*ema-0\.05\.safetensors, not .*ema-0\.9\.safetensors; num was 24, not 25;"
                ),
            }
        )
        self.assertEqual(contents(FOLDER / "earlier"), before)
        must_run(*searching("earlier", "--force", "--seed", "1"))
        self.assertEqual(record("earlier")["settings"]["seed"], 1)
        self.assertNotEqual(evaluations("earlier")[0]["value"], values[0]["value"])


if __name__ == "__main__":
    unittest.main()
