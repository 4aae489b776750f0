"""scripts/export_inception.py on synthetic weights, and cm-evaluate's FID, sFID and Inception Score with them beside
torch-fidelity, pytorch-fid and clean-fid on the same images."""

import functools
import hashlib
import importlib.metadata
import json
import sys
import unittest
import unittest.mock

import numpy
import parity
from support import (
    FOLDER,
    SOURCE,
    ExecutableTest,
    load_tensors,
    metadata_of,
    must_run,
    run,
    run_script,
    save_tensors,
    student,
)

try:
    import pytorch_fid.inception
    import torch
    from cleanfid.resize import build_resizer
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup.sh --dev installs it")
    sys.exit(77)

sys.path.insert(0, str(SOURCE / "scripts"))
import export_inception  # noqa: E402

WEIGHTS = "weights/inception.safetensors"
TORCHSCRIPT = "network.pt"
WITH = f"torch-fidelity {importlib.metadata.version('torch-fidelity')} beside cm-evaluate, CPU"


def export(*arguments):
    return run_script("export_inception.py", *arguments)


def pictures(count, seed):
    """uint8 [count, 3, 32, 32]: coarse blots of colour over fine noise."""
    random = torch.Generator().manual_seed(seed)
    blots = torch.rand(count, 3, 4, 4, generator=random).repeat_interleave(8, 2).repeat_interleave(8, 3)
    noise = torch.rand(count, 3, 32, 32, generator=random)
    return (255 * (0.8 * blots + 0.2 * noise) ** seed).to(torch.uint8)


SAMPLES = pictures(20, 1)
REFERENCE = pictures(24, 2)


def network_from(path):
    return FeatureExtractorInceptionV3(
        "network", ["2048", "logits_unbiased"], feature_extractor_weights_path=FOLDER / path
    )


@functools.cache
def state_dict():
    """Random weights, with the statistics that the normalisations see on these images: without, all images have nearly
    the same features."""
    random = torch.Generator().manual_seed(0)
    weights = {"fc.bias": torch.randn(export_inception.CLASSES, generator=random)}
    for name, shape in export_inception.weight_shapes().items():
        if len(shape) == 4:
            scale = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
            weights[name] = scale * torch.randn(shape, generator=random)
        elif name == "fc.weight":
            weights[name] = 0.05 * torch.randn(shape, generator=random)
        else:
            low = 0.8 if name.endswith(("weight", "var")) else -0.2
            weights[name] = low + 0.4 * torch.rand(shape, generator=random)
    torch.save(weights, FOLDER / "start.pth")
    network = network_from("start.pth").train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, here of one
    with torch.no_grad():
        network(torch.cat([SAMPLES[:6], REFERENCE[:6]]))
    return network.state_dict()


@functools.cache
def exported():
    """What the script says; it makes WEIGHTS of inception.pth. The sets of images are there then too."""
    torch.save(state_dict(), FOLDER / "inception.pth")
    for name, images in (("samples.npz", SAMPLES), ("reference.npz", REFERENCE)):
        numpy.savez(FOLDER / name, images.permute(0, 2, 3, 1).numpy())
    return export("inception.pth", "--out", WEIGHTS)


def evaluate(*arguments):
    exported()
    result = must_run("cm-evaluate", "--samples", "samples.npz", "--reference", "reference.npz", "--json", *arguments)
    return json.loads(result.out)


@functools.cache
def fidelity():
    exported()
    return network_from("inception.pth")


@functools.cache
def fidelity_features(which):
    """(pool, spatial, logits) of the samples or of the reference."""
    branches = []
    handle = fidelity().Mixed_6d.branch1x1.register_forward_hook(lambda _, __, output: branches.append(output))
    with torch.no_grad():
        pool, logits = fidelity()(SAMPLES if which == "samples" else REFERENCE)
    handle.remove()
    return pool, branches[0][:, :7].permute(0, 2, 3, 1).flatten(1), logits


def pytorch_fid_features(images):
    with unittest.mock.patch.object(
        pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state_dict()
    ):
        network = pytorch_fid.inception.InceptionV3().eval()
    with torch.no_grad():
        return network(images.to(torch.float32) / 255)[0].flatten(1)


def clean_fid_features(images):
    """clean-fid's images in the same network: its own is the same in TorchScript."""
    resize = build_resizer("clean")
    resized = torch.stack([torch.from_numpy(resize(image.permute(1, 2, 0).numpy())) for image in images])
    seen = (resized.permute(0, 3, 1, 2) - 128) / 128
    handle = fidelity().Conv2d_1a_3x3.register_forward_pre_hook(lambda *_: (seen,))
    with torch.no_grad():
        pool, _ = fidelity()(images)
    handle.remove()
    return pool


