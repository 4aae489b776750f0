"""Latents from the pictures to the pictures: cm-data encodes, a run trains on it, and what it makes is decoded."""

import functools
import io
import json
import shutil
import unittest
import zipfile

import numpy
from support import (
    FOLDER,
    PATCHES,
    PHOTOGRAPHS,
    ExecutableTest,
    load_npz,
    load_tensors,
    metadata_of,
    must_run,
    run,
    save_tensors,
    teacher,
    tiny_config,
    train,
)

IMAGES = (*PATCHES, f"data.path={PHOTOGRAPHS / 'flower.jpg'}", "data.image_size=16", "data.patches.count=12")


def vae_tensors(channels, latents):
    """Random weights by diffusers' names: two levels of `channels`, one residual block each."""
    random = numpy.random.default_rng(latents)
    tensors = {}

    def layer(name, *shape):
        scale = 1 / numpy.sqrt(numpy.prod(shape[1:])) if len(shape) > 1 else 0.1
        tensors[f"{name}.weight"] = (scale * random.standard_normal(shape) + (len(shape) == 1)).astype(numpy.float32)
        tensors[f"{name}.bias"] = (0.1 * random.standard_normal(shape[0])).astype(numpy.float32)

    def block(name):
        for i in (1, 2):
            layer(f"{name}.norm{i}", channels)
            layer(f"{name}.conv{i}", channels, channels, 3, 3)

    def middle(name):
        for i in (0, 1):
            block(f"{name}.resnets.{i}")
        layer(f"{name}.attentions.0.group_norm", channels)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            layer(f"{name}.attentions.0.{part}", channels, channels)

    layer("encoder.conv_in", channels, 3, 3, 3)
    layer("decoder.conv_in", channels, latents, 3, 3)
    for level in (0, 1):
        block(f"encoder.down_blocks.{level}.resnets.0")
        for i in (0, 1):
            block(f"decoder.up_blocks.{level}.resnets.{i}")
    layer("encoder.down_blocks.0.downsamplers.0.conv", channels, channels, 3, 3)
    layer("decoder.up_blocks.0.upsamplers.0.conv", channels, channels, 3, 3)
    for side, out in (("encoder", 2 * latents), ("decoder", 3)):
        middle(f"{side}.mid_block")
        layer(f"{side}.conv_norm_out", channels)
        layer(f"{side}.conv_out", out, channels, 3, 3)
    layer("quant_conv", 2 * latents, 2 * latents, 1, 1)
    layer("post_quant_conv", latents, latents, 1, 1)
    return tensors


