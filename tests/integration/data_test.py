"""cm-data's promises: the images that a configuration trains on, in files that the other programs take."""

import json
import unittest

import numpy
from PIL import Image
from support import (
    DIGITS,
    FOLDER,
    PATCHES,
    PHOTOGRAPHS,
    ExecutableTest,
    load_npz,
    load_tensors,
    must_run,
    tiny_config,
    train,
)


def export(out, *arguments):
    must_run("cm-data", "--config", tiny_config(), "--out", out, *map(str, arguments))
    return load_npz(FOLDER / out / "samples.npz")


def is_in(patch, picture):
    """Whether [H, W, 3] occurs in a larger picture."""
    height, width, _ = patch.shape
    for top, left in numpy.argwhere((picture == patch[0, 0]).all(-1)):
        if numpy.array_equal(picture[top : top + height, left : left + width], patch):
            return True
    return False


class DataTest(ExecutableTest):
    def test_the_digits_as_they_are_stored(self):
        arrays = export("digits", "--num", "12", "--png")
        rows = numpy.loadtxt(DIGITS, delimiter=",", dtype=int, max_rows=12)
        expected = numpy.floor(rows[:, :64] * 255 / 16 + 0.5).reshape(12, 8, 8, 1)
        numpy.testing.assert_array_equal(arrays["arr_0"], expected)
        numpy.testing.assert_array_equal(arrays["arr_1"], rows[:, 64])
        for i in range(12):
            with Image.open(FOLDER / "digits" / f"sample-{i:06}.png") as png:
                numpy.testing.assert_array_equal(numpy.asarray(png), expected[i, :, :, 0])
        self.assertEqual(export("all-digits")["arr_0"].shape, (1797, 8, 8, 1))

    def test_patches_are_parts_of_the_photographs(self):
        size = "data.image_size=24"
        arrays = export("patches", *PATCHES, size, "data.patches.reduce=1", "--num", "20")
        self.assertEqual((arrays["arr_0"].shape, arrays["arr_0"].dtype), ((20, 24, 24, 3), numpy.uint8))
        self.assertEqual(set(arrays["arr_1"].tolist()), {0, 1})
        photographs = [numpy.asarray(Image.open(PHOTOGRAPHS / name)) for name in ("china.jpg", "flower.jpg")]
        for patch, label in zip(arrays["arr_0"], arrays["arr_1"]):
            self.assertTrue(is_in(patch, photographs[label]))
        others = export("others", *PATCHES, size, "data.patches.seed=1", "--num", "20")
        self.assertFalse(numpy.array_equal(others["arr_0"], arrays["arr_0"]))
        self.assertNotIn("arr_1", export("plain", *PATCHES, "data.labels=false", "--num", "2"))

    def test_a_resumed_run_on_patches_goes_on_with_the_same_patches(self):
        data = (*PATCHES, "data.patches.count=7")  # epochs end within batches
        whole = train("edm", "whole", *data, "train.steps=4")
        parts = train("edm", "parts", *data, "train.steps=2")
        must_run("cm-train-edm", "--resume", "--out", "parts", "train.steps=4")
        weights = [load_tensors(run / "checkpoints" / "latest" / "model.safetensors") for run in (whole, parts)]
        self.assertEqual(weights[0].keys(), weights[1].keys())
        for name, tensor in weights[0].items():
            numpy.testing.assert_array_equal(weights[1][name], tensor)

    def test_its_folder_is_a_reference(self):
        export("reference", *PATCHES, "--num", "40")
        export("fresh", *PATCHES, "data.patches.seed=1", "--num", "40")

        def distance(samples):
            done = must_run("cm-evaluate", "--samples", samples, "--reference", "reference", "--features", "pixels",
                            "--metrics", "frechet", "--json")  # fmt: skip
            return json.loads(done.out)["frechet"]

        self.assertLess(abs(distance("reference")), 1e-3)
        self.assertGreater(distance("fresh"), 1)

    def test_what_is_refused(self):
        command = ("cm-data", "--config", tiny_config(), "--out", "never-made")
        export("kept", "--num", "3")
        self.assert_all_refused(
            {
                (*command, "--num", "1798"): r"--num must be in \[1, 1797\], the images of the data, got 1798",
                (*command, "--num", "0"): r"--num must be in \[1, 1797\]",
                (*command, "data.path=nowhere"): r"nowhere: not found; data\.path must be",
                (*command, "data.pth=nowhere"): r"unknown key 'data\.pth' \(did you mean data\.path\?\)",
                (*command[:3], "--out", "kept"): r"kept/samples\.npz: exists already; --force writes over it",
                ("cm-data", "--config", "nowhere.yaml", "--out", "never-made"): r"nowhere\.yaml: no such file",
            }
        )
        self.assertFalse((FOLDER / "never-made").exists())
        self.assertEqual(len(export("kept", "--num", "2", "--force")["arr_0"]), 2)


if __name__ == "__main__":
    unittest.main()
