"""Checkpoints of other implementations, in and out: diffusers' pipelines, and state dicts of the official release.

The truth is diffusers itself: the same weights, starting noise, class and time points give the same images. CM_FULL_SIZE=1
adds the official ImageNet-64 network at its full size (296 million parameters: 5 GB of memory, a minute).
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import pickle
import re
import shutil
import sys
import unittest
import unittest.mock

import numpy
from parity import record
from support import (
    FOLDER,
    SOURCE,
    ExecutableTest,
    Result,
    load_npz,
    load_tensors,
    must_run,
    save_tensors,
    tiny_config,
    train,
)

try:
    import diffusers
    import torch
    from diffusers import (
        CMStochasticIterativeScheduler,
        ConsistencyModelPipeline,
        DDIMPipeline,
        DDIMScheduler,
        DDPMPipeline,
        DDPMScheduler,
        LDMPipeline,
        UNet2DModel,
        VQModel,
    )
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

sys.path.insert(0, str(SOURCE / "scripts"))

TOLERANCE = 1e-5  # of images in [-1, 1]: other convolution kernels, a few evaluations
SAMPLES = 3
COMPUTED_WITH = f"diffusers {diffusers.__version__} beside cm-sample, CPU"
GRID = 40
NAMED_WALKS = {  # cm-sample's options, and those of the pipeline
    "one step": (("--steps", "1"), {"num_inference_steps": 1}),
    "three steps": (("--steps", "3"), {"num_inference_steps": 3}),
    "indices 0, 22": (("--indices", f"0,22,{GRID - 1}", "--grid", str(GRID)), {"timesteps": [22, 0]}),
}

RESIDUAL = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "block_out_channels": (32, 64, 96),
    "layers_per_block": 2,
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": 16,
    "attn_norm_num_groups": 32,
    "num_class_embeds": 5,
}
CONVOLUTIONAL = {
    "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
    "block_out_channels": (64, 64),
    "layers_per_block": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "resnet_time_scale_shift": "default",
    "attention_head_dim": None,
    "attn_norm_num_groups": 32,
}
IMAGENET64 = RESIDUAL | {
    "down_block_types": ("ResnetDownsampleBlock2D", *3 * ("AttnDownBlock2D",)),
    "up_block_types": (*3 * ("AttnUpBlock2D",), "ResnetUpsampleBlock2D"),
    "block_out_channels": (192, 384, 576, 768),
    "layers_per_block": 3,
    "attention_head_dim": 64,
    "num_class_embeds": 1000,
}


def script(name, *arguments):
    """Runs a script's main in this process, which has loaded torch already."""
    out, err = io.StringIO(), io.StringIO()
    command = [f"{name}.py", *map(str, arguments)]
    back = os.getcwd()
    os.chdir(FOLDER)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with unittest.mock.patch.object(sys, "argv", command):
                code = importlib.import_module(name).main()
    finally:
        os.chdir(back)
    return Result(name, code, out.getvalue(), err.getvalue())


def must_script(name, *arguments):
    result = script(name, *arguments)
    if result.code != 0:
        raise AssertionError(f"{name} {arguments}: exit code {result.code}\n{result.err}")
    return result


def pipeline(name, size=16, **config):
    """A pipeline of random weights, none of them 0, as diffusers saves it."""
    torch.manual_seed(0)
    unet = UNet2DModel(sample_size=size, in_channels=3, out_channels=3, **config).eval()
    scheduler = CMStochasticIterativeScheduler(num_train_timesteps=GRID)
    made = ConsistencyModelPipeline(unet=unet, scheduler=scheduler)
    made.save_pretrained(FOLDER / name)
    return made


def reference(made, noise_name, count=SAMPLES, **walk):
    """(its images in [-1, 1], a file of the noise that it drew)."""
    unet = made.unet.config
    shape = (count, unet.in_channels, unet.sample_size, unet.sample_size)
    draws = torch.Generator().manual_seed(7)
    noise = {"x_T": torch.randn(shape, generator=draws) * made.scheduler.config.sigma_max}
    for i in range(3):
        noise[f"noise.{i}"] = torch.randn(shape, generator=draws)
    path = save_tensors(FOLDER / noise_name, {name: tensor.numpy() for name, tensor in noise.items()})
    labels = None if unet.num_class_embeds is None else [i % unet.num_class_embeds for i in range(count)]
    made.set_progress_bar_config(disable=True)
    result = made(
        batch_size=count,
        class_labels=labels,
        generator=torch.Generator().manual_seed(7),
        output_type="pt",
        **walk,
    )
    return result.images.numpy() * 2 - 1, path