def frechet(a, b):
    """By the features' own rank: tr √(C_a C_b) is the sum of the singular values of A Bᵀ, A and B the centred features
    over √(n − 1)."""
    a, b = a.to(torch.float64), b.to(torch.float64)
    centred = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    traces = sum(x.square().sum() for x in centred)
    overlap = torch.linalg.svdvals(centred[0] @ centred[1].T).sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + traces - 2 * overlap)


class ExportTest(ExecutableTest):
    def assert_export_refused(self, state, pattern):
        torch.save(state, FOLDER / "given.pth")
        result = export("given.pth", "--out", "never-made.safetensors")
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertRegex(result.stderr, rf"^export_inception: given\.pth: {pattern}[^\n]*\n$")
        self.assertFalse((FOLDER / "never-made.safetensors").exists())

    def test_names_values_and_where_they_are_from(self):
        self.assertEqual((exported().returncode, exported().stderr), (0, ""))
        self.assertRegex(exported().stdout, r"471 tensors, 23,884,384 numbers, from inception\.pth")
        tensors = load_tensors(FOLDER / WEIGHTS)
        self.assertEqual(set(tensors), set(export_inception.weight_shapes()))
        for name, tensor in tensors.items():
            numpy.testing.assert_array_equal(tensor, state_dict()[name].numpy())
        digest = hashlib.sha256((FOLDER / "inception.pth").read_bytes()).hexdigest()
        expected = {"kind": "inception_v3_fid", "source": "inception.pth", "source_sha256": digest}
        self.assertLessEqual(expected.items(), metadata_of(FOLDER / WEIGHTS).items())

    def test_what_is_refused(self):
        state = state_dict()
        self.assert_export_refused([1], r"holds a list, a state dict")
        self.assert_export_refused({}, r"not the Inception of FID, 471 of 471 tensors differ: Conv2d_1a_3x3\.conv")
        torchvision = state | {"fc.weight": torch.zeros(1000, 2048)}
        self.assert_export_refused(torchvision, r"torchvision's Inception, of 1000 classes; FID is defined by")
        variance = state | {"Mixed_5b.branch1x1.bn.running_var": torch.full((64,), -1.0)}
        self.assert_export_refused(variance, r".*1 of 471 .*running_var must be at least 0 everywhere, got -1")
        infinite = state | {"Mixed_5b.branch1x1.bn.bias": torch.full((64,), torch.inf)}
        self.assert_export_refused(infinite, r".*branch1x1\.bn\.bias is not made of finite")
        result = export("nowhere.pth", "--out", "never-made.safetensors")
        self.assertRegex(result.stderr, r"^export_inception: nowhere\.pth: No such file or directory\n$")


