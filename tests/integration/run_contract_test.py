"""What a training run leaves behind, and that it goes on from there as if it had never stopped."""

import json
import logging
import math
import os
import re
import shutil
import signal
import unittest

import numpy
from support import (
    FOLDER,
    SECONDS,
    TINY,
    METHODS,
    TRAINERS,
    ExecutableTest,
    contents,
    has_text,
    load_npz,
    load_tensors,
    metadata_of,
    must_run,
    run,
    run_all,
    teacher,
    tiny_config,
    train,
    training,
)

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what it forgets
except ImportError:
    EventAccumulator = None

PNG = b"\x89PNG\r\n\x1a\n"

# A network with numbers that are drawn once and never trained, which must follow its weights everywhere.
NCSNPP = ("model.architecture=ncsnpp", "model.channel_mult=[1, 1]")
DRAWN = "map_noise.freqs"


def metrics_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def steps_in_tensorboard(folder):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars("train/loss")]


def without_speed(lines):
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


class LayoutTest(ExecutableTest):
    def test_the_folder_of_a_run(self):
        folder = train("edm", "layout", "train.sample_every=2", "train.sample_count=3", "train.keep_checkpoints=2",
                       "train.steps=4")  # fmt: skip
        self.assertEqual(
            sorted(path.name for path in folder.iterdir()),
            ["checkpoints", "config.yaml", "metrics.jsonl", "samples", "tensorboard"],
        )
        samples = sorted((folder / "samples").iterdir())
        self.assertEqual([path.name for path in samples], ["step-00000002.png", "step-00000004.png"])
        self.assertTrue(samples[0].read_bytes().startswith(PNG))
        self.assertEqual(len(list((folder / "tensorboard").glob("events.out.tfevents.*"))), 1)
        checkpoints = folder / "checkpoints"
        kept = sorted(path.name for path in checkpoints.iterdir())
        self.assertEqual(kept, ["latest", "step-00000003", "step-00000004"])
        self.assertEqual(os.readlink(checkpoints / "latest"), "step-00000004")

    def test_the_metrics_and_the_files_of_each_method(self):
        edm = {"step", "loss", "gradient_norm", "learning_rate", "images_per_second"}
        keys = {"edm": edm, "cd": edm | {"n", "mu"}, "ct": edm | {"n", "mu"}, "ict": edm | {"n"}, "ect": edm, "tcm": edm,
                "continuous_cd": edm, "continuous_ct": edm, "sct": edm, "scd": edm, "kd": edm,
                "pd": edm | {"n"}}  # fmt: skip
        files = ["ema-0.05.safetensors", "ema-0.9.safetensors", "model.safetensors", "optimizer.safetensors",
                 "state.json"]  # fmt: skip
        for objective in METHODS:
            least, most = keys.get(objective, edm), keys.get(objective, edm | {"n", "mu"})
            with self.subTest(objective):
                folder = train(objective, f"files-{objective}")
                lines = metrics_of(folder)
                self.assertEqual([line["step"] for line in lines], [1, 2])
                for line in lines:
                    self.assertLessEqual(least, set(line))
                    self.assertLessEqual(set(line), most)
                    self.assertTrue(all(math.isfinite(value) for value in line.values()))
                names = sorted(path.name for path in (folder / "checkpoints" / "latest").iterdir())
                self.assertLessEqual(set(files), set(names))
                more = {"cd": "target", "ct": "target", "sct": "objective", "scd": "objective", "pd": "teacher"}.get(objective)
                if objective in keys:
                    self.assertEqual(names, sorted(files + ([f"{more}.safetensors"] if more else [])))

    def test_the_resolved_config_reads_back_to_itself(self):
        again = must_run("cm-train-edm", "--config", teacher() / "config.yaml", "--out", "again")
        self.assertEqual(again.err, "")
        self.assertEqual(contents(FOLDER / "again" / "checkpoints"), contents(teacher() / "checkpoints"))
        text = (teacher() / "config.yaml").read_text()
        self.assertEqual((FOLDER / "again" / "config.yaml").read_text(), text)
        self.assertRegex(text, r"(?m)^edm:\n  levels: log_normal\n  p_mean: -1\.2$")

    def test_weight_files_say_what_they_are(self):
        for path in (teacher() / "checkpoints" / "latest").glob("[em]*.safetensors"):
            metadata = metadata_of(path)
            self.assertEqual(metadata["format"], "consistency.cpp 1")
            model = json.loads(metadata["model"])
            self.assertEqual(model["image"], {"channels": 1, "size": 8, "classes": 10})
            self.assertEqual(model["network"]["channels"], 32)
            self.assertEqual(model["parameterization"], "edm")
            self.assertIn("input_blocks.0.0.weight", load_tensors(path))

    def test_a_run_says_which_weights_of_its_teacher_it_takes_and_why(self):
        said = must_run(*training("cd", "teachers-weights")).out
        why = r"ema-0\.05\.safetensors\n +the average of rate 0\.05, the largest whose start weighs at most 1 % \(0\.25 %\)"
        self.assertRegex(said, r"(?m)^teacher +.*/" + why)
        self.assertRegex(said, r"(?m)^start +.*/" + why)

    def test_info(self):
        info = json.loads(must_run("cm-info", teacher(), "--json", "--tensors").out)
        weights = load_tensors(info["weights"])
        self.assertEqual(info["step"], 2)
        self.assertEqual(info["ema_rates"], [0.05, 0.9])
        numpy.testing.assert_allclose(info["start_shares"], [0.05**2, 0.9**2])
        self.assertTrue(info["weights"].endswith("ema-0.05.safetensors"))
        self.assertEqual(info["why"], "the average of rate 0.05, the largest whose start weighs at most 1 % (0.25 %)")
        self.assertEqual(info["parameters"], sum(tensor.size for tensor in weights.values()))
        self.assertEqual({name: tensor["shape"] for name, tensor in info["tensors"].items()},
                         {name: list(tensor.shape) for name, tensor in weights.items()})  # fmt: skip

    def test_info_counts_parameters_only(self):
        folder = train("edm", "info-ncsnpp", *NCSNPP)
        info = json.loads(must_run("cm-info", folder, "--json", "--tensors").out)
        self.assertEqual(info["model"]["network"]["architecture"], "ncsnpp")
        self.assertEqual(info["tensors"][DRAWN]["shape"], [32])
        numbers = sum(tensor.size for tensor in load_tensors(info["weights"]).values())
        self.assertEqual(info["parameters"], numbers - 32)
        self.assertRegex(must_run("cm-info", folder).out, r"(?m)^ +architecture: ncsnpp$")