def sample(checkpoint, out, *arguments, count=SAMPLES):
    must_run("cm-sample", "--checkpoint", checkpoint, "--num", count, "--out", out, "--float", *arguments)
    return load_tensors(FOLDER / out / "samples.safetensors")["x"]


def rgb_data():
    path = FOLDER / "rgb.npz"
    if not path.exists():
        images = numpy.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=numpy.uint8)
        numpy.savez(path, arr_0=images, arr_1=numpy.arange(16) % 4)
    return path


def rgb_run(out, *arguments):
    """A consistency run on 8 x 8 colour images of four classes, whose weights have left their start."""
    data = ("data.kind=npz", f"data.path={rgb_data()}", "data.horizontal_flip=false")
    network = ("model.channel_mult=[1,2]", "model.attention_resolutions=[4]", "model.dropout=0", "optimizer.lr=0.02")
    return train("ict", out, *data, *network, "train.steps=6", *arguments)


class DiffusersTest(ExecutableTest):
    def assert_same_images(self, made, checkpoint, case, walks=NAMED_WALKS, count=SAMPLES):
        for walk, (options, settings) in walks.items():
            with self.subTest(f"{case}, {walk}"):
                theirs, noise = reference(made, f"{case}.safetensors", count, **settings)
                out = f"{case} {walk}"
                ours = sample(checkpoint, out, "--noise", noise, "--batch", "2", *options, count=count)
                self.assertGreater(theirs.std(), 0.05)
                error = float(numpy.abs(ours - theirs).max())
                record("diffusers", case, f"images, {walk}", "absolute", error, TOLERANCE, COMPUTED_WITH)
                self.assertLess(error, TOLERANCE)

    def test_a_pipeline_is_sampled_as_diffusers_samples_it(self):
        for case, config in {"residual": RESIDUAL, "convolutional": CONVOLUTIONAL}.items():
            self.assert_same_images(pipeline(case, **config), case, case)

    def test_the_unet_folder_alone_will_do(self):
        pipeline("whole", **CONVOLUTIONAL)
        whole = sample("whole", "whole samples")
        part = sample("whole/unet", "part samples")
        numpy.testing.assert_array_equal(whole, part)

    def test_variants_and_shards_are_the_same_weights(self):
        made = pipeline("one file", **RESIDUAL)
        whole = sample("one file", "one file samples")
        made.save_pretrained(FOLDER / "sharded", max_shard_size="1MB")
        index = FOLDER / "sharded" / "unet" / "diffusion_pytorch_model.safetensors.index.json"
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        self.assertGreater(len(shards), 2)
        numpy.testing.assert_array_equal(sample("sharded", "sharded samples"), whole)
        numpy.testing.assert_array_equal(sample(index, "index samples"), whole)
        (index.parent / shards[1]).unlink()
        self.assert_all_refused({("cm-info", "sharded"): rf"index\.json: its shard {shards[1]} is missing"})

        made.unet.half()
        made.save_pretrained(FOLDER / "half", variant="fp16")
        variant = FOLDER / "half" / "unet" / "diffusion_pytorch_model.fp16.safetensors"
        half = sample("half", "half samples")
        numpy.testing.assert_allclose(half, whole, atol=0.02)  # weights are rounded
        self.assertIn(f"those of a variant, {variant.name}", must_run("cm-info", "half").err)
        made.unet.float()
        made.save_pretrained(FOLDER / "half")  # beside the variant, the same numbers
        numpy.testing.assert_array_equal(sample("half", "whole of half samples"), half)
        numpy.testing.assert_array_equal(sample(variant, "named samples"), half)

    def test_info_tells_what_a_pipeline_is(self):
        made = pipeline("told", **RESIDUAL)
        info = json.loads(must_run("cm-info", "told", "--json").out)
        self.assertEqual(info["parameters"], made.unet.num_parameters())
        network = info["model"]["network"]
        self.assertEqual((network["channels"], network["channel_mult"]), (32, [1, 2, 3]))
        self.assertEqual((network["attention_resolutions"], network["head_channels"]), ([8, 4], 16))
        self.assertEqual(info["model"]["image"], {"channels": 3, "size": 16, "classes": 5})
        self.assertEqual(info["model"]["sampling"]["grid"], GRID)

    def test_training_starts_from_a_pipeline(self):
        pipeline("start", size=8, **RESIDUAL | {"num_class_embeds": 4})
        data = ("data.kind=npz", f"data.path={rgb_data()}", "data.horizontal_flip=false")
        alone = ("model=null", "train.steps=1", "optimizer.lr=1e-9")
        out = train("ict", "from-pipeline", *data, *alone, "init.checkpoint=start")
        info = json.loads(must_run("cm-info", out, "--json").out)
        self.assertEqual(info["model"]["network"]["channel_mult"], [1, 2, 3])
        before = sample("start", "start samples", "--seed", "3", "--class", "1")
        after = sample(out, "trained samples", "--seed", "3", "--class", "1")
        numpy.testing.assert_allclose(before, after, atol=1e-4)

        config = ("--config", FOLDER / "tiny.yaml", "objective=cd", "teacher.checkpoint=start")
        settings = (*data, "model=null", "--dry-run")
        taught = ("cm-train-cd", *config, *settings)
        self.assert_all_refused({taught: r"checkpoint start: is a consistency model \(skip\); a diffusion model is needed"})
        shutil.copytree(FOLDER / "start" / "unet", FOLDER / "alone")
        taught = must_run("cm-train-cd", *config, "teacher.checkpoint=alone", *settings)
        self.assertRegex(taught.err, r"teacher\.checkpoint alone: diffusers' U-Net alone does not say .* as one \(edm\)")

    def test_a_run_is_exported_and_sampled_by_diffusers(self):
        run = rgb_run("mine", f"sampling.grid={GRID}")
        must_script("export_diffusers", run, "theirs")
        made = ConsistencyModelPipeline.from_pretrained(FOLDER / "theirs")
        self.assertEqual(made.scheduler.config.num_train_timesteps, GRID)
        self.assert_same_images(made, run, "exported")
        self.assert_same_images(made, "theirs", "there and back")

    def test_every_network_that_diffusers_knows_is_exported(self):
        variants = {
            "plain": ("model.resblock_updown=false", "model.scale_shift_norm=false", "model.head_channels=null"),
            "attention above": ("model.attention_resolutions=[8]", "model.res_blocks=2", "model.channel_mult=[1,1,2]"),
            "heads": ("model.attention_resolutions=[]", "model.head_channels=null", "model.heads=4"),
            "one level": ("model.attention_resolutions=[8]", "model.channel_mult=[1]"),
        }
        for name, settings in variants.items():
            run = rgb_run(name, "data.labels=false", f"sampling.grid={GRID}", *settings)
            must_script("export_diffusers", run, f"{name} pipeline", "--ema", "0.9")
            made = ConsistencyModelPipeline.from_pretrained(FOLDER / f"{name} pipeline")
            weights = run / "checkpoints" / "latest" / "ema-0.9.safetensors"
            self.assert_same_images(made, weights, f"exported, {name}", {"one step": NAMED_WALKS["one step"]})

    @unittest.skipUnless(os.environ.get("CM_FULL_SIZE"), "CM_FULL_SIZE is not set")
    def test_the_imagenet64_network_at_full_size(self):
        made = pipeline("imagenet64", size=64, **IMAGENET64)
        self.assertEqual(made.unet.num_parameters(), 295_899_267)
        self.assert_same_images(made, "imagenet64", "imagenet64", count=2)


