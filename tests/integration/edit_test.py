"""cm-edit's promises: what a task keeps of its input, what it writes, what results depend on, what is refused."""

import json
import unittest

import numpy
from PIL import Image
from support import (
    DIGITS,
    FOLDER,
    PATCHES,
    ExecutableTest,
    load_npz,
    load_tensors,
    metadata_of,
    must_run,
    save_tensors,
    student,
    teacher,
    tiny_config,
    train,
)

TOLERANCE = 1e-5  # batches of other sizes: the same sums in another order
ROUNDING = 1e-6  # fp32 numbers of about 1
LUMA = numpy.array([0.2989, 0.5870, 0.1140]) / numpy.linalg.norm([0.2989, 0.5870, 0.1140])
OUT = "never-made"


def edit(out, task, *arguments, checkpoint=None):
    """arr_0 and the tensors of results.safetensors (x, known or noisy)."""
    must_run("cm-edit", task, "--checkpoint", checkpoint or student(), "--out", out, "--float", *arguments)
    return load_npz(FOLDER / out / "results.npz")["arr_0"], load_tensors(FOLDER / out / "results.safetensors")


def record(out):
    return json.loads((FOLDER / out / "edit.json").read_text())


def write_picture(name, pixels):
    Image.fromarray(pixels.squeeze()).save(FOLDER / name)
    return name


def random_pixels(seed, *shape):
    return numpy.random.default_rng(seed).integers(0, 256, shape, numpy.uint8)


def colour_pixels(count, side=8):
    """Smooth gradients in random colours: what the tiny colour model is trained on."""
    corners = random_pixels(2, count, 2, 2, 3).astype(numpy.float64)
    t = numpy.linspace(0, 1, side)
    mixed = numpy.einsum("nijc,iy,jx->nyxc", corners, numpy.stack([1 - t, t]), numpy.stack([1 - t, t]))
    return mixed.round().astype(numpy.uint8)


def colour_model():
    if not (FOLDER / "colour").exists():
        numpy.savez(FOLDER / "colours.npz", colour_pixels(16))
        train("ict", "colour", "data.kind=npz", f"data.path={FOLDER / 'colours.npz'}", "train.steps=1")
    return FOLDER / "colour"


def louder(name, run):
    """The run's trained weights with fifty times the answer."""
    weights = run / "checkpoints" / "latest" / "model.safetensors"
    tensors = load_tensors(weights)
    tensors["out.2.weight"] = 50 * tensors["out.2.weight"]
    return save_tensors(FOLDER / f"{name}.safetensors", tensors, metadata_of(weights))