class OptionsTest(ExecutableTest):
    def test_a_dry_run_writes_nothing(self):
        empty = FOLDER / "empty"
        empty.mkdir()
        result = must_run(*training("edm", "run"), "--dry-run", cwd=empty)
        self.assertRegex(result.out, r"(?m)^network +\d.* parameters$")
        self.assertRegex(result.out, r"(?m)^memory +\d")
        self.assertRegex(result.out, r"(?m)^one step +loss \d")
        self.assertRegex(result.out, r"(?m)^kernels +convolution_3x3: \d+ by the kernel")
        self.assertRegex(result.out, r"(?m)^ +adam_update: 1 by the kernel$")
        without_out = must_run("cm-train-edm", "--config", tiny_config(), "--dry-run", cwd=empty)
        self.assertEqual(without_out.out.splitlines()[:4], result.out.splitlines()[:4])
        self.assertEqual(list(empty.iterdir()), [])

    def test_the_seed_and_force(self):
        folder = train("edm", "seeds", "train.seed=7", "train.steps=3")
        by_key = contents(folder / "checkpoints" / "step-00000002")
        (folder / "notes.txt").write_text("mine")
        train("edm", "seeds", "--seed", "7", "--force")
        self.assertIn("\n  seed: 7\n", (folder / "config.yaml").read_text())
        checkpoints = contents(folder / "checkpoints")
        self.assertFalse(any(name.startswith("step-00000003") for name in checkpoints))
        self.assertEqual(contents(folder / "checkpoints" / "step-00000002"), by_key)
        self.assertNotEqual(by_key, contents(teacher() / "checkpoints" / "step-00000002"))
        self.assertEqual(len(metrics_of(folder)), 2)
        self.assertEqual((folder / "notes.txt").read_text(), "mine")

    def test_help(self):
        options = {
            **dict.fromkeys(("cm-train-edm", "cm-train-cd", "cm-train-ct", "cm-train-pd"), ("--config", "--resume", "--dry-run")),
            "cm-data": ("--config", "--num", "--out"),
            "cm-sample": ("--checkpoint", "--steps", "--noise"),
            "cm-evaluate": ("--samples", "--reference", "--metrics"),
            "cm-info": ("path", "--json"),
            "cm-average": ("--run", "--std", "--at", "--out"),
            "cm-edit": ("--input", "--mask", "--seeds"),
            "cm-search": ("--metric", "--grid"),
            "cm-bench": ("--job", "--warmup"),
            "cm-truths": ("--only", "--steps"),
            "cm-step-memory": ("--card-gb", "--ranks"),
            "cm-time-kernels": ("--repeats",),
            "cm-time-inception": ("--images",),
        }
        results = run_all([(name, "--help") for name in options])
        for (name, expected), result in zip(options.items(), results):
            with self.subTest(name):
                self.assertEqual((result.code, result.err), (0, ""))
                for option in expected:
                    self.assertIn(option, result.out)
                # Numbers that CLI11 reads by its own rules, in which 010 is 8, instead of by add_number_option.
                self.assertNotRegex(result.out, r"\b(U?INT|FLOAT)\b")

    def test_the_help_on_configs_has_every_key(self):
        text = must_run("cm-train-ct", "--help-config").out
        for key in ("data.path", "model.channels", "ct.levels.schedule", "ict.huber_c", "continuous_cd.stop_gradient",
                    "pd.start_steps", "teacher.checkpoint", "optimizer.lr", "ema.rates", "sampling.sigmas",
                    "train.keep_checkpoints"):  # fmt: skip
            self.assertRegex(text, rf"(?m)^\s*{re.escape(key)}\b")


