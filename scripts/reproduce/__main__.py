"""Trains and measures all that docs/results.md reports; scripts/reproduce_digits.sh calls it.

    .venv/bin/python scripts/reproduce --out runs/digits-study [--quick] [--device cpu] [--jobs N]

Everything goes to --out: runs/NAME (the trainings), samples/NAME (samples and scores), tasks (records and logs), and, with
--quick, results.md with its pictures; without it these go to docs/results.md and docs/images.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import results
from study import Study
from tasks import Runner, TaskFailed


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/reproduce", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs, samples and scores")
    parser.add_argument("--quick", action="store_true", help="a tenth of the training: to see that all works")
    parser.add_argument("--device", default="cpu", help="where to train, sample and measure")
    parser.add_argument("--jobs", type=int, help="runs at a time, each on one core (default: as many as there are cores)")
    parser.add_argument("--report-only", action="store_true", help="write the report of what is measured already")
    arguments = parser.parse_args()
    study = Study(arguments.out, arguments.quick, arguments.device)
    # Networks this small hardly gain from a second core, so runs share the cores instead; a GPU takes one at a time.
    jobs = arguments.jobs or (len(os.sched_getaffinity(0)) if arguments.device == "cpu" else 1)
    runner = Runner(study.tasks(), arguments.out, jobs, {"OMP_NUM_THREADS": "1"})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        if not arguments.report_only:
            runner.run()
    except TaskFailed as failure:
        sys.exit(f"reproduce: {failure}")
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    results.write(study, runner)


if __name__ == "__main__":
    main()
