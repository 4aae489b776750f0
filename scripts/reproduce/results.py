"""Writes the report of a study: results.md and its figures."""

import json
import os
from importlib import metadata
from pathlib import Path

import findings
import rows
import truths
from figures import Figure, Line

FIGURES = {
    "solvers": "CD by solver and number of levels N",
    "distances": "CD by distance, over training",
    "curricula": "CT by curriculum, over training",
    "steps": "Quality by evaluations of the network",
    "flow_maps": "CD and flow maps, by the time of training",
    "widths": "EDM2 and ADM, by the width of the average",
}


class Scores:
    """The measured numbers by measurement: cm-evaluate's, and cm-sample's record of how the samples came about."""

    def __init__(self, study) -> None:
        self.study = study

    def of(self, measurement: str) -> dict:
        scores = self.study.scores(measurement)
        return json.loads((scores.parent / "samples.json").read_text()) | json.loads(scores.read_text())

    def relative(self, measurement: str) -> float:
        return self.of(measurement)["frechet_relative"]

    def evaluations(self, measurement: str) -> int:
        return self.of(measurement)["evaluations"]

    @property
    def floor(self) -> float:
        any_scores = self.of(rows.TABLE[0].measurement)
        return any_scores["frechet_floor"] / any_scores["frechet_gaussian"]


