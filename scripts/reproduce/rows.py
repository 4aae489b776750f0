"""What is trained and measured on the digits: the rows of docs/results.md and the points of its figures."""

import functools
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

BIN = Path(os.environ.get("CM_BIN", "build/bin"))
CONFIGS = Path("configs/digits")
SNAPSHOTS = "ema.snapshot_every"
CURVE_POINTS = 5  # checkpoints of a run whose course over training is drawn


@functools.cache
def methods() -> dict[str, dict]:
    """Objective → what its executable says of it: {"executable", "needs_teacher", "makes_denoiser", ...}."""
    listed = subprocess.run([BIN / "cm-train-edm", "--list-methods"], check=True, capture_output=True, text=True)
    return {method["objective"]: method for method in json.loads(listed.stdout)}


@dataclass(frozen=True)
class Training:
    """One run: a config of configs/digits, with `settings` over it. `teacher` and `init` name the trainings before it, `pairs`
    the one whose pairs it learns from."""

    name: str
    config: str
    settings: dict = field(default_factory=dict)
    teacher: str = ""
    init: str = ""
    pairs: str = ""
    curve: bool = False  # measured at CURVE_POINTS checkpoints, in one step

    @property
    def needs(self) -> tuple[str, ...]:
        """The tasks before it."""
        trained = tuple(f"train-{name}" for name in (self.teacher, self.init) if name)
        return (*trained, f"pairs-{self.pairs}") if self.pairs else trained

    def options(self) -> dict:
        return yaml.safe_load((CONFIGS / f"{self.config}.yaml").read_text())

    @property
    def objective(self) -> str:
        return self.options()["objective"]

    @property
    def program(self) -> str:
        return str(BIN / methods()[self.objective]["executable"])

    def overrides(self, scale: float) -> dict:
        """key → value for the command line; `scale` < 1 trains shorter."""
        values = dict(self.settings)
        options = self.options()
        for section in ("train", self.objective):
            for key, value in options.get(section, {}).items():
                if scale != 1 and "steps" in key and key != "start_steps":  # of training, not of sampling
                    name = f"{section}.{key}"
                    values[name] = max(1, round(values.get(name, value) * scale))
        snapshots = values.get(SNAPSHOTS, options.get("ema", {}).get("snapshot_every"))
        if scale != 1 and snapshots:
            values[SNAPSHOTS] = max(1, round(snapshots * scale))
        if self.curve:
            values |= {"train.checkpoint_every": self.steps(scale) // CURVE_POINTS, "train.keep_checkpoints": 0}
        return values

    def steps(self, scale: float) -> int:
        steps = self.options()["train"]["steps"]
        return steps if scale == 1 else max(1, round(steps * scale))

    def stage_ends(self, scale: float) -> dict[int, int]:
        """Progressive distillation: sampling steps N → the training step at which the student of N steps is done."""
        options = self.options()["pd"] | {
            key.removeprefix("pd."): value for key, value in self.overrides(scale).items() if key.startswith("pd.")
        }
        ends, end, n = {}, 0, options["start_steps"]
        while n >= 1:
            end += options["steps_two"] if n == 2 else options["steps_per_stage"]
            ends[n] = end if n > 1 else self.steps(scale)
            n //= 2
        return ends


@dataclass(frozen=True)
class Measurement:
    """Samples of a training, compared with the real digits. `step`: of which checkpoint; None: the last."""

    name: str
    training: str
    options: tuple[str, ...]
    step: int | None = None
    searched: int = 0  # the first so many time points of the training's search, in the place of options

    @property
    def cost(self) -> float:
        """An estimate of its seconds."""
        steps = int(self.options[-1]) if self.options else self.searched or 1
        return 3 + steps * (2 if "heun" in self.options else 1)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    title: str
    measurement: str


# Two stages' gap in one: the published q = 4 there, 2 on CIFAR-10 and in the config.
ECT_OF_IMAGENET = {
    "ect.p_mean": -0.8,
    "ect.p_std": 1.6,
    "ect.q": 4,
    "ect.steps_per_stage": 200,
    "ect.weighting": "karras",
    "ect.huber_c": 0.06,
}

# Two averages of power functions, of whose snapshots any width is made.
POWER_AVERAGES = {"ema.power_stds": [0.05, 0.1], SNAPSHOTS: 100, "ema.snapshot_type": "fp32"}

TRAININGS = [
    Training("edm", "edm", POWER_AVERAGES),
    Training("edm2", "edm2"),
    Training("ict", "ct"),
    Training("edm_trig", "edm_trig"),
    Training("cd", "cd", teacher="edm", curve=True),
    Training("continuous_cd", "continuous_cd", teacher="edm"),
    Training("continuous_ct", "continuous_ct", init="edm"),
    Training("ct", "ct_progressive", curve=True),
    Training("pd", "pd", teacher="edm"),
    Training("kd", "kd", init="edm", pairs="edm"),
    Training("ect", "ect", init="edm"),
    Training("ect_imagenet", "ect", ECT_OF_IMAGENET, init="edm"),
    Training("tcm", "tcm", init="ect"),
    Training("scd", "scd", teacher="edm_trig"),
    Training("sct", "sct"),
    Training("mean_flow", "mean_flow", curve=True),
    Training("alpha_flow", "alpha_flow", curve=True),
    Training("shortcut", "shortcut", curve=True),
    Training("imm", "imm", curve=True),
    Training("eulerian", "eulerian", teacher="edm_trig", curve=True),
    Training("lagrangian", "lagrangian", teacher="edm_trig", curve=True),
    Training("edm_label_dropout", "edm_label_dropout"),
    Training("cd_guided", "cd", {"teacher.guidance": 2}, teacher="edm_label_dropout"),
]

# CD by solver and number of levels N; the config itself is Heun's at N = 18.
SOLVERS = ("euler", "heun")
LEVELS = (6, 18, 40, 80)


def solver_training(solver: str, levels: int) -> str:
    return "cd" if (solver, levels) == ("heun", 18) else f"cd_{solver}_{levels}"


TRAININGS += [
    Training(solver_training(solver, levels), "cd", {"cd.solver": solver, "cd.n": levels}, teacher="edm")
    for levels in LEVELS
    for solver in SOLVERS
    if solver_training(solver, levels) != "cd"
]

# CD by distance: title → training; the config itself takes the squared ℓ2.
DISTANCES = {"squared ℓ2": "cd", "ℓ1": "cd_l1", "pseudo-Huber": "cd_pseudo_huber"}
TRAININGS += [
    Training(name, "cd", {"cd.distance": name.removeprefix("cd_")}, teacher="edm", curve=True)
    for name in DISTANCES.values()
    if name != "cd"
]

# CT by curriculum: title → training; the config itself has CM's progressive N(k) and adaptive μ(k).
FIXED_LEVELS = (6, 18, 60)
CURRICULA = {f"N = {n}": f"ct_{n}" for n in FIXED_LEVELS} | {"progressive N(k), adaptive μ(k)": "ct"}
TRAININGS += [
    Training(
        f"ct_{n}",
        "ct_progressive",
        {
            "ct.levels.schedule": "fixed",
            "ct.levels.s0": n,
            "ct.target.schedule": "fixed",
            "ct.target.mu": 0.95,
        },
        curve=True,
    )
    for n in FIXED_LEVELS
]

BY_NAME = {training.name: training for training in TRAININGS}

# Whose time points are searched, up to how many (the greedy search makes shorter lists the beginnings of longer ones).
SEARCHED = ("cd", "ict")
SEARCH_STEPS = 4

# Diffusion models by the width σ_rel of the average that samples: title → training.
WIDTHS = (0.04, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2)
BY_WIDTH = {"EDM2's network and training": "edm2", "ADM's network, EDM's training": "edm"}

# Guidance weights of the teacher that was trained with label dropout.
GUIDANCE = (0, 1, 2, 4)

TEACHER_HEUN_STEPS = (1, 2, 3, 5, 9, 18)
TEACHER_EULER_STEPS = (1, 2, 4, 8, 16, 32)

CONSISTENCY_TITLES = {
    "cd": "CD",
    "continuous_cd": "continuous-time CD",
    "scd": "sCD",
    "ct": "CT",
    "ict": "iCT",
    "ect": "ECT",
    "ect_imagenet": "ECT as on ImageNet 64 × 64",
    "tcm": "TCM of that of ECT",
    "continuous_ct": "continuous-time CT",
    "sct": "sCT",
}
FLOW_MAP_TITLES = {
    "eulerian": "Eulerian flow map",
    "lagrangian": "Lagrangian flow map",
    "mean_flow": "MeanFlow",
    "alpha_flow": "α-Flow",
    "shortcut": "shortcut model",
    "imm": "IMM",
}
FLOW_MAP_STEPS = (1, 2, 4)
BY_TIME = {"CD": "cd"} | {title: name for name, title in FLOW_MAP_TITLES.items()}

TABLE = (
    [Row("EDM teacher, Heun 18 steps", "edm-heun-18"), Row("TrigFlow teacher, Heun 18 steps", "edm_trig-heun-18")]
    + [Row(f"PD, {n} step{'s' if n > 1 else ''}", f"pd-{n}") for n in (1, 2)]
    + [Row("KD, 1 step", "kd-1")]
    + [
        Row(f"{title}, {n} step{'s' if n > 1 else ''}", f"{name}-{n}")
        for name, title in CONSISTENCY_TITLES.items()
        for n in (1, 2)
    ]
    + [
        Row(f"{title}, {n} step{'s' if n > 1 else ''}", f"{name}-{n}")
        for name, title in FLOW_MAP_TITLES.items()
        for n in FLOW_MAP_STEPS
    ]
)
GUIDED_TABLE = [Row(f"teacher with label dropout, Heun 18 steps, w = {w}", f"guidance-{w}") for w in GUIDANCE]
GUIDED_TABLE += [Row(f"CD of its w = 2, {n} step{'s' if n > 1 else ''}", f"cd_guided-{n}") for n in (1, 2)]


def curve_steps(training: Training, scale: float) -> list[int]:
    """The training steps at which a run with a curve is measured; the last is its end."""
    every = training.steps(scale) // CURVE_POINTS
    return [every * i for i in range(1, CURVE_POINTS)] + [training.steps(scale)]


def measurements(scale: float) -> list[Measurement]:
    found = [Measurement(f"edm-heun-{n}", "edm", ("--sampler", "heun", "--steps", str(n))) for n in TEACHER_HEUN_STEPS]
    found += [Measurement(f"edm-euler-{n}", "edm", ("--sampler", "euler", "--steps", str(n))) for n in TEACHER_EULER_STEPS]
    found += [
        Measurement(f"{name}-width-{width}", name, ("--ema-std", str(width), "--sampler", "heun", "--steps", "18"))
        for name in BY_WIDTH.values()
        for width in WIDTHS
    ]
    found.append(Measurement("edm_trig-heun-18", "edm_trig", ("--sampler", "heun", "--steps", "18")))
    found += [
        Measurement(f"guidance-{w}", "edm_label_dropout", ("--guidance", str(w), "--sampler", "heun", "--steps", "18"))
        for w in GUIDANCE
    ]
    found += [Measurement(f"pd-{n}", "pd", (), step) for n, step in BY_NAME["pd"].stage_ends(scale).items()]
    for training in TRAININGS:
        if methods()[training.objective]["makes_denoiser"]:
            continue
        counts = FLOW_MAP_STEPS if training.name in FLOW_MAP_TITLES else (1,)
        found += [Measurement(f"{training.name}-{n}", training.name, ("--steps", str(n))) for n in counts]
        if training.name in CONSISTENCY_TITLES or training.name == "cd_guided":
            found.append(Measurement(f"{training.name}-2", training.name, ("--steps", "2")))
        if training.curve:
            found += [
                Measurement(f"{training.name}-1-at-{step}", training.name, ("--steps", "1"), step)
                for step in curve_steps(training, scale)[:-1]
            ]
    found += [
        Measurement(f"{name}-searched-{n}", name, (), searched=n) for name in SEARCHED for n in range(2, SEARCH_STEPS + 1)
    ]
    return found
