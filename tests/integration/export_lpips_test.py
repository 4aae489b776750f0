"""scripts/export_lpips.py on state dicts of random numbers, and that training takes what it writes."""

import collections
import functools
import sys
import unittest

import numpy
from support import FOLDER, ExecutableTest, load_tensors, metadata_of, run, run_script, save_tensors, tiny_config

try:
    import torch
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh installs it")
    sys.exit(77)

# torchvision's VGG16: (output channels, layers of that width), a pooling after each.
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

CONVOLUTIONS = ["features.0", "features.2", "features.5", "features.7", "features.10", "features.12", "features.14",
                "features.17", "features.19", "features.21", "features.24", "features.26", "features.28"]  # fmt: skip


WEIGHTS = "weights/lpips.safetensors"


def vgg16():
    """The state dict, with a piece of the classifier that follows the convolutions."""
    random = torch.Generator().manual_seed(0)
    tensors = collections.OrderedDict()
    names, inputs = iter(CONVOLUTIONS), 3
    for outputs, layers in VGG16:
        for _ in range(layers):
            name = next(names)
            scale = (2 / (9 * inputs)) ** 0.5
            tensors[f"{name}.weight"] = scale * torch.randn(outputs, inputs, 3, 3, generator=random)
            tensors[f"{name}.bias"] = torch.zeros(outputs)
            inputs = outputs
    tensors["classifier.6.bias"] = torch.zeros(1000)
    return tensors


def linear():
    """The lpips package's names: a dropout stands before each convolution."""
    return {f"lin{i}.model.1.weight": torch.full((1, channels, 1, 1), 0.1 + i) for i, (channels, _) in enumerate(VGG16)}


def saved(name, content):
    torch.save(content, FOLDER / name)
    return name


def export(*arguments, **changes):
    return run_script("export_lpips.py", *arguments, **changes)


@functools.cache
def exported():
    """What the script says of vgg16.pth and lin.pth; it makes weights/lpips.safetensors of them."""
    saved("vgg16.pth", vgg16())
    saved("lin.pth", linear())
    return export("--vgg16", "vgg16.pth", "--lin", "lin.pth", "--out", WEIGHTS)