class ResumeTest(ExecutableTest):
    def assert_same_run(self, folder, whole):
        """Every byte of the newest checkpoint (weights, averages, target, moments, state), and every loss."""
        newest = os.readlink(whole / "checkpoints" / "latest")
        self.assertEqual(os.readlink(folder / "checkpoints" / "latest"), newest)
        self.assertEqual(contents(folder / "checkpoints" / newest), contents(whole / "checkpoints" / newest))
        lines = without_speed(metrics_of(folder))
        self.assertEqual(lines, without_speed(metrics_of(whole)))
        if EventAccumulator:
            self.assertEqual(steps_in_tensorboard(folder), [line["step"] for line in lines])

    def assert_goes_on(self, objective, name, *overrides):
        """Returns the folder of a whole run, of which one that died after half its steps has become the same."""
        whole = train(objective, f"whole-{name}", "train.steps=6", "train.checkpoint_every=3", *overrides)
        died = FOLDER / f"died-{name}"
        shutil.copytree(whole, died, symlinks=True)
        checkpoints = died / "checkpoints"
        shutil.rmtree(checkpoints / "step-00000006")
        (checkpoints / "latest").unlink()
        (checkpoints / "latest").symlink_to("step-00000003")
        (checkpoints / ".step-00000006.tmp-1").mkdir()  # what a crash leaves
        result = must_run(TRAINERS[objective], "--resume", "--out", died)
        self.assertRegex(result.err, r"resuming from \S+step-00000003\n$")
        self.assert_same_run(died, whole)
        return whole

    def test_a_run_that_died_goes_on_bit_for_bit(self):
        for objective in TRAINERS:
            with self.subTest(objective):
                self.assert_goes_on(objective, objective)

    def test_numbers_that_are_not_trained_go_on_too(self):
        for objective, files in {"edm": 3, "ct": 4}.items():
            with self.subTest(objective):
                folder = self.assert_goes_on(objective, f"ncsnpp-{objective}", *NCSNPP)
                latest = folder / "checkpoints" / "latest"
                drawn = [load_tensors(path)[DRAWN].tolist() for path in latest.glob("[emt]*.safetensors")]
                self.assertEqual(len(drawn), files)  # model, two averages, a target
                self.assertTrue(all(numbers == drawn[0] for numbers in drawn))
                self.assertGreater(max(map(abs, drawn[0])), 1)
                samples = f"samples-{objective}"
                must_run("cm-sample", "--checkpoint", folder, "--steps", "2", "--num", "2", "--out", samples)
                pixels = load_npz(FOLDER / samples / "samples.npz")["arr_0"]
                self.assertEqual(pixels.shape, (2, 8, 8, 1))

    def test_a_loss_that_learns_goes_on_too(self):
        network = ("model.architecture=edm2", "model.head_channels=16")
        rate = ("optimizer.rule=adam", "optimizer.decay=inverse_sqrt", "optimizer.decay_start=2")
        folder = self.assert_goes_on("edm", "edm2", *network, *rate, "edm.uncertainty=true")
        learned = load_tensors(folder / "checkpoints" / "latest" / "objective.safetensors")
        self.assertEqual(learned["logvar_linear.weight"].shape, (1, 128))

    def test_mixed_precision_goes_on_too(self):
        folder = self.assert_goes_on("cd", "fp16", "train.dtype=fp16")
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.assertTrue(all(line["loss_scale"] >= 1 for line in lines))
        state = json.loads((folder / "checkpoints" / "latest" / "state.json").read_text())
        self.assertEqual(state["loss_scale"]["value"], lines[-1]["loss_scale"])
        for name in ("model", "target", "ema-0.05"):
            tensors = load_tensors(folder / "checkpoints" / "latest" / f"{name}.safetensors")
            self.assertEqual({tensor.dtype.name for tensor in tensors.values()}, {"float32"})

    def test_stages_go_on_from_their_middle_and_are_sampled_in_their_steps(self):
        """Stages begin at steps 0, 2 and 6: saved after 3 steps, in the second, which ends three steps later."""
        stages = ("pd.steps_per_stage=2", "pd.steps_two=4", "train.steps=8", "train.checkpoint_every=3",
                  "train.keep_checkpoints=1", "train.sample_every=4", "train.sample_count=2")  # fmt: skip
        whole = train("pd", "whole-stages", *stages)
        died = train("pd", "died-stages", *stages, "train.steps=3")
        self.assertEqual([line["n"] for line in metrics_of(whole)], [4, 4, 2, 2, 2, 2, 1, 1])
        must_run("cm-train-pd", "--resume", "--out", died, "train.steps=8")
        self.assert_same_run(died, whole)
        self.assertEqual(contents(died / "samples"), contents(whole / "samples"))
        checkpoints = whole / "checkpoints"
        kept = sorted(path.name for path in checkpoints.iterdir())
        self.assertEqual(kept, ["latest", "step-00000002", "step-00000006", "step-00000008"])

        for folder, steps in ((checkpoints / "step-00000002", 4), (checkpoints / "step-00000006", 2), (whole, 1)):
            with self.subTest(steps=steps):
                info = json.loads(must_run("cm-info", folder, "--json").out)
                self.assertEqual(info["model"]["distilled_steps"], steps)
                self.assertIn(f"sampled in  {steps} Euler step", must_run("cm-info", folder).out)
                out = f"stage-{steps}"
                must_run("cm-sample", "--checkpoint", folder, "--num", "3", "--out", out)
                record = json.loads((FOLDER / out / "samples.json").read_text())
                self.assertEqual((record["sampler"], record["evaluations"]), ("progdist", steps))
                self.assertEqual(load_npz(FOLDER / out / "samples.npz")["arr_0"].shape, (3, 8, 8, 1))
        for option in (("--steps", "2"), ("--sampler", "heun")):
            refused = run("cm-sample", "--checkpoint", whole, *option, "--num", "1", "--out", "never-made")
            self.assert_refused(refused, r"was distilled to take 1 Euler step down its own grid .* leave out --s")

    def test_a_student_can_go_on_halving(self):
        four = train("pd", "halved-to-4", "pd.steps_per_stage=2", "train.steps=2")
        one = (f"teacher.checkpoint={four}", "pd.start_steps=2", "train.steps=3")
        self.assertEqual([line["n"] for line in metrics_of(train("pd", "halved-to-1", *one))], [2, 2, 1])
        self.assert_all_refused(
            {
                training("pd", "never-made", f"teacher.checkpoint={four}"):
                    r"halved-to-4: was distilled to 4 sampling steps .* pd\.start_steps must be 2, got 4$",
                training("cd", "never-made", f"teacher.checkpoint={four}"):
                    r"was distilled to 4 sampling steps and is a denoiser at those levels only; name the model",
            }
        )  # fmt: skip

    def test_more_steps_than_at_first(self):
        whole = train("edm", "longer", "train.steps=5")
        folder = train("edm", "longer-later", "train.steps=2")
        result = must_run("cm-train-edm", "--out", folder, "--resume", "train.steps=5")
        self.assertIn("the run was started with '  steps: 2', it goes on with '  steps: 5'", result.err)
        self.assert_same_run(folder, whole)
        self.assertIn("\n  steps: 5\n", (folder / "config.yaml").read_text())

    def test_a_stopped_run_saves_and_says_how_to_go_on(self):
        process = self.begin(*training("edm", "stopped", "train.steps=5000", "train.checkpoint_every=5000"))
        folder = FOLDER / "stopped"
        self.wait_until(lambda: has_text(folder / "metrics.jsonl"))
        second = run("cm-train-edm", "--out", folder, "--resume=auto", "train.steps=1")
        self.assert_refused(second, "another process is writing to it")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 0)
        said = re.search(r"(?m)^stopped after step (\d+) and saved; go on with: (cm-train-edm --out stopped --resume)$",
                         output)  # fmt: skip
        self.assertTrue(said, output)
        steps = int(said[1])
        self.assertEqual(os.readlink(folder / "checkpoints" / "latest"), f"step-{steps:08}")
        self.assertEqual(len(metrics_of(folder)), steps)

        two_more = f"train.steps={steps + 2}"
        must_run(*said[2].split(), two_more)
        self.assert_same_run(folder, train("edm", "not-stopped", two_more, "train.checkpoint_every=5000"))

    def test_auto_goes_on_with_what_is_there(self):
        folder = FOLDER / "auto"
        folder.mkdir()
        (folder / ".config.yaml.tmp-1").write_text("obj")  # what a crash leaves
        started = must_run(*training("edm", "auto", "--resume", "auto", "train.steps=1"))
        self.assertIn("finished 1 steps", started.out)
        self.assertNotIn("resuming", started.err)
        shutil.rmtree(folder / "checkpoints")  # as if it had died before the first one
        again = must_run(*training("edm", "auto", "train.steps=1", "--resume", "auto"))
        self.assertIn("auto has no checkpoint yet: starting from step 0", again.err)
        resumed = must_run("cm-train-edm", "--resume=auto", "--out", "auto", "train.steps=2")
        self.assertRegex(resumed.err, r"resuming from auto/checkpoints/step-00000001\n$")
        self.assert_same_run(folder, teacher())

    def test_a_run_without_a_checkpoint_starts(self):
        folder = FOLDER / "early"
        folder.mkdir()
        (folder / "config.yaml").write_text(TINY)
        must_run("cm-train-edm", "--resume", "--out", folder)
        self.assertEqual(contents(folder / "checkpoints"), contents(teacher() / "checkpoints"))


if __name__ == "__main__":
    unittest.main()
