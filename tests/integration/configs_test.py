"""Every configuration that ships: documented, valid as it stands, and able to train once data and sizes are tiny."""

import re
import unittest

from support import DIGITS, FOLDER, SOURCE, TRAINERS, ExecutableTest, must_run


def needs_another_run(path):
    return re.search(r"(?m)^(teacher|init):", path.read_text()) is not None


CONFIGS = sorted((SOURCE / "configs").rglob("*.yaml"), key=lambda path: (needs_another_run(path), path))

TINY_DATA = ("data.kind=digits", f"data.path={DIGITS}", "data.image_size=null", "data.patches=null", "data.latents=null")
TINY_NETWORK = (
    "model.channels=32",
    "model.channel_mult=[1, 2]",
    "model.res_blocks=1",
    "model.attention_resolutions=[4]",
    "model.heads=1",
    "model.head_channels=16",
)
TINY_TRANSFORMER = ("model.width=32", "model.depth=2", "model.heads=2")
TINY_TRAINING = ("train.batch_size=4", "train.micro_batch_size=null")
ONE_STEP = ("train.steps=1", "train.sample_every=0")

# The pairs that a config learns from are made by its head's own command, fewer of them.
SOME_PAIRS = ("--num", "4", "--batch", "4")

NATIVE_SIZE = {"digits": 8, "cifar10": 32}
NORM_GROUPS = 32


def value(text, key):
    """The scalar or list after `key:`, as text; None where the key is absent."""
    found = re.search(rf"(?m)^ *{key}: *([^#\n]+)", text)
    return found[1].strip() if found else None


def numbers(text, key):
    found = value(text, key)
    return [float(number) for number in found.strip("[]").split(",")] if found else []


def uses_lpips(text):
    return value(text, "distance") == "lpips"


def without_lpips(text):
    """Digits are grey, and LPIPS compares colours."""
    return (f"{value(text, 'objective')}.distance=l2", "lpips=null") if uses_lpips(text) else ()


def make_pairs(text):
    if command := re.search(r"(?m)^# pairs +(.*)$", text):
        name, *arguments = re.sub(r"--num \d+", " ".join(SOME_PAIRS), command[1]).split()
        must_run(name, *arguments)


def has_section(text, name):
    return re.search(rf"(?m)^{name}:", text) is not None


class ConfigsTest(ExecutableTest):
    def for_each(self, check):
        self.assertGreater(len(CONFIGS), 2)
        for path in CONFIGS:
            name = str(path.relative_to(SOURCE))
            with self.subTest(name):
                check(name, path.read_text())

    def test_the_head_names_paper_and_command(self):
        def check(name, text):
            head = text.split("\nobjective:")[0].splitlines()
            self.assertTrue(all(line.startswith("#") for line in head), head)
            self.assertRegex(head[0], r"^# [A-Z].*\.$")
            self.assertTrue(any(re.match(r"# paper +\S.*arXiv \d{4}\.\d{5}", line) for line in head), head)
            trainer = TRAINERS[value(text, "objective")]
            commands = [line for line in head if re.match(r"# command +", line)]
            self.assertEqual(len(commands), 1)
            self.assertRegex(commands[0], rf"# command +{trainer} --config {re.escape(name)} --out runs/\S+$")

        self.for_each(check)

    def test_the_head_says_where_lpips_weights_come_from(self):
        def check(_, text):
            self.assertTrue(uses_lpips(text))
            command = re.search(r"(?m)^# weights +\S+ (\S+) --vgg16 \S+ --out (\S+)$", text)
            self.assertTrue((SOURCE / command[1]).exists())
            self.assertEqual(value(text, "weights"), command[2])

        self.for_each(lambda name, text: check(name, text) if has_section(text, "lpips") else None)

    def test_the_networks_fit_their_images(self):
        """What a dry run would say of the networks that are too large for one here."""

        def check(_, text):
            size = NATIVE_SIZE.get(value(text, "kind")) or int(value(text, "image_size"))
            channels = [int(value(text, "channels")) * factor for factor in numbers(text, "channel_mult")]
            sides = [size / 2**level for level in range(len(channels))]
            attended = numbers(text, "attention_resolutions")
            self.assertTrue(sides[-1].is_integer())
            self.assertLessEqual(set(attended), set(sides))
            self.assertTrue(all(width % NORM_GROUPS == 0 for width in channels))
            for head in numbers(text, "head_channels"):
                self.assertTrue(all(width % head == 0 for width, side in zip(channels, sides) if side in attended))

        self.for_each(lambda name, text: check(name, text) if "channel_mult:" in text else None)

    def test_tiny_runs_dry_run_train_and_read_their_own_config_back(self):
        """In the folders that their commands name, so that each finds its teacher where another's command put it."""

        def check(name, text):
            trainer = TRAINERS[value(text, "objective")]
            network = TINY_TRANSFORMER if value(text, "architecture") == "dit" else TINY_NETWORK if has_section(text, "model") else ()
            make_pairs(text)
            data = () if value(text, "kind") == "pairs" else TINY_DATA
            overrides = [*data, *TINY_TRAINING, *network, *without_lpips(text)]
            command = (trainer, "--config", SOURCE / name, *overrides)
            dry = must_run(*command, "--dry-run")
            self.assertRegex(dry.out, r"(?m)^objective .*, [1-9]\d* steps of 4 images$")
            self.assertRegex(dry.out, r"(?m)^network +\S.* parameters$")
            self.assertRegex(dry.out, r"(?m)^one step +loss \d")

            out = re.search(r"(?m)^# command .* --out (\S+)$", text)[1]
            must_run(*command, *ONE_STEP, "--out", out)
            resolved = FOLDER / out / "config.yaml"
            before = resolved.read_text()
            again = must_run(trainer, "--resume", "--out", out)
            self.assertNotIn("warning", again.err)
            self.assertEqual(resolved.read_text(), before)

        self.for_each(check)


if __name__ == "__main__":
    unittest.main()
