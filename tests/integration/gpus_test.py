"""What is loaded for GPUs, and when: LibTorch's part for CUDA costs each process that has it time and memory."""

import os
import pathlib
import re
import shutil
import unittest

from support import DIGITS, FOLDER, SOURCE, ExecutableTest, run, student, training

BEGUN = re.compile(r"calling init: .*/(lib[^/\s]*\.so[^/\s]*)")
COMMAND = training("edm", "run", "--force", "train.steps=1")
ON_CUDA = (*COMMAND, "--device", "cuda")


def loaded(command, **changes):
    """The names of the libraries that a command loads, and what it says besides."""
    result = run(*command, LD_DEBUG="libs", **changes)
    lines = result.err.splitlines()
    said = [line for line in lines if not re.match(r"\s+\d+:", line)]
    return {match[1] for line in lines if (match := BEGUN.search(line))}, result._replace(err="\n".join(said))


def with_driver(result, devices):
    """The environment of a machine whose driver gives these answers."""
    folder = pathlib.Path(os.environ["CM_DRIVER"]).parent
    paths = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {"LD_LIBRARY_PATH": ":".join(paths), "CM_DRIVER_RESULT": str(result), "CM_DRIVER_DEVICES": str(devices)}


@unittest.skipUnless("CM_DRIVER" in os.environ, "built with a sanitizer, which has to be loaded first")
class Gpus(ExecutableTest):
    def assert_on_cpu(self, result, warning):
        self.assertEqual(result.code, 0, result.err)
        lines = result.err.splitlines()
        self.assertRegex("\n".join(lines[-1:]), warning)
        shutil.rmtree(FOLDER / "run")

    def test_the_cpu_asks_no_driver(self):
        for command in (("cm-info", "--help"), (*COMMAND, "--device", "cpu")):
            libraries, result = loaded(command, **with_driver(0, 1))
            self.assertEqual(result.code, 0, result.err)
            self.assertIn("libtorch_cpu.so", libraries)
            self.assertFalse({"libcuda.so.1", "libtorch_cuda.so"} & libraries)

    def test_a_driver_without_gpus(self):
        for answers in (with_driver(100, 0), with_driver(0, 0)):
            libraries, result = loaded(COMMAND, **answers)
            self.assert_on_cpu(result, "^$")
            self.assertIn("libcuda.so.1", libraries)
            self.assertNotIn("libtorch_cuda.so", libraries)
            self.assert_refused(
                run(*ON_CUDA, **answers), r"this machine has 0 usable GPU.*NVIDIA's driver has none.*use cpu or auto"
            )

    def test_a_driver_that_does_not_start(self):
        broken, unknown = with_driver(999, 1), with_driver(3, 1)
        libraries, result = loaded(COMMAND, **broken)
        self.assert_on_cpu(result, "warning.*--device auto is the CPU here.*does not start: CUDA_ERROR_UNKNOWN$")
        self.assertNotIn("libtorch_cuda.so", libraries)
        self.assert_refused(run(*ON_CUDA, **broken), r"this machine has 0 usable GPU.*CUDA_ERROR_UNKNOWN")
        self.assert_refused(run(*ON_CUDA, **unknown), r"this machine has 0 usable GPU.*does not start: error 3;")

    def test_gpus_that_libtorch_cannot_use(self):
        unusable = with_driver(0, 1)
        _, result = loaded(COMMAND, **unusable)
        self.assert_on_cpu(result, "warning.*--device auto is the CPU here, no GPU is usable: LibTorch")
        self.assert_refused(run(*ON_CUDA, **unusable), r"this machine has 0 usable GPU.*is the driver too old")

    def test_nothing_asks_libtorch_before(self):
        """What it first finds of CUDA it keeps: whoever asked too early would find no GPU for good."""
        model, out = ("--checkpoint", student()), ("--out", "out", "--force")
        case = SOURCE / "bench" / "cases" / "tiny8.json"
        for command in (
            ("cm-sample", *model, "--num", "1", *out),
            ("cm-edit", "denoise", *model, "--input", DIGITS, "--sigma", "0.5", *out),
            ("cm-search", *model, "--steps", "2", "--reference", DIGITS, *out),
            ("cm-evaluate", *model, "--reference", DIGITS),
            ("cm-bench", "--job", "train_cd", "--config", case),
            ("cm-time-kernels",),
        ):
            result = run(*command, "--device", "cuda", **with_driver(0, 1))
            with self.subTest(command[0]):
                self.assertIn("is the driver too old", result.err)


if __name__ == "__main__":
    unittest.main()
