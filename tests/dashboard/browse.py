"""Opens a page in headless Chromium and says what happened there, as one JSON object.

    browse.py CHROMIUM URL UNTIL WHAT [--png FILE] [--dark] [--size 1280x900] [--first JS]

UNTIL is a JavaScript expression that has to become true, WHAT one whose value is told. FIRST runs once the page is loaded.
Told: {"what", "requests": [URL], "errors": [text]}: every address that the page asked for, and what its console complained
of. Standard error and status 1 where UNTIL stays false.
"""

import argparse
import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import websocket

PATIENCE_S = 60


class Tab:
    """One tab, by the DevTools protocol."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, suppress_origin=True, timeout=PATIENCE_S)
        self.count = 0
        self.requests, self.errors = [], []

    def call(self, method, session=None, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            told = json.loads(self.socket.recv())
            self.hear(told)
            if told.get("id") == self.count:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                return told["result"]

    def hear(self, told):
        parameters = told.get("params", {})
        match told.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.errors.append(parameters["entry"]["text"])
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.errors.append(json.dumps(parameters["args"]))
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))


def look(tab, options):
    target = tab.call("Target.createTarget", url="about:blank")["targetId"]
    session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Network", "Log", "Runtime"):
        tab.call(f"{domain}.enable", session)
    width, height = map(int, options.size.split("x"))
    tab.call("Emulation.setDeviceMetricsOverride", session, width=width, height=height, deviceScaleFactor=1, mobile=False)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if options.dark else "light"}
    tab.call("Emulation.setEmulatedMedia", session, features=[scheme])

    def value(expression):
        result = tab.call("Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(expression):
        until = time.monotonic() + PATIENCE_S
        while not value(f"Boolean({expression})"):
            if time.monotonic() > until:
                text = value("document.body.innerText")
                sys.exit(f"`{expression}` did not come true in {PATIENCE_S} s; {tab.errors}; the page says:\n{text}")
            time.sleep(0.1)

    tab.call("Page.navigate", session, url=options.url)
    wait("document.readyState === 'complete'")
    if options.first:
        value(options.first)
    wait(options.until)
    told = {"what": value(options.what), "requests": tab.requests, "errors": tab.errors}
    if options.png:
        shot = tab.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True)
        with open(options.png, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
    print(json.dumps(told))


def main():
    parser = argparse.ArgumentParser()
    for name in ("chromium", "url", "until", "what"):
        parser.add_argument(name)
    for name in ("--png", "--first"):
        parser.add_argument(name)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--size", default="1280x900")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # No sandbox: tests run as root in containers; the pages are our own.
        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command = [options.chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *quiet]
        command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        browser = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            address = None
            while line := browser.stderr.readline():
                if found := re.search(r"DevTools listening on (ws://\S+)", line):
                    address = found[1]
                    break
            if address is None:
                sys.exit(f"{options.chromium} has ended with {browser.wait()} before it could be driven")
            look(Tab(address), options)
        finally:
            # It and its children, which are a session of their own.
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()


main()
