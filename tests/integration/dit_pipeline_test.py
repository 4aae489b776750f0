"""diffusers' DiTPipeline, in and out: the same weights, noise, classes, steps and guidance give the same latents and images."""

import functools
import importlib
import json
import re
import shutil
import sys
import unittest
import zipfile

import numpy
from parity import record
from support import FOLDER, ExecutableTest, load_tensors, must_run, save_tensors, tiny_config, train

try:
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel, DPMSolverMultistepScheduler
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

from interop_test import COMPUTED_WITH, must_script, rgb_data, script

LATENTS = 1e-5  # relative: other kernels, and diffusers' fp32 levels, in a few evaluations
IMAGES = 5e-5  # of images in [-1, 1]
WEIGHTS = "diffusion_pytorch_model.safetensors"
SAMPLES = 3
STEPS = 7
# Beside a network that has DiT's tensors by diffusers' former names and keys.
LEGACY = {
    "_class_name": "Transformer2DModel",
    "cross_attention_dim": None,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "use_linear_projection": False,
}


def small_vae(latents=4, scale=0.6):
    torch.manual_seed(1)
    levels = {"block_out_channels": (8, 8), "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return AutoencoderKL(latent_channels=latents, norm_num_groups=4, layers_per_block=1, scaling_factor=scale, **levels).eval()


def pipeline(name, **config):
    """A pipeline of random weights, none of them 0, as diffusers saves it."""
    torch.manual_seed(0)
    shape = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "sample_size": 8, "out_channels": 8}
    transformer = DiTTransformer2DModel(**shape | config).eval()
    for block in transformer.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(transformer.transformer_blocks[0].norm1.emb.state_dict())
    made = DiTPipeline(transformer=transformer, vae=small_vae(), scheduler=DDIMScheduler(clip_sample=False))
    made.save_pretrained(FOLDER / name)
    return made


def reference(made, name, guidance):
    """(its latents, its images in [-1, 1], a file of the noise that it began with)."""
    made.set_progress_bar_config(disable=True)
    config = made.transformer.config
    made.scheduler.set_timesteps(STEPS)
    level = (1 / made.scheduler.alphas_cumprod[made.scheduler.timesteps[0]].double() - 1).sqrt()
    shape = (SAMPLES, config.in_channels, config.sample_size, config.sample_size)
    start = torch.randn(shape, generator=torch.Generator().manual_seed(7)) * (1 + level**2).sqrt().float()
    noise = save_tensors(FOLDER / f"{name} noise.safetensors", {"x_T": start.numpy()})
    decode, decoded = made.vae.decode, []

    def remembering(latents):
        decoded.append(latents * made.vae.config.scaling_factor)
        return decode(latents)

    made.vae.decode = remembering
    classes = [i % config.num_embeds_ada_norm for i in range(SAMPLES)]
    generator = torch.Generator().manual_seed(7)
    images = made(classes, guidance_scale=guidance, generator=generator, num_inference_steps=STEPS, output_type="pt").images
    made.vae.decode = decode
    return decoded[0].numpy(), images.numpy() * 2 - 1, noise


def sample(checkpoint, out, *arguments):
    walk = ("--sampler", "euler", "--steps", STEPS, "--num", SAMPLES, "--batch", "2", "--float")
    must_run("cm-sample", "--checkpoint", checkpoint, *walk, "--out", out, *arguments)
    tensors = load_tensors(FOLDER / out / "samples.safetensors")
    return tensors["latents"], tensors["x"]


@functools.cache
def published():
    return pipeline("published")


@functools.cache
def latents_of_classes():
    """Overrides that train on latents of four classes, scaled alone; their VAE's folder is `small vae`."""
    small_vae().save_pretrained(FOLDER / "small vae")
    images = ("data.kind=npz", f"data.path={rgb_data()}", "data.horizontal_flip=false")
    must_run("cm-data", "--config", tiny_config(), "--encode", "small vae", "--out", "classes.zip", *images)
    with zipfile.ZipFile(FOLDER / "classes.zip") as archive:
        moments = [numpy.load(archive.open(name)) for name in archive.namelist() if name.endswith(".npy")]
    scale = 1 / numpy.sqrt(numpy.mean([m[:4] ** 2 + m[4:] ** 2 for m in moments]))
    return ("data.kind=latents", f"data.path={FOLDER / 'classes.zip'}", "data.horizontal_flip=false", f"data.latents.scale={scale:.4g}")


@functools.cache
def trained():
    network = "model={architecture: dit, width: 32, depth: 2, heads: 2, patch: 2, diffusers: true}"
    noise = ("parameterization=vp_diffusion", "edm.weighting=snr", "sigma={min: 0.01, max: 157, data: 1}")
    arguments = (*latents_of_classes(), network, *noise, "train.label_dropout=0.1", "train.steps=4")
    return train("edm", "trained", *arguments)