@functools.cache
def vae(name="vae", latents=4, channels=8):
    folder = FOLDER / name
    folder.mkdir()
    config = {
        "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [channels] * 2, "in_channels": 3,
        "out_channels": 3, "latent_channels": latents, "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16,
        "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
        "scaling_factor": 0.18215,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_tensors(folder / "diffusion_pytorch_model.safetensors", vae_tensors(channels, latents))
    return folder


@functools.cache
def many_images():
    """More than two files of latents hold."""
    random = numpy.random.default_rng(5)
    images = random.integers(0, 256, (2060, 4, 4, 3), dtype=numpy.uint8)
    numpy.savez(FOLDER / "many.npz", arr_0=images, arr_1=numpy.arange(2060) % 7)
    return FOLDER / "many.npz"


def encoding(out):
    """The command (name, argument, ...) that encodes them."""
    data = ("data.kind=npz", f"data.path={many_images()}", "data.horizontal_flip=false")
    return ("cm-data", "--config", tiny_config(), "--encode", vae(), "--batch", "100", "--out", out, *data)


@functools.cache
def latents():
    """The archive, and the overrides that train on it."""
    told = must_run("cm-data", "--config", tiny_config(), "--encode", vae(), "--out", "latents.zip", *IMAGES).out
    scaling = [word for word in told.split() if word.startswith("data.latents.")]
    data = ("data.kind=latents", f"data.path={FOLDER / 'latents.zip'}", "data.horizontal_flip=false",
            "data.latents.scale=0.5", *scaling, "model.attention_resolutions=[]")  # fmt: skip
    return told, data


@functools.cache
def latent_teacher():
    return train("edm", "latent-edm", *latents()[1], f"data.latents.vae={vae()}", "train.sample_every=2")


@functools.cache
def latent_student():
    """Its config names no VAE."""
    return train("ct", "latent-ct", *latents()[1])


def model_of(run_folder):
    return json.loads(metadata_of(run_folder / "checkpoints" / "latest" / "model.safetensors")["model"])


class LatentsTest(ExecutableTest):
    def test_an_archive_as_edm2s(self):
        told, _ = latents()
        self.assertRegex(told, r"^12 images of .* as latents, 4 × 8 × 8, of the VAE [0-9a-f]{12}…: latents\.zip\n")
        moments = []
        with zipfile.ZipFile(FOLDER / "latents.zip") as archive:
            names = archive.namelist()
            self.assertEqual(names[0], "00000/img-mean-std-00000000.npy")
            facts = json.loads(archive.read("dataset.json"))
            moments = numpy.stack([numpy.load(io.BytesIO(archive.read(name))) for name in names[:-1]])
        self.assertEqual((moments.shape, moments.dtype), ((12, 8, 8, 8), numpy.float32))
        self.assertEqual(facts["latents"]["pixels"], "symmetric")
        self.assertEqual(facts["labels"][11][0], names[11])
        mean, std = moments[:, :4], moments[:, 4:]
        self.assertTrue((std > 0).all())
        spread = numpy.sqrt((mean**2 + std**2).mean((0, 2, 3)) - mean.mean((0, 2, 3)) ** 2)
        stated = [float(word) for word in told.split("std=[")[1].split("]")[0].split(",")]
        numpy.testing.assert_allclose(stated, spread, rtol=1e-3)
        self.assertFalse((FOLDER / "latents.zip.unfinished").exists())

    def test_encoding_goes_on_where_it_was_interrupted(self):
        latents()
        whole = (FOLDER / "latents.zip").read_bytes()
        kept = FOLDER / "again.zip.unfinished" / "latents-000000.safetensors"
        command = ("cm-data", "--config", tiny_config(), "--encode", vae(), "--out", "again.zip", *IMAGES)
        (FOLDER / "again.zip").mkdir()  # the archive finds no place
        self.assertEqual(run(*command, "--force").code, 1)
        (FOLDER / "again.zip").rmdir()
        before = kept.stat().st_mtime_ns
        others = run(*command[:3], "--encode", vae("another", channels=16), *command[5:])
        self.assert_refused(others, r"latents-000000\.safetensors: holds latents of other images or another VAE")
        self.assertEqual(kept.stat().st_mtime_ns, before)
        self.assertRegex(must_run(*command).err, r"again\.zip\.unfinished: has 1 of 1 files already")
        self.assertEqual((FOLDER / "again.zip").read_bytes(), whole)
        self.assertFalse(kept.parent.exists())
        must_run(*command, "--force", "--batch", "5")
        self.assertEqual(len((FOLDER / "again.zip").read_bytes()), len(whole))

    def test_a_run_goes_on_with_the_same_draws(self):
        whole = train("edm", "whole", *latents()[1], "train.steps=4")
        parts = train("edm", "parts", *latents()[1], "train.steps=2")
        must_run("cm-train-edm", "--resume", "--out", "parts", "train.steps=4")
        weights = [load_tensors(one / "checkpoints" / "latest" / "model.safetensors") for one in (whole, parts)]
        for name, tensor in weights[0].items():
            numpy.testing.assert_array_equal(weights[1][name], tensor)

    def test_a_model_says_where_it_lives(self):
        space = model_of(latent_teacher())["latents"]
        self.assertEqual((len(space["vae_hash"]), space["pixels"], space["scale"], len(space["mean"])), (64, "symmetric", 0.5, 4))
        self.assertEqual(model_of(latent_student())["latents"], space)
        self.assertIsNone(model_of(teacher())["latents"])
        self.assertIn("vae_hash", must_run("cm-info", latent_teacher()).out)
        self.assertTrue((latent_teacher() / "samples" / "step-00000002.png").exists())

    def test_samples_are_decoded(self):
        must_run("cm-sample", "--checkpoint", latent_teacher(), "--num", "5", "--steps", "2", "--out", "samples")
        pixels = load_npz(FOLDER / "samples" / "samples.npz")["arr_0"]
        self.assertEqual((pixels.shape, pixels.dtype), ((5, 16, 16, 3), numpy.uint8))
        must_run("cm-sample", "--checkpoint", latent_teacher(), "--num", "5", "--steps", "2", "--float", "--out", "float")
        tensors = load_tensors(FOLDER / "float" / "samples.safetensors")
        self.assertEqual((tensors["x"].shape, tensors["latents"].shape), ((5, 3, 16, 16), (5, 4, 8, 8)))
        self.assertLessEqual(abs(tensors["x"]).max(), 1)
        numpy.testing.assert_array_equal(load_npz(FOLDER / "float" / "samples.npz")["arr_0"], pixels)
        record = json.loads((FOLDER / "samples" / "samples.json").read_text())
        self.assertEqual(record["vae"], model_of(latent_teacher())["latents"]["vae_hash"])
        must_run("cm-sample", "--checkpoint", latent_student(), "--vae", vae(), "--num", "3", "--out", "student")
        self.assertEqual(load_npz(FOLDER / "student" / "samples.npz")["arr_0"].shape, (3, 16, 16, 3))

    def test_measuring_and_searching_see_images(self):
        must_run("cm-data", "--config", tiny_config(), "--out", "images", *IMAGES)
        against = ("--reference", "images", "--features", "pixels")
        done = must_run("cm-evaluate", "--checkpoint", latent_teacher(), "--num", "8", "--steps", "2", *against, "--json")
        report = json.loads(done.out)
        self.assertEqual(report["image_shape"], [3, 16, 16])
        must_run("cm-sample", "--checkpoint", latent_teacher(), "--num", "8", "--steps", "2", "--out", "eight")
        same = must_run("cm-evaluate", "--samples", "eight", *against, "--json")
        self.assertAlmostEqual(json.loads(same.out)["frechet"], report["frechet"], places=4)
        must_run("cm-search", "--checkpoint", latent_student(), "--vae", vae(), "--steps", "2", "--grid", "5", "--num", "8",
                 *against, "--out", "search")  # fmt: skip

    def test_edits_go_through_the_encoder(self):
        must_run("cm-data", "--config", tiny_config(), "--out", "pictures", "--num", "2", *IMAGES)
        edit = ("--checkpoint", latent_teacher(), "--input", "pictures")
        must_run("cm-edit", "stroke", *edit, "--sigma", "0.01", "--steps", "2", "--float", "--out", "stroke")
        results = load_npz(FOLDER / "stroke" / "results.npz")["arr_0"]
        self.assertEqual(results.shape, (2, 16, 16, 3))
        must_run("cm-edit", "denoise", *edit, "--sigma", "1", "--add-noise", "--float", "--out", "denoise")
        self.assertEqual(load_tensors(FOLDER / "denoise" / "results.safetensors")["noisy"].shape, (2, 3, 16, 16))
        must_run("cm-edit", "interpolate", *edit[:2], "--seeds", "1,2", "--num", "3", "--steps", "2", "--out", "between")
        self.assertEqual(load_npz(FOLDER / "between" / "results.npz")["arr_0"].shape, (3, 16, 16, 3))

    def test_students_of_latents(self):
        train("cd", "latent-cd", *latents()[1], f"teacher.checkpoint={latent_teacher()}")
        must_run("cm-sample", "--pairs", "--checkpoint", latent_teacher(), "--steps", "2", "--num", "6", "--out", "latent-pairs")
        student = train("kd", "latent-kd", "data.kind=pairs", f"data.path={FOLDER / 'latent-pairs'}", "data.horizontal_flip=false",
                        "model.attention_resolutions=[]")  # fmt: skip
        self.assertEqual(model_of(student)["latents"], model_of(latent_teacher())["latents"])

    def test_what_is_refused(self):
        other, wide = vae("other", channels=12), vae("wide", latents=6)
        data = latents()[1]
        encoding = ("cm-data", "--config", tiny_config(), "--encode", vae(), "--out")
        edit = ("--checkpoint", latent_teacher(), "--input", "pictures.png", "--out", "never-made")
        training = ("cm-train-edm", "--config", tiny_config(), "--out", "never-made")
        sampling = ("cm-sample", "--num", "1", "--out", "never-made", "--checkpoint")
        shutil.copy(FOLDER / "latents.zip", FOLDER / "there.zip")
        self.assert_all_refused(
            {
                (*encoding, "a.zip", *IMAGES, "data.image_size=17"): r"a multiple of 2, but those .* are 17 wide; set data\.image_size=16",
                (*encoding, "a.zip"): r"--encode: the VAE takes images of 3 channels, but those of .* have 1",
                (*encoding, "a.tar", *IMAGES): r"--out a\.tar: must be the name of a \.zip file for --encode",
                (*encoding, "there.zip", *IMAGES): r"there\.zip: exists already; --force writes over it",
                (*encoding, "a.zip", *data): r"has latents, and a VAE encodes images",
                ("cm-data", "--config", tiny_config(), "--out", "a", *data): r"has latents, which are no images",
                (*training, *data, f"data.latents.vae={other}"): r"data\.latents\.vae .*other: is another VAE",
                (*training, *data, f"data.latents.vae={wide}"): r"wide: is a VAE of latents of 6 channels, but these have 4",
                (*training, *data, f"init.checkpoint={teacher()}"): r"init\.checkpoint .*: is a model of pixels, not of latents",
                (*training, f"init.checkpoint={latent_teacher()}"): r"init\.checkpoint .*: is a model of latents, not of pixels",
                (*training, *data, "data.horizontal_flip=true"): r"data\.horizontal_flip must be false for latents",
                (*training, "data.kind=latents", "data.horizontal_flip=false"): r"data\.latents must say how the latents are normalised",
                (*sampling, latent_student()): r"is a model of latents, of which a VAE makes images; name its folder by --vae",
                (*sampling, latent_student(), "--vae", other): r"--vae .*other: is another VAE \(SHA-256",
                (*sampling, latent_student(), "--vae", wide): r"--vae .*wide: is a VAE of latents of 6 channels",
                (*sampling, teacher(), "--vae", vae()): r"--vae: .* is a model of pixels, which makes images itself; leave it out",
                ("cm-edit", "denoise", *edit, "--sigma", "1"): r"denoise takes noise from a picture's pixels",
                ("cm-edit", "inpaint", *edit, "--box", "1,1,2,2"): r"inpaint keeps a part of a picture's pixels",
            }
        )
        self.assertFalse((FOLDER / "never-made").exists())


if __name__ == "__main__":
    unittest.main()
