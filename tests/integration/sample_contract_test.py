"""cm-sample's promises: what it writes, and what its images depend on (and what not)."""

import functools
import json
import re
import unittest

import numpy
from PIL import Image
from support import (
    FOLDER,
    ExecutableTest,
    contents,
    load_npz,
    load_tensors,
    metadata_of,
    must_run,
    run,
    save_tensors,
    student,
    teacher,
    train,
)

# Batches of other sizes: the same sums in another order. A walk begins with numbers of ±240, whose last fp32 bit is 1.5e-5.
FLOAT_TOLERANCE = 1e-4
CLASSES = 10


def sample(out, checkpoint, *arguments):
    """arr_0, arr_1 (None without classes) and x, uint8 [N, 8, 8, 1], int64 [N] and fp32 [N, 1, 8, 8]."""
    must_run("cm-sample", "--checkpoint", checkpoint, "--out", out, "--float", *arguments)
    arrays = load_npz(FOLDER / out / "samples.npz")
    return arrays["arr_0"], arrays.get("arr_1"), load_tensors(FOLDER / out / "samples.safetensors")["x"]


CONSISTENCY_SAMPLERS = {"onestep", "multistep", "flow_map"}


@functools.cache
def sampler_names():
    refused = run("cm-sample", "--checkpoint", student(), "--out", "no-walk", "--sampler", "none").err
    return re.search(r"--sampler must be one of \{(.*)\}", refused)[1].split(", ")


def record(out):
    return json.loads((FOLDER / out / "samples.json").read_text())


