"""What the papers found, beside what came out here: each finding's verdict follows from the measured numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import rows

Score = Callable[[str], float]  # a measurement's name → its relative Fréchet distance


@dataclass(frozen=True)
class Finding:
    """`holds` is None where the paper's comparison cannot be made on the digits."""

    claim: str
    source: str
    numbers: str
    holds: bool | None

    def text(self) -> str:
        verdict = {True: "**As in the paper.**", False: "**Differs from the paper.**", None: "**Not comparable.**"}
        return f"- {self.claim} ({self.source}). {verdict[self.holds]} {self.numbers}"


def pairs(score: Score, first: list[str], second: list[str], labels: list[str]) -> str:
    compared = [
        f"{label}: {score(a):.3f} against {score(b):.3f}" for label, a, b in zip(labels, first, second, strict=True)
    ]
    return "; ".join(compared) + "."


def better(score: Score, first: list[str], second: list[str]) -> bool:
    return all(score(a) < score(b) for a, b in zip(first, second, strict=True))


def solver_findings(score: Score) -> list[Finding]:
    by_solver = {s: [f"{rows.solver_training(s, n)}-1" for n in rows.LEVELS] for s in rows.SOLVERS}
    best = {
        solver: min(zip(rows.LEVELS, names, strict=True), key=lambda pair: score(pair[1]))[0]
        for solver, names in by_solver.items()
    }
    return [
        Finding(
            "With the same N, Heun's solver distills better than Euler's",
            "CM Figure 3b",
            "Heun against Euler, one step: "
            + pairs(score, by_solver["heun"], by_solver["euler"], [f"N = {n}" for n in rows.LEVELS]),
            better(score, by_solver["heun"], by_solver["euler"]),
        ),
        Finding(
            "Euler's solver, of lower order, wants a finer grid than Heun's",
            "CM Figure 3b and 3c",
            f"The best N of those tried is {best['euler']} for Euler and {best['heun']} for Heun.",
            best["euler"] > best["heun"],
        ),
    ]


def distance_finding(score: Score) -> Finding:
    numbers = ", ".join(f"{title} {score(f'{name}-1'):.3f}" for title, name in rows.DISTANCES.items())
    return Finding(
        "LPIPS is by far the best distance, ahead of ℓ1 and ℓ2",
        "CM Figure 3a",
        f"LPIPS sees photographs, not digits of 8 × 8 pixels, so it was not trained here. The others, one step: {numbers}.",
        None,
    )


def curriculum_findings(score: Score, scale: float) -> list[Finding]:
    early = rows.curve_steps(rows.BY_NAME["ct"], scale)[0]
    few, many = (f"ct_{n}-1" for n in (min(rows.FIXED_LEVELS), max(rows.FIXED_LEVELS)))
    fixed = [f"ct_{n}-1" for n in rows.FIXED_LEVELS]
    return [
        Finding(
            "CT with few levels N learns faster and ends worse than with many",
            "CM Figure 3d",
            f"N = {min(rows.FIXED_LEVELS)} against N = {max(rows.FIXED_LEVELS)}, one step: "
            + pairs(
                score, [f"{few}-at-{early}", few], [f"{many}-at-{early}", many], [f"after {early} steps", "at the end"]
            ),
            score(f"{few}-at-{early}") < score(f"{many}-at-{early}") and score(few) > score(many),
        ),
        Finding(
            "The progressive N(k) with its adaptive μ(k) is better than every fixed N",
            "CM Figure 3d",
            f"{score('ct-1'):.3f}, and for N = "
            + ", ".join(f"{n}: {score(name):.3f}" for n, name in zip(rows.FIXED_LEVELS, fixed, strict=True))
            + ".",
            all(score("ct-1") < score(name) for name in fixed),
        ),
    ]


def family_findings(score: Score) -> list[Finding]:
    def both(name: str) -> list[str]:
        return [f"{name}-1", f"{name}-2"]

    def compare(claim: str, source: str, first: str, second: str) -> Finding:
        numbers = pairs(score, both(first), both(second), ["one step", "two steps"])
        return Finding(claim, source, numbers, better(score, both(first), both(second)))

    titles = rows.CONSISTENCY_TITLES
    worse = [title for name, title in titles.items() if score(f"{name}-2") >= score(f"{name}-1")]
    walks = {
        name: [score(f"{name}-1")] + [score(f"{name}-searched-{n}") for n in range(2, rows.SEARCH_STEPS + 1)]
        for name in rows.SEARCHED
    }
    return [
        compare("Distillation from a teacher beats training alone: CD against CT", "CM Tables 1 and 2", "cd", "ct"),
        compare("CD beats progressive distillation at one and two steps: CD against PD", "CM Figure 4", "cd", "pd"),
        Finding(
            "CD beats knowledge distillation, which learns one step from stored walks: CD against KD",
            "CM Table 1",
            f"One step: {score('cd-1'):.3f} against {score('kd-1'):.3f}.",
            score("cd-1") < score("kd-1"),
        ),
        compare("Improved consistency training beats CT: iCT against CT", "iCT Table 2", "ict", "ct"),
        compare("A second stage at large noise levels improves ECT: TCM against its first stage", "TCM Figure 1", "tcm", "ect"),
        compare("On CIFAR-10 training alone beats distillation in TrigFlow: sCT against sCD", "sCM Table 1", "sct", "scd"),
        Finding(
            "On CIFAR-10 iCT is a little ahead of MeanFlow in one step: iCT against MeanFlow",
            "MeanFlow Table 3",
            f"One step: {score('ict-1'):.3f} against {score('mean_flow-1'):.3f}.",
            score("ict-1") < score("mean_flow-1"),
        ),
        compare("Starting from flow matching improves MeanFlow: α-Flow against it", "α-Flow, abstract", "alpha_flow", "mean_flow"),
        Finding(
            "A second step improves every consistency model",
            "CM Table 1, iCT, ECT, sCM",
            "So it does here." if not worse else f"It does not improve {', '.join(worse)}.",
            not worse,
        ),
        Finding(
            "More steps go on improving the samples",
            "CM Figure 4",
            "With searched time points, 1 to "
            f"{rows.SEARCH_STEPS} steps: "
            + "; ".join(f"{titles[name]} {', '.join(f'{y:.3f}' for y in walk)}" for name, walk in walks.items())
            + ".",
            all(walk == sorted(walk, reverse=True) for walk in walks.values()),
        ),
    ]


def findings(score: Score, scale: float) -> list[Finding]:
    return [
        *solver_findings(score),
        distance_finding(score),
        *curriculum_findings(score, scale),
        *family_findings(score),
    ]
