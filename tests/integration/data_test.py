"""cm-data's promises: the images that a configuration trains on, in files that the other programs take."""

import io
import json
import shutil
import unittest
import zipfile

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

    def test_files_of_every_format_and_depth_in_a_folder_and_in_an_archive(self):
        folder = FOLDER / "pets"
        for name in ("cats/more", "dogs/.cache"):
            (folder / name).mkdir(parents=True)
        picture = numpy.zeros((8, 8, 3), numpy.uint8)
        picture[:4] = 200  # light above dark
        image = Image.fromarray(picture)
        for name in ("a.png", "b.bmp", "c.tiff", "d.ppm"):
            image.save(folder / "cats" / name)
        image.save(folder / "cats" / "e.webp", lossless=True)
        numpy.save(folder / "cats" / "f.npy", picture.transpose(2, 0, 1))
        numpy.save(folder / "cats" / "more" / "g.npy", picture[:, :, 0])
        held = Image.Exif()
        held[0x0112] = 6  # stored lying, as its EXIF says
        image.rotate(90).save(folder / "dogs" / "h.jpg", exif=held, quality=100)
        image.save(folder / "dogs" / "i.jfif", "JPEG", quality=100)
        with (folder / "dogs" / "i.jfif").open("ab") as clip:
            clip.write(bytes.fromhex("66 74 79 70 ff da 2e 2e"))
        for name in (".cache/x.png", "._i.jfif", "Thumbs.db", "names.txt"):
            (folder / "dogs" / name).write_text("no image")
        shutil.make_archive(folder, "zip", folder)  # deflated

        for path in (folder, FOLDER / "pets.zip"):
            command = ("cm-data", "--config", tiny_config(), "--out", path.name + "-out", f"data.path={path}")
            self.assertRegex(
                must_run(*command, "data.kind=folder", "data.image_size=8").err,
                rf"{path.name}: 9 image\(s\); left out: 3 hidden \(dogs/.*, …\), "
                r"1 without an image's suffix \(dogs/names\.txt\)\n",
            )
            arrays = load_npz(FOLDER / (path.name + "-out") / "samples.npz")
            self.assertEqual(arrays["arr_1"].tolist(), [0] * 7 + [1] * 2)
            self.assertEqual(arrays["arr_0"][:7].tolist(), [picture.tolist()] * 7)
            self.assertLess(abs(arrays["arr_0"].astype(int) - picture).max(), 4)
        done = must_run("cm-evaluate", "--samples", folder, "--reference", FOLDER / "pets.zip", "--features", "pixels",
                        "--metrics", "frechet", "--json")  # fmt: skip
        self.assertLess(abs(json.loads(done.out)["frechet"]), 1e-3)

    def test_a_dataset_of_edm(self):
        images = numpy.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=numpy.uint8)
        labels = [3, 0, 2, 2, 1]
        with zipfile.ZipFile(FOLDER / "edm.zip", "w", zipfile.ZIP_STORED) as archive:
            names = [f"{i // 3:05}/img{i:08}.png" for i in range(5)]
            for name, image in zip(names, images):
                png = io.BytesIO()
                Image.fromarray(image).save(png, "png", compress_level=0)
                archive.writestr(name, png.getvalue())
            archive.writestr("dataset.json", json.dumps({"labels": list(zip(names, labels))}))
        arrays = export("edm", f"data.path={FOLDER / 'edm.zip'}", "data.kind=folder", "data.image_size=8")
        numpy.testing.assert_array_equal(arrays["arr_0"], images)
        numpy.testing.assert_array_equal(arrays["arr_1"], labels)

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

    def test_any_data_becomes_a_zip_of_edm_that_is_trained_on(self):
        for name, data, size in (("digits", (), 8), ("photographs", (*PATCHES, "data.image_size=24", "data.patches.count=30"), 24)):
            with self.subTest(name):
                archive = FOLDER / "zips" / f"{name}.zip"
                told = must_run("cm-data", "--config", tiny_config(), "--to-zip", archive, "--num", "30", *map(str, data)).out
                self.assertRegex(told, rf"^30 of \d+ images of .*{name}\.zip\n$")
                before = export(f"{name}-before", "--num", "30", *data)
                zipped = ("data.kind=folder", f"data.path={archive}", f"data.image_size={size}",
                          f"data.channels={before['arr_0'].shape[3]}")  # fmt: skip
                after = export(f"{name}-after", *zipped)
                for key in ("arr_0", "arr_1"):
                    numpy.testing.assert_array_equal(after[key], before[key])
                with zipfile.ZipFile(archive) as content:
                    self.assertEqual(content.namelist()[0], "00000/img00000000.png")
                    labels = json.loads(content.read("dataset.json"))["labels"]
                self.assertEqual(labels[29], ["00000/img00000029.png", int(before["arr_1"][29])])
                train("edm", f"on-{name}", *zipped, "model.attention_resolutions=[]", "train.steps=1")
        plain = FOLDER / "zips" / "plain.zip"
        must_run("cm-data", "--config", tiny_config(), "--to-zip", plain, "data.labels=false", "--num", "2")
        with zipfile.ZipFile(plain) as content:
            self.assertEqual(json.loads(content.read("dataset.json")), {"labels": None})

    def test_what_is_refused(self):
        command = ("cm-data", "--config", tiny_config(), "--out", "never-made")
        export("kept", "--num", "3")
        (FOLDER / "there.zip").touch()
        self.assert_all_refused(
            {
                (*command, "--num", "1798"): r"--num must be in \[1, 1797\], the images of the data, got 1798",
                (*command, "--num", "0"): r"--num must be in \[1, 1797\]",
                (*command, "data.path=nowhere"): r"nowhere: not found; data\.path must be",
                (*command, "data.pth=nowhere"): r"unknown key 'data\.pth' \(did you mean data\.path\?\)",
                (*command[:3], "--out", "kept"): r"kept/samples\.npz: exists already; --force writes over it",
                ("cm-data", "--config", "nowhere.yaml", "--out", "never-made"): r"nowhere\.yaml: no such file",
                command[:3]: r"give one of --out, a folder, and --to-zip, an archive to train on",
                (*command, "--to-zip", "a.zip"): r"give one of --out, a folder, and --to-zip",
                (*command[:3], "--to-zip", "a.tar"): r"--to-zip a\.tar: must be the name of a \.zip file",
                (*command[:3], "--to-zip", "there.zip"): r"there\.zip: exists already; --force writes over it",
                (*command[:3], "--to-zip", "a.zip", "--png"): r"--png requires --out",
            }
        )
        self.assertFalse((FOLDER / "never-made").exists())
        self.assertEqual(len(export("kept", "--num", "2", "--force")["arr_0"]), 2)


if __name__ == "__main__":
    unittest.main()
