"""``minitls completion SHELL``: what the shell needs to complete our commands and options; shtab writes it, from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from minitls.cli.common import DONE, Parser

SHELLS = ("bash", "zsh", "fish", "tcsh")

EXAMPLES = """\
examples:
  source <(minitls completion bash)                                       for this session; or into ~/.bashrc
  minitls completion bash > ~/.local/share/bash-completion/completions/minitls
  minitls completion zsh > ~/.zfunc/_minitls                              with: fpath+=(~/.zfunc)
  minitls completion fish > ~/.config/fish/completions/minitls.fish
"""


def add_parser(subparsers: Any) -> None:
    about = "Print what a shell needs to complete the command: its options, and files where they want one."
    parser = subparsers.add_parser("completion", description=about, epilog=EXAMPLES)
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    import shtab

    from minitls.cli import whole_parser

    parser = whole_parser()
    for action in _actions(parser):
        if action.metavar in ("FILE", "DIR") and not action.choices:
            action.complete = shtab.FILE if action.metavar == "FILE" else shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=args.shell))
    return DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                assert isinstance(below, Parser)
                yield from _actions(below)
