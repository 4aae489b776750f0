"""The figures of docs/results.md, in the manner of the paper's: lines of the relative Fréchet distance."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import NullLocator, ScalarFormatter  # noqa: E402


@dataclass(frozen=True)
class Line:
    title: str
    x: list[float]
    y: list[float]


def ticks(values: list[float]) -> list[float]:
    """The values themselves, or powers of two where they would overlap."""
    if all(b / a > 1.2 for a, b in pairwise(values)):
        return values
    return [2**i for i in range(12) if values[0] <= 2**i <= values[-1]]


@dataclass(frozen=True)
class Figure:
    """`floor`: the distance of one half of the real digits to the other, drawn dashed."""

    file: str
    x_label: str
    lines: list[Line]
    floor: float
    x_is_logarithmic: bool = False

    def draw(self, folder: Path) -> None:
        figure, axes = pyplot.subplots(figsize=(5.2, 3.4), dpi=110, layout="constrained")
        for line, marker in zip(self.lines, "osD^vPX*"):
            axes.plot(line.x, line.y, marker=marker, markersize=4, linewidth=1.4, label=line.title)
        axes.axhline(self.floor, color="grey", linestyle="--", linewidth=1, label="real against real")
        axes.set_yscale("log")
        if self.x_is_logarithmic:
            axes.set_xscale("log")
            axes.set_xticks(ticks(sorted({x for line in self.lines for x in line.x})))
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.xaxis.set_minor_locator(NullLocator())
            axes.tick_params(axis="x", labelsize=8)
        axes.set_xlabel(self.x_label)
        axes.set_ylabel("relative Fréchet distance")
        axes.grid(which="both", linewidth=0.3)
        axes.legend(fontsize=8)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / self.file, metadata={"Software": None})
        pyplot.close(figure)