class BadPipelineTest(ExecutableTest):
    def altered(self, name, file, **changes):
        """A pipeline's folder with some of a config's values replaced."""
        if not (FOLDER / "good").exists():
            pipeline("good", **CONVOLUTIONAL)
        shutil.copytree(FOLDER / "good", FOLDER / name)
        path = FOLDER / name / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return name

    def assert_folder_refused(self, name, pattern):
        command = ("cm-sample", "--checkpoint", name, "--out", "never")
        self.assert_all_refused({command: pattern, ("cm-info", name): pattern})

    def test_configs_that_do_not_fit(self):
        unet, scheduler = "unet/config.json", "scheduler/scheduler_config.json"
        cases = [
            (unet, {"norm_eps": 1e-6}, r"unet/config\.json: norm_eps must be 1e-05, got 1e-06"),
            (unet, {"act_fn": "gelu"}, r'act_fn must be "silu", got "gelu"'),
            (unet, {"sample_size": None}, r"sample_size must be a positive whole number, got null"),
            (unet, {"block_out_channels": [64]}, r"block_out_channels must name one width for each"),
            (unet, {"down_block_types": ["AttnDownBlock2D", "Other"]}, r"down_block_types must be DownBlock2D, .*Other"),
            (scheduler, {"s_noise": 1.01}, r"scheduler_config\.json: s_noise must be 1\.0, got 1\.01"),
            (scheduler, {"sigma_max": "80"}, r'sigma_max must be a positive number, got "80"'),
        ]
        for i, (file, changes, pattern) in enumerate(cases):
            with self.subTest(pattern):
                self.assert_folder_refused(self.altered(f"altered-{i}", file, **changes), pattern)

    def test_pipelines_of_other_models(self):
        unet = UNet2DModel(sample_size=16, **CONVOLUTIONAL)
        of_v = DDIMScheduler(prediction_type="v_prediction")
        DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(FOLDER / "ddpm")
        DDIMPipeline(unet=unet, scheduler=of_v).save_pretrained(FOLDER / "ddim")
        vqvae = VQModel(block_out_channels=(32,))
        LDMPipeline(vqvae=vqvae, unet=unet, scheduler=DDIMScheduler()).save_pretrained(FOLDER / "ldm")
        ddpm = r"ddpm: holds a DDPMPipeline \(DDPMScheduler, prediction_type epsilon\); .* ConsistencyModelPipeline"
        self.assert_folder_refused("ddpm", ddpm)
        ddim = r"ddim: holds a DDIMPipeline \(DDIMScheduler, prediction_type v_prediction\)"
        self.assert_folder_refused("ddim/unet/diffusion_pytorch_model.safetensors", ddim)
        ldm = r"ldm: holds a LDMPipeline \(DDIMScheduler, prediction_type epsilon, on the latents of its vqvae\)"
        self.assert_folder_refused("ldm/unet", ldm)
        config = ("--config", tiny_config(), "--dry-run")
        self.assert_all_refused({
            ("cm-train-cd", *config, "objective=cd", "teacher.checkpoint=ddpm"): ddpm,
            ("cm-train-ct", *config, "objective=ict", "init.checkpoint=ddpm"): ddpm,
        })

    def test_weights_of_another_network_are_listed(self):
        name = self.altered("wider", "unet/config.json", block_out_channels=[64, 96])
        pattern = r"wider/unet/\S+: weights of another network, \d+ tensors differ: \S+ is \[64.*the network needs \[96"
        self.assert_folder_refused(name, pattern)

    def test_folders_without_usable_weights(self):
        name = self.altered("pickled", "unet/config.json")
        weights = FOLDER / name / "unet" / "diffusion_pytorch_model.safetensors"
        weights.rename(weights.with_suffix(".bin"))
        self.assert_folder_refused(name, r"diffusion_pytorch_model\.bin: is pickled; save .*safe_serialization=True")
        weights.with_suffix(".bin").unlink()
        self.assert_folder_refused(name, r"pickled/unet: has a config\.json and no diffusion_pytorch_model\.safetensors")
        (FOLDER / "nothing").mkdir()
        self.assert_folder_refused("nothing", r"nothing: neither a run .* nor a diffusers folder")
        averages = ("cm-sample", "--checkpoint", "good", "--out", "never", "--ema", "0.9")
        self.assert_all_refused({averages: r"good: is a diffusers folder, which holds no averages"})

    def test_runs_that_diffusers_cannot_hold(self):
        teacher = train("edm", "edm", "train.steps=1")
        wide = train("ict", "wide", "train.steps=1", "model.channel_mult=[2]")
        (FOLDER / "taken").mkdir()
        for command, pattern in {
            ("export_diffusers", teacher, "never"): r"edm/.*: is parameterized as edm; .* skip parameterization",
            ("export_diffusers", wide, "never"): r"network\.channel_mult begins with 2",
            ("export_diffusers", wide, "taken"): r"taken: exists already; --force writes over it",
            ("export_diffusers", "missing", "never"): r"missing: no such file or folder",
            ("export_diffusers", wide, "never", "--ema", "0.7"): r"no evaluation average of rate 0\.7; it has \{0, 0\.05, 0\.9\}",
        }.items():
            with self.subTest(pattern):
                self.assert_refused(script(*command), pattern)
        self.assertFalse((FOLDER / "never").exists())


