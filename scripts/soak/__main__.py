"""What scripts/soak.sh runs, and says while it does."""

import argparse
import os
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]

# Of the kills, by kind: the rest is shared by the trainings.
SHARES = {"search": 0.12, "evaluate": 0.08, "sample": 0.08, "study": 0.08, "ranks-2": 0.1, "ranks-3": 0.06}


def shares(names: list[str], kills: int) -> dict[str, int]:
    """name → kills, one at least; they add up to `kills` where that is many."""
    trainings = [name for name in names if name not in SHARES]
    weights = {name: SHARES.get(name) or (1 - sum(SHARES.values())) / len(trainings) for name in names}
    whole = sum(weights.values())
    counts = {name: max(1, int(kills * weight / whole)) for name, weight in weights.items()}
    counts[names[0]] = max(1, counts[names[0]] + kills - sum(counts.values()))
    return counts


def run_kills(cases: list, kills: int, seed: int) -> bool:
    from killing import Failure, Tally, keep, run_chain

    counts = shares([case.name for case in cases], kills)
    tallies = {case.name: Tally() for case in cases}
    begin = time.monotonic()
    done = 0
    for case in cases:
        case.prepare()
        tally, chain, started, said = tallies[case.name], seed, time.monotonic(), time.monotonic()
        while tally.kills < counts[case.name]:
            before = tally.kills
            try:
                run_chain(case, chain, counts[case.name] - tally.kills, tally)
            except Failure as failure:
                tally.failures.append(str(failure))
                again = f"scripts/soak.sh --seed {chain} --kills {max(1, tally.kills - before)} {case.name}"
                print(f"{case.name}: {failure}\n  kept in {keep(case, chain)}; again: {again}", flush=True)
            chain += 1
            done += tally.kills - before
            tally.seconds = time.monotonic() - started
            if time.monotonic() - said > 20 and done:
                said = time.monotonic()
                left = (said - begin) * (kills - done) / done
                print(f"{done} of {kills} kills, {case.name}; about {left / 60:.0f} min left", flush=True)
    print(table(tallies))
    return not any(tally.failures for tally in tallies.values())


def table(tallies: dict) -> str:
    lines = ["| kind | kills | before anything was written | with a file half written | starts | came to their end | seconds | failures |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    rows = {name: [t.kills, t.at_start, t.in_a_write, t.starts, t.chains, round(t.seconds), len(t.failures)]
            for name, t in tallies.items()}  # fmt: skip
    rows["all"] = [sum(column) for column in zip(*rows.values())]
    return "\n".join([*lines, *("| " + " | ".join(map(str, [name, *row])) + " |" for name, row in rows.items())])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("what", nargs="*")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=SOURCE / "runs" / "soak")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("CM_BIN", str(SOURCE / "build" / "bin"))
    os.environ |= {"CM_SOURCE_DIR": str(SOURCE), "TMPDIR": str(arguments.out.resolve())}
    sys.path.append(str(SOURCE / "tests" / "integration"))
    if arguments.what == ["memory"]:
        import memory

        return 0 if memory.measure(arguments.steps, arguments.settings) else 1
    from cases import all_cases

    cases = {case.name: case for case in all_cases(arguments.settings)}
    unknown = set(arguments.what) - set(cases)
    if unknown:
        print(f"soak.sh: unknown {', '.join(sorted(unknown))}; there are {', '.join(cases)}, or memory alone", file=sys.stderr)
        return 2
    return 0 if run_kills([cases[name] for name in arguments.what or cases], arguments.kills, arguments.seed) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
