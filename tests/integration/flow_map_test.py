"""Flow maps: trained from data and from a teacher, sampled in one and several steps, edited with, and what they refuse."""

import json
import unittest

import numpy
from support import DIGITS, FOLDER, METHODS, ExecutableTest, load_npz, metadata_of, must_run, run, teacher, train, training

MAPS = [objective for objective, method in METHODS.items() if method["makes_flow_map"]]


def sample(checkpoint, out, *options):
    must_run("cm-sample", "--checkpoint", checkpoint, "--num", "4", "--out", out, *options)
    return load_npz(FOLDER / out / "samples.npz")["arr_0"]


def record_of(out):
    return json.loads((FOLDER / out / "samples.json").read_text())


class FlowMapTest(ExecutableTest):
    @classmethod
    def setUpClass(cls):
        cls.map = train("mean_flow", "mean-flow", "train.label_dropout=0.1")

    def test_every_objective_of_them_makes_one(self):
        self.assertEqual(MAPS, ["mean_flow", "alpha_flow", "shortcut", "imm", "eulerian", "lagrangian"])
        model = json.loads(metadata_of(self.map / "checkpoints" / "latest" / "model.safetensors")["model"])
        self.assertEqual(model["parameterization"], "linear_map")
        self.assertTrue(model["network"]["second_time"])

    def test_steps_are_those_of_its_path(self):
        sample(self.map, "one")
        self.assertEqual([record_of("one")[key] for key in ("sampler", "evaluations", "sigmas")], ["flow_map", 1, [80, 0]])
        sample(self.map, "four", "--steps", "4")
        found = record_of("four")
        self.assertEqual(found["evaluations"], 4)
        numpy.testing.assert_allclose(found["sigmas"], [80, 60 / 21, 40 / 41, 20 / 61, 0])

    def test_noise_is_made_anew_where_it_is_asked_for(self):
        walked = sample(self.map, "walked", "--steps", "3")
        numpy.testing.assert_array_equal(sample(self.map, "walked-0", "--steps", "3", "--restart", "0"), walked)
        self.assertTrue((sample(self.map, "anew", "--steps", "3", "--restart", "0.8") != walked).any())
        self.assertEqual(record_of("anew")["restart"], 0.8)

    def test_a_distilled_map_starts_from_a_teacher_of_its_path(self):
        flow = train("edm", "flow", "parameterization=linear_diffusion", "edm.weighting=flow")
        result = must_run(*training("eulerian", "from-flow", f"teacher.checkpoint={flow}"))
        self.assertRegex(result.out, r"(?m)^start +.*/flow/")
        self.assertEqual(result.err, "")
        other = must_run(*training("lagrangian", "from-edm"))
        self.assertIn("it starts from random weights", other.out + other.err)

    def test_a_tuned_map_goes_on_from_another(self):
        result = must_run(*training("alpha_flow", "tuned", f"init.checkpoint={self.map}"))
        self.assertRegex(result.out, r"(?m)^start +.*/mean-flow/")

    def test_guidance_in_the_target_is_learned(self):
        guided = train("mean_flow", "guided", "train.label_dropout=0.1", "mean_flow.guidance={omega: 0.2, kappa: 0.92}")
        model = json.loads(metadata_of(guided / "checkpoints" / "latest" / "model.safetensors")["model"])
        self.assertAlmostEqual(model["guidance"], 2.5)
        refused = run("cm-sample", "--checkpoint", guided, "--guidance", "2", "--out", "twice")
        self.assertEqual(refused.code, 2)
        self.assertIn("was distilled into the model already", refused.err)

    def test_its_walks_make_pairs_where_they_draw_no_noise(self):
        making = ("cm-sample", "--pairs", "--checkpoint", self.map, "--num", "2", "--steps", "2", "--out")
        must_run(*making, "map-pairs")
        self.assertTrue((FOLDER / "map-pairs" / "pairs-000000.safetensors").is_file())
        self.assert_all_refused({(*making, "no-pairs", "--restart", "0.5"): "the flow_map sampler draws noise on its way"})

    def test_it_edits_as_a_consistency_function(self):
        must_run("cm-edit", "inpaint", "--checkpoint", self.map, "--input", DIGITS, "--num", "2",
                 "--box", "0,4,8,4", "--steps", "2", "--out", "inpainted")  # fmt: skip
        self.assertTrue((FOLDER / "inpainted" / "results.npz").is_file())

    def test_what_they_refuse(self):
        self.assert_all_refused(
            {
                ("cm-sample", "--checkpoint", teacher(), "--sampler", "flow_map", "--out", "no"): "needs a consistency model",
                ("cm-sample", "--checkpoint", self.map, "--sampler", "heun", "--out", "no"): "use onestep, multistep or flow_map",
                ("cm-sample", "--checkpoint", self.map, "--restart", "2", "--out", "no"): "--restart",
                training("ict", "no", "model.second_time=true"): "trains a network of one time; remove the key",
                training("ict", "no", f"init.checkpoint={self.map}"): "is a flow map, whose network has two times",
                training("mean_flow", "no", "mean_flow.guidance.omega=2"): "train.label_dropout hides classes",
                training("mean_flow", "no", "mean_flow.guidance.kappa=1"): "kappa",
                training("imm", "no", "imm.group=3"): "groups of 3 samples, and 4 at a time are no whole groups",
                training("shortcut", "no", "shortcut.finest=12"): "must be a power of two",
                training("alpha_flow", "no", "alpha_flow.alpha={start: 0.5, end: 0.5}"): "must be above start",
                training("mean_flow", "no", "parameterization=skip"): "must be linear_map or trig_map for objective mean_flow",
            }
        )


if __name__ == "__main__":
    unittest.main()
