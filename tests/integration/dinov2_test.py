"""scripts/export_dinov2.py on random weights: its network beside timm's, its resizing beside Pillow's, and cm-evaluate's
metrics in its features beside those that numpy and scipy compute."""

import functools
import hashlib
import json
import math
import pathlib
import sys
import unittest

import numpy
from support import FOLDER, SOURCE, ExecutableTest, must_run, run_script

try:
    import PIL.Image
    import safetensors.torch
    import scipy.linalg
    import timm
    import torch
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

sys.path.insert(0, str(SOURCE / "scripts"))
import export_dinov2  # noqa: E402

# What the tests of numbers use: of the published ones, the smallest takes a tenth of a second an image.
TINY = "vit_tiny_patch14"
export_dinov2.MODELS[TINY] = export_dinov2.Size(width=32, depth=2, heads=2)

SMALL = "vit_small_patch14"
MODULE = pathlib.Path("weights", "dinov2.pt")  # what `--features dinov2` means
RULES = ("torch", "pil")


def pictures(count, seed, side=32, channels=3):
    """uint8 [count, channels, side, side]: coarse blots of colour over fine noise."""
    random = torch.Generator().manual_seed(seed)
    blots = torch.rand(count, channels, 4, 4, generator=random)
    noise = torch.rand(count, channels, side, side, generator=random)
    large = blots.repeat_interleave(side // 4, 2).repeat_interleave(side // 4, 3)
    return (255 * (0.8 * large + 0.2 * noise) ** (1 + seed / 4)).to(torch.uint8)


SAMPLES = pictures(80, 1)
REFERENCE = pictures(96, 2)


def timms(model, grid):
    """timm's own network of that size."""
    size = export_dinov2.MODELS[model]
    if model != TINY:
        return timm.create_model(f"{model}_dinov2", img_size=14 * grid, num_classes=0).eval()
    return timm.models.vision_transformer.VisionTransformer(
        img_size=14 * grid, patch_size=14, embed_dim=size.width, depth=size.depth, num_heads=size.heads,
        init_values=1.0, num_classes=0,
    ).eval()  # fmt: skip


@functools.cache
def state_dict(model):
    """Random weights under timm's names, none of which leaves a number as it is."""
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in timms(model, export_dinov2.TRAINED_GRID).state_dict().items():
        drawn = torch.randn(tensor.shape, generator=random)
        if tensor.dim() == 1:
            state[name] = 0.2 * drawn + (0 if name.endswith("bias") else 1)
        else:
            state[name] = 2 * drawn / tensor[0].numel() ** 0.5
    return state


def authors(model):
    """The same as the authors' files have it."""
    return state_dict(model) | {"mask_token": torch.zeros(1, export_dinov2.MODELS[model].width)}


def saved(name, state):
    if name.endswith(".safetensors"):
        safetensors.torch.save_file(state, FOLDER / name)
    else:
        torch.save(state, FOLDER / name)
    return FOLDER / name


def exported(name, weights, resize="torch", model=TINY):
    out = FOLDER / name
    export_dinov2.export(weights, model, resize, out)
    return out


@functools.cache
def module(resize):
    """The tiny network's, as a file."""
    return exported(f"tiny-{resize}.pt", saved(f"{resize}.pth", authors(TINY)), resize)


def features(file, images):
    with torch.no_grad():
        return torch.jit.load(file)(images)


def script(*arguments, **settings):
    return run_script("export_dinov2.py", *arguments, **settings)


def normalised(resized):
    """fp32 [N, 3, 224, 224] from 0 to 255, as ImageNet's networks are shown it."""
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (resized / 255 - mean) / deviation


def by_pillow(images):
    pils = [PIL.Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    resized = [numpy.array(image.resize((224, 224), PIL.Image.BICUBIC)) for image in pils]
    return torch.tensor(numpy.stack(resized)).permute(0, 3, 1, 2).to(torch.float32)


class NetworkTest(unittest.TestCase):
    def assert_as_timm(self, model, images):
        file = exported("compared.pt", saved("compared.safetensors", state_dict(model)), model=model)
        network = timms(model, export_dinov2.GRID)
        positions = export_dinov2.position_embedding(state_dict(model)["pos_embed"])
        network.load_state_dict(state_dict(model) | {"pos_embed": positions})
        resized = torch.nn.functional.interpolate(images.float(), size=(224, 224), mode="bicubic", antialias=True)
        with torch.no_grad():
            theirs = network(normalised(resized))
        ours = features(file, images)
        self.assertEqual(ours.shape, (len(images), export_dinov2.MODELS[model].width))
        self.assertGreater(ours.std(0).mean(), 0.01 * ours.std())  # the images are told apart
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6 * float(theirs.abs().max()))

    def test_as_timm(self):
        self.assert_as_timm(TINY, SAMPLES[:40])  # more than the module takes at once
        self.assert_as_timm(SMALL, SAMPLES[:2])

    def test_positions_are_the_authors(self):
        """By the formula of cubic convolution (Keys 1981, a = −3/4), at places whose scale is by a tenth of a patch
        larger than 16/37; beyond its border the embedding goes on as it is at it."""

        def kernel(d):
            near, far = 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
            return near if d < 1 else far

        filters = torch.zeros(16, 37)
        for i in range(16):
            place = (i + 0.5) * 37 / 16.1 - 0.5
            for j in range(math.floor(place) - 1, math.floor(place) + 3):
                filters[i, min(max(j, 0), 36)] += kernel(abs(place - j))
        trained = torch.randn(1, 1 + 37 * 37, 5, generator=torch.Generator().manual_seed(1))
        ours = export_dinov2.position_embedding(trained)
        expected = torch.einsum("ia,jb,abd->ijd", filters, filters, trained[0, 1:].view(37, 37, 5)).flatten(0, 1)
        self.assertTrue(torch.equal(ours[0, 0], trained[0, 0]))
        torch.testing.assert_close(ours[0, 1:], expected, rtol=0, atol=1e-4)

    def test_resized_as_by_pillow(self):
        for side in (28, 32, 64, 256, 300):
            with self.subTest(side):
                images = pictures(4, 3, side)
                error = (export_dinov2.PilResize()(images.float()) - by_pillow(images)).abs()
                self.assertLessEqual(error.max(), 1)
                self.assertLess((error > 0).double().mean(), 5e-4)
                torch_error = (export_dinov2.TorchResize()(images.float()) - by_pillow(images)).abs()
                self.assertGreater((torch_error > 0).double().mean(), 0.5)  # which does not round
                self.assertLess(torch_error.median(), 1)

    def test_each_rule_is_in_its_module(self):
        images = pictures(4, 3, 28)  # which both bring to 224 exactly
        with torch.no_grad():
            by_rule = {rule: features(module(rule), images) for rule in RULES}
            network = export_dinov2.read_network(FOLDER / "pil.pth", TINY)
            theirs = network(normalised(by_pillow(images)))
        torch.testing.assert_close(by_rule["pil"], theirs, rtol=0, atol=1e-5)
        self.assertGreater((by_rule["torch"] - theirs).abs().max(), 1e-4)

    def test_grey_images_are_those_of_three_equal_channels(self):
        grey = pictures(3, 4, channels=1)
        by_three = features(module("torch"), grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(features(module("torch"), grey), by_three)


class ExportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.published = saved("dinov2_vits14_pretrain.pth", authors(SMALL))

    def assert_refused(self, weights, pattern, *arguments):
        result = script("--weights", weights, "--out", "never-made.pt", *arguments)
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertRegex(result.stderr, rf"^export_dinov2: [^\n]*{pattern}[^\n]*\n$")
        self.assertFalse((FOLDER / "never-made.pt").exists())

    def test_says_what_it_made(self):
        result = script("--model", SMALL, "--weights", self.published.name, "--out", "small.pt", "--resize", "pil")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"^small\.pt: vit_small_patch14, 21,628,800 numbers, 384 features .*\.pth\n$")
        facts = {"features.json": ""}
        torch.jit.load(FOLDER / "small.pt", _extra_files=facts)
        digest = hashlib.sha256(self.published.read_bytes()).hexdigest()
        expected = {"name": "dinov2", "model": SMALL, "resize": "pil", "source": "dinov2_vits14_pretrain.pth",
                    "source_sha256": digest}  # fmt: skip
        self.assertEqual(json.loads(facts["features.json"]), expected)

    def test_equal_weights_make_equal_files(self):
        """Whatever the file is called, wherever the script lies, and in whatever order Python keeps its sets."""
        elsewhere = FOLDER / "elsewhere"
        elsewhere.mkdir()
        for name in ("export_dinov2.py", "state_dict.py"):
            (elsewhere / name).write_bytes((SOURCE / "scripts" / name).read_bytes())
        asked = ("--model", SMALL, "--weights", self.published.name, "--out")
        made = {}
        for seed, scripts in {"1": SOURCE / "scripts", "2": elsewhere}.items():
            result = script(*asked, f"{seed}.pt", scripts=scripts, PYTHONHASHSEED=seed)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            made[seed] = hashlib.sha256((FOLDER / f"{seed}.pt").read_bytes()).hexdigest()
        self.assertEqual(made["1"], made["2"])

    def test_timms_file_and_the_authors_make_the_same_features(self):
        images = SAMPLES[:3]
        theirs = features(exported("theirs.pt", saved("theirs.pth", authors(TINY))), images)
        for name in ("timm.safetensors", "timm.pth"):
            self.assertTrue(torch.equal(features(exported("timm.pt", saved(name, state_dict(TINY))), images), theirs))

    def test_what_is_refused(self):
        small = state_dict(SMALL)
        registers = saved("registers.pth", authors(SMALL) | {"register_tokens": torch.zeros(1, 4, 384)})
        timm_registers = saved("reg4.safetensors", small | {"reg_token": torch.zeros(1, 4, 384)})
        short = saved("short.pth", {name: tensor for name, tensor in small.items() if name != "blocks.7.ls1.gamma"})
        broken = saved("broken.pth", small | {"norm.bias": torch.full((384,), torch.nan)})
        plain = saved("plain.pth", {name.replace("blocks", "layers"): tensor for name, tensor in small.items()})
        (FOLDER / "text.safetensors").write_text("weights")
        asked = ("--model", SMALL)
        other = r"pretrain\.pth: holds vit_small_patch14, but {} is asked for; give --model vit_small_patch14, or other"
        self.assert_refused(self.published.name, other.format("vit_large_patch14"))
        self.assert_refused(self.published.name, other.format("vit_base_patch14"), "--model", "vit_base_patch14")
        self.assert_refused(registers, r"registers\.pth: DINOv2 with registers, .* take the weights without", *asked)
        self.assert_refused(timm_registers, r"reg4\.safetensors: DINOv2 with registers", *asked)
        missing = r"not DINOv2's vit_small_patch14, 1 of 174 tensors differ: blocks\.7\.ls1\.gamma \[384\] is missing"
        self.assert_refused(short, missing, *asked)
        self.assert_refused(broken, r"norm\.bias is not made of finite", *asked)
        self.assert_refused(plain, r"not DINOv2's vit_small_patch14, 168 of 174 tensors differ", *asked)
        self.assert_refused("nowhere.pth", r"nowhere\.pth: No such file or directory")
        self.assert_refused("nowhere.safetensors", r"nowhere\.safetensors: No such file or directory")
        self.assert_refused("text.safetensors", r"text\.safetensors: not a file of PyTorch weights")

    def test_help(self):
        result = script("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("--model", "--resize", "dinov2_vitl14_pretrain.pth", "--features dinov2", *export_dinov2.RESIZES):
            self.assertIn(word, result.stdout)


# The metrics by their definitions, on float64 [N, D].


def frechet(a, b):
    covariances = [numpy.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + numpy.trace(covariances[0] + covariances[1] - 2 * root)


def distances(a, b):
    return numpy.linalg.norm(a[:, None] - b[None], axis=-1)


def inside(points, centres, k):
    """[points, centres]: whether a point lies in a centre's ball, which reaches to its k-th nearest other centre."""
    radii = numpy.sort(distances(centres, centres))[:, k]
    return distances(points, centres) <= radii


def expected_metrics(samples, reference):
    balls = inside(samples, reference, 5)
    return {
        "frechet": frechet(samples, reference),
        "precision": inside(samples, reference, 3).any(1).mean(),
        "recall": inside(reference, samples, 3).any(1).mean(),
        "density": balls.sum(1).mean() / 5,
        "coverage": balls.any(0).mean(),
    }


class EvaluateTest(ExecutableTest):
    @classmethod
    def setUpClass(cls):
        for name, images in (("samples.npz", SAMPLES), ("reference.npz", REFERENCE)):
            numpy.savez(FOLDER / name, images.permute(0, 2, 3, 1).numpy())
        exported(MODULE, saved("tiny.pth", authors(TINY)))

    def evaluate(self, features_of, *arguments):
        asked = ("--samples", "samples.npz", "--reference", "reference.npz", "--features", features_of, "--json")
        return json.loads(must_run("cm-evaluate", *asked, *arguments).out)

    def test_metrics_by_their_definitions(self):
        asked = ("--metrics", "frechet,precision,recall,density,coverage")
        for rule in RULES:
            report = self.evaluate(module(rule), *asked)
            sets = [features(module(rule), images).double().numpy() for images in (SAMPLES, REFERENCE)]
            for name, value in expected_metrics(*sets).items():
                with self.subTest(rule, metric=name):
                    self.assertGreater(value, 0)
                    self.assertAlmostEqual(report[name] / value, 1, delta=1e-4)

    def test_says_which_features(self):
        reported = self.evaluate("dinov2", "--metrics", "frechet")["features"]  # MODULE is its place
        digests = {key: hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()
                   for key, file in (("sha256", MODULE), ("source_sha256", "tiny.pth"))}  # fmt: skip
        expected = {"name": "dinov2", "width": 32, "file": str(MODULE), "model": TINY, "resize": "torch",
                    "source": "tiny.pth"}  # fmt: skip
        self.assertEqual(reported, expected | digests)
        table = must_run("cm-evaluate", "--samples", "samples.npz", "--reference", "samples.npz", "--features", "dinov2")
        self.assertRegex(table.out, r"(?m)^features +dinov2, 32 wide, images resized as torch, from weights/dinov2\.pt")

    def test_statistics_serve_in_the_features_that_they_are_of(self):
        must_run("cm-evaluate", "--samples", "reference.npz", "--features", "dinov2", "--save-stats", "ours.npz")
        asked = ("cm-evaluate", "--samples", "samples.npz", "--reference", "ours.npz", "--json", "--features")
        by_statistics = json.loads(must_run(*asked, "dinov2").out)["frechet"]
        self.assertAlmostEqual(by_statistics / self.evaluate("dinov2")["frechet"], 1, delta=1e-6)
        refused = r'ours\.npz: the statistics are of the features \{"name":"dinov2",.*, not of \{"name":'
        self.assert_all_refused(
            {
                (*asked, module("pil")): refused + r'"dinov2",.*"resize":"pil".*; compute them again in these features',
                (*asked, "pixels"): refused + r'"pixels"',
            }
        )

    def test_what_is_refused(self):
        torch.jit.script(torch.nn.Flatten()).save(FOLDER / "flat.pt")
        asked = ("cm-evaluate", "--samples", "samples.npz", "--reference", "reference.npz", "--features")
        makes = r".*export_dinov2\.py .* makes"
        self.assert_all_refused(
            {
                (*asked, "dinov2:nowhere.pt"): rf"features 'dinov2:nowhere\.pt': there is no file 'nowhere\.pt'; {makes}",
                (*asked, "dinov2:tiny.pth"): rf"tiny\.pth: can't be loaded .* \(it holds weights and no code\){makes}",
                (*asked, "dinov2:samples.npz"): rf"samples\.npz: can't be loaded as a TorchScript module .*; {makes}",
                (*asked, "dinov2:flat.pt"): rf"flat\.pt: gives a tensor \[1, 3072\] of unsigned char {makes}",
                (*asked, "dinov3"): r"'dinov3' are neither pixels nor inception nor dinov2 .*did you mean dinov2\?",
                (*asked, "dinov2", "--metrics", "fid"): r"metric 'fid' is defined by Inception .* these are dinov2",
                (*asked, "dinov2", "--resize", "clean"): r"\(clean\) belongs to Inception features, but these are dinov2",
            }
        )
        self.assertIn("export_dinov2.py", must_run("cm-evaluate", "--help").out)


if __name__ == "__main__":
    unittest.main()