class ReleaseTest(ExecutableTest):
    """State dicts with the release's names, which are ours."""

    def state_dict(self, name, run):
        must_script("convert_checkpoint", run, f"{name}.pt")
        return torch.load(FOLDER / f"{name}.pt", weights_only=True)

    def test_there_and_back(self):
        variants = {
            "residual": (),
            "plain": ("model.resblock_updown=false", "model.scale_shift_norm=false"),
            "unlabelled": ("model.channel_mult=[1,2,2]", "model.res_blocks=2", "data.labels=false"),
            "resampled": ("model.resblock_updown=false", "model.conv_resample=false"),
        }
        for name, settings in variants.items():
            with self.subTest(name):
                run = rgb_run(f"run {name}", *settings)
                weights = self.state_dict(name, run)
                self.assertEqual(weights["input_blocks.0.0.weight"].shape, (32, 3, 3, 3))
                shape = ("--image-size", "8", "--head-channels", "16", "--kind", "ct")
                must_script("convert_checkpoint", f"{name}.pt", f"{name} back.safetensors", *shape)
                walk = ("--sigmas", "80,1.5", "--seed", "2")
                ours = sample(run, f"{name} ours", *walk)
                numpy.testing.assert_array_equal(sample(f"{name} back.safetensors", f"{name} back", *walk), ours)

    def test_networks_of_edm(self):
        """Its state dicts hold constants and inputs of the augmentation besides, and order qkv's channels otherwise."""
        for architecture, prefix, head_channels in (("ddpmpp", "model.", None), ("ncsnpp", "model.", None), ("edm2", "unet.", 16)):
            with self.subTest(architecture):
                heads = ("--head-channels", head_channels) if head_channels else ()
                network = (f"model.architecture={architecture}", f"model.head_channels={head_channels or 'null'}")
                run = rgb_run(architecture, *network)
                weights = {}
                for name, array in load_tensors(run / "checkpoints" / "latest" / "model.safetensors").items():
                    tensor = torch.from_numpy(array)
                    if "qkv." in name:
                        tensor = tensor.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)
                    weights[f"{prefix}{name}"] = tensor
                weights["model.map_augment.weight"] = torch.ones(32, 9)
                weights["model.enc.4x4_down.conv0.resample_filter"] = torch.ones(1, 1, 2, 2)
                weights["logvar_linear.weight"] = torch.ones(1, 128)
                torch.save(weights, FOLDER / f"{architecture}.pt")
                converted = f"{architecture}.safetensors"
                must_script("convert_checkpoint", f"{architecture}.pt", converted, "--kind", "ct", *heads)
                ours = sample(run, f"{architecture} ours", "--seed", "2", "--ema", "0")
                back = sample(f"{architecture}.safetensors", f"{architecture} back", "--seed", "2")
                numpy.testing.assert_array_equal(back, ours)
                must_script("convert_checkpoint", f"{architecture}.pt", f"{architecture} ect.safetensors", "--kind", "ect", *heads)
                model = json.loads(must_run("cm-info", f"{architecture} ect.safetensors", "--json").out)["model"]
                is_edm2 = architecture == "edm2"
                self.assertEqual(model["sigma"]["min"], 1e-9 if is_edm2 else 0.003)
                self.assertEqual(model["sampling"]["sigmas"], [80, 1.526 if is_edm2 else 0.821])

    def test_networks_of_dit(self):
        """Their state dicts hold the fixed positions besides, and lie beside others in the checkpoints of their training."""
        convert_checkpoint = importlib.import_module("convert_checkpoint")
        network = "model={architecture: dit, width: 32, depth: 2, heads: 2, patch: 2}"
        run = rgb_run("dit", network, "train.label_dropout=0.1")
        weights = load_tensors(run / "checkpoints" / "latest" / "model.safetensors")
        weights = {name: torch.from_numpy(array) for name, array in weights.items()}
        positions = convert_checkpoint.dit_positions(4, 32)
        published = weights | {"pos_embed": positions.unsqueeze(0)}
        ours = sample(run, "dit ours", "--seed", "2", "--ema", "0")
        for name, content in {
            "dit plain": published,
            "dit training": {"model": {}, "ema": published, "opt": {"state": {}}, "args": argparse.Namespace(epochs=1)},
        }.items():
            torch.save(content, FOLDER / f"{name}.pt")
            must_script("convert_checkpoint", f"{name}.pt", f"{name}.safetensors", "--kind", "ct", "--head-channels", "16")
            numpy.testing.assert_array_equal(sample(f"{name}.safetensors", f"{name} back", "--seed", "2"), ours)
        info = json.loads(must_run("cm-info", "dit plain.safetensors", "--json").out)
        self.assertEqual(info["model"]["image"], {"channels": 3, "size": 8, "classes": 4})
        self.assertEqual(info["model"]["label_dropout"], 0.1)

        must_script("convert_checkpoint", "dit plain.pt", "dit noise.safetensors", "--kind", "dit", "--heads", "2")
        model = json.loads(must_run("cm-info", "dit noise.safetensors", "--json").out)["model"]
        self.assertEqual((model["parameterization"], model["network"]["diffusers"]), ("vp_diffusion", False))
        alphas = numpy.cumprod(1 - numpy.linspace(1e-4, 0.02, 1000))
        ends = [model["sigma"][key] for key in ("min", "max")]
        numpy.testing.assert_allclose(ends, numpy.sqrt(1 / alphas - 1)[[0, -1]], rtol=1e-12)
        self.assertEqual(sample("dit noise.safetensors", "dit noise", "--sampler", "euler", "--steps", "3").shape, (3, 3, 8, 8))

        torch.save(weights, FOLDER / "dit bare.pt")
        torch.save(published | {"pos_embed": positions.flip(0)}, FOLDER / "dit learned.pt")
        for arguments, pattern in {
            ("dit bare.pt",): r"dit bare\.pt: has no pos_embed that would tell the side of the images; give --image-size",
            ("dit plain.pt", "--kind", "ect"): r"dit plain\.pt: is none of ECT's networks",
            ("dit learned.pt",): r"dit learned\.pt: pos_embed is not DiT's fixed one",
            ("dit plain.pt", "--head-channels", "12"): r"--head-channels 12: must divide the width of a token \(32\)",
        }.items():
            source, *rest = arguments
            self.assert_refused(script("convert_checkpoint", source, "never.safetensors", "--kind", "ct", *rest), pattern)
        given = ("--kind", "ct", "--heads", "2", "--image-size", "8")
        must_script("convert_checkpoint", "dit bare.pt", "dit bare.safetensors", *given)
        numpy.testing.assert_array_equal(sample("dit bare.safetensors", "dit bare", "--seed", "2"), ours)

    def test_published_networks_of_four_channels_are_of_latents(self):
        convert_checkpoint = importlib.import_module("convert_checkpoint")
        dit = {"x_embedder.proj.weight": torch.zeros(32, 4, 2, 2)}
        self.assertEqual(convert_checkpoint.latents_of(dit)["latents"]["scale"], 0.18215)
        edm2 = {"emb_noise.weight": torch.zeros(1), "out_conv.weight": torch.zeros(4, 8, 3, 3)}
        self.assertEqual(convert_checkpoint.latents_of(edm2)["latents"]["pixels"], "unit")
        self.assertEqual(convert_checkpoint.latents_of({"x_embedder.proj.weight": torch.zeros(32, 3, 2, 2)}), {})

    def test_the_direction_of_sit_is_turned(self):
        """What its first and last layers say at a time t is, negated, what the turned ones say at 1 - t."""
        convert_checkpoint = importlib.import_module("convert_checkpoint")
        torch.manual_seed(3)
        theirs = {name: torch.randn(16, 16) for name in (convert_checkpoint.DIT_TIME, *convert_checkpoint.DIT_ANSWER, "other")}
        turned = convert_checkpoint.from_sit(theirs)
        frequencies = torch.exp(-torch.arange(8) * numpy.log(10000) / 8)

        def seen(weights, time):
            features = torch.cat([torch.cos(time * frequencies), torch.sin(time * frequencies)])
            return weights[convert_checkpoint.DIT_TIME] @ features

        for time in (0.0, 0.3, 1.0):
            torch.testing.assert_close(seen(turned, 1 - time), seen(theirs, time))
        self.assertGreater(float((seen(turned, 0.3) - seen(theirs, 0.3)).abs().max()), 0.1)
        for name in convert_checkpoint.DIT_ANSWER:
            torch.testing.assert_close(turned[name], -theirs[name])
        torch.testing.assert_close(turned["other"], theirs["other"])

        torch.save({"time_embed.0.weight": torch.ones(128, 32)}, FOLDER / "no sit.pt")
        command = ("convert_checkpoint", "no sit.pt", "never.safetensors", "--kind", "sit")
        self.assert_refused(script(*command), r"no sit\.pt: is no transformer of SiT's or DiT's, which has x_embedder\.proj\.weight")

    def test_published_names_choose_preset_and_kind(self):
        presets = json.loads((SOURCE / "configs" / "presets.json").read_text())
        run = rgb_run("small")
        weights = self.state_dict("small", run)
        for name, preset in presets.items():
            torch.save(weights, FOLDER / f"cd_{name}_lpips.pt")
            must_script("convert_checkpoint", f"cd_{name}_lpips.pt", f"{name}.safetensors")
            pattern = rf"{name}\.safetensors: weights of another network, \d+ tensors differ: input_blocks\.0\.0"
            self.assert_all_refused({("cm-info", f"{name}.safetensors"): pattern})

    def test_presets_are_the_networks_of_the_configurations(self):
        presets = json.loads((SOURCE / "configs" / "presets.json").read_text())
        self.assertEqual(set(presets), {"imagenet64", "bedroom256", "cat256"})
        for name, preset in presets.items():
            text = (SOURCE / "configs" / name / "edm.yaml").read_text()
            model = re.search(r"(?m)^model:\n((?:  .*\n)+)", text)[1]
            for key in ("channels", "channel_mult", "res_blocks", "attention_resolutions", "head_channels"):
                self.assertEqual(json.loads(re.search(rf"(?m)^  {key}: (.*)$", model)[1]), preset["network"][key], name)
            for key in ("scale_shift_norm", "resblock_updown"):
                self.assertEqual(re.search(rf"(?m)^  {key}: (.*)$", model)[1] == "true", preset["network"][key], name)

    def test_what_is_no_checkpoint_is_refused(self):
        torch.save({"weight": torch.ones(1)}, FOLDER / "other.pt")
        torch.save({"step": 3}, FOLDER / "number.pt")
        torch.save([torch.ones(1)], FOLDER / "list.pt")
        torch.save({"w": torch.ones(1, 1).to_sparse()}, FOLDER / "sparse.pt")
        torch.save({1: torch.ones(1)}, FOLDER / "names.pt")
        (FOLDER / "text.pt").write_text("no pickle")
        (FOLDER / "there.safetensors").write_text("")
        kind = ("--kind", "ct")
        torch.save({"time_embed.0.weight": torch.ones(128, 32)}, FOLDER / "part.pt")
        for arguments, pattern in {
            ("missing.pt", "never.safetensors"): r"missing\.pt: no such file",
            ("other.pt", "there.safetensors"): r"there\.safetensors: exists already; --force",
            ("other.pt", "never.safetensors"): r"--kind is needed: edm .*, cd or ct",
            ("other.pt", "never.safetensors", *kind): r"other\.pt: weights of no network that is known here",
            ("number.pt", "never.safetensors", *kind): r"number\.pt: step is no tensor of numbers",
            ("text.pt", "never.safetensors", *kind): r"text\.pt: not a file of PyTorch weights",
            ("list.pt", "never.safetensors", *kind): r"list\.pt: holds a list, a state dict",
            ("sparse.pt", "never.safetensors", *kind): r"sparse\.pt: w is no tensor of numbers",
            ("names.pt", "never.safetensors", *kind): r"names\.pt: 1 is no tensor of numbers",
            (".", "never.safetensors", *kind): r"\.: Is a directory",
            ("part.pt", "list.pt/never", *kind, "--image-size", "8"): r"list\.pt/never: could not be written",
            ("text.pt", "never.pt"): r"text\.pt: not a safetensors file",
            ("part.pt", "never.safetensors", *kind): r"the side of the images is not in the weights: give --preset",
            ("part.pt", "never.safetensors", *kind, "--preset", "x"): r"--preset must be one of \{imagenet64",
        }.items():
            with self.subTest(pattern):
                self.assert_refused(script("convert_checkpoint", *arguments), pattern)
        self.assertFalse((FOLDER / "never.safetensors").exists())

    def test_every_way_in_which_a_file_can_be_broken_is_one_line(self):
        command = ("convert_checkpoint", "cut.pt", "never.safetensors", "--kind", "ct")
        for zipped in (True, False):
            torch.save({"time_embed.0.weight": torch.ones(8, 4)}, FOLDER / "cut.pt", _use_new_zipfile_serialization=zipped)
            content = (FOLDER / "cut.pt").read_bytes()
            for length in (*range(24), *range(24, len(content) - 1, 97)):
                with self.subTest(f"{length} bytes", zipped=zipped):
                    (FOLDER / "cut.pt").write_bytes(content[:length])
                    self.assert_refused(script(*command), r"cut\.pt: not a file of PyTorch weights .* or a damaged one")
        (FOLDER / "cut.pt").write_bytes(pickle.dumps({"a": 1}, protocol=4))  # which torch.load warns of besides
        self.assert_refused(script(*command), r"cut\.pt: not a file of PyTorch weights")

    def test_pickled_modules_that_are_none_are_one_line(self):
        none_of_edm = r"not a file that EDM's or EDM2's code wrote, or a damaged one"
        for name, content, options, pattern in (
            ("a", b"whatever", (), r"a\.pkl: holds pickled modules; name a checkout of the code that wrote it with --code"),
            ("b", b"", ("--code", "."), rf"b\.pkl: {none_of_edm} \(EOFError\)"),
            ("c", b"no pickle", ("--code", "."), rf"c\.pkl: {none_of_edm} \(UnpicklingError\)"),
            ("d", pickle.dumps({"net": 1}), ("--code", "."), rf"d\.pkl: {none_of_edm} \(KeyError\)"),
            ("e", pickle.dumps(3), ("--code", "."), rf"e\.pkl: {none_of_edm} \(AttributeError\)"),
            ("f", b"cnot_there\nThing\n.", ("--code", "."), r"--code \.: does not have what f\.pkl needs \(No module"),
        ):
            with self.subTest(pattern):
                (FOLDER / f"{name}.pkl").write_bytes(content)
                command = ("convert_checkpoint", f"{name}.pkl", "never.safetensors", "--kind", "edm", *options)
                self.assert_refused(script(*command), pattern)

    def test_pickled_weights_name_the_converter(self):
        torch.save({"w": torch.ones(1)}, FOLDER / "given.pt")
        config = ("--config", tiny_config(), "objective=cd", "teacher.checkpoint=given.pt")
        commands = (
            ("cm-sample", "--checkpoint", "given.pt", "--out", "never"),
            ("cm-info", "given.pt"),
            ("cm-train-cd", *config, "--dry-run"),
        )
        pattern = r"given\.pt: holds PyTorch's pickled weights, .*; scripts/convert_checkpoint\.py makes a weight file of it"
        self.assert_all_refused({command: pattern for command in commands})

    def test_converted_files_are_not_exported(self):
        torch.save({"time_embed.0.weight": torch.ones(128, 32)}, FOLDER / "open.pt")
        must_script("convert_checkpoint", "open.pt", "open.safetensors", "--kind", "ct", "--image-size", "8")
        refused = script("export_diffusers", "open.safetensors", "never")
        self.assert_refused(refused, r"open\.safetensors: does not say all of its network and noise levels")

    def test_incomplete_weights_are_named(self):
        torch.save({"time_embed.0.weight": torch.ones(128, 32)}, FOLDER / "incomplete.pt")
        must_script("convert_checkpoint", "incomplete.pt", "incomplete.safetensors", "--kind", "ct", "--image-size", "8")
        pattern = r"incomplete\.safetensors: weights of another network, \d+ tensors differ: \S+ \[[\d, ]+\] is missing"
        self.assert_all_refused({("cm-info", "incomplete.safetensors"): pattern})


if __name__ == "__main__":
    unittest.main()
