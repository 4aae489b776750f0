"""What is killed. A case starts its command anew, and knows what a whole result of it is."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import support
import traces

STUDY = Path(__file__).parent / "small_study.py"
MOST_SECONDS = 600  # of one start that nobody kills


class Case:
    """A command, on one process or several, that is started again until it is done.

    `folder` is what is killed, `twin` the same that never was; both are relative to support.FOLDER, where all runs.
    """

    def __init__(self, name: str, ranks: int = 1) -> None:
        self.name = name
        self.ranks = ranks
        self.folder = support.FOLDER / name
        self.twin = support.FOLDER / f"{name}-whole"
        self.seconds = 0.0  # that the whole takes

    def prepare(self) -> None:
        begin = time.monotonic()
        self.make_whole(self.twin)
        self.seconds = time.monotonic() - begin

    def make_whole(self, folder: Path, *more: str) -> None:
        for process in self.start(folder, *more):
            _, said = process.communicate(timeout=MOST_SECONDS)
            if process.returncode != 0:
                raise AssertionError(f"{self.name}: exit code {process.returncode}\n{said}")

    def start(self, folder: Path, *more: str) -> list[subprocess.Popen]:
        name, *arguments = self.command(folder)
        command = [str(support.BIN / name), *map(str, arguments), *more]
        return [popen(command, support.FOLDER, **place) for place in places(self.ranks)]

    def command(self, folder: Path) -> tuple:
        """(name, argument, ...), by what is in the folder."""
        raise NotImplementedError

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def problems(self) -> list[str]:
        """What is wrong in the folder, at whatever moment."""
        return []

    def differences(self) -> list[str]:
        """Between the folder and its twin, now that the command has ended by itself."""
        raise NotImplementedError


class Training(Case):
    """Twelve steps, with a checkpoint of six to eight files after every second."""

    SETTINGS = ("train.steps=12", "train.checkpoint_every=2", "train.keep_checkpoints=2", "train.sample_every=4",
                "train.sample_count=4", "data.workers=1", "ema.power_stds=[0.05,0.1]", "ema.snapshot_every=4")  # fmt: skip

    def __init__(self, objective: str, settings: list[str], ranks: int = 1) -> None:
        super().__init__(f"training-{objective}" if ranks == 1 else f"ranks-{ranks}", ranks)
        self.objective = objective
        self.settings = (*self.SETTINGS, *settings)
        self.with_all = support.FOLDER / f"{self.name}-all"

    def command(self, folder: Path) -> tuple:
        settings = self.settings if self.ranks == 1 else (*self.settings, "train.micro_batch_size=1", f"train.batch_size={2 * self.ranks}")
        return support.training(self.objective, folder.name, *settings, "--resume", "auto")

    def prepare(self) -> None:
        super().prepare()
        self.make_whole(self.with_all, "train.keep_checkpoints=0")

    def problems(self) -> list[str]:
        return traces.run_problems(self.folder, self.twin, self.with_all)

    def differences(self) -> list[str]:
        return traces.run_differences(self.folder, self.twin)


class Search(Case):
    FILES = ("evaluations.jsonl", "search.json", "search.png")

    def command(self, folder: Path) -> tuple:
        go_on = ("--resume",) if (folder / "search.json").exists() else ()
        return ("cm-search", "--checkpoint", support.student(), "--reference", support.DIGITS, "--steps", 3, "--num", 100,
                "--batch", 50, "--out", folder.name, *go_on)  # fmt: skip

    def problems(self) -> list[str]:
        if not self.folder.exists():
            return []
        names = {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}
        problems = [f"{name} is none of a search's files" for name in names - set(self.FILES)]
        theirs = traces.logged(self.twin, "evaluations.jsonl")
        mine = traces.logged(self.folder, "evaluations.jsonl")
        if mine != theirs[: len(mine)]:
            problems.append("evaluations.jsonl has other values")
        if "search.json" in names and "settings" not in json.loads((self.folder / "search.json").read_text()):
            problems.append("search.json has no settings")
        if "search.png" in names and not same_file(self.folder / "search.png", self.twin / "search.png"):
            problems.append("search.png is another")
        return problems

    def differences(self) -> list[str]:
        problems = [*self.problems(), *(f"{name} was left" for name in traces.leftovers(self.folder))]
        if len(traces.logged(self.folder, "evaluations.jsonl")) != len(traces.logged(self.twin, "evaluations.jsonl")):
            problems.append("evaluations.jsonl has other points")
        if not all(same_file(self.folder / name, self.twin / name) for name in ("search.json", "search.png")):
            problems.append("the result is another")
        return problems


class Files(Case):
    """A command that writes its files in the end, each whole or not at all. What a killed one left beside is hidden, and stays."""

    UNEQUAL = ()  # they hold times

    def clear(self) -> None:
        super().clear()
        self.folder.mkdir()

    def prepare(self) -> None:
        self.twin.mkdir()
        super().prepare()

    def problems(self) -> list[str]:
        mine, theirs = self.files(self.folder), self.files(self.twin)
        return [f"{name} is another" for name in mine if name not in self.UNEQUAL and mine[name] != theirs.get(name)]

    def differences(self) -> list[str]:
        missing = set(self.files(self.twin)) - set(self.files(self.folder))
        return [*self.problems(), *(f"{name} is missing" for name in sorted(missing))]

    def files(self, folder: Path) -> dict[str, str]:
        return {name: digest for name, digest in support.contents(folder).items() if "/." not in f"/{name}"}


class Evaluate(Files):
    def command(self, folder: Path) -> tuple:
        checkpoint = support.student() / "checkpoints" / "step-00000002"
        return ("cm-evaluate", "--checkpoint", checkpoint, "--reference", support.DIGITS, "--num", 200, "--batch", 50,
                "--save-stats", folder / "stats.npz", "--plot", folder / "plots", "--metrics", "frechet,precision", "--force")  # fmt: skip


class Sample(Files):
    UNEQUAL = ("samples.json",)

    def command(self, folder: Path) -> tuple:
        return ("cm-sample", "--checkpoint", support.student(), "--steps", 2, "--num", 60, "--batch", 20, "--png", "--float",
                "--out", folder.name, "--force")  # fmt: skip


class Study(Case):
    """scripts/reproduce in the small: a teacher, its student, a search and scores, by a Python that is killed alone."""

    def start(self, folder: Path, *more: str) -> list[subprocess.Popen]:
        return [popen([sys.executable, "-B", str(STUDY), str(folder), *more], support.SOURCE)]

    def prepare(self) -> None:
        super().prepare()
        self.make_whole(self.folder)  # its classifier stays
        self.seconds /= 2  # of which the classifier takes more than half

    def clear(self) -> None:
        for path in self.folder.glob("*"):
            if path.is_dir() and path.name != "tasks":
                shutil.rmtree(path)
        for path in self.folder.glob("tasks/*"):
            if path.name != "classifier.json":
                path.unlink()

    def differences(self) -> list[str]:
        mine, theirs = study_results(self.folder), study_results(self.twin)
        return sorted(f"{name} is another or missing" for name in mine | theirs if mine.get(name) != theirs.get(name))


def study_results(folder: Path) -> dict:
    """What a study has learned and measured, without paths and times."""
    found = {}
    for checkpoints in folder.glob("runs/*/checkpoints"):
        of_run = support.contents(checkpoints)
        found |= {f"{checkpoints.parent.name}/{name}": digest for name, digest in of_run.items()}
    for scores in folder.glob("samples/*/scores.json"):
        report = json.loads(scores.read_text())
        found[scores.parent.name] = {name: value for name, value in report.items() if isinstance(value, float)}
    for search in folder.glob("searches/*/search.json"):
        found[f"search-{search.parent.name}"] = json.loads(search.read_text())["result"]
    return found


def same_file(path: Path, other: Path) -> bool:
    return path.exists() and path.read_bytes() == other.read_bytes()


def popen(command: list[str], cwd: Path, **changes: str) -> subprocess.Popen:
    return subprocess.Popen(command, cwd=cwd, env=support.environment(**changes), stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def places(ranks: int) -> list[dict[str, str]]:
    """The variables of each process."""
    if ranks == 1:
        return [{}]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    meeting = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "CM_MEETING_SECONDS": "6"}
    return [meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def all_cases(settings: list[str]) -> list[Case]:
    return [
        *(Training(objective, settings) for objective in ("edm", "cd", "pd")),
        Search("search"),
        Evaluate("evaluate"),
        Sample("sample"),
        Study("study"),
        *(Training("cd", settings, ranks) for ranks in (2, 3)),
    ]
