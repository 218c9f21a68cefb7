"""Files for ``serve``: only what is in the folder, nothing hidden, and no private key."""

from __future__ import annotations

import mimetypes
import os
import stat
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

from minitls.cli.http import Reply, Request
from minitls.trace.values import safe

INDEX = "index.html"
KEY_FILE_SIZE = 2**17
"""Bytes up to which a file is looked through for a private key."""
SHOWN_ANYWAY = frozenset({".well-known"})

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>:root {{ color-scheme: light dark }}
body {{ font: 16px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem }}
td {{ padding-right: 2rem }} .n {{ text-align: right; opacity: .6 }}</style>
<h1>{title}</h1>
<table>{rows}</table>
"""


def answer(root: Path, request: Request) -> Reply:
    """The file, the folder's index or listing, or the error.  ``root``: absolute, without symbolic links."""
    names = _names(request.target)
    if names is None:
        return Reply.error(HTTPStatus.NOT_FOUND)
    try:
        path = root.joinpath(*names).resolve(strict=True)
        if not path.is_relative_to(root):
            return Reply.error(HTTPStatus.NOT_FOUND)  # a link out of the folder
        if path.is_dir():
            return _folder(path, names, request)
        return _file(path)
    except PermissionError:
        return Reply.error(HTTPStatus.FORBIDDEN)
    except (OSError, ValueError, RuntimeError):  # not there, no file name at all (a NUL), a circle of links
        return Reply.error(HTTPStatus.NOT_FOUND)


def _names(target: str) -> list[str] | None:
    """The path's parts, decoded; None for what we do not look for: hidden names, and names that leave the folder."""
    raw = unquote_to_bytes(target.partition("?")[0].partition("#")[0])
    text = raw.decode("utf-8", "surrogateescape")
    names = [name for name in text.split("/") if name not in ("", ".")]
    if any((name.startswith(".") and name not in SHOWN_ANYWAY) or "\\" in name or "\0" in name for name in names):
        return None
    return names


def _folder(path: Path, names: list[str], request: Request) -> Reply:
    here = "/" + "".join(f"{_quoted(name)}/" for name in names)
    if not request.target.partition("?")[0].endswith("/"):
        return Reply(HTTPStatus.MOVED_PERMANENTLY, headers={"location": here})
    index = path / INDEX
    if index.is_file():
        return _file(index)
    entries = sorted((e for e in path.iterdir() if not e.name.startswith(".")), key=lambda e: (not e.is_dir(), e.name))
    rows = ["<tr><td><a href='../'>../</a>"] if names else []
    rows += [_row(entry) for entry in entries]
    title = escape(safe("/".join(("", *names, ""))))
    return Reply(
        HTTPStatus.OK,
        PAGE.format(title=title, rows="\n".join(rows)).encode("utf-8", "backslashreplace"),
        "text/html; charset=utf-8",
        {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


def _row(entry: Path) -> str:
    slash = "/" if entry.is_dir() else ""
    try:
        found = entry.stat()
    except OSError:  # a link to nowhere
        return f"<tr><td>{escape(safe(entry.name))}"
    when = datetime.fromtimestamp(found.st_mtime, UTC)
    size = "" if slash else f"{found.st_size:,}"
    link = f"<a href='./{_quoted(entry.name)}{slash}'>{escape(safe(entry.name))}{slash}</a>"
    return f"<tr><td>{link}<td class='n'>{size}<td class='n'>{when:%Y-%m-%d %H:%M}"


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogateescape")


def _file(path: Path) -> Reply:
    # Not blocking: to open a pipe waits for somebody who writes to it.
    file: BinaryIO = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    found = os.stat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        return Reply.error(HTTPStatus.NOT_FOUND)
    if found.st_size <= KEY_FILE_SIZE:
        if b"PRIVATE KEY-----" in file.read():
            file.close()
            return Reply.error(HTTPStatus.FORBIDDEN)
        file.seek(0)
    return Reply(HTTPStatus.OK, b"", content_type(path.name), file=file, length=found.st_size)


def content_type(name: str) -> str:
    """By the file's name; what is compressed is not taken for what is in it."""
    kind, encoding = mimetypes.guess_type(name)
    if kind is None or encoding is not None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in ("application/json", "application/javascript") else kind
