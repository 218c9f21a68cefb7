"""The command: ``minitls demo | connect | get | serve | scan | show | certs | explain``, and what shells and man want to know.

A command's module is imported when it is called, and imports what it needs when it runs.  Each has ``add_parser(subparsers)`` and
``run(args) -> int``, the exit status (:mod:`minitls.cli.common` lists them).  Errors arrive here, and leave in one sentence.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from minitls.cli.common import (
    CERTIFICATE,
    DONE,
    INTERRUPTED,
    PIPE_CLOSED,
    TIMEOUT,
    TLS,
    USAGE,
    CommandError,
    Parser,
    did_you_mean,
    lower,
)
from minitls.errors import AlertReceived, CertificateError, Misuse, TLSError
from minitls.trace.values import safe

COMMANDS: Mapping[str, str] = {
    "demo": "a client and a server on this machine, and the handshake between them, explained",
    "connect": "what was agreed with a server, its chain and why it is trusted, timings; -i: stdin and stdout",
    "get": "an HTTPS GET: the body to stdout or to a file",
    "serve": "HTTPS files; --www: a page that shows visitors their own handshake; --echo",
    "scan": "what a server supports, and what is wrong with it",
    "show": "a run that was saved with --save-run, in every form",
    "certs": "make a development CA and certificates; show those of a file or a server",
    "explain": "what a number or a name means: alerts, suites, groups, schemes, extensions, messages",
    "completion": "what bash, zsh, fish and others need to complete all this",
    "man": "the manual page",
}

EXIT_STATUS = """\
exit status: 0 done and verified, 1 a --require not met, 2 usage, 6 name not found, 7 not connected, 28 timeout,
             33 not continued, 35 TLS failed, 47 too many redirects, 60 certificate not good, 130 interrupted"""

HELP = """\
usage: minitls COMMAND ...

TLS 1.3 and 1.2, with a handshake that you can watch.

{commands}

  minitls demo                          start here
  minitls connect example.com --trace   each message of a real handshake
  minitls scan example.com              what a server supports, and what is wrong with it
  minitls serve --www --dev             a server to try it on
  minitls COMMAND --help                the options, with examples

{status}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.  Returns the exit status; raises nothing."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the names of files know more letters than many a code page
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _let_go(sys.stdout)
        return PIPE_CLOSED
    except SystemExit as end:  # argparse's own way out, after --help
        return end.code if isinstance(end.code, int) else USAGE
    except Exception as error:
        explained = outcome(error)
        if explained is None:
            raise
        status, lines = explained
        for number, line in enumerate(lines):
            print(f"minitls: {safe(line)}" if not number else f"         {safe(line)}", file=sys.stderr)
    return status


def _run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        listed = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
        print(HELP.format(commands=listed, status=EXIT_STATUS), end="")
        return DONE if arguments else USAGE
    if command in ("-V", "--version"):
        from minitls import __version__

        print(f"minitls {__version__}")
        return DONE
    if command not in COMMANDS:
        kind = "option" if command.startswith("-") else "command"
        guess = did_you_mean(command, tuple(COMMANDS)) or f"one of {', '.join(COMMANDS)}"
        raise CommandError(USAGE, f"there is no {kind} {command!r}", guess)
    parser, subparsers = _parser(command)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        subparsers.choices[command].error(f"unrecognized arguments: {' '.join(unknown)}")
    status: int = importlib.import_module(f"minitls.cli.{command}").run(options)
    return status


def _parser(*commands: str) -> tuple[Parser, Any]:
    parser = Parser(prog="minitls", description="TLS 1.3 and 1.2, with a handshake that you can watch.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in commands:
        importlib.import_module(f"minitls.cli.{command}").add_parser(subparsers)
    return parser, subparsers


def whole_parser() -> Parser:
    """Of all commands, for what is made of their help."""
    return _parser(*COMMANDS)[0]


def outcome(error: Exception) -> tuple[int, list[str]] | None:
    """The exit status of an error and its lines; None for one that is a bug of ours."""
    if isinstance(error, CommandError):
        return error.status, [str(error), *filter(None, (error.hint,))]
    if isinstance(error, CertificateError):
        return CERTIFICATE, [str(error), *filter(None, (error.remedy,))]
    if isinstance(error, Misuse):
        return USAGE, [str(error)]
    if isinstance(error, TimeoutError):
        return TIMEOUT, [str(error) or "time is up"]
    if isinstance(error, AlertReceived):
        return TLS, [str(error), f"see minitls explain alert {error.code}"]
    if isinstance(error, TLSError):
        return TLS, [str(error)]
    if isinstance(error, ConnectionError):
        return TLS, [f"the connection broke: {lower(error.strerror)}"]
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return USAGE, [f"{where}{lower(error.strerror)}"]
    if isinstance(error, ImportError) and error.name in ("h11", "rich", "shtab", "argparse_manpage"):
        return USAGE, [f"this needs {error.name}, which is not installed", "pip install 'minitls[cli]'"]
    return None


def _let_go(stream: TextIO) -> None:
    """Nobody reads this any more: what is left to write goes nowhere, without a complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
