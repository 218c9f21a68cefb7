"""CPython's own tests of ssl, and of what is built on it, with ours in the place of the standard library's.

They are the applications that know the standard library best.  Each suite runs in a process of its own after ``inject_into_ssl()``;
every test in it has to pass, but for those below, where we are another on purpose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from interop.applications.frame import EVERYTHING

SUITES = (
    "test_ssl",
    "test_asyncio.test_ssl",
    "test_asyncio.test_sslproto",
    "test_httplib",
    "test_urllib2_localnet",
    "test_ftplib",
    "test_poplib",
    "test_imaplib",
    "test_smtplib",
)

COMMON_NAME = "a certificate's common name is never a host's, whatever a context is told"
UNIQUE = "tls-unique is not defined for TLS 1.3 (RFC 9266 3)"
SHORT_KEY = "a PSK has at least 16 bytes (RFC 9257 6)"
LAZY = "a directory of certificates is read when it is given, not when somebody asks for one of them"
PRIVATE = "it looks into the SSLSocket's private parts, and wants a certificate of CPython's there"
DIFFERENCES: Mapping[str, str] = {
    "test_ssl.ContextTests.test_hostname_checks_common_name": COMMON_NAME,
    "test_ssl.ThreadedTests.test_hostname_checks_common_name": COMMON_NAME,
    "test_ssl.ThreadedTests.test_tls_unique_channel_binding": UNIQUE,
    "test_ssl.SimpleBackgroundTests.test_bio_handshake": UNIQUE,
    "test_ssl.ThreadedTests.test_psk_tls1_3": SHORT_KEY,
    "test_ssl.ContextTests.test_load_default_certs_env": LAZY,
    "test_ssl.SimpleBackgroundTests.test_get_ca_certs_capath": LAZY,
    "test_ssl.TestPostHandshakeAuth.test_internal_chain_client": PRIVATE,
}

RUN = """
import importlib, json, sys, unittest, warnings
import ssl, minitls.ssl
warnings.simplefilter("ignore")
minitls.ssl.inject_into_ssl()
ssl.SSLSocket, ssl.SSLObject = minitls.ssl.SSLSocket, minitls.ssl.SSLObject
suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module("test." + sys.argv[1]))
result = unittest.TextTestRunner(verbosity=2).run(suite)
failed = {getattr(test, "test_case", test).id().removeprefix("test."): text for test, text in result.failures + result.errors}
print("\\n" + json.dumps({"run": result.testsRun, "failed": failed}))
"""


@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite: str, tmp_path: Path) -> None:
    if os.environ.get(EVERYTHING) != "all":
        pytest.skip("takes a minute and a half: python -m interop.applications runs it")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", RUN, suite], capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert last.startswith("{"), done.stdout[-2000:] + done.stderr[-4000:]
    said = json.loads(last)
    assert said["run"] > 20
    unexpected = {test: text for test, text in said["failed"].items() if test not in DIFFERENCES}
    assert not unexpected, "\n\n".join(f"{test}\n{text}" for test, text in unexpected.items())
