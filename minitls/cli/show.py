"""``minitls show FILE``: a run that was saved with --save-run, in every form that it could have been shown in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitls.cli.common import DONE, USAGE, CommandError, add_form_options, reading
from minitls.cli.outputs import check_outputs, show_trace, write_outputs

if TYPE_CHECKING:
    from minitls.trace.run import Run

EXAMPLES = """\
examples:
  minitls connect example.com --save-run run.json    keep a run
  minitls show run.json                              its story, step by step
  minitls show run.json --trace=wire                 each message, each field
  minitls show run.json --html run.html              a page

A run that was saved with --secrets has its secrets: it can be shown with them, and opened in Wireshark (--pcapng) decrypted.
"""


def add_parser(subparsers: Any) -> None:
    about = "Show a run that was saved with --save-run, of a client or a server."
    parser = subparsers.add_parser("show", description=about, epilog=EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="what --save-run has written")
    add_form_options(parser)


def run(args: argparse.Namespace) -> int:
    from minitls.cli.screen import screen_for
    from minitls.trace.run import load

    check_outputs(args)
    try:
        runs = load(reading(args.file, Path(args.file).read_bytes))
    except ValueError as error:
        raise CommandError(USAGE, f"there is no saved run in {args.file}: {error}") from None
    if not any(each.recording.key_log for each in runs):
        if args.secrets:
            raise CommandError(USAGE, f"{args.file} has no secrets", "save the run with --secrets")
        if args.pcapng:
            print("minitls: the run was saved without --secrets: nobody can decrypt the capture", file=sys.stderr)
    write_outputs(args, runs)
    if args.json:
        from minitls.trace.json import document_of, dump

        documents = [document_of(each) for each in runs]
        print(dump(documents[-1] | {"first": documents[0] if len(documents) > 1 else None}))
    elif args.trace:
        for each in runs:
            show_trace(args, each.recording, screen_for(sys.stdout))
    elif not (args.html or args.pcapng):
        tell(runs[-1])
    return DONE


def tell(run: Run) -> None:
    """What came of it, and the story."""
    from minitls.cli.screen import screen_for
    from minitls.trace.story import tell
    from minitls.trace.values import safe
    from minitls.trace.verdict import verdict

    screen = screen_for(sys.stdout)
    found = verdict(run)
    screen.verdict(found.tone, safe(found.sentence))
    screen.facts(found.facts)
    for number, step in enumerate(tell(run.recording), 1):
        screen.step(number, step)