def table(rows_of_table: list[rows.Row], study, runner, scores: Scores) -> list[str]:
    training_of = {m.name: rows.BY_NAME[m.training] for m in rows.measurements(study.scale)}
    lines = [
        "| method | training steps | minutes | evaluations | Fréchet | relative | precision | recall | class |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows_of_table:
        training = training_of[row.measurement]
        s = scores.of(row.measurement)
        minutes = runner.seconds(f"train-{training.name}") / 60
        lines.append(
            f"| {row.title} | {training.steps(study.scale)} | {minutes:.1f} | {s['evaluations']} | {s['frechet']:.2f} "
            f"| {s['frechet_relative']:.4f} | {s['precision']:.3f} | {s['recall']:.3f} | {s['class_accuracy']:.1%} |"
        )
    return lines


def floor_line(scores: Scores) -> str:
    gaussian = scores.of(rows.TABLE[0].measurement)["frechet_gaussian"]
    return f"| real against real, halves | | | | {scores.floor * gaussian:.2f} | {scores.floor:.4f} | | | |"


def figures(study, runner, scores: Scores) -> dict[str, Figure]:
    def over_training(titles: dict[str, str]) -> list[Line]:
        lines = []
        for title, name in titles.items():
            steps = rows.curve_steps(rows.BY_NAME[name], study.scale)
            names = [f"{name}-1-at-{step}" for step in steps[:-1]] + [f"{name}-1"]
            lines.append(Line(title, steps, [scores.relative(n) for n in names]))
        return lines

    def over_time(titles: dict[str, str]) -> list[Line]:
        def against_minutes(line: Line, name: str) -> Line:
            minutes = runner.seconds(f"train-{name}") / 60
            return Line(line.title, [minutes * step / line.x[-1] for step in line.x], line.y)

        return [against_minutes(*pair) for pair in zip(over_training(titles), titles.values(), strict=True)]

    def by_width(title: str, name: str) -> Line:
        return Line(title, list(rows.WIDTHS), [scores.relative(f"{name}-width-{width}") for width in rows.WIDTHS])

    def by_evaluations(title: str, names: list[str]) -> Line:
        return Line(title, [scores.evaluations(n) for n in names], [scores.relative(n) for n in names])

    solvers = [
        Line(solver, list(rows.LEVELS), [scores.relative(f"{rows.solver_training(solver, n)}-1") for n in rows.LEVELS])
        for solver in rows.SOLVERS
    ]
    steps = [
        by_evaluations("teacher, Heun", [f"edm-heun-{n}" for n in rows.TEACHER_HEUN_STEPS]),
        by_evaluations("teacher, Euler", [f"edm-euler-{n}" for n in rows.TEACHER_EULER_STEPS]),
        by_evaluations("PD", [f"pd-{n}" for n in sorted(rows.BY_NAME["pd"].stage_ends(study.scale))]),
    ]
    for name in rows.SEARCHED:
        searched = [f"{name}-searched-{n}" for n in range(2, rows.SEARCH_STEPS + 1)]
        steps.append(by_evaluations(rows.CONSISTENCY_TITLES[name], [f"{name}-1", *searched]))
    floor = scores.floor
    return {
        "solvers": Figure("results-solvers.png", "levels N", solvers, floor, x_is_logarithmic=True),
        "distances": Figure("results-distances.png", "training steps", over_training(rows.DISTANCES), floor),
        "curricula": Figure("results-curricula.png", "training steps", over_training(rows.CURRICULA), floor),
        "steps": Figure("results-steps.png", "evaluations of the network", steps, floor, x_is_logarithmic=True),
        "flow_maps": Figure("results-flow-maps.png", "minutes on one core", over_time(rows.BY_TIME), floor),
        "widths": Figure("results-widths.png", "σ_rel", [by_width(*pair) for pair in rows.BY_WIDTH.items()], floor),
    }


def introduction(study, runner) -> list[str]:
    command = "scripts/reproduce_digits.sh" + (" --quick" if study.quick else "")
    hours = sum(runner.seconds(name) for name in runner.tasks) / 3600
    return [
        "# Results on the digits",
        "",
        f"Everything on this page is written by `{command}`: it trains every objective from `configs/digits` on the 1,797",
        "digits (8 × 8, ten classes) that ship with the project, always with the same U-Net of 1.15 M parameters, samples",
        f"{study.samples} digits, all classes equally often, and compares them with the real ones. These networks are small and",
        "their trainings short; what is compared is the methods, not what they can reach.",
        "",
        f"Measured with LibTorch {metadata.version('torch').split('+')[0]} on {study.device}, one thread a run, "
        f"{hours:.1f} hours of one core in all. *Minutes* are a training's own processor",
        "time, without that of its teacher. *Fréchet* is the distance in the hidden layer of a small digit classifier",
        "(`scripts/train_digit_classifier.py`), not FID; *relative*: divided by that of a Gaussian fitted to the pixels;",
        "*class*: the samples that the classifier takes for the digit asked for.",
    ]


def picture(name: str, figure: Figure, images: str) -> list[str]:
    return ["", f"## {FIGURES[name]}", "", f"![{FIGURES[name]}]({images}/{figure.file})"]


NOTES = {
    "solvers": "One step after the same training; all from the same teacher. N = 18 with Heun's solver is the row CD of the table.",
    "distances": "One step, N = 18 with Heun's solver; the last point is the end, the learning rate decays to 0 towards it.",
    "curricula": "One step. A fixed N has the fixed decay μ = 0.95; the progressive one is the row CT of the table.",
    "steps": "The time points of CD and iCT beyond the first are those that `cm-search` found for this very distance, as the "
    "paper chose its own; the samples here have another seed than the search's. PD is sampled at the end of each stage.",
    "flow_maps": "One step, the time points those of equal steps: a run's checkpoints, whose own time that of all its steps is "
    "shared out among them equally. CD and the distilled maps have a teacher besides, whose time is not counted.",
    "widths": "Heun's 18 steps with the average of each σ_rel, made after training from the snapshots of two (`docs/evaluation.md`); "
    "both networks as long, of 1.01 M and 1.15 M parameters.",
}  # fmt: skip

GUIDANCE_NOTE = (
    "The teacher is that of `configs/digits/edm_label_dropout.yaml`, w the guidance weight: 0 leaves the class out, 1 is the "
    "model as it is (`docs/guidance.md`). The student learned the steps of w = 2, so that it needs one evaluation where its "
    "teacher needs two."
)


def write(study, runner) -> None:
    """results.md and its figures: for a whole study in docs, for a quick one in its own folder."""
    document = study.out / "results.md" if study.quick else Path("docs/results.md")
    images = document.parent / "images"
    scores = Scores(study)
    lines = introduction(study, runner)
    lines += ["", "## Every method", "", *table(rows.TABLE, study, runner, scores), floor_line(scores)]
    for name, figure in figures(study, runner, scores).items():
        figure.draw(images)
        lines += [*picture(name, figure, images.name), "", NOTES[name]]
    lines += ["", "## Guidance", "", *table(rows.GUIDED_TABLE, study, runner, scores), "", GUIDANCE_NOTE]
    lines += ["", "## What the papers found, and what came out here", ""]
    lines += [finding.text() for finding in findings.findings(scores.relative, study.scale)]
    lines += ["", "## Against the truth: Gaussian mixtures in the plane", "", *truths.section(study.truths_folder)]
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text("\n".join(lines) + "\n")
    print(f"the report: {os.path.relpath(document)}")