class DitPipelineTest(ExecutableTest):
    def assert_same_samples(self, made, checkpoint, case, guidance=1.0, vae=()):
        latents, images, noise = reference(made, case, guidance)
        options = ("--guidance", guidance) if guidance > 1 else ()
        ours = sample(checkpoint, f"{case} {guidance}", "--noise", noise, *options, *vae)
        self.assertGreater(latents.std(), 0.05)
        self.assertLess((abs(images) >= 1).mean(), 0.5)
        errors = {
            "latents": ("relative", float(abs(ours[0] - latents).max() / abs(latents).max()), LATENTS),
            "images": ("absolute", float(abs(ours[1] - images).max()), IMAGES),
        }
        for quantity, (kind, error, tolerance) in errors.items():
            walk = f"{quantity}, {STEPS} steps of DDIM{f', guidance {guidance:g}' if guidance > 1 else ''}"
            record("diffusers", case, walk, kind, error, tolerance, COMPUTED_WITH)
            self.assertLess(error, tolerance, quantity)

    def test_a_pipeline_is_sampled_as_diffusers_samples_it(self):
        self.assert_same_samples(published(), "published", "DiTPipeline")
        self.assert_same_samples(published(), "published", "DiTPipeline", guidance=4.0)
        made = pipeline("other", out_channels=4, patch_size=4, num_layers=1, num_embeds_ada_norm=5)
        self.assert_same_samples(made, "other/transformer", "DiTPipeline without a variance")

    def test_info_tells_what_a_pipeline_is(self):
        published()
        model = json.loads(must_run("cm-info", "published", "--json").out)["model"]
        network = {key: model["network"][key] for key in ("architecture", "width", "depth", "heads", "patch", "learned_variance", "diffusers")}
        self.assertEqual(network, {"architecture": "dit", "width": 32, "depth": 2, "heads": 2, "patch": 2,
                                   "learned_variance": True, "diffusers": True})  # fmt: skip
        self.assertEqual(model["image"], {"channels": 4, "size": 8, "classes": 1000})
        self.assertEqual((model["parameterization"], model["label_dropout"]), ("vp_diffusion", 0.1))
        self.assertEqual((model["latents"]["pixels"], model["latents"]["scale"]), ("symmetric", 0.6))
        self.assertEqual(len(model["latents"]["vae_hash"]), 64)

    def test_former_folders_are_the_same(self):
        published()
        shutil.copytree(FOLDER / "published", FOLDER / "former")
        config = FOLDER / "former" / "transformer" / "config.json"
        kept = json.loads(config.read_text())
        config.write_text(json.dumps(kept | LEGACY))
        scheduler = DPMSolverMultistepScheduler.from_config(DDIMScheduler().config)
        scheduler.save_pretrained(FOLDER / "former" / "scheduler")
        weights = FOLDER / "former" / "transformer" / WEIGHTS
        tensors = load_tensors(weights) | {"pos_embed.pos_embed": numpy.zeros((1, 16, 32), numpy.float32)}
        save_tensors(weights, tensors)
        numpy.testing.assert_array_equal(sample("former", "former samples")[0], sample("published", "published samples")[0])

    def test_a_run_is_exported_and_sampled_by_diffusers(self):
        run = trained()
        told = must_script("export_diffusers", run, "exported", "--vae", "small vae", "--ema", "0").out
        self.assertRegex(told, r"as a DiTPipeline \(guidance_scale=1 alone: .* class 1000 for none, and here that is 4\)")
        made = DiTPipeline.from_pretrained(FOLDER / "exported")
        self.assert_same_samples(made, run / "checkpoints" / "latest" / "model.safetensors", "exported DiTPipeline", vae=("--vae", "small vae"))
        self.assert_same_samples(made, "exported", "there and back, DiTPipeline")

    def test_training_starts_from_a_pipeline(self):
        made = pipeline("four classes", sample_size=4, num_embeds_ada_norm=4)
        self.assertEqual(made.vae.config.latent_channels, 4)
        shutil.rmtree(FOLDER / "four classes" / "vae")
        latents = latents_of_classes()
        shutil.copytree(FOLDER / "small vae", FOLDER / "four classes" / "vae")
        config = FOLDER / "four classes" / "vae" / "config.json"
        scale = float(latents[-1].split("=")[1])
        config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": scale}))
        settings = (*latents, "model=null", "train.steps=1", "sigma={min: 0.01, max: 157, data: 1}")
        noise = ("parameterization=vp_diffusion", "edm.weighting=snr", "optimizer.lr=1e-9", "init.checkpoint=four classes")
        run = train("edm", "from-pipeline", *settings, *noise)
        before, after = sample("four classes", "before", "--seed", "3")[0], sample(run, "after", "--seed", "3", "--vae", "small vae")[0]
        numpy.testing.assert_allclose(after, before, atol=1e-4 * abs(before).max())
        taught = train("cd", "taught", *settings, "teacher.checkpoint=four classes", "teacher.guidance=2")
        self.assertEqual(json.loads(must_run("cm-info", taught, "--json").out)["model"]["guidance"], 2)