def karras(index, levels, low=0.002, high=80.0, rho=7):
    """The time point at `index` from the top of EDM's grid."""
    return (high ** (1 / rho) + index / (levels - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho


class SampleTest(ExecutableTest):
    def assert_close(self, a, b, tolerance=FLOAT_TOLERANCE):
        numpy.testing.assert_allclose(a, b, rtol=0, atol=tolerance)

    def assert_differ(self, a, b):
        self.assertGreater(numpy.abs(a - b).max(), 1e-3)


class OutputTest(SampleTest):
    def test_the_files(self):
        pixels, labels, x = sample("files", student(), "--num", "12", "--png", "--seed", "5")
        self.assertEqual((pixels.shape, pixels.dtype), ((12, 8, 8, 1), numpy.uint8))
        self.assertEqual(labels.dtype, numpy.int64)
        self.assertEqual(labels.tolist(), [*range(CLASSES), 0, 1])
        self.assertEqual((x.shape, x.dtype), ((12, 1, 8, 8), numpy.float32))
        self.assertLessEqual(numpy.abs(x).max(), 1)
        for i in range(12):
            with Image.open(FOLDER / "files" / f"sample-{i:06}.png") as png:
                numpy.testing.assert_array_equal(numpy.asarray(png.convert("L")), pixels[i, :, :, 0])
        with Image.open(FOLDER / "files" / "grid.png") as grid:
            self.assertGreaterEqual(grid.size[0] * grid.size[1], 12 * 64)
        said = record("files")
        self.assertEqual((said["sampler"], said["sigmas"], said["evaluations"]), ("onestep", [80], 1))
        self.assertEqual((said["count"], said["seed"]), (12, 5))
        self.assertTrue(said["checkpoint"].endswith("step-00000002/ema-0.05.safetensors"))

    def test_half_precision(self):
        exact = sample("fp32", student(), "--num", "6")[2]
        self.assertEqual(record("fp32")["dtype"], "fp32")
        for dtype, tolerance in {"bf16": 0.1, "fp16": 0.01, "tf32": FLOAT_TOLERANCE}.items():
            with self.subTest(dtype):
                x = sample(dtype, student(), "--num", "6", "--dtype", dtype)[2]
                self.assert_close(x, exact, tolerance)
                self.assertEqual(record(dtype)["dtype"], dtype)
                self.assertEqual(dtype != "tf32", bool(numpy.abs(x - exact).max() > 0))

    def test_without_a_gpu_a_line_says_that_nothing_is_recorded(self):
        plain = sample("plain", student(), "--num", "6")[2]
        command = ("cm-sample", "--checkpoint", student(), "--out", "recorded", "--num", "6", "--float", "--cuda-graph")
        self.assertIn("--cuda-graph: evaluations run as they are: device cpu", must_run(*command).err)
        numpy.testing.assert_array_equal(load_tensors(FOLDER / "recorded" / "samples.safetensors")["x"], plain)

    def test_quantisation(self):
        x = (numpy.arange(64, dtype=numpy.float32).reshape(1, 1, 8, 8) / 32 - 1) * 80
        noise = save_tensors(FOLDER / "ramp.safetensors", {"x_T": x})
        replay = ("--num", "1", "--noise", noise, "--steps", "1")
        nearest, _, x = sample("nearest", teacher(), *replay)
        truncated, _, same_x = sample("truncated", teacher(), *replay, "--quantize", "truncate")
        scaled = ((x.astype(numpy.float64) + 1) * 127.5).transpose(0, 2, 3, 1)
        numpy.testing.assert_array_equal(x, same_x)
        self.assertLessEqual(numpy.abs(nearest - scaled).max(), 0.5 + 1e-4)
        self.assertLessEqual(numpy.abs(nearest / 127.5 - 1 - x.transpose(0, 2, 3, 1)).max(), 1 / 255 + 1e-6)
        self.assertGreaterEqual((scaled - truncated).min(), -1e-4)
        self.assertLess((scaled - truncated).max(), 1)
        self.assertTrue((nearest != truncated).any())

    def test_extra_noise_is_added_within_its_range_of_levels(self):
        def x(name, *options):
            walk = ("--num", "2", "--steps", "4", "--sampler", "heun")
            return sample(f"churn-{name}", teacher(), *walk, *options)[2]

        plain = x("none")
        numpy.testing.assert_array_equal(x("above", "--s-churn", "1", "--s-tmin", "81"), plain)
        numpy.testing.assert_array_equal(x("below", "--s-churn", "1", "--s-tmax", "0.001"), plain)
        churned = x("all", "--s-churn", "1")
        self.assert_differ(churned, plain)
        self.assert_differ(x("quiet", "--s-churn", "1", "--s-noise", "0"), churned)

    def test_answers_beyond_the_range_are_clamped_unless_told_otherwise(self):
        weights = teacher() / "checkpoints" / "latest" / "model.safetensors"
        tensors = load_tensors(weights)
        tensors["out.2.weight"] = 50 * tensors["out.2.weight"]
        loud = save_tensors(FOLDER / "loud.safetensors", tensors, metadata_of(weights))
        walk = ("--num", "2", "--steps", "2")
        clamped = sample("clamped", loud, *walk)[2]
        unclamped = sample("unclamped", loud, *walk, "--no-clamp")[2]
        self.assert_differ(unclamped, clamped)
        self.assertEqual(numpy.abs(unclamped).max(), 1)  # as all images

    def test_an_earlier_output_is_kept_unless_forced(self):
        sample("kept", student(), "--num", "1")
        before = (FOLDER / "kept" / "samples.npz").read_bytes()
        again = ("cm-sample", "--checkpoint", student(), "--out", "kept", "--num", "1", "--seed", "1")
        self.assert_all_refused({again: r"kept/samples\.npz: exists already; --force writes over it"})
        self.assertEqual((FOLDER / "kept" / "samples.npz").read_bytes(), before)
        must_run(*again, "--force")
        self.assertEqual(record("kept")["seed"], 1)

    def test_a_model_without_classes(self):
        checkpoint = train("ict", "unlabelled", "data.labels=false", "train.steps=1")
        _, labels, _ = sample("unlabelled-samples", checkpoint, "--num", "2")
        self.assertIsNone(labels)
        refused = ("cm-sample", "--checkpoint", checkpoint, "--out", "never", "--class", "3")
        self.assert_all_refused({refused: r"--class: this model was trained without classes"})

    def test_samples_can_be_evaluated(self):
        sample("evaluated", student(), "--num", "4")
        report = json.loads(
            must_run("cm-evaluate", "--samples", "evaluated", "--reference", "evaluated/samples.npz", "--json").out
        )
        self.assertLess(abs(report["frechet"]), 1e-6)
        self.assertEqual(report["features"]["name"], "pixels")


class DependenceTest(SampleTest):
    def test_an_image_depends_on_its_seed_and_index_alone(self):
        for name, checkpoint in {"heun": teacher(), "ancestral": teacher(), "multistep": student()}.items():
            walk = (checkpoint, "--sampler", name, "--steps", "3")
            with self.subTest(name):
                pixels, labels, x = sample(f"{name}-7", *walk, "--num", "7")
                batched, _, x_batched = sample(f"{name}-batched", *walk, "--num", "7", "--batch", "3")
                _, few_labels, x_few = sample(f"{name}-few", *walk, "--num", "4", "--batch", "1")
                self.assert_close(x_batched, x)
                self.assert_close(x_few, x[:4])
                self.assertEqual(few_labels.tolist(), labels[:4].tolist())
                self.assertLessEqual(numpy.abs(batched.astype(int) - pixels.astype(int)).max(), 1)
                self.assert_differ(x[0], x[1])

    def test_the_seed(self):
        _, _, x = sample("seed-0", student(), "--num", "2")
        _, _, same = sample("seed-0-again", student(), "--num", "2", "--seed", "0")
        _, _, other = sample("seed-1", student(), "--num", "2", "--seed", "1")
        numpy.testing.assert_array_equal(x, same)
        self.assert_differ(x, other)

    def test_classes(self):
        _, labels, every = sample("class-all", student(), "--num", "5", "--class", "all")
        _, default, same = sample("class-default", student(), "--num", "5")
        _, pair, of_pair = sample("class-pair", student(), "--num", "5", "--class", "3,1")
        self.assertEqual(labels.tolist(), [*range(5)])
        self.assertEqual(default.tolist(), [*range(5)])
        self.assertEqual(pair.tolist(), [3, 1, 3, 1, 3])
        numpy.testing.assert_array_equal(every, same)
        self.assert_close(of_pair[1], every[1])
        self.assertGreater(numpy.abs(of_pair[0] - every[0]).max(), 1e-6)

    def test_weights(self):
        latest = student() / "checkpoints" / "latest"
        _, _, default = sample("ema-default", student(), "--num", "2")
        of_file = {}
        for ema, name in {"0.05": "ema-0.05", "0.9": "ema-0.9", "0": "model"}.items():
            with self.subTest(ema):
                _, _, by_rate = sample(f"rate-{ema}", student(), "--num", "2", "--ema", ema)
                _, _, of_file[ema] = sample(f"file-{ema}", latest / f"{name}.safetensors", "--num", "2")
                numpy.testing.assert_array_equal(by_rate, of_file[ema])
                self.assertTrue(record(f"rate-{ema}")["checkpoint"].endswith(f"/{name}.safetensors"))
        numpy.testing.assert_array_equal(default, of_file["0.05"])  # the largest rate with rate^2 <= 0.01
        said = must_run("cm-sample", "--checkpoint", student(), "--num", "1", "--out", "weights-said").out
        self.assertRegex(said, r"of .*/ema-0\.05\.safetensors \(the average of rate 0\.05, the largest whose start weighs")
        self.assertGreater(numpy.abs(of_file["0"] - of_file["0.9"]).max(), 1e-6)
        _, _, of_folder = sample("folder", latest, "--num", "2")
        numpy.testing.assert_array_equal(default, of_folder)


class ReplayTest(SampleTest):
    def setUp(self):
        normal = numpy.random.default_rng(1).standard_normal
        self.draws = {name: normal((3, 1, 8, 8), numpy.float32) for name in ("x_T", "noise.0", "noise.1", "noise.2")}
        self.draws["x_T"] *= 80
        self.walk = ("--steps", "2", "--num", "3", "--class", "4")

    def replay(self, name, checkpoint, draws, *arguments):
        path = save_tensors(FOLDER / f"{name}.safetensors", draws)
        return sample(name, checkpoint, *self.walk, "--noise", path, *arguments)[2]

    def test_images_follow_their_draws(self):
        order = [2, 0, 1]
        permuted = {name: numpy.ascontiguousarray(draw[order]) for name, draw in self.draws.items()}
        other = self.draws | {"noise.0": self.draws["noise.1"]}
        for name, checkpoint in {"multistep": student(), "ancestral": teacher()}.items():
            sampler = ("--sampler", name)
            with self.subTest(name):
                x = self.replay(f"replay-{name}", checkpoint, self.draws, *sampler)
                x_batched = self.replay(f"batched-{name}", checkpoint, self.draws, *sampler, "--batch", "2")
                x_permuted = self.replay(f"permuted-{name}", checkpoint, permuted, *sampler, "--seed", "9")
                x_other = self.replay(f"other-{name}", checkpoint, other, *sampler)
                self.assert_close(x_batched, x)
                self.assert_close(x_permuted, x[order])
                self.assertGreater(numpy.abs(x_other - x).max(), 1e-6)

    def test_more_entries_and_more_samples_than_needed_are_fine(self):
        longer = {name: numpy.concatenate([draw, draw]) for name, draw in self.draws.items()}
        longer |= {"noise.17": longer["x_T"], "sigmas": numpy.ones(5, numpy.float32)}
        x = self.replay("exact", student(), self.draws)
        numpy.testing.assert_array_equal(self.replay("longer", student(), longer), x)
        self.assertEqual(record("longer")["noise"], str(FOLDER / "longer.safetensors"))

    def test_draws_that_are_missing_or_of_another_shape(self):
        x_T = self.draws["x_T"]
        small = x_T[:, :, :4, :4].copy()
        shape = r"must have the shape \[3, 1, 8, 8\], got"
        cases = {
            "no-start": ({"noise.0": x_T}, r"has no tensor x_T"),
            "no-step": ({"x_T": x_T}, r"has no tensor noise\.0"),
            "short": ({"x_T": x_T[:2].copy(), "noise.0": x_T}, rf"x_T {shape} \[2, 1, 8, 8\]"),
            "small": ({"x_T": x_T, "noise.0": small}, rf"noise\.0 {shape} \[3, 1, 4, 4\]"),
            "flat": ({"x_T": x_T.ravel()}, rf"x_T {shape} \[192\]"),
        }
        refused = {}
        for name, (draws, pattern) in cases.items():
            path = save_tensors(FOLDER / f"{name}.safetensors", draws)
            command = ("cm-sample", "--checkpoint", student(), "--out", "no-replay", *self.walk, "--noise", path)
            refused[command] = rf"{name}\.safetensors: {pattern}"
        missing = ("cm-sample", "--checkpoint", student(), "--out", "no-replay", "--noise", "nowhere")
        self.assert_all_refused(refused | {missing: r"nowhere: no such file"})
        self.assertFalse((FOLDER / "no-replay").exists())


def make_pairs(out, *arguments, checkpoint=None):
    """What is in the first file of a set of pairs."""
    must_run("cm-sample", "--pairs", "--checkpoint", checkpoint or teacher(), "--out", out, *arguments)
    return load_tensors(FOLDER / out / "pairs-000000.safetensors")


class PairsTest(SampleTest):
    HEUN = ("--sampler", "heun", "--steps", "3", "--num", "5", "--seed", "4")
    MANY = ("--sampler", "euler", "--steps", "1", "--num", "1030", "--batch", "515")

    def test_they_are_the_samples_with_their_noise(self):
        pairs = make_pairs("pairs-heun", *self.HEUN)
        files = sorted(path.name for path in (FOLDER / "pairs-heun").iterdir())
        self.assertEqual(files, ["grid.png", "pairs-000000.safetensors"])
        images = ((5, 1, 8, 8), "float32")
        found = {name: (array.shape, array.dtype.name) for name, array in pairs.items()}
        self.assertEqual(found, {"x": images, "x_T": images, "labels": ((5,), "int64")})
        _, labels, x = sample("of-the-seed", teacher(), *self.HEUN)
        numpy.testing.assert_array_equal(pairs["x"], x)
        numpy.testing.assert_array_equal(pairs["labels"], labels)
        self.assertLess(0.9, pairs["x_T"].std() / 80)
        self.assertLess(pairs["x_T"].std() / 80, 1.1)
        # The file is itself one of noise.
        _, _, replayed = sample("of-the-pairs", teacher(), *self.HEUN[:-2], "--noise", FOLDER / "pairs-heun" / files[1])
        numpy.testing.assert_array_equal(pairs["x"], replayed)

    def test_they_say_what_they_are(self):
        make_pairs("pairs-said", *self.HEUN)
        metadata = metadata_of(FOLDER / "pairs-said" / "pairs-000000.safetensors")
        of_the_set = json.loads(metadata["pairs"])
        self.assertAlmostEqual(of_the_set.pop("sigma_max"), 80, places=4)  # levels are fp32
        self.assertEqual(of_the_set, {"count": 5, "channels": 1, "image_size": 8, "classes": CLASSES, "guidance": None, "latents": None})
        said = json.loads(metadata["made_by"])
        self.assertEqual((said["sampler"], said["seed"], said["clamp"], said["classes"]), ("heun", 4, True, "all"))
        self.assertEqual(len(said["sigmas"]), 4)
        self.assertRegex(said["checkpoint"]["path"], r"ema-0\.05\.safetensors$")
        self.assertRegex(said["checkpoint"]["sha256"], r"^[0-9a-f]{64}$")

    def test_the_same_command_goes_on_and_another_is_refused(self):
        make_pairs("pairs-many", *self.MANY)
        folder = FOLDER / "pairs-many"
        whole = contents(folder)
        self.assertEqual(sorted(whole), ["grid.png", "pairs-000000.safetensors", "pairs-000001.safetensors"])
        first = (folder / "pairs-000000.safetensors").stat().st_mtime_ns
        (folder / "pairs-000001.safetensors").unlink()
        again = must_run("cm-sample", "--pairs", "--checkpoint", teacher(), "--out", folder, *self.MANY)
        self.assertIn("has 1 of 2 files already", again.err)
        self.assertEqual(contents(folder), whole)
        self.assertEqual((folder / "pairs-000000.safetensors").stat().st_mtime_ns, first)
        other = ("cm-sample", "--pairs", "--checkpoint", teacher(), "--out", folder, *self.HEUN)
        self.assert_refused(run(*other), r"pairs-000000\.safetensors: holds pairs that were made otherwise; .* --force$")
        self.assertEqual(contents(folder), whole)
        must_run(*other, "--force")
        self.assertEqual(sorted(contents(folder)), ["grid.png", "pairs-000000.safetensors"])

    def test_a_walk_that_draws_noise_makes_none(self):
        def asking(checkpoint, *arguments):
            return ("cm-sample", "--pairs", "--checkpoint", checkpoint, "--out", "no-pairs", "--num", "1", *arguments)

        drawn = r"sampler%s draws noise on its way, so that an image does not follow from its start alone; use --sampler %s"
        self.assert_all_refused(
            {
                asking(teacher(), "--sampler", "ancestral"): drawn % ("", "heun"),
                asking(teacher(), "--s-churn", "3"): drawn % (" with --s-churn", "heun"),
                asking(student(), "--steps", "2"): drawn % ("", "onestep"),
                asking(student(), "--float"): r"--float excludes --pairs",
                asking(student(), "--png"): r"--png excludes --pairs",
            }
        )
        self.assertFalse((FOLDER / "no-pairs").exists())
        for name in set(sampler_names()) - CONSISTENCY_SAMPLERS - {"ancestral"}:
            make_pairs(f"pairs-by-{name}", "--sampler", name, "--steps", "2", "--num", "1")
        make_pairs("pairs-onestep", "--num", "1", checkpoint=student())

    def test_guidance_is_distilled_with_them(self):
        guidable = train("edm", "guidable", "train.label_dropout=0.5")
        make_pairs("pairs-guided", *self.HEUN, "--guidance", "2", checkpoint=guidable)
        folder = train("kd", "kd-guided", f"data.path={FOLDER / 'pairs-guided'}", f"init.checkpoint={guidable}")
        model = json.loads(metadata_of(folder / "checkpoints" / "latest" / "model.safetensors")["model"])
        self.assertEqual(model["guidance"], 2)
        self.assert_refused(
            run("cm-sample", "--checkpoint", folder, "--guidance", "2", "--num", "1", "--out", "no-walk"),
            r"guidance of weight 2 was distilled into the model already",
        )

    def test_a_student_of_them_is_sampled_in_one_step(self):
        pixels, labels, _ = sample("of-kd", train("kd", "kd-sampled", f"init.checkpoint={teacher()}"), "--num", "3")
        self.assertEqual((pixels.shape, labels.tolist()), ((3, 8, 8, 1), [0, 1, 2]))
        self.assertEqual(record("of-kd")["sampler"], "onestep")


class SamplerTest(SampleTest):
    def test_time_points(self):
        two = ("--num", "2")
        for indices, grid in (((0, 22, 39), 40), ((0, 5, 17), None)):
            with self.subTest(indices):
                levels = grid or 18  # that of the training
                listed = ",".join(map(str, indices))
                option = ("--grid", grid) if grid else ()
                sigmas = f"80,{karras(indices[1], levels)!r}"
                _, _, by_index = sample(f"indices-{listed}", student(), *two, "--indices", listed, *option)
                _, _, by_sigma = sample(f"sigmas-{listed}", student(), *two, "--sigmas", sigmas)
                self.assert_close(by_index, by_sigma)
                self.assertEqual(record(f"indices-{listed}")["evaluations"], 2)
        _, _, one_step = sample("one", student(), *two)
        _, _, whole_grid = sample("one-index", student(), *two, "--indices", "0,39", "--grid", "40")
        self.assert_close(one_step, whole_grid)

    def test_every_sampler_of_a_diffusion_model(self):
        evaluations = {"euler": 3, "heun": 5, "midpoint": 5, "dpm": 6, "dpm_solver_2": 5, "rk4": 9, "ancestral": 3,
                       "progdist": 3}  # fmt: skip
        self.assertLessEqual(evaluations.keys(), set(sampler_names()))
        for name in set(sampler_names()) - CONSISTENCY_SAMPLERS:
            with self.subTest(name):
                _, _, x = sample(name, teacher(), "--sampler", name, "--steps", "3", "--num", "1")
                self.assertTrue(numpy.isfinite(x).all())
                said = record(name)
                self.assertEqual((said["sampler"], said["sigmas"][-1] > 0), (name, name == "progdist"))
                self.assertEqual(said["evaluations"], evaluations.get(name, said["evaluations"]))

    def test_solvers_of_a_higher_order_are_closer_to_the_end_of_the_walk(self):
        def x(name, steps):
            return sample(f"{name}-{steps}", teacher(), "--sampler", name, "--steps", steps, "--num", "4")[2]

        exact = x("rk4", 200)
        errors = {name: numpy.abs(x(name, 24) - exact).max() for name in ("euler", "heun", "dpm_solver_2", "rk4")}
        for name, of_euler in {"heun": 0.5, "dpm_solver_2": 0.5, "rk4": 0.1}.items():
            self.assertLess(errors[name], of_euler * errors["euler"], errors)

    def test_samplers_of_the_other_kind_of_model(self):
        def asking(checkpoint, sampler, *arguments):
            return ("cm-sample", "--checkpoint", checkpoint, "--out", "no-walk", "--num", "1", "--sampler", sampler,
                    *arguments)  # fmt: skip

        needs_consistency = r"sampler needs a consistency model, and this checkpoint is a diffusion model"
        needs_diffusion = r"walks a diffusion model's ODE, and this checkpoint is a consistency model"
        walks = set(sampler_names()) - CONSISTENCY_SAMPLERS
        self.assert_all_refused(
            {asking(teacher(), name): needs_consistency for name in CONSISTENCY_SAMPLERS}
            | {asking(student(), name): needs_diffusion for name in walks}
            | {
                asking(student(), "onestep", "--steps", "2"): r"the onestep sampler takes one step",
                asking(teacher(), "heun", "--sigmas", "80,1"): r"--sigmas and --indices are for multistep",
                asking(teacher(), "heun", "--grid", "18"): r"the heun sampler counts on none here; leave it out",
                asking(student(), "onestep", "--grid", "18"): r"the onestep sampler counts on none here; leave it out",
                asking(student(), "multistep", "--sigmas", "90,1"): r"--sigmas must lie in \(0\.002, 80\], got 90",
                asking(student(), "multistep", "--sigmas", "1,80"): r"--sigmas must decrease",
                asking(student(), "multistep", "--indices", "0,18"): r"--indices must lie in 0 … 17 .*got 18",
                asking(student(), "multistep", "--indices", "0,5,5"): r"--indices must increase",
                asking(student(), "multistep", "--indices", "0"): r"--indices needs at least two",
                asking(student(), "multistep", "--indices", "0,5", "--grid", "1"): r"--grid must be an integer in \[2, 1048576\]",
            }
        )
        self.assertFalse((FOLDER / "no-walk").exists())


if __name__ == "__main__":
    unittest.main()
