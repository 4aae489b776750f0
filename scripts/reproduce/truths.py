"""The section on Gaussian mixtures: cm-truths' truths.json as a table, and what it shows."""

import json
from pathlib import Path

INTRODUCTION = """\
A mixture of four Gaussians in the plane has a denoiser in closed form, and its consistency function is the solution of the
probability-flow ODE, computed to 1e-10. `cm-truths` trains a small perceptron by every objective, with the objectives, the
curricula, the optimizer and the trainer of the executables; where a method has a teacher it is the exact denoiser. *Error* is
the root mean square of f(x, σ) − f*(x, σ) over {trajectories} trajectories (an untrained student: {untrained:.2f}), *grid* what
the exact denoiser's own walk on the method's grid is off by, *self-consistency* how much f differs along a trajectory, *SW*
the sliced Wasserstein distance of samples to exact ones of the same noise. Of a flow map, *map* is the root mean square error
of X(x, t, s) from each level to each lower one, in units of the data. {steps} steps each."""


def rows_of(folder: Path) -> list[dict]:
    return json.loads((folder / "truths.json").read_text())


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def table(rows: list[dict]) -> list[str]:
    sigmas = [point["sigma"] for point in rows[0]["rms"]]
    heads = ["objective", *(f"error at σ = {sigma:.3g}" for sigma in sigmas), "grid", "self-consistency", "SW, 1 step"]
    heads += ["SW, 2 steps", "map", "seconds"]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    for row in rows:
        errors = {point["sigma"]: point["rms"] for point in row["rms"]}
        cells = [f"`{row['name']}`", *(number(errors.get(sigma)) for sigma in sigmas), number(row["grid_rms"])]
        cells += [number(row["self_consistency"]), number(row["sliced_wasserstein"]["one_step"])]
        of_map = row["map"]["rms"] if row["map"] else None
        cells += [number(row["sliced_wasserstein"]["two_steps"]), number(of_map), f"{row['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def comparisons(rows: list[dict]) -> list[str]:
    """The rows that answer one question, side by side: errors at σ_max."""
    by_name = {row["name"]: row for row in rows}

    def error(name: str, at: int = 0) -> float:
        return by_name[name]["rms"][at]["rms"]

    def listed(names: list[str]) -> str:
        return ", ".join(f"`{name}` {error(name):.3f}" for name in names)

    euler = [name for name in by_name if name.startswith("cd-euler-")]
    grids = ", ".join(f"{by_name[name]['grid_rms']:.3f}" for name in euler)
    solvers = ["cd-euler-17", "cd-heun-17", "cd-midpoint-17", "cd-dpm-17", "cd-dpm_solver_2-17", "cd-rk4-17"]
    (pd,) = [row for row in rows if row["stages"]]
    stages = ", ".join(f"{stage['rms']:.3f} with N = {stage['n']}" for stage in pd["stages"])
    below = f"{error('ect-imagenet', -1):.3f} and {error('tcm', -1):.3f} at σ = {by_name['tcm']['rms'][-1]['sigma']:.2g}"
    return [
        f"- A distilled model learns its solver's solution: {listed(euler)}, where the solver's own errors are {grids}.",
        f"- The solver, at N = 17: {listed(solvers)}.",
        f"- The same pairs without a teacher, and more of them: {listed(['cd-heun-17', 'ct-17', 'ct-65'])}.",
        f"- In continuous time, the tangent held fixed and learned through: "
        f"{listed(['continuous_cd', 'continuous_cd-through-tangent'])}.",
        f"- The two forms of ECT, and TCM's second stage after the latter: {listed(['ect', 'ect-imagenet', 'tcm'])}; below "
        f"σ = 1 that student is not trained, and its first stage is what should be asked: {below}.",
        f"- Progressive distillation, stage by stage: {stages}.",
        f"- Ends of Heun's walks of 17 levels, learned at σ_max alone: {listed(['kd'])}, where the walks' own error is "
        f"{by_name['kd']['grid_rms']:.3f}.",
        f"- Flow maps of the exact teacher, by either equation and on either path, beside CD: "
        f"{listed(['eulerian', 'eulerian-trig', 'lagrangian', 'lagrangian-trig', 'cd-heun-17'])}.",
        f"- Flow maps from data alone: {listed(['mean_flow', 'mean_flow-trig', 'alpha_flow', 'shortcut', 'imm', 'imm-trig'])}; a shortcut "
        f"model is trained on steps that are powers of two alone, IMM on distributions rather than trajectories.",
    ]


def section(folder: Path) -> list[str]:
    rows = rows_of(folder)
    (student,) = [row for row in rows if row["name"] == "cd-heun-17"]
    introduction = INTRODUCTION.format(
        trajectories=f"{rows[0]['trajectories']:,}",
        untrained=student["untrained_rms"],
        steps=f"{rows[0]['settings']['steps']:,}",
    )
    command = "`scripts/build.sh --dev cm-truths && build/bin/cm-truths --out runs/truths` makes these rows alone."
    return [introduction, "", *table(rows), "", *comparisons(rows), "", command]