class ExportTest(ExecutableTest):
    @classmethod
    def setUpClass(cls):
        exported()
        cls.vgg16, cls.linear = vgg16(), linear()

    def assert_export_refused(self, arguments, pattern):
        result = export(*arguments, "--out", "never-made.safetensors")
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertRegex(result.stderr, rf"^export_lpips: {pattern}[^\n]*\n$")
        self.assertFalse((FOLDER / "never-made.safetensors").exists())

    def test_names_shapes_and_values(self):
        self.assertEqual((exported().returncode, exported().stderr), (0, ""))
        self.assertRegex(exported().stdout, r"31 tensors, 14,716,160 numbers")
        tensors = load_tensors(FOLDER / WEIGHTS)
        convolutions = [f"{name}.{part}" for name in CONVOLUTIONS for part in ("weight", "bias")]
        self.assertEqual(set(tensors), {*convolutions, "lin0", "lin1", "lin2", "lin3", "lin4"})
        for name in convolutions:
            numpy.testing.assert_array_equal(tensors[name], self.vgg16[name].numpy())
        for i in range(5):
            numpy.testing.assert_array_equal(tensors[f"lin{i}"], self.linear[f"lin{i}.model.1.weight"].numpy())
        self.assertTrue(all(tensor.dtype == numpy.float32 for tensor in tensors.values()))
        expected = {"kind": "lpips_vgg16", "vgg16": "vgg16.pth", "lin": "lin.pth"}
        self.assertLessEqual(expected.items(), metadata_of(FOLDER / WEIGHTS).items())

    def test_the_linear_weights_of_an_installed_package(self):
        package = FOLDER / "packages" / "lpips"
        (package / "weights" / "v0.1").mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('must not be imported')\n")
        torch.save({name: tensor + 1 for name, tensor in self.linear.items()}, package / "weights" / "v0.1" / "vgg.pth")
        result = export("--vgg16", "vgg16.pth", "--out", "found.safetensors", PYTHONPATH=str(package.parent))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        found = load_tensors(FOLDER / "found.safetensors")
        numpy.testing.assert_array_equal(found["lin2"], self.linear["lin2.model.1.weight"].numpy() + 1)

    def test_what_is_refused(self):
        text = FOLDER / "text.pth"
        text.write_text("weights")
        negative = saved("negative.pth", self.linear | {"lin1.model.1.weight": torch.full((1, 128, 1, 1), -0.25)})
        narrow = saved("narrow.pth", self.vgg16 | {"features.2.weight": torch.zeros(64, 32, 3, 3)})
        infinite = saved("infinite.pth", self.vgg16 | {"features.5.bias": torch.full((128,), torch.inf)})
        with_lin = ("--lin", "lin.pth", "--vgg16")
        self.assert_export_refused((*with_lin, "nowhere.pth"), r"nowhere\.pth: No such file or directory")
        self.assert_export_refused((*with_lin, "text.pth"), r"text\.pth: not a file of PyTorch weights")
        self.assert_export_refused((*with_lin, saved("list.pth", [1])), r"list\.pth: holds a list, a state dict")
        self.assert_export_refused(
            (*with_lin, "lin.pth"),
            r"lin\.pth: not torchvision's VGG16, 26 of 26 tensors differ: features\.0\.weight \[64, 3, 3, 3\] is",
        )
        self.assert_export_refused(
            (*with_lin, narrow), r".*1 of 26 .*: features\.2\.weight is \[64, 32, 3, 3\], \[64, 64, 3, 3\] is needed"
        )
        self.assert_export_refused((*with_lin, infinite), r".*features\.5\.bias is not made of finite")
        with_vgg16 = ("--vgg16", "vgg16.pth", "--lin")
        self.assert_export_refused(
            (*with_vgg16, negative), r"negative\.pth: lin1\.model\.1\.weight must be at least 0 everywhere, got -0\.25"
        )
        self.assert_export_refused((*with_vgg16, "vgg16.pth"), r".*5 of 5 .*: lin0\.model\.1\.weight")

    def test_help(self):
        result = export("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("--vgg16", "--lin", "--out", "vgg16-397923af.pth", "distance: lpips"):
            self.assertIn(word, result.stdout)


class TrainingTest(ExecutableTest):
    """Consistency training on colour images with the distance that the script's file makes."""

    @classmethod
    def setUpClass(cls):
        exported()
        pixels = numpy.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), numpy.uint8)
        numpy.savez(FOLDER / "colours.npz", pixels)

    def training(self, *arguments, data=("data.kind=npz", "data.path=colours.npz")):
        return ("cm-train-ct", "--config", tiny_config(), "--dry-run", "objective=ct", "ct.distance=lpips", *data,
                "train.batch_size=1", "train.micro_batch_size=null", *arguments)  # fmt: skip

    def test_a_step_with_it(self):
        result = run(*self.training(f"lpips.weights={WEIGHTS}"))
        self.assertEqual((result.code, result.err), (0, ""))
        self.assertRegex(result.out, r"(?m)^memory +\S+ MiB for weights, .*, target, LPIPS;")
        self.assertRegex(result.out, r"(?m)^one step +loss 0*[^0]\S*, gradient norm ")

    def test_what_is_refused(self):
        colours = load_tensors(FOLDER / WEIGHTS)
        nameless = save_tensors(FOLDER / "nameless.safetensors", colours)
        del colours["lin4"]
        short = save_tensors(FOLDER / "short.safetensors", colours, {"kind": "lpips_vgg16"})
        makes = r".*export_lpips\.py --vgg16 .* makes"
        grey = self.training(f"lpips.weights={WEIGHTS}", data=())
        self.assert_all_refused(
            {
                self.training(): rf"override 'ct\.distance=lpips': ct\.distance lpips needs lpips\.weights{makes}",
                self.training("lpips.weights=nowhere"): rf"nowhere: no such file; {makes}",
                self.training(f"lpips.weights={nameless}"): rf"nameless\.safetensors: holds no weights of LPIPS{makes}",
                self.training(f"lpips.weights={short}"): rf"1 tensors differ: lin4 \[1, 512, 1, 1\] is missing{makes}",
                grey: r"ct\.distance: lpips compares images of 3 channels, \S+digits\.csv\.gz has 1; choose another",
                self.training(
                    "ct.distance=l1", f"lpips.weights={WEIGHTS}"
                ): r"lpips\.weights is not used by ct\.distance l1; remove it, or set the distance to lpips",
            }
        )


if __name__ == "__main__":
    unittest.main()
