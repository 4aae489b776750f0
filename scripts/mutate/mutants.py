"""The small changes that a test should notice: operators, constants and conditions of C++ sources."""

import collections
import dataclasses
import hashlib
import pathlib
import random
import re

OPERATORS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=",
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
}  # fmt: skip
WORDS = {"true": "false", "false": "true", "std::min": "std::max", "std::max": "std::min"}

# clang-format puts spaces around binary operators, and none within templates, references and pointers.
OPERATOR = re.compile(r"(?<= )(?:[-+*/<>=!]=|&&|\|\||[-+*/<>])(?=\s)")
WORD = re.compile(r"\b(?:true|false|std::min|std::max)\b")
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?(?:e-?\d+)?)(?=F?\b)(?![\w.]*\.)")
NOT = re.compile(r"(?<![\w)\]])!(?=[\w(])")
CONDITION = re.compile(r"\bif \(")

# Texts that no test need see: comments, literals, and lines of the preprocessor.
UNSEEN = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | ^[ ]*\#(?:[^\n]*\\\n)*[^\n]*
        | R"(\w*)\(.*?\)\1" | "(?:\\.|[^"\\\n])*" | (?<!\w)'(?:\\.|[^'\\\n])+'""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
MESSAGE = re.compile(r"\bthrow\b|\blog_\w+\(|\b(?:TORCH_CHECK|TORCH_INTERNAL_ASSERT|static_assert)\(")


@dataclasses.dataclass(frozen=True)
class Mutant:
    path: pathlib.Path
    offset: int
    old: str
    new: str
    text: str = dataclasses.field(repr=False)  # the file's

    @property
    def line(self):
        return self.text.count("\n", 0, self.offset) + 1

    @property
    def key(self):
        """Names the change for as long as the file stays as it is."""
        return f"{self.path}@{hashlib.sha256(self.text.encode()).hexdigest()[:12]}:{self.offset}:{self.new}"

    def source(self):
        return self.text[: self.offset] + self.new + self.text[self.offset + len(self.old) :]

    def __str__(self):
        old, new = (re.sub(r"\s+", " ", text) or "nothing" for text in (self.old, self.new))
        return f"{self.path}:{self.line}: {old} → {new}"


def blank(text, begin, end):
    return text[:begin] + re.sub(r"[^\n]", "_", text[begin:end]) + text[end:]


def end_of(code, begin, ends):
    """The first place from `begin` on where one of `ends` stands outside of all brackets opened since, or one closes."""
    depth = 0
    for place in range(begin, len(code)):
        character = code[place]
        if depth == 0 and (character in ends or character in ")]}"):
            return place
        depth += (character in "([{") - (character in ")]}")
    return len(code)


def visible(text):
    """The text with all that is not to be changed made underscores."""
    for found in list(UNSEEN.finditer(text)):
        text = blank(text, *found.span())
    for found in MESSAGE.finditer(text):
        word = found.group()
        begin = found.end()
        if word == "throw":
            text = blank(text, begin, end_of(text, begin, ";"))
            continue
        if not word.startswith("log_"):
            begin = end_of(text, begin, ",")  # the condition stays
        text = blank(text, begin, end_of(text, begin, ""))
    return text


def successor(number):
    """Another constant: larger by one, which no tolerance hides."""
    if re.fullmatch(r"\d+", number):
        return str(int(number) + 1)
    return repr(float(number) + 1)


def condition_of(code, begin):
    """(offset, text) of what an `if (` that ends at `begin` asks; None where that is a declaration."""
    end = end_of(code, begin, ";")
    if code[end] == ";":  # if (declaration; condition)
        begin, end = end + 2, end_of(code, end + 1, "")
    condition = code[begin:end]
    return None if " = " in condition or "___" in condition else (begin, condition)


def mutants_of(path, text):
    code = visible(text)

    def at(offset, old, new):
        found.append(Mutant(path, offset, old, new, text))

    found = []
    for match in OPERATOR.finditer(code):
        at(match.start(), match.group(), OPERATORS[match.group()])
    for match in WORD.finditer(code):
        at(match.start(), match.group(), WORDS[match.group()])
    for match in NUMBER.finditer(code):
        at(match.start(), match.group(), successor(match.group()))
    for match in NOT.finditer(code):
        at(match.start(), "!", "")
    for match in CONDITION.finditer(code):
        if place := condition_of(code, match.end()):
            at(*place, f"!({place[1]})")
    return sorted(found, key=lambda mutant: (mutant.offset, mutant.new))


def in_order(mutants, seed):
    """By lot, but each line once before any is met again: tables of constants are not to take all the time."""
    lot = random.Random(seed)
    by_lot = lot.sample(mutants, len(mutants))
    met = collections.Counter()
    rounds = []
    for mutant in by_lot:
        place = (mutant.path, mutant.line)
        rounds.append(met[place])
        met[place] += 1
    return [mutant for _, mutant in sorted(zip(rounds, by_lot), key=lambda pair: pair[0])]
