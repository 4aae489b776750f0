"""scripts/mutate/mutants.py: what is changed in a source, what is left alone, and in which order."""

import pathlib
import sys
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "mutate"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPTS))

from mutants import in_order, mutants_of  # noqa: E402

PATH = pathlib.Path("src/diffusion/x.cpp")


def changes(text):
    """[(old, new)], in the order of the text."""
    return [(mutant.old, mutant.new) for mutant in mutants_of(PATH, text)]


def sources(text):
    return [mutant.source() for mutant in mutants_of(PATH, text)]


class MutantsTest(unittest.TestCase):
    def test_operators_between_spaces_are_changed(self):
        self.assertEqual(sources("return a - b;"), ["return a + b;"])
        for old, new in (("<", "<="), (">=", ">"), ("==", "!="), ("&&", "||"), ("*", "/"), ("+=", "-=")):
            self.assertEqual(changes(f"a {old} b;"), [(old, new)])
        self.assertEqual(changes("a &&\n    b;"), [("&&", "||")])
        self.assertEqual(changes("std::vector<X*>& f(X&& x, Y* y) { return -x->y << z; }"), [])

    def test_constants_grow_by_one(self):
        self.assertEqual(changes("f(7, 0.25, x1, kX2);"), [("7", "8"), ("0.25", "1.25")])
        self.assertEqual(sources("x = 0.5F;"), ["x = 1.5F;"])
        self.assertEqual(changes("f(true, std::min(a, b));"), [("true", "false"), ("std::min", "std::max")])

    def test_conditions_are_negated(self):
        self.assertEqual(changes("if (f(x)) y();"), [("f(x)", "!(f(x))")])
        self.assertEqual(changes("if (const auto x = f(); g(x)) y();"), [("g(x)", "!(g(x))")])
        self.assertEqual(changes("if (const auto x = f()) y();"), [])
        self.assertIn("if (a) y();", sources("if (!a) y();"))

    def test_what_no_test_need_see_is_left_alone(self):
        for text in (
            "// a + b, 7",
            "x(); /* 1 */",
            '#include "a + b"',
            "#define A \\\n  1 + 2",
            'f("1 + 2 \\" 3");',
            "f('1');",
            'f(R"(1 + 2)");',
            'throw InputError(concat("more than ", n - 1));',
            'log_info(concat("about ", n + 1));',
        ):
            with self.subTest(text):
                self.assertEqual(changes(text), [])
        self.assertEqual(changes('TORCH_CHECK(a < b, "got ", a - 1);'), [("<", "<=")])
        self.assertEqual(changes('if (a > b) throw Error(concat(a, " is above ", 7));')[-1], (">", ">="))

    def test_a_mutant_knows_its_place(self):
        (mutant,) = mutants_of(PATH, "a();\nreturn b *\n       c;\n")
        self.assertEqual(str(mutant), "src/diffusion/x.cpp:2: * → /")
        (same,) = mutants_of(PATH, "a();\nreturn b *\n       c;\n")
        self.assertEqual(mutant.key, same.key)
        (other,) = mutants_of(PATH, "b();\nreturn b *\n       c;\n")
        self.assertNotEqual(mutant.key, other.key)

    def test_every_line_comes_before_any_comes_again(self):
        mutants = mutants_of(PATH, "f(1, 2, 3);\ng(4);\nh(5, 6);\n")
        ordered = in_order(mutants, seed=1)
        self.assertEqual(sorted(mutant.line for mutant in ordered[:3]), [1, 2, 3])
        self.assertEqual(sorted(mutant.line for mutant in ordered[3:5]), [1, 3])
        self.assertEqual(ordered, in_order(mutants, seed=1))
        self.assertTrue(any(in_order(mutants, seed=seed) != ordered for seed in range(2, 5)))


if __name__ == "__main__":
    unittest.main()
