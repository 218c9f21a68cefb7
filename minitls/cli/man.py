"""``minitls man``: the manual page, from the parsers' own help."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from minitls.cli.common import DONE

EXAMPLES = """\
examples:
  minitls man | man -l -                                     read it
  minitls man > ~/.local/share/man/man1/minitls.1            man minitls, from now on
"""


def add_parser(subparsers: Any) -> None:
    subparsers.add_parser("man", description="Print the manual page: all commands and their options, for man.", epilog=EXAMPLES)


def run(args: argparse.Namespace) -> int:
    from argparse_manpage.manpage import Manpage

    from minitls import __version__
    from minitls.cli import EXIT_STATUS, whole_parser

    parser = whole_parser()
    parser.man_short_description = "TLS 1.3 and 1.2, with a handshake that you can watch"  # type: ignore[attr-defined]
    parser._manpage = [{"heading": "exit status", "content": EXIT_STATUS.partition(": ")[2]}]  # type: ignore[attr-defined]
    page = Manpage(parser)
    page.source, page.manual = f"minitls {__version__}", "minitls"
    sys.stdout.write(str(page))
    return DONE