class RefusedTest(ExecutableTest):
    def altered(self, name, file, **changes):
        """A pipeline's folder with some of a config's values replaced."""
        published()
        shutil.copytree(FOLDER / "published", FOLDER / name)
        path = FOLDER / name / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return name

    def test_configs_that_compute_something_else(self):
        network, scheduler, vae = "transformer/config.json", "scheduler/scheduler_config.json", "vae/config.json"
        cases = [
            (network, {"_class_name": "PixArtTransformer2DModel"}, r'_class_name must be "DiTTransformer2DModel", got "PixArt'),
            (scheduler, {"_class_name": "EulerDiscreteScheduler"}, r'_class_name must be "DDIMScheduler" or .*, got "EulerDiscrete'),
            (vae, {"_class_name": "VQModel"}, r'vae/config\.json: _class_name must be "AutoencoderKL", got "VQModel"'),
        ]  # fmt: skip
        commands = {}
        for i, (file, changes, pattern) in enumerate(cases):
            commands[("cm-info", self.altered(f"altered-{i}", file, **changes))] = pattern
        shutil.copytree(FOLDER / "published" / "transformer", FOLDER / "lonely")
        commands[("cm-info", "lonely")] = r'_class_name is a transformer without its pipeline, .* name a whole DiTPipeline, got "DiTT'
        shutil.rmtree(FOLDER / self.altered("no-vae", "model_index.json") / "vae")
        commands[("cm-info", "no-vae")] = r"no-vae/vae: holds no config\.json"
        self.assert_all_refused(commands)

    def test_weights_that_do_not_fit(self):
        tensors = load_tensors(FOLDER / self.altered("unequal", "model_index.json") / "transformer" / WEIGHTS)
        name = "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"
        save_tensors(FOLDER / "unequal" / "transformer" / WEIGHTS, tensors | {name: tensors[name] + 1})
        sampling = ("cm-sample", "--out", "never", "--checkpoint")
        self.assert_all_refused(
            {
                (*sampling, "unequal"): rf"unequal/.*: {re.escape(name)} is another than transformer_blocks\.0\..*, and DiT has one",
                (*sampling, "published", "--steps", "1001"): r"--steps must be at most 1000, the noise levels that this checkpoint",
            }
        )

    def test_models_that_a_pipeline_cannot_hold(self):
        weight_file = importlib.import_module("weight_file")
        run = trained()
        model, tensors = weight_file.load(weight_file.resolve(run))
        small_vae(latents=6).save_pretrained(FOLDER / "wide vae")
        other = small_vae()
        other.quant_conv.bias.data += 1
        other.save_pretrained(FOLDER / "other vae")
        vaes = {
            None: r"is a model of latents, and diffusers' DiTPipeline holds their VAE; name its folder by --vae",
            "wide vae": r"--vae wide vae: is a VAE of latents of 6 channels, but those of .* have 4",
            "other vae": r"--vae other vae: is another VAE \(SHA-256",
            "nothing": r"--vae nothing: holds no config\.json",
        }
        for vae, pattern in vaes.items():
            with self.subTest(vae=vae):
                self.assert_refused(script("export_diffusers", run, "never", *(() if vae is None else ("--vae", vae))), pattern)
        altered = (
            ({"parameterization": "edm"}, r"is parameterized as edm; diffusers' DiTPipeline samples by the noise"),
            ({"network": {"diffusers": False}}, r"its network computes what DiT's code does, .* train one with model\.diffusers=true"),
            ({"network": {"mlp_ratio": 2.5}}, r"network\.mlp_ratio is 2\.5; diffusers' blocks have 4"),
            ({"image": {"classes": 0}}, r"knows no classes, and diffusers' DiTPipeline asks for one"),
            ({"latents": None}, r"is a model of pixels; diffusers' DiTPipeline makes images of latents"),
            ({"latents": {"pixels": "unit"}}, r"is told pixels from 0 to 1 \(latents\.pixels: unit\)"),
            ({"latents": {"std": [1, 1, 2, 1]}}, r"have a std of their own \(latents\.std\)"),
        )
        for changes, pattern in altered:
            with self.subTest(changes):
                parts = {key: model[key] | value if isinstance(value, dict) else value for key, value in changes.items()}
                weight_file.save(FOLDER / "altered.safetensors", model | parts, tensors)
                self.assert_refused(script("export_diffusers", "altered.safetensors", "never", "--vae", "small vae"), pattern)
        self.assertFalse((FOLDER / "never").exists())


if __name__ == "__main__":
    unittest.main()
