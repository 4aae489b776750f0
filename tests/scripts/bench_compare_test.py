"""The tables of bench/compare.py: ratios are taken round by round, and only between the same work."""

import contextlib
import io
import json
import pathlib
import sys
import types
import unittest
import unittest.mock

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "compare.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPT.parent))

import compare  # noqa: E402


def line(ms, **changes):
    measured = {"ms_median": ms, "ms_min": ms - 1, "cpu_ms_median": ms / 2, "peak_rss_mb": 300, "parameters": 7, "batch": 2}
    return measured | changes


class Rows(unittest.TestCase):
    def test_a_ratio_is_taken_within_its_round(self):
        # The machine was twice as slow in the second round: the ratio was 2 in both.
        ours, theirs = [line(10), line(20)], [line(20), line(40)]
        row = compare.comparison_row("peer", theirs, ours)
        self.assertEqual(row[:5], ["peer", "30.0", "19.0", "15.0", "300"])
        self.assertEqual(row[5], "2.00 (2.00 to 2.00)")
        self.assertEqual(row[6], "2.08 (2.05 to 2.11)")
        self.assertEqual(row[7], "2.00 (2.00 to 2.00)")

    def test_ours_has_no_ratio(self):
        self.assertEqual(compare.comparison_row(compare.OURS, [line(10)], [line(10)])[5:], ["", "", ""])

    def test_memory_of_a_gpu_stands_beside_the_process_s(self):
        lines = [line(10, peak_device_mb=mebibytes) for mebibytes in (4000, 4002)]
        self.assertEqual(compare.comparison_row("peer", lines, lines)[4], "300, GPU 4001")

    def test_one_round_has_no_spread(self):
        self.assertEqual(compare.comparison_row("peer", [line(15)], [line(10)])[5], "1.50")

    def test_share_of_the_matmul_peak(self):
        row = compare.arithmetic_row("train_cd", 2, [line(101, gflop=5), line(51, gflop=5)], 200)
        self.assertEqual(row, ["train_cd", "2", "5.0", "100", "200", "50 %"])

    def test_operators_slowest_first_with_their_share(self):
        operators = [{"name": "few", "self_ms": 1, "calls": 2.0}, {"name": "much", "self_ms": 3, "calls": 0.4}]
        rows = list(compare.operator_rows({"operators": operators}))
        self.assertEqual(rows, [["much", "3.00", "75.0 %", "0.4"], ["few", "1.00", "25.0 %", "2"]])


class SameWork(unittest.TestCase):
    def test_equal_work_is_compared(self):
        compare.check_same_work({"ours": [line(1)], "peer": [line(2)]})

    def test_other_networks_and_batches_are_not(self):
        for change in ({"parameters": 8}, {"batch": 3}):
            with self.subTest(change), self.assertRaises(SystemExit) as refusal:
                compare.check_same_work({"ours": [line(1)], "peer": [line(2, **change)]})
            self.assertIn(f"differ in {next(iter(change))}", str(refusal.exception))


class Peers(unittest.TestCase):
    def names_beside(self, case, **arguments):
        arguments = {"release": None, "edm2": None, "compile": True, "cuda_graph": False, "bin": pathlib.Path("bin")} | arguments
        return list(compare.contenders(compare.case_file(case), types.SimpleNamespace(**arguments)))

    def test_are_those_that_have_the_case_s_network(self):
        code = {"release": pathlib.Path("release"), "edm2": pathlib.Path("edm2")}
        self.assertEqual(self.names_beside("tiny8", **code, compile=False), [compare.OURS, "release", "diffusers"])
        self.assertEqual(self.names_beside("edm2_32", **code), [compare.OURS, "edm2", "edm2, compiled"])

    def test_are_left_out_without_their_code(self):
        self.assertEqual(self.names_beside("tiny8"), [compare.OURS, "diffusers", "diffusers, compiled"])
        self.assertEqual(self.names_beside("edm2_s64"), [compare.OURS])


class Contenders(unittest.TestCase):
    def found(self, ours, peer):
        """What compare() finds for two programs, each the source of one, and what it said of them."""
        commands = {name: ([sys.executable, "-c", source], ["train_cd"]) for name, source in ((compare.OURS, ours), ("peer", peer))}
        arguments = types.SimpleNamespace(rounds=3, **dict.fromkeys(compare.OVERRIDES))
        with unittest.mock.patch.object(compare, "contenders", return_value=commands):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                return compare.compare(pathlib.Path("case.json"), "train_cd", 1, arguments), said.getvalue()

    def test_each_round_runs_each_once(self):
        found, _ = self.found(f"print({json.dumps(line(10))!r})", f"print({json.dumps(line(20))!r})")
        self.assertEqual({name: [measured["ms_median"] for measured in lines] for name, lines in found.items()},
                         {compare.OURS: [10, 10, 10], "peer": [20, 20, 20]})  # fmt: skip

    def test_a_peer_that_fails_is_left_out_and_the_others_go_on(self):
        found, said = self.found(f"print({json.dumps(line(10))!r})", "raise SystemExit('out of luck')")
        self.assertEqual({name: len(lines) for name, lines in found.items()}, {compare.OURS: 3})
        self.assertIn("peer failed and is left out", said)
        self.assertIn("out of luck", said)

    def test_nothing_is_compared_with_ours_when_it_fails(self):
        with self.assertRaises(compare.Failed) as failure:
            self.found("raise SystemExit('out of luck')", f"print({json.dumps(line(20))!r})")
        self.assertIn("out of luck", str(failure.exception))


if __name__ == "__main__":
    unittest.main()
