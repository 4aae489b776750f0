"""Folders by any name that the system allows: with spaces, a # and bytes that are no UTF-8. What was computed is written,
and the JSON beside it can be read."""

import json
import shutil
import unittest

from support import DIGITS, FOLDER, ExecutableTest, must_run, teacher, training

NAME = "set #2: \udcff"  # the byte ff
SHOWN = NAME.replace("\udcff", "\ufffd")


class AnyBytesTest(ExecutableTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = FOLDER / NAME
        cls.folder.mkdir()
        cls.digits = shutil.copy(DIGITS, cls.folder)
        cls.student = cls.folder / "student"
        must_run(*training("ct", cls.student, f"data.path={cls.digits}", f"init.checkpoint={teacher()}", "train.steps=1"))

    def read(self, *place):
        """The JSON of a file, which must be UTF-8."""
        return json.loads(self.folder.joinpath(*place).read_text(encoding="utf-8"))

    def shown(self, *place):
        return str(FOLDER.joinpath(SHOWN, *place))

    def test_a_run_goes_on_by_its_own_config(self):
        must_run("cm-train-ct", "--resume", "--out", self.student, "train.steps=2")
        self.assertTrue((self.student / "checkpoints" / "step-00000002").is_dir())

    def test_samples_and_their_metrics(self):
        weights = self.student / "checkpoints" / "step-00000001" / "model.safetensors"
        out = self.folder / "samples"
        must_run("cm-sample", "--checkpoint", weights, "--num", "064", "--out", out)
        record = self.read("samples", "samples.json")
        self.assertEqual(record["checkpoint"], self.shown("student", "checkpoints", "step-00000001", "model.safetensors"))
        self.assertEqual(record["count"], 64)
        said = must_run("cm-evaluate", "--samples", out, "--reference", self.digits, "--json")
        report = json.loads(said.out)
        self.assertEqual((report["samples"]["path"], report["reference"]["path"]),
                         (self.shown("samples", "samples.npz"), self.shown(DIGITS.name)))  # fmt: skip
        info = json.loads(must_run("cm-info", weights, "--json").out)
        self.assertEqual(info["weights"], record["checkpoint"])

    def test_edits_and_searches(self):
        model = ("--checkpoint", self.student)
        must_run("cm-edit", "inpaint", *model, "--input", self.digits, "--num", 2, "--steps", 2, "--box", "0,0,04,4",
                 "--out", self.folder / "edited")  # fmt: skip
        self.assertIn(self.shown(DIGITS.name), json.dumps(self.read("edited", "edit.json"), ensure_ascii=False))
        searching = ("cm-search", *model, "--reference", self.digits, "--num", 20, "--steps", 2, "--grid", 4,
                     "--out", self.folder / "searched")  # fmt: skip
        found = must_run(*searching).out
        record = self.read("searched", "search.json")
        self.assertEqual(record["settings"]["reference"]["path"], self.shown(DIGITS.name))
        self.assertEqual(must_run(*searching, "--resume").out.splitlines()[-1], found.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
