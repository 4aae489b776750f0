"""scripts/extract_emoji.py: pictures with classes that training takes, of the system's font and Unicode's list."""

import functools
import re
import sys
import unittest

import numpy
from PIL import Image, features
from support import FOLDER, SOURCE, ExecutableTest, load_npz, must_run, run_script, tiny_config

sys.path.insert(0, str(SOURCE / "scripts"))
import extract_emoji  # noqa: E402

if not (extract_emoji.FONT.exists() and extract_emoji.GROUPS.exists() and features.check("raqm")):
    print("skipped: the font of emoji or Unicode's list is not installed; scripts/setup.sh --dev installs it")
    sys.exit(77)

GRINNING_FACE = "00-smileys-emotion/1f600.png"
FAMILY = "01-people-body/1f468-200d-1f469-200d-1f466.png"  # joined of three
FLAG_OF_JAPAN = "08-flags/1f1ef-1f1f5.png"


def extract(*arguments):
    return run_script("extract_emoji.py", *arguments)


@functools.cache
def extracted():
    return extract("--out", "emoji")


def pixels(name):
    with Image.open(FOLDER / "emoji" / name) as image:
        return numpy.asarray(image).astype(int)


class EmojiTest(ExecutableTest):
    def test_each_group_is_a_folder_of_pictures(self):
        self.assertEqual((extracted().returncode, extracted().stderr), (0, ""))
        counts = {folder: int(count) for folder, count in re.findall(r"(?m)^emoji/(\S+): (\d+) emoji$", extracted().stdout)}
        self.assertEqual(len(counts), 9)
        for folder, count in counts.items():
            found = list((FOLDER / "emoji" / folder).iterdir())
            self.assertEqual(len(found), count, folder)
            for path in found:
                with Image.open(path) as image:
                    self.assertEqual((image.size, image.mode), ((32, 32), "RGB"), path)
        self.assertFalse(list((FOLDER / "emoji").rglob("*-1f3f[b-f]*")), "tones of the skin")

    def test_pictures_are_the_emoji_on_white(self):
        extracted()
        for name in (GRINNING_FACE, FAMILY, FLAG_OF_JAPAN):
            self.assertEqual(pixels(name)[0, 0].tolist(), [255] * 3)
        red, green, blue = pixels(GRINNING_FACE)[7, 16]
        self.assertTrue(red > 220 and green > 150 and blue < 120, "a yellow face")
        red, green, blue = pixels(FLAG_OF_JAPAN)[16, 16]
        self.assertTrue(red > 150 and green < 90 and blue < 90, "a red sun")

    def test_training_takes_them_with_their_classes(self):
        extracted()
        must_run("cm-data", "--config", tiny_config(), "--out", "seen", "data.kind=folder", "data.path=emoji", "data.image_size=32",
                 "model.attention_resolutions=[]")  # fmt: skip
        seen = load_npz(FOLDER / "seen" / "samples.npz")
        self.assertEqual(seen["arr_0"].shape[1:], (32, 32, 3))
        self.assertEqual(set(seen["arr_1"].tolist()), set(range(9)))
        self.assertEqual(len(seen["arr_0"]), len(list((FOLDER / "emoji").rglob("*.png"))))
        numpy.testing.assert_array_equal(seen["arr_0"][0], pixels(sorted((FOLDER / "emoji/00-smileys-emotion").iterdir())[0]))

    def test_what_the_font_lacks_is_counted(self):
        (FOLDER / "few.txt").write_text("# group: Some\n1F600 ; fully-qualified # a\n1F600 1F600 ; fully-qualified # two\n")
        result = extract("--out", "few", "--groups", "few.txt", "--size", "64")
        self.assertEqual(result.stdout, "few/00-some: 1 emoji\nnot in the font: 1 of Some\n")
        with Image.open(FOLDER / "few/00-some/1f600.png") as image:
            self.assertEqual(image.size, (64, 64))

    def test_what_is_refused(self):
        extracted()
        (FOLDER / "none.txt").write_text("# group: Empty\n")
        for arguments, pattern in (
            (("--out", "emoji"), r"emoji: expected a new or empty folder; name another --out"),
            (("--out", "x", "--size", "137"), r"--size must lie in \[1, 136\], got 137"),
            (("--out", "x", "--font", "no.ttf"), r"no\.ttf: .*; install fonts-noto-color-emoji, or name a font"),
            (("--out", "x", "--font", "none.txt"), r"none\.txt: .*; install fonts-noto-color-emoji, or name a font"),
            (("--out", "x", "--groups", "no.txt"), r"no\.txt: No such file or directory; install unicode-data, or name"),
            (("--out", "x", "--groups", "none.txt"), r"none\.txt: expected lines of fully-qualified emoji; found none"),
        ):
            with self.subTest(arguments):
                result = extract(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertRegex(result.stderr, rf"^extract_emoji: {pattern}[^\n]*\n$")
                self.assertFalse((FOLDER / "x").exists())


if __name__ == "__main__":
    unittest.main()
