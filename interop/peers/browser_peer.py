"""HTTP clients that do TLS as browsers do, as a process: ``browser_peer.py NAME URL CA``.

primp and impit have rustls, changed by each of them; curl_cffi has BoringSSL, and is told which browser's hello to send.  Each
verifies; prints the status of the answer and its length.
"""

from __future__ import annotations

import os
import sys


def primp(url: str, ca: str, _: str) -> tuple[int, bytes]:
    from primp import Client  # type: ignore[import-not-found, unused-ignore]

    answer = Client(ca_cert_file=ca, timeout=5).get(url)
    return answer.status_code, answer.content


def impit(url: str, ca: str, _: str) -> tuple[int, bytes]:
    os.environ["SSL_CERT_FILE"] = ca  # it takes the system's certificates, and no others
    from impit import Client  # type: ignore[import-not-found, unused-ignore]

    answer = Client(timeout=5).get(url)
    return answer.status_code, answer.content


def curl_cffi(url: str, ca: str, browser: str) -> tuple[int, bytes]:
    from curl_cffi import requests  # type: ignore[import-not-found, unused-ignore]

    answer = requests.get(url, verify=ca, timeout=5, impersonate=browser)  # type: ignore[arg-type, unused-ignore]
    return answer.status_code, answer.content


CLIENTS = {"primp": primp, "impit": impit, "curl_cffi": curl_cffi}


def main(name: str, url: str, ca: str) -> None:
    for variable in [each for each in os.environ if each.lower().endswith("_proxy")]:
        del os.environ[variable]
    package, _, browser = name.partition(" ")
    status, content = CLIENTS[package](url, ca, browser)
    print("heard", status, len(content), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
