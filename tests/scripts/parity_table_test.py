"""The table of scripts/parity_table.py: which lines make a row, what is marked, and when it fails."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "parity_table.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPT.parent))

import parity_table  # noqa: E402

DOCUMENT = "Before.\n<!-- parity table -->\nold\n<!-- end of the parity table -->\nAfter.\n"


def line(**changes):
    comparison = {
        "topic": "losses",
        "case": "losses ct.l2",
        "quantity": "gradients",
        "kind": "relative",
        "error": 1.234e-6,
        "tolerance": 1e-4,
        "computed_with": "LibTorch 2.11.0, CPU, 1 thread",
    }
    return json.dumps(comparison | changes)


def table_of(*lines):
    return parity_table.markdown(parity_table.read_table(lines))


def run(folder, *lines, document=DOCUMENT):
    """The script's exit code, output, messages, and what it left of the document."""
    folder = pathlib.Path(folder)
    (folder / "lines").write_text("".join(text + "\n" for text in lines), encoding="utf-8")
    (folder / "parity.md").write_text(document, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, SCRIPT, folder / "lines", "--write", folder / "parity.md"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return result.returncode, result.stdout, result.stderr, (folder / "parity.md").read_text(encoding="utf-8")


class Rows(unittest.TestCase):
    def test_a_row_shows_the_largest_error_of_its_lines(self):
        table = table_of(line(error=2e-7), line(error=3.06e-6), line(error=1e-6))
        self.assertIn("| losses ct.l2 | gradients | 1e-4 relative | 3.1e-6 |\n", table)
        self.assertIn("3 comparisons in 1 rows, all within tolerance", table)

    def test_case_quantity_kind_and_tolerance_make_rows_of_their_own(self):
        table = table_of(line(), line(case="other"), line(quantity="loss"), line(kind="absolute"), line(tolerance=1e-5))
        self.assertIn("5 comparisons in 5 rows", table)

    def test_topics_are_sections(self):
        table = table_of(line(topic="unet"), line(topic="losses"), line(topic="unet", quantity="output"))
        sections = table.split("\n## ")[1:]
        self.assertEqual([section.split("\n")[0] for section in sections], ["losses", "unet"])
        self.assertEqual([section.count("| losses ct.l2 |") for section in sections], [1, 2])

    def test_every_setting_is_named_once(self):
        table = table_of(line(), line(), line(computed_with="diffusers 0.35, CPU"))
        self.assertEqual(table.count("- LibTorch 2.11.0, CPU, 1 thread\n"), 1)
        self.assertIn("- diffusers 0.35, CPU\n", table)

    def test_equal_numbers(self):
        self.assertIn("| gradients | exact | 0 |", table_of(line(kind="exact", error=0, tolerance=0)))


class Failures(unittest.TestCase):
    def test_an_error_above_its_tolerance_is_marked_in_its_row(self):
        table = table_of(line(error=1.01e-4), line(error=1e-7), line(quantity="loss"))
        self.assertIn("| gradients | 1e-4 relative | **1.0e-4: FAILED** |", table)
        self.assertIn("| loss | 1e-4 relative | 1.2e-6 |", table)
        self.assertIn("**1 of them out of tolerance**", table)

    def test_no_number_is_a_failure(self):
        for error in (None, float("nan"), float("inf"), float("-inf")):
            with self.subTest(error=error):
                self.assertIn("**not a number: FAILED**", table_of(line(error=error), line()))

    def test_numbers_that_must_be_equal(self):
        self.assertIn("**1.0e-15: FAILED**", table_of(line(kind="exact", error=1e-15, tolerance=0)))

    def test_a_broken_line_is_named(self):
        for broken in ('{"topic": "lo', "[]", line(kind="squared"), line(tolerance="x"), '{"topic": "losses"}'):
            with self.subTest(line=broken), self.assertRaisesRegex(ValueError, "line 2 is not a comparison"):
                table_of(line(), broken)

    def test_no_line_at_all(self):
        with self.assertRaisesRegex(ValueError, "no comparison was recorded"):
            table_of()


class Script(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_prints_the_table_and_writes_it_between_the_markers(self):
        code, output, messages, document = run(self.folder, line())
        self.assertEqual((code, messages), (0, ""))
        self.assertIn("| 1.2e-6 |", output)
        before, rest = document.split("<!-- parity table -->\n")
        table, after = rest.split("<!-- end of the parity table -->\n")
        self.assertEqual((before, table.strip(), after), ("Before.\n", output.strip(), "After.\n"))

    def test_out_of_tolerance_it_prints_fails_and_writes_nothing(self):
        code, output, messages, document = run(self.folder, line(error=1))
        self.assertEqual((code, document), (1, DOCUMENT))
        self.assertIn("**1.0e0: FAILED**", output)
        self.assertEqual(messages, "parity_table.py: 1 of 1 rows out of tolerance\n")

    def test_a_document_without_markers_is_left_alone(self):
        code, _, messages, document = run(self.folder, line(), document="No place.\n")
        self.assertEqual((code, document), (1, "No place.\n"))
        self.assertIn("needs one line '<!-- parity table …'", messages)

    def test_an_empty_file_fails(self):
        code, output, messages, _ = run(self.folder)
        self.assertEqual((code, output, messages), (1, "", "parity_table.py: no comparison was recorded\n"))


if __name__ == "__main__":
    unittest.main()