class EvaluateTest(ExecutableTest):
    def assert_agrees(self, case, quantity, ours, theirs, tolerance=1e-3):
        error = abs(ours - theirs)
        parity.record("inception", case, quantity, "absolute", error, tolerance, WITH)
        self.assertLess(error, tolerance, f"{case}, {quantity}: {ours} against {theirs}")

    def test_as_torch_fidelity(self):
        report = evaluate("--features", f"inception:{WEIGHTS}", "--metrics", "fid,sfid,is")
        samples, reference = fidelity_features("samples"), fidelity_features("reference")
        statistics = [fid_features_to_statistics(features[0]) for features in (samples, reference)]
        fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
        score = isc_features_to_metric(samples[2], splits=1, shuffle=False)["inception_score_mean"]
        case = "cm-evaluate, tensorflow"
        self.assert_agrees(case, "fid", report["fid"], fid)
        self.assert_agrees(case, "fid by the features' rank", report["fid"], frechet(samples[0], reference[0]))
        self.assert_agrees(case, "sfid by the features' rank", report["sfid"], frechet(samples[1], reference[1]))
        self.assert_agrees(case, "is", report["is"], score)
        self.assertGreater(report["fid"], 1)  # the images do differ
        self.assertGreater(report["sfid"], 1)
        self.assertGreater(report["is"], 1.05)

    def test_as_pytorch_fid_and_clean_fid(self):
        for rule, features in {"pytorch": pytorch_fid_features, "clean": clean_fid_features}.items():
            report = evaluate("--features", WEIGHTS, "--resize", rule)
            theirs = frechet(features(SAMPLES), features(REFERENCE))
            self.assert_agrees(f"cm-evaluate, {rule}", "fid by the features' rank", report["fid"], theirs)
            self.assertGreater(abs(report["fid"] - frechet(fidelity_features("samples")[0],
                                                           fidelity_features("reference")[0])), 0.01)  # fmt: skip

    def test_statistics_of_other_packages_under_their_rule(self):
        made = clean_fid_features(REFERENCE).to(torch.float64).numpy()
        numpy.savez(FOLDER / "clean.npz", mu=made.mean(0), sigma=numpy.cov(made, rowvar=False))
        exported()
        asked = ("--samples", "samples.npz", "--reference", "clean.npz", "--features", WEIGHTS, "--json")
        report = json.loads(must_run("cm-evaluate", *asked, "--resize", "clean").out)
        theirs = frechet(clean_fid_features(SAMPLES), torch.from_numpy(made))
        self.assertAlmostEqual(report["fid"], theirs, delta=1e-3)

    def test_statistics_whose_rule_is_not_known_or_another(self):
        exported()
        narrow = {"mu": numpy.zeros(3), "sigma": numpy.eye(3)}
        numpy.savez(FOLDER / "narrow.npz", **narrow)
        numpy.savez(FOLDER / "official.npz", **narrow, mu_s=numpy.zeros(3), sigma_s=numpy.eye(3))
        measuring = ("cm-evaluate", "--samples", "samples.npz", "--features", WEIGHTS, "--dry-run", "--reference")
        searching = ("cm-search", "--checkpoint", student(), "--steps", 2, "--grid", 4, "--num", 4, "--metric", "fid",
                     "--out", "searched", "--features", WEIGHTS, "--reference")  # fmt: skip
        unknown = r"narrow\.npz: these statistics do not say how their images were resized, .* with --resize: pytorch for"
        self.assert_all_refused(
            {
                (*measuring, "narrow.npz"): unknown,
                (*searching, "narrow.npz"): unknown,
                (*measuring, "narrow.npz", "--resize", "clean"): r"are 3 wide, the features 2048",
                (*searching, "narrow.npz", "--resize", "clean"): r"are 3 wide, the features 2048",
                (*measuring, "official.npz"): r"are 3 wide, the features 2048",
                (*measuring, "official.npz", "--resize", "clean"): r"resized as tensorflow \(mu_s .*give --resize tensorflow",
            }
        )

    def test_our_own_statistics_carry_their_rule(self):
        exported()
        must_run("cm-evaluate", "--samples", "reference.npz", "--features", WEIGHTS, "--resize", "pytorch",
                 "--save-stats", "ours.npz")  # fmt: skip
        measuring = ("cm-evaluate", "--samples", "samples.npz", "--features", WEIGHTS, "--reference", "ours.npz")
        pattern = r"ours\.npz: the statistics are of images resized as pytorch, not as tensorflow; give --resize pytorch"
        self.assert_all_refused({measuring: pattern})
        must_run(*measuring, "--resize", "pytorch", "--dry-run")

    def test_says_which_features(self):
        features = evaluate("--features", "inception", "--metrics", "precision")["features"]  # WEIGHTS is its place
        file = hashlib.sha256((FOLDER / WEIGHTS).read_bytes()).hexdigest()
        source = hashlib.sha256((FOLDER / "inception.pth").read_bytes()).hexdigest()
        expected = {"name": "inception", "width": 2048, "file": WEIGHTS, "sha256": file, "resize": "tensorflow",
                    "source": "inception.pth", "source_sha256": source}  # fmt: skip
        self.assertEqual(features, expected)

    def test_a_module_of_the_users_own(self):
        class Corner(torch.nn.Module):
            def forward(self, x):
                return x[:, :, :2, :2].flatten(1).float() / 255

        torch.jit.script(Corner()).save(FOLDER / TORCHSCRIPT)
        report = evaluate("--features", TORCHSCRIPT)
        expected = frechet(Corner()(SAMPLES), Corner()(REFERENCE))
        self.assertAlmostEqual(report["frechet"], expected, delta=1e-6)
        self.assertEqual((report["features"]["name"], report["features"]["width"]), ("torchscript", 12))

    def test_what_is_refused(self):
        exported()
        nameless = save_tensors(FOLDER / "nameless.safetensors", {"fc.weight": numpy.zeros((2, 2), numpy.float32)})
        to_itself = ("cm-evaluate", "--samples", "samples.npz", "--reference", "samples.npz")
        makes = r".*export_inception\.py .* makes"
        self.assert_all_refused(
            {
                (*to_itself, "--metrics", "fid"): r"metric 'fid' is defined by Inception .* these are pixels",
                (*to_itself, "--features", WEIGHTS, "--metrics", "frechet"): r"the Fréchet distance is fid; ask for",
                (*to_itself, "--resize", "clean"): r"\(clean\) belongs to Inception features, but these are pixels",
                (*to_itself, "--features", WEIGHTS, "--resize", "pytorhc"): r"--resize must be one of .*mean pytorch\?",
                (*to_itself, "--features", "inception:nowhere"): rf"there is no file 'nowhere'; {makes}",
                (*to_itself, "--features", f"inception:{nameless}"): rf"holds no weights of Inception{makes}",
            }
        )
        result = run("cm-evaluate", "--help")
        for word in ("inception:FILE", "--resize", "torch-fidelity", "clean-fid", "TorchScript"):
            self.assertIn(word, result.out)


if __name__ == "__main__":
    unittest.main()
