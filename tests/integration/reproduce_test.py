"""scripts/reproduce: the report of a study whose scores are given, and that its trainings are what the executables take."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["CM_SOURCE_DIR"])
SCRIPTS = SOURCE / "scripts" / "reproduce"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPTS))

MISSING = [name for name in ("yaml", "matplotlib") if importlib.util.find_spec(name) is None]

TRUTHS = [f"cd-{solver}-17" for solver in ("euler", "heun", "midpoint", "dpm", "dpm_solver_2", "rk4")]
TRUTHS += ["ct-17", "ct-65", "continuous_cd", "continuous_cd-through-tangent", "pd", "kd", "ect", "ect-imagenet", "tcm"]
FLOW_MAPS = ["eulerian", "eulerian-trig", "lagrangian", "lagrangian-trig", "mean_flow", "mean_flow-trig", "alpha_flow"]
FLOW_MAPS += ["shortcut", "imm", "imm-trig"]
TRUTHS += FLOW_MAPS


def truth(name):
    """A row of cm-truths."""
    is_pd = name == "pd"
    in_one_step = name in ("pd", "kd")
    return {
        "name": name,
        "settings": {"objective": name.split("-")[0], "steps": 4000},
        "seconds": 12.3,
        "trajectories": 1024,
        "untrained_rms": 0.6,
        "grid_rms": 0.025,
        "rms": [{"sigma": sigma, "rms": 0.0625} for sigma in ((80.0,) if in_one_step else (80.0, 0.17))],
        "self_consistency": None if in_one_step else 0.5,
        "sliced_wasserstein": {"one_step": 0.125, "two_steps": None if in_one_step else 0.25},
        "map": {"rms": 0.07, "pairs": []} if name in FLOW_MAPS else None,
        "stages": [{"n": 2, "rms": 0.03}, {"n": 1, "rms": 0.04}] if is_pd else None,
    }


@unittest.skipIf(MISSING, f"this Python has no {', '.join(MISSING)}")
class ReportTest(unittest.TestCase):
    def setUp(self):
        import rows

        os.chdir(SOURCE)
        self.rows = rows
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name) / "study"
        self.scale = 0.1

    def report(self, relative):
        """The report when a measurement NAME has the relative distance relative(NAME)."""
        for measurement in self.rows.measurements(self.scale):
            folder = self.out / "samples" / measurement.name
            folder.mkdir(parents=True, exist_ok=True)
            value = relative(measurement.name)
            scores = {
                "frechet": 20 * value,
                "frechet_relative": value,
                "frechet_floor": 0.8,
                "frechet_gaussian": 20.0,
                "precision": 0.5,
                "recall": 0.25,
                "class_accuracy": 0.75,
            }
            (folder / "scores.json").write_text(json.dumps(scores))
            (folder / "samples.json").write_text(json.dumps({"evaluations": 7}))
        (self.out / "truths").mkdir(exist_ok=True)
        (self.out / "truths" / "truths.json").write_text(json.dumps([truth(name) for name in TRUTHS]))
        tasks = self.out / "tasks"
        tasks.mkdir(parents=True, exist_ok=True)
        names = [f"train-{training.name}" for training in self.rows.TRAININGS]
        names += [f"search-{name}" for name in self.rows.SEARCHED]
        names += [f"pairs-{training.pairs}" for training in self.rows.TRAININGS if training.pairs]
        names += [f"measure-{m.name}" for m in self.rows.measurements(self.scale)] + ["classifier", "truths"]
        for name in names:
            (tasks / f"{name}.json").write_text(json.dumps({"fingerprint": "given", "seconds": 90}))
        command = [sys.executable, str(SCRIPTS), "--out", str(self.out), "--quick", "--report-only"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return (self.out / "results.md").read_text()

    def test_every_row_figure_and_finding_is_there(self):
        text = self.report(lambda name: 0.125)
        for row in self.rows.TABLE:
            self.assertIn(f"| {row.title} |", text)
        self.assertIn("| 1.5 | 7 | 2.50 | 0.1250 | 0.500 | 0.250 | 75.0% |", text)
        self.assertIn("| `cd-rk4-17` | 0.062 | 0.062 | 0.025 | 0.500 | 0.125 | 0.250 |  | 12 |", text)
        self.assertIn("| `pd` | 0.062 |  | 0.025 |  | 0.125 |  |  | 12 |", text)
        self.assertIn("alone: `kd` 0.062, where the walks' own error is 0.025", text)
        self.assertIn("stage by stage: 0.030 with N = 2, 0.040 with N = 1", text)
        pictures = sorted(path.name for path in (self.out / "images").iterdir())
        self.assertEqual(pictures, [f"results-{name}.png" for name in ("curricula", "distances", "flow-maps", "solvers", "steps", "widths")])
        for picture in pictures:
            self.assertIn(f"(images/{picture})", text)

    def verdict(self, text, claim):
        (line,) = [line for line in text.splitlines() if claim in line]
        return line.split("**")[1]

    def test_verdicts_follow_the_numbers(self):
        claim = "Heun's solver distills better than Euler's"
        for euler, expected in ((0.2, "As in the paper."), (0.05, "Differs from the paper.")):
            text = self.report(lambda name, euler=euler: euler if name.startswith("cd_euler") else 0.1)
            self.assertEqual(self.verdict(text, claim), expected)
        text = self.report(lambda name: 0.2 if name.endswith("-2") else 0.1)
        self.assertEqual(self.verdict(text, "A second step improves"), "Differs from the paper.")
        self.assertIn("It does not improve CD, continuous-time CD, sCD, CT, iCT", text)

    def test_every_setting_is_known(self):
        """Settings are read before files: all that is left to complain of are the files that are not there."""
        for training in self.rows.TRAININGS:
            command = [training.program, "--config", f"configs/digits/{training.config}.yaml", "--dry-run"]
            settings = training.overrides(self.scale) | {"data.path": "absent"}
            for key, name in (("teacher.checkpoint", training.teacher), ("init.checkpoint", training.init)):
                if name:
                    settings[key] = "absent"
            command += [f"{key}={value}" for key, value in settings.items()]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 2, training.name)
            self.assertRegex(result.stderr, r"^\S+: absent: (not found|no such file)", training.name)


if __name__ == "__main__":
    unittest.main()
