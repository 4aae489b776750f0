"""cm-truths as a user runs it: what it learns, what it writes, and what it keeps."""

import json
import subprocess
import unittest

from support import BIN, FOLDER

ROWS = "edm,cd-heun-17,pd,kd,ict,scd"
# The mixture's standard deviation, the error of a function that gives its mean always, is 0.547. In so few steps the
# last stages of progressive distillation learn nothing; its first does.
ENOUGH = 0.45


def run(out, *arguments):
    command = [BIN / "cm-truths", "--out", out, "--quick", *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


def rows_in(out):
    return json.loads((FOLDER / out / "truths.json").read_text(encoding="utf-8"))


class Truths(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.first = run("truths", "--steps", "210", "--only", ROWS)

    def test_learned_functions_come_near_the_exact_one(self):
        self.assertEqual(self.first.returncode, 0, self.first.stderr)
        rows = rows_in("truths")
        self.assertEqual([row["name"] for row in rows], ROWS.split(","))
        for row in rows:
            with self.subTest(row["name"]):
                self.assertLess(row["stages"][0]["rms"] if row["stages"] else row["rms"][0]["rms"], ENOUGH)
                self.assertAlmostEqual(sum(row["modes"]), 1, places=6)
        by_name = {row["name"]: row for row in rows}
        for name in ("cd-heun-17", "kd", "ict", "scd"):
            row = by_name[name]
            self.assertLess(row["rms"][0]["rms"], 0.85 * row["untrained_rms"], name)
        self.assertEqual([stage["n"] for stage in by_name["pd"]["stages"]], [16, 8, 4, 2, 1])
        self.assertAlmostEqual(by_name["pd"]["stages"][-1]["rms"], by_name["pd"]["rms"][0]["rms"], places=12)
        self.assertLess(by_name["cd-heun-17"]["grid_rms"], 0.05)
        self.assertEqual(len(by_name["scd"]["rms"]), 4)
        self.assertEqual([point["sigma"] for point in by_name["kd"]["rms"]], [80])
        self.assertEqual(by_name["kd"]["grid_rms"], by_name["edm"]["grid_rms"])

    def test_rows_that_are_there_are_kept_and_others_repeat_exactly(self):
        before = rows_in("truths")
        again = run("truths", "--steps", "210", "--only", "edm")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(rows_in("truths"), before)
        fresh = run("fresh", "--steps", "210", "--only", "ict")
        self.assertEqual(fresh.returncode, 0, fresh.stderr)
        expected = next(row for row in before if row["name"] == "ict")
        self.assertEqual({**rows_in("fresh")[0], "seconds": 0}, {**expected, "seconds": 0})

    def test_other_settings_make_the_row_anew(self):
        run("other", "--steps", "3", "--only", "ict")
        first = rows_in("other")
        run("other", "--steps", "4", "--only", "ict")
        second = rows_in("other")
        self.assertEqual([first[0]["settings"]["steps"], second[0]["settings"]["steps"], len(second)], [3, 4, 1])

    def test_mistakes_are_one_line(self):
        wrong = run("wrong", "--only", "cd-huen-17")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("did you mean cd-heun-17?", wrong.stderr)
        (FOLDER / "broken").mkdir()
        (FOLDER / "broken" / "truths.json").write_text("{", encoding="utf-8")
        broken = run("broken", "--only", "ict")
        self.assertEqual(broken.returncode, 2)
        self.assertIn("is not a list of rows", broken.stderr)


if __name__ == "__main__":
    unittest.main()
