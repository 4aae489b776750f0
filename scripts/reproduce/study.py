"""The tasks of a study: where each leaves its files, and the commands that make them."""

import json
import sys
from pathlib import Path

import rows
from tasks import Task

DATA = "data/digits/digits.csv.gz"
METRICS = "frechet,precision,recall,class_accuracy"
QUICK_SCALE = 0.1
SEARCHED_SIGMAS = "searched:"  # stands for the first so many time points that the training's search finds
SAMPLES = {False: 1800, True: 600}  # by --quick
PAIRS = {False: 20480, True: 2048}
PAIR_SECONDS = 0.007

# Rough seconds a training step of each objective takes here, for the order and the time left.
STEP_SECONDS = {
    "edm": 0.13, "cd": 0.25, "ct": 0.18, "ict": 0.18, "ect": 0.18, "tcm": 0.22, "pd": 0.22, "kd": 0.12,
    "continuous_cd": 0.35, "continuous_ct": 0.3, "scd": 0.35, "sct": 0.3,
    "mean_flow": 0.3, "alpha_flow": 0.25, "shortcut": 0.25, "imm": 0.2, "eulerian": 0.3, "lagrangian": 0.35,
}  # fmt: skip


class Study:
    """The tasks of one study: where each leaves its files, and the commands that make them."""

    def __init__(self, out: Path, quick: bool, device: str) -> None:
        self.out = out
        self.quick = quick
        self.device = device
        self.scale = QUICK_SCALE if quick else 1
        self.samples = SAMPLES[quick]
        self.pairs = PAIRS[quick]
        self.classifier = out / "classifier.safetensors"

    def run_folder(self, training: str) -> Path:
        return self.out / "runs" / training

    def scores(self, measurement: str) -> Path:
        return self.out / "samples" / measurement / "scores.json"

    def pairs_folder(self, teacher: str) -> Path:
        return self.out / "pairs" / teacher

    @property
    def truths_folder(self) -> Path:
        return self.out / "truths"

    def tasks(self) -> list[Task]:
        tasks = [self.classifier_task()]
        measurements = rows.measurements(self.scale)
        tasks += [self.pairs_of(name) for name in sorted({training.pairs for training in rows.TRAININGS} - {""})]
        for training in rows.TRAININGS:  # each is measured right away
            tasks.append(self.training(training))
            if training.name in rows.SEARCHED:
                tasks.append(self.search(training.name))
            tasks += [self.measurement(m) for m in measurements if m.training == training.name]
        return [*tasks, self.truths()]

    def classifier_task(self) -> Task:
        command = [sys.executable, "scripts/train_digit_classifier.py", "--data", DATA, "--out", str(self.classifier)]
        return Task("classifier", lambda _: [command], cost=10)

    def training(self, training: rows.Training) -> Task:
        folder = self.run_folder(training.name)
        settings = training.overrides(self.scale)
        for key, name in (("teacher.checkpoint", training.teacher), ("init.checkpoint", training.init)):
            if name:
                settings[key] = self.run_folder(name)
        if training.pairs:
            settings["data.path"] = self.pairs_folder(training.pairs)

        def commands(resuming: bool) -> list[list[str]]:
            resuming = resuming and (folder / "checkpoints" / "latest").exists()
            command = [training.program, "--config", str(rows.CONFIGS / f"{training.config}.yaml")]
            command += ["--out", str(folder), "--device", self.device, "--resume" if resuming else "--force"]
            return [command + [f"{key}={value}" for key, value in settings.items()]]

        return Task(
            f"train-{training.name}",
            commands,
            cost=training.steps(self.scale) * STEP_SECONDS.get(training.objective, 0.2),
            needs=training.needs,
            reads=(rows.CONFIGS / f"{training.config}.yaml",),
            is_complete=(folder / f"checkpoints/step-{training.steps(self.scale):08d}").exists,
        )

    def pairs_of(self, teacher: str) -> Task:
        command = [str(rows.BIN / "cm-sample"), "--pairs", "--checkpoint", str(self.run_folder(teacher))]
        command += ["--sampler", "heun", "--steps", "18", "--num", str(self.pairs), "--batch", "64", "--seed", "1"]
        command += ["--out", str(self.pairs_folder(teacher)), "--device", self.device]
        return Task(
            f"pairs-{teacher}",
            lambda resuming: [command if resuming else [*command, "--force"]],
            cost=self.pairs * PAIR_SECONDS,
            needs=(f"train-{teacher}",),
        )

    def search(self, name: str) -> Task:
        folder = self.out / "searches" / name

        def commands(resuming: bool) -> list[list[str]]:
            resuming = resuming and (folder / "search.json").exists()
            command = [str(rows.BIN / "cm-search"), "--checkpoint", str(self.run_folder(name)), "--reference", DATA]
            command += ["--features", str(self.classifier), "--metric", "frechet", "--steps", str(rows.SEARCH_STEPS)]
            command += ["--num", str(self.samples), "--batch", "100", "--device", self.device, "--seed", "1"]
            return [[*command, "--out", str(folder), "--resume" if resuming else "--force"]]

        def has_result() -> bool:
            return json.loads((folder / "search.json").read_text())["result"] is not None

        needs = ("classifier", f"train-{name}")
        return Task(f"search-{name}", commands, cost=40, needs=needs, is_complete=has_result)

    def measurement(self, measurement: rows.Measurement) -> Task:
        checkpoint = self.run_folder(measurement.training)
        if measurement.step is not None:
            checkpoint /= f"checkpoints/step-{measurement.step:08d}"
        folder = self.scores(measurement.name).parent
        needs = ["classifier", f"train-{measurement.training}"]
        options = list(measurement.options)
        if measurement.searched:
            needs.append(f"search-{measurement.training}")
            options += ["--sigmas", f"{SEARCHED_SIGMAS}{measurement.searched}"]

        def resolve(argument: str) -> str:
            if not argument.startswith(SEARCHED_SIGMAS):
                return argument
            log = self.out / "tasks" / f"search-{measurement.training}.log"
            found = log.read_text().splitlines()[-1].removeprefix("--sigmas ").split(",")
            return ",".join(found[: measurement.searched])

        sample = [str(rows.BIN / "cm-sample"), "--checkpoint", str(checkpoint), "--device", self.device, "--force"]
        sample += ["--num", str(self.samples), "--batch", "100", "--class", "all", "--seed", "0"]
        sample += ["--out", str(folder), *options]
        evaluate = [str(rows.BIN / "cm-evaluate"), "--samples", str(folder / "samples.npz"), "--reference", DATA]
        evaluate += ["--features", str(self.classifier), "--metrics", METRICS, "--calibrate", "--json"]
        evaluate += ["--device", self.device]
        return Task(
            f"measure-{measurement.name}",
            lambda _: [sample, evaluate],
            cost=measurement.cost,
            needs=tuple(needs),
            stdout=self.scores(measurement.name),
            resolve=resolve,
        )

    def truths(self) -> Task:
        command = [str(rows.BIN / "cm-truths"), "--out", str(self.truths_folder)] + (["--quick"] if self.quick else [])
        return Task("truths", lambda _: [command], cost=60 if self.quick else 400)