def patch_means(x, side):
    """Of [..., H, W]."""
    *rest, height, width = x.shape
    tiles = x.astype(numpy.float64).reshape(*rest, height // side, side, width // side, side)
    return tiles.mean((-3, -1))


def channels_first(pixels):
    return pixels.transpose(0, 3, 1, 2).astype(numpy.float64)


def in_range(x):
    """Where nothing is clipped."""
    return numpy.abs(x).max(1) <= 1


class EditTest(ExecutableTest):
    def assert_close(self, a, b, tolerance=TOLERANCE):
        numpy.testing.assert_allclose(a, b, rtol=0, atol=tolerance)

    def assert_differ(self, a, b):
        self.assertGreater(numpy.abs(a - b).max(), 1e-3)


class GuaranteeTest(EditTest):
    def test_inpaint_returns_the_known_pixels(self):
        pixels = random_pixels(1, 8, 8)
        picture = write_picture("random.png", pixels)
        hole = numpy.zeros((8, 8), bool)
        hole[3:7, 2:5] = True
        mask = write_picture("mask.png", numpy.where(hole, 0, 255).astype(numpy.uint8))
        by_box, tensors = edit("box", "inpaint", "--input", picture, "--box", "2,3,3,4", "--num", "3")
        by_mask, _ = edit("mask", "inpaint", "--input", picture, "--mask", mask, "--num", "3")
        numpy.testing.assert_array_equal(by_box, by_mask)
        for result in by_box[..., 0]:
            numpy.testing.assert_array_equal(result[~hole], pixels[~hole])
        self.assertTrue((by_box[0] != by_box[1]).any())
        self.assert_close(tensors["known"][0, 0], numpy.where(hole, 0, pixels / 127.5 - 1), ROUNDING)

    def test_superres_keeps_the_patch_means(self):
        numpy.savez(FOLDER / "full.npz", random_pixels(3, 4, 8, 8, 3))
        full = channels_first(load_npz(FOLDER / "full.npz")["arr_0"]) / 127.5 - 1
        small = random_pixels(4, 4, 4, 3)
        cases = {
            "full": ("full.npz", 4, patch_means(full, 4)),
            "small": (write_picture("small.png", small), 2, channels_first(small[None]) / 127.5 - 1),
        }
        for name, (source, factor, expected) in cases.items():
            with self.subTest(name):
                results, tensors = edit(
                    name, "superres", "--input", source, "--factor", factor, "--steps", "3", checkpoint=colour_model()
                )
                self.assert_close(patch_means(tensors["x"], factor), expected, ROUNDING)
                self.assert_close(patch_means(tensors["known"], factor), expected, ROUNDING)
                means = patch_means(channels_first(results), factor)
                unclipped = patch_means((numpy.abs(tensors["x"]) <= 1).astype(float), factor) == 1
                self.assertTrue(unclipped.any())
                self.assertLessEqual(numpy.abs(means - (expected + 1) * 127.5)[unclipped].max(), 1)
                said = record(name)
                self.assertEqual((said["factor"], said["small_pictures"]), (factor, int(name == "small")))

    def test_colorize_keeps_the_luma(self):
        numpy.savez(FOLDER / "gradients.npz", colour_pixels(4))
        y = channels_first(load_npz(FOLDER / "gradients.npz")["arr_0"]) / 127.5 - 1
        results, tensors = edit(
            "colorized", "colorize", "--input", "gradients.npz", "--steps", "3", checkpoint=colour_model()
        )
        luma = numpy.einsum("c,nchw->nhw", LUMA, y)
        x = tensors["x"].astype(numpy.float64)
        self.assert_close(numpy.einsum("c,nchw->nhw", LUMA, x), luma, ROUNDING)
        self.assert_close(tensors["known"], numpy.einsum("c,nhw->nchw", LUMA, luma), ROUNDING)
        self.assert_differ(x, y)
        of_results = numpy.einsum("c,nchw->nhw", LUMA, channels_first(results))
        unclipped = in_range(x)
        self.assertTrue(unclipped.any())
        self.assertLessEqual(numpy.abs(of_results - (luma + LUMA.sum()) * 127.5)[unclipped].max(), 1)

    def test_patches_of_photographs_keep_what_is_known(self):
        must_run("cm-data", "--config", tiny_config(), *PATCHES, "data.patches.seed=1", "--num", "4", "--out", "patches")
        model = train("ict", "photographs", *PATCHES, "data.labels=false", "train.steps=1")
        pixels = load_npz(FOLDER / "patches" / "samples.npz")["arr_0"]
        y = channels_first(pixels) / 127.5 - 1
        given = ("--input", "patches", "--steps", "2")

        filled, _ = edit("hole", "inpaint", *given, "--box", "8,4,16,20", checkpoint=model)
        hole = numpy.zeros((32, 32), bool)
        hole[4:24, 8:24] = True
        numpy.testing.assert_array_equal(filled[:, ~hole], pixels[:, ~hole])
        self.assertTrue((filled[:, hole] != pixels[:, hole]).any())

        enlarged, tensors = edit("enlarged", "superres", *given, "--factor", "4", checkpoint=model)
        self.assert_close(patch_means(tensors["x"], 4), patch_means(y, 4), ROUNDING)
        unclipped = patch_means((numpy.abs(tensors["x"]) <= 1).astype(float), 4) == 1
        self.assertTrue(unclipped.any())
        difference = patch_means(channels_first(enlarged), 4) - patch_means(channels_first(pixels), 4)
        self.assertLessEqual(numpy.abs(difference[unclipped]).max(), 1)

        coloured, tensors = edit("coloured", "colorize", *given, checkpoint=model)
        luma = numpy.einsum("c,nchw->nhw", LUMA, y)
        self.assert_close(numpy.einsum("c,nchw->nhw", LUMA, tensors["x"].astype(numpy.float64)), luma, ROUNDING)
        difference = numpy.einsum("c,nhwc->nhw", LUMA, coloured.astype(float) - pixels)
        self.assertTrue(in_range(tensors["x"]).any())
        self.assertLessEqual(numpy.abs(difference[in_range(tensors["x"])]).max(), 1)

    def test_with_nothing_known_inpainting_is_sampling(self):
        """So it is where the model's boundary is not at sigma.min: as much noise is added at a small time point. The
        networks are loud, so that what they answer is clamped."""
        noise = numpy.random.default_rng(5).standard_normal((2, 1, 8, 8), numpy.float32)
        draws = save_tensors(FOLDER / "draws.safetensors", {"x_T": noise * 80, "noise.0": noise})
        walk = ("--noise", draws, "--class", "4", "--num", "2")
        picture = write_picture("any.png", random_pixels(6, 8, 8))
        for name, run in {"skip": student(), "trig": train("sct", "trig", "train.steps=1")}.items():
            with self.subTest(name):
                model = louder(f"loud-{name}", run)
                sampling = ("cm-sample", "--checkpoint", model, "--float", "--out", f"plain-{name}")
                must_run(*sampling, *walk, "--sigmas", "80,0.01")
                x = load_tensors(FOLDER / f"plain-{name}" / "samples.safetensors")["x"]
                self.assertTrue((numpy.abs(x) == 1).any())
                given = ("--input", picture, *walk)
                free = ("--box", "0,0,8,8", "--sigmas", "80,0.01")
                _, inpainted = edit(f"free-{name}", "inpaint", *given, *free, checkpoint=model)
                numpy.testing.assert_array_equal(inpainted["x"], x)
                from_noise = ("--sigma", "80", "--sigmas", "0.01")
                _, stroke = edit(f"stroke-{name}", "stroke", *given, *from_noise, checkpoint=model)
                numpy.testing.assert_array_equal(stroke["x"], x)

    def test_stroke_and_denoise_start_where_they_are_told(self):
        noise = numpy.random.default_rng(7).standard_normal((1, 1, 8, 8), numpy.float32)
        draws = save_tensors(FOLDER / "start.safetensors", {"x_T": noise, "noise.0": noise})
        common = ("--noise", draws, "--class", "4")
        sampling = ("cm-sample", "--checkpoint", student(), "--num", "1", "--float", *common)
        must_run(*sampling, "--sigmas", "0.7,0.3", "--out", "two")
        must_run(*sampling, "--sigmas", "0.7", "--out", "one")
        picture = write_picture("unused.png", random_pixels(8, 8, 8))
        _, stroke = edit("stroke", "stroke", "--input", picture, "--sigma", "0.7", "--sigmas", "0.3", *common)
        _, denoised = edit("denoised", "denoise", "--input", picture, "--sigma", "0.7", "--add-noise", *common)
        self.assert_close(stroke["x"], load_tensors(FOLDER / "two" / "samples.safetensors")["x"])
        self.assert_close(denoised["x"], load_tensors(FOLDER / "one" / "samples.safetensors")["x"])
        numpy.testing.assert_array_equal(denoised["noisy"], noise)

    def test_results_have_the_classes_of_the_input_or_those_asked_for(self):
        def superres(name, *arguments):
            given = ("--input", DIGITS, "--factor", "2", "--steps", "3", "--num", "5")
            return edit(f"classes-{name}", "superres", *given, *arguments)[1]["x"]

        own = superres("own", "--batch", "2")  # the digits 0 to 4
        self.assert_close(superres("same", "--class", "0,1,2,3,4"), own)
        threes = superres("threes", "--class", "3")
        self.assertEqual(load_npz(FOLDER / "classes-threes" / "results.npz")["arr_1"].tolist(), [3] * 5)
        for digit in range(5):
            (self.assert_close if digit == 3 else self.assert_differ)(threes[digit], own[digit])

    def test_little_noise_changes_little(self):
        pixels = random_pixels(9, 8, 8)
        picture = write_picture("kept.png", pixels)
        for checkpoint in (student(), teacher()):
            for task, option in (("stroke", ()), ("denoise", ()), ("denoise", ("--add-noise",))):
                results, _ = edit(
                    "little", task, "--input", picture, "--sigma", "0.0021", *option, "--force", checkpoint=checkpoint
                )
                self.assertLessEqual(numpy.abs(results[0, :, :, 0].astype(int) - pixels).max(), 3)

    def test_the_ends_of_an_interpolation_are_the_seeds_samples(self):
        walk = ("--steps", "2", "--class", "3")
        results, tensors = edit("between", "interpolate", "--seeds", "5,8", "--num", "4", "--batch", "3", *walk)
        self.assertEqual(results.shape, (4, 8, 8, 1))
        for seed, at in ((5, 0), (8, 3)):
            sampling = ("cm-sample", "--checkpoint", student(), "--seed", seed, "--num", "1", "--float")
            must_run(*sampling, *walk, "--out", f"end-{seed}")
            end = load_tensors(FOLDER / f"end-{seed}" / "samples.safetensors")["x"]
            self.assert_close(tensors["x"][at], end[0])
        self.assert_differ(tensors["x"][1], tensors["x"][2])
        self.assertEqual(record("between")["seeds"], [5, 8])

    def test_a_diffusion_model_walks_by_the_solver_that_is_named(self):
        walk = ("--sampler", "rk4", "--steps", "3")
        edit("by-rk4", "interpolate", "--seeds", "5,8", "--num", "2", *walk, checkpoint=teacher())
        self.assertEqual((record("by-rk4")["sampler"], record("by-rk4")["evaluations"]), ("rk4", 9))
        picture = write_picture("walked.png", random_pixels(8, 8, 8))
        edit("by-dpm", "stroke", "--input", picture, "--sigma", "2", "--sampler", "dpm_solver_2", checkpoint=teacher())
        self.assertEqual(record("by-dpm")["sampler"], "dpm_solver_2")


class OutputTest(EditTest):
    def test_the_files(self):
        results, tensors = edit(
            "files", "inpaint", "--input", DIGITS, "--num", "12", "--box", "0,4,8,4", "--png", "--steps", "2"
        )
        arrays = load_npz(FOLDER / "files" / "results.npz")
        self.assertEqual((results.shape, results.dtype), ((12, 8, 8, 1), numpy.uint8))
        self.assertEqual(arrays["arr_1"].dtype, numpy.int64)
        self.assertEqual(arrays["arr_1"].tolist(), [*range(10), 0, 1])  # the first digits of the file
        self.assertEqual(tensors["x"].dtype, numpy.float32)
        for i in range(12):
            with Image.open(FOLDER / "files" / f"result-{i:06}.png") as png:
                numpy.testing.assert_array_equal(numpy.asarray(png), results[i, :, :, 0])
        with Image.open(FOLDER / "files" / "grid.png") as grid:  # picture, known part and result, twice a row
            self.assertEqual(grid.size, (6 * 34 + 2, 6 * 34 + 2))
        said = record("files")
        self.assertEqual((said["task"], said["box"], said["seed"]), ("inpaint", [0, 4, 8, 4], 0))
        self.assertEqual((said["count"], said["evaluations"], len(said["pictures"])), (12, 2, 12))
        self.assertTrue(said["checkpoint"].endswith("step-00000002/ema-0.05.safetensors"))

    def test_pictures_of_any_size_in_a_folder(self):
        folder = FOLDER / "pictures"
        folder.mkdir()
        Image.fromarray(random_pixels(10, 30, 50, 3)).save(folder / "b.jpg")
        Image.fromarray(random_pixels(11, 16, 16)).save(folder / "a.png")
        results, _ = edit("any-size", "stroke", "--input", folder, "--sigma", "1", checkpoint=colour_model())
        self.assertEqual(results.shape, (2, 8, 8, 3))
        self.assertEqual([name.rsplit("/")[-1] for name in record("any-size")["pictures"]], ["a.png", "b.jpg"])

    def test_an_earlier_output_is_kept_unless_forced(self):
        picture = write_picture("again.png", random_pixels(12, 8, 8))
        edit("kept", "stroke", "--input", picture, "--sigma", "1")
        again = ("cm-edit", "stroke", "--checkpoint", student(), "--input", picture, "--sigma", "1", "--out", "kept",
                 "--seed", "1")  # fmt: skip
        self.assert_all_refused({again: r"kept/results\.npz: exists already; --force writes over it"})
        self.assertEqual(record("kept")["seed"], 0)
        must_run(*again, "--force")
        self.assertEqual(record("kept")["seed"], 1)


class DependenceTest(EditTest):
    def test_a_result_depends_on_its_picture_seed_and_index_alone(self):
        tasks = {
            "inpaint": ("--box", "2,2,4,4", "--steps", "3"),
            "superres": ("--factor", "2", "--steps", "3"),
            "denoise": ("--sigma", "0.5", "--add-noise"),
        }
        numpy.savez(FOLDER / "five.npz", colour_pixels(5))
        for task, options in tasks.items():
            with self.subTest(task):

                def result(name, *more):
                    arguments = ("--input", "five.npz", *options, *more)
                    return edit(f"{task}-{name}", task, *arguments, checkpoint=colour_model())[1]["x"]

                x = result("all")
                self.assert_close(result("batched", "--batch", "2", "--seed", "0"), x)
                self.assert_close(result("few", "--num", "3", "--batch", "1"), x[:3])
                self.assert_differ(result("other", "--seed", "1"), x)


class RefusalTest(EditTest):
    def tearDown(self):
        self.assertFalse((FOLDER / OUT).exists(), "a refused command made its output folder")

    def test_what_is_refused(self):
        picture = write_picture("good.png", random_pixels(13, 8, 8))
        mask = write_picture("large.png", random_pixels(14, 9, 8))
        (FOLDER / "broken.png").write_bytes((FOLDER / "good.png").read_bytes()[:40])
        write_picture("good.jpg", random_pixels(15, 64, 64))
        (FOLDER / "broken.jpg").write_bytes((FOLDER / "good.jpg").read_bytes()[:900])
        (FOLDER / "words.png").write_text("no picture at all")
        draws = save_tensors(FOLDER / "few.safetensors", {"x_T": numpy.zeros((1, 1, 8, 8), numpy.float32)})

        def asking(task, *arguments, checkpoint=None):
            return ("cm-edit", task, "--checkpoint", checkpoint or student(), "--out", OUT, *map(str, arguments))

        given = ("--input", picture)
        inpaint = ("inpaint", *given, "--box", "0,0,2,2")
        either = r"inpaint needs either --mask FILE \(white = known\) or --box x,y,w,h"
        level = r"--sigma must lie in \(0\.002, 80\], got"
        needs = r"inpaint needs a consistency model, and this checkpoint is a diffusion model \(edm\); distill it"
        self.assert_all_refused(
            {
                asking("inpant", *given): r"the task must be one of \{inpaint, .*\(did you mean inpaint\?\)",
                asking("inpaint", *given, "--box", "0,0,2,2", "--sampler", "rk4"): (
                    r"--sampler is an option of stroke, interpolate, not of inpaint"
                ),
                asking("paint", *given): r"the task must be one of \{inpaint, .*, interpolate\}, got 'paint'",
                ("cm-edit", "--checkpoint", student(), "--out", OUT): r"task is required",
                asking(*inpaint, "--mask", mask): either,
                asking("inpaint", *given): either,
                asking("inpaint", *given, "--mask", mask): r"large\.png: is 8×9 pixels; a mask needs the model's 8×8",
                asking("inpaint", *given, "--mask", "broken.png"): r"broken\.png: is a truncated PNG; restore",
                asking("inpaint", *given, "--box", "5,5,4,4"): r"--box must be .* inside .* 8×8 pixels, got 5,5,4,4",
                asking("inpaint", *given, "--box", "1,2,3"): r"--box takes 4 whole numbers .*got '1,2,3'",
                asking("inpaint", "--box", "0,0,2,2", "--input", "nowhere"): r"nowhere: no such file or folder",
                asking("stroke", "--sigma", "1", "--input", "broken.jpg"): r"broken\.jpg: is a truncated JPEG",
                asking("stroke", "--sigma", "1", "--input", "words.png"): r"words\.png: not a readable image",
                asking("superres", *given): r"superres needs --factor P",
                asking("superres", *given, "--factor", "3"): r"--factor must divide .* 8 pixels \(2, 4, 8\), got 3",
                asking("stroke", *given, "--sigma", "100"): level,
                asking("denoise", *given, "--sigma", "0"): level,
                asking("denoise", *given, "--sigma", "1", "--steps", "2"): r"--steps is an option of .*not of denoise",
                asking(*inpaint, "--factor", "2"): r"--factor is an option of superres, not of inpaint",
                asking(*inpaint, "--fcator", "2"): r"unknown option --fcator \(did you mean --factor\?\)",
                asking(*inpaint, "--class", "10"): r"--class must be 'all' or classes in 0 … 9",
                asking(*inpaint, "--sigmas", "1,80"): r"--sigmas must decrease",
                asking(*inpaint, "--noise", draws, "--num", "2"): r"x_T must have the shape \[2, 1, 8, 8\]",
                asking(*inpaint, "--noise", draws, "--steps", "2"): r"has no tensor noise\.0",
                asking("colorize", *given): r"colorize needs a model of colour images .* grey ones",
                asking("interpolate", "--seeds", "1,-2"): r"--seeds takes 2 whole numbers .*got '1,-2'",
                asking("interpolate", "--seeds", "1,2", *given): r"--input is an option of .*, not of interpolate",
                asking(*inpaint, checkpoint=teacher()): needs,
                asking(*inpaint, checkpoint="nowhere"): r"nowhere: no such file or folder",
            }
        )


if __name__ == "__main__":
    unittest.main()
