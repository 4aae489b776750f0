"""cm-bench: each job on a tiny case, the line that other programs read, and what it refuses; cm-step-memory's tables."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import unittest

from support import BIN, FOLDER, SOURCE, ExecutableTest, environment, must_run, run

CASE = {"name": "tiny", "image_size": 4, "in_channels": 3, "model_channels": 32, "channel_mult": [1], "res_blocks": 1,
        "attention_resolutions": [4], "head_channels": 16, "num_classes": 3, "scale_shift_norm": True,
        "resblock_updown": True, "dropout": 0.0, "batch": 2, "sample_batch": 2, "warmup": 1, "steps": 2,
        "max_seconds": 60, "threads": 1, "device": "cpu", "dtype": "fp32"}  # fmt: skip

EDM2 = {"architecture": "edm2"}

# Forward passes for one image; a backward pass counts for two.
PASSES = {"train_edm": 3, "train_cd": 6, "train_ct": 4, "train_sct": 4, "train_mean_flow": 4, "sample_onestep": 1, "sample_multistep2": 2, "sample_heun18": 35}


def write_case(name, **changes):
    path = FOLDER / name
    path.write_text(json.dumps(CASE | changes))
    return path


def line_of(*arguments):
    return json.loads(must_run("cm-bench", *arguments).out.splitlines()[-1])


def png_size(path):
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n", header
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


class Jobs(ExecutableTest):
    def assert_timings(self, line, job):
        self.assertEqual(line["job"], job)
        self.assertGreater(line["ms_min"], 0)
        self.assertGreaterEqual(line["ms_median"], line["ms_min"])
        self.assertGreater(line["cpu_ms_median"], 0)
        self.assertGreater(line["peak_rss_mb"], 10)
        self.assertGreater(line["parameters"], 10_000)

    def assert_kernels_ran(self, line, job):
        calls = line["kernels"]
        self.assertGreater(calls["group_norm"]["by_kernel"], 0)
        self.assertEqual({path for name, call in calls.items() if name != "convolution_3x3" for path in call["by_operators"]}, set())
        training = {"by_kernel": 1, "by_operators": {}} if job.startswith("train") else None
        self.assertEqual([calls.get(name) for name in ("norm_of", "adam_update")], [training, training])
        self.assertEqual(line.get("played"), 0 if training else None)

    def test_training_and_sampling(self):
        case = write_case("jobs.json")
        forward = set()
        for job, passes in PASSES.items():
            with self.subTest(job):
                line = line_of("--job", job, "--config", case)
                self.assert_timings(line, job)
                self.assertEqual((line["steps"], line["batch"], line["threads"]), (2, 2, 1))
                if job != "train_mean_flow":  # whose network has a layer more, for its second time
                    forward.add(round(1e9 * line["gflop"] / passes))
                self.assert_kernels_ran(line, job)
        self.assertEqual(len(forward), 1, "flops of one pass differ between jobs")

    def test_edm2_trains_as_published(self):
        line = line_of("--job", "train_edm", "--config", write_case("edm2_jobs.json", **EDM2))
        self.assert_timings(line, "train_edm")
        self.assertNotIn("group_norm", line["kernels"])
        self.assertEqual(line["kernels"]["update_averages"], {"by_kernel": 2, "by_operators": {}})

    def test_an_autoencoder_encodes_and_decodes(self):
        case = write_case("autoencoder.json", architecture="autoencoder", channel_mult=[1, 2], image_size=16)
        for job in ("encode", "decode"):
            with self.subTest(job):
                line = line_of("--job", job, "--config", case)
                self.assert_timings(line, job)
                self.assertEqual((line["steps"], line["batch"]), (2, 2))
                self.assert_kernels_ran(line, job)
        for job, architecture in (("train_cd", "autoencoder"), ("decode", "adm")):
            with self.subTest(job):
                result = run("cm-bench", "--job", job, "--config", write_case("other.json", architecture=architecture))
                self.assertEqual(result.code, 2)
                self.assertRegex(result.err.strip(), "^[^\n]*autoencoder[^\n]*$")

    def test_options_override_the_case(self):
        case = write_case("overridden.json", device="nonsense", threads=999)
        line = line_of("--job", "train_ct", "--config", case, "--threads", 2, "--device", "cpu", "--batch", 4,
                       "--steps", 3, "--warmup", 0, "--max-seconds", 50, "--dtype", "bf16", "--operators")  # fmt: skip
        self.assertEqual([line[key] for key in ("threads", "device", "batch", "steps", "dtype")], [2, "cpu", 4, 3, "bf16"])
        calls = {operator["name"]: operator["calls"] for operator in line["operators"]}
        self.assertGreater(calls["aten::convolution_backward"], 0)

    def test_without_a_gpu_nothing_is_recorded(self):
        case = write_case("recorded.json", cuda_graph=True)
        for job in ("train_cd", "sample_onestep"):
            for words in (("--config", case), ("--config", write_case("plain.json"), "--cuda-graph")):
                with self.subTest((job, *words)):
                    result = must_run("cm-bench", "--job", job, *words)
                    self.assertIn("cuda_graph" if job == "train_cd" else "--cuda-graph", result.err)
                    self.assertIn("run as they are: device cpu", result.err)
                    self.assertIs(json.loads(result.out.splitlines()[-1])["cuda_graph"], True)

    def test_cold_start(self):
        case = write_case("cold.json")
        line = line_of("--job", "cold_start", "--config", case, "--out", FOLDER / "cold.png")
        self.assert_timings(line, "cold_start")
        self.assertEqual(png_size(FOLDER / "cold.png"), (4, 4))
        weights = FOLDER / "cold.safetensors"
        written = weights.stat().st_mtime_ns
        line_of("--job", "cold_start", "--config", case, "--out", FOLDER / "cold.png")
        self.assertEqual(weights.stat().st_mtime_ns, written)
        wider = write_case("wider.json", model_channels=64)
        again = line_of("--job", "cold_start", "--config", wider, "--out", FOLDER / "cold.png")
        self.assertGreater(again["parameters"], 2 * line["parameters"])
        self.assertGreater(weights.stat().st_mtime_ns, written)

    def test_matmul_peak(self):
        line = line_of("--job", "matmul_peak", "--config", write_case("peak.json"), "--max-seconds", 0.1)
        self.assertGreater(line["gflops_per_second"], 0.5)
        self.assertAlmostEqual(line["gflops_per_second"], 2e-6 * line["matrix_size"] ** 3 / line["ms_min"], places=6)
        self.assertGreater(line["peak_rss_mb"], 10)

    def test_mistakes(self):
        case, job = write_case("fine.json"), ("cm-bench", "--job")
        misspelt = write_case("misspelt.json", bacth=3)
        self.assert_all_refused({
            (*job, "train_dc", "--config", case): "--job must be one of .*, got 'train_dc'",
            (*job, "train_cd", "--config", "none.json"): "none.json: no such file",
            (*job, "train_cd", "--config", misspelt): r"unknown key bacth \(did you mean batch\?\)",
            (*job, "train_cd", "--config", case, "--dtype", "fp8"): "--dtype must be one of",
            (*job, "train_cd", "--config", case, "--device", "tpu"): "--device must be cpu",
            (*job, "train_cd", "--config", case, "--threads", "0"): "--threads",
            (*job, "cold_start", "--config", case): "--job cold_start needs --out",
            (*job, "first_image", "--config", case, "--out", "x.png"): "--job first_image needs --weights",
            (*job, "train_cd", "--config", write_case("uneven.json", model_channels=33)): "multiple of 32",
        })  # fmt: skip


class StepMemory(ExecutableTest):
    def test_the_documents_rows_are_what_it_prints(self):
        document = (SOURCE / "docs" / "scaling.md").read_text()

        def rows(*arguments):
            lines = must_run("cm-step-memory", *arguments, cwd=SOURCE).out.splitlines()
            return [line for line in lines if line.startswith("| ") and not line.startswith("| config")]

        shipped = rows()
        self.assertGreater(len(shipped), 40)
        folder, xxl = "configs/imagenet512", "model.channels=448"
        largest = [*rows(f"{folder}/edm2.yaml", xxl, "model.dropout=0.1"), *rows(f"{folder}/sct.yaml", xxl)]
        cut = [row for row in largest if ", fp32 |" in row or ", bf16 |" in row]
        self.assertEqual(len(cut), 4)
        for row in shipped + cut:
            self.assertIn(row, document)

    def test_mistakes_are_found_before_anything_is_printed(self):
        for arguments, message in {
            ("--kernels", "x"): "--kernels must be one of {fused, operators}, got 'x'",
            ("--shard", "x"): "--shard must be one of {none, optimizer, gradients}, got 'x'",
            ("--measure", "none.json"): "none.json: no such file",
            ("--measure", SOURCE / "README.md"): "--measure takes configs (.yaml) and cases (.json)",
            ("none.yaml",): "none.yaml: no such file",
        }.items():
            with self.subTest(arguments):
                result = run("cm-step-memory", *arguments, cwd=SOURCE)
                self.assert_refused(result, re.escape(message))
                self.assertEqual(result.out, "")


@unittest.skipIf(importlib.util.find_spec("diffusers") is None, "diffusers is not installed")
class Comparison(unittest.TestCase):
    def compare(self, *arguments):
        command = [sys.executable, SOURCE / "bench" / "compare.py", "--bin", BIN, "--no-compile", "--rounds", 2, *arguments]
        words = [str(word) for word in command]
        return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=600, check=False)

    def test_beside_diffusers(self):
        case, lines = write_case("beside.json"), FOLDER / "beside-lines.json"
        done = self.compare("--case", case, "--jobs", "sample_onestep", "--max-seconds", 1, "--json", lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        for part in ("### sample_onestep, 1 thread", "| consistency.cpp |", "| diffusers |", "### Arithmetic",
                     "| aten::mkldnn_convolution |"):  # fmt: skip
            self.assertIn(part, done.stdout)
        (measured,) = json.loads(lines.read_text())
        self.assertEqual([len(rounds) for rounds in measured["rounds"].values()], [2, 2])

    @unittest.skipUnless("CM_RELEASE" in os.environ, "CM_RELEASE names no checkout of the official release")
    def test_beside_the_release(self):
        jobs = ["train_edm", "train_cd", "train_ct", "sample_onestep", "sample_multistep2", "sample_heun18", "cold_start"]
        case = write_case("release.json", image_size=16, channel_mult=[1, 2], attention_resolutions=[8])
        done = self.compare("--case", case, "--release", os.environ["CM_RELEASE"], "--jobs", *jobs, "--max-seconds", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("| release |"), len(jobs))

    @unittest.skipUnless("CM_EDM2" in os.environ, "CM_EDM2 names no checkout of EDM2's official code")
    def test_beside_edm2(self):
        case = write_case("edm2.json", **EDM2, image_size=8, channel_mult=[1, 2], attention_resolutions=[4])
        done = self.compare("--case", case, "--edm2", os.environ["CM_EDM2"], "--jobs", "train_edm", "sample_heun18",
                            "--max-seconds", 1)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("| edm2 |"), 2)


if __name__ == "__main__":
    unittest.main()
