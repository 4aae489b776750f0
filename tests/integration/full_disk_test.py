"""A disk that fills up while a checkpoint is written: nothing that was there is lost, and the run goes on later."""

import os
import unittest

from support import FOLDER, ExecutableTest, contents, must_run, run, train, training


@unittest.skipUnless(os.environ.get("CM_FULL_DISK"), "built without the library that plays a full disk")
class FullDiskTest(ExecutableTest):
    def test_the_last_good_checkpoint_survives(self):
        whole = train("edm", "whole", "train.steps=3")
        first = whole / "checkpoints" / "step-00000001"
        checkpoint_bytes = sum(path.stat().st_size for path in first.glob("*.safetensors"))
        result = run(
            *training("edm", "full", "train.steps=3"),
            LD_PRELOAD=os.environ["CM_FULL_DISK"],
            CM_DISK_BYTES=str(checkpoint_bytes * 3 // 2),
        )
        self.assert_refused(
            result,
            r"could not write full/checkpoints/\S+: No space left on device; free some space and run again; "
            r"the last good checkpoint is full/checkpoints/step-00000001 \(go on with --resume\)$",
            code=1,
        )
        folder = FOLDER / "full" / "checkpoints"
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["latest", "step-00000001"])
        self.assertEqual(os.readlink(folder / "latest"), "step-00000001")
        self.assertEqual(contents(folder / "step-00000001"), contents(first))
        self.assertIn("step        1\n", must_run("cm-info", "full").out)
        must_run("cm-sample", "--checkpoint", "full", "--steps", "1", "--num", "1", "--out", "full-samples")

        must_run("cm-train-edm", "--resume", "--out", "full")
        self.assertEqual(contents(folder), contents(whole / "checkpoints"))

    def test_samples_that_do_not_fit_leave_no_file(self):
        source = train("edm", "source", "train.steps=1")
        result = run(
            "cm-sample", "--checkpoint", source, "--steps", "1", "--num", "1", "--float", "--out", "no-space",
            LD_PRELOAD=os.environ["CM_FULL_DISK"],
            CM_DISK_BYTES="10",
        )  # fmt: skip
        self.assert_refused(result, r"could not write no-space/\S+: No space left on device", code=1)
        self.assertEqual(contents(FOLDER / "no-space"), {})


if __name__ == "__main__":
    unittest.main()
