"""Headless Chromium for the tests, by chromedriver's own protocol."""

import json
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest

needs_browser = pytest.mark.skipif(not shutil.which("chromedriver") or not shutil.which("chromium"),
                                   reason="no browser: apt install chromium chromium-driver")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required")


class Browser:
    """One session: `post` and `get` what WebDriver has."""

    def __init__(self, port, folder):
        self._address = f"http://127.0.0.1:{port}/session"
        chrome = {"args": [*_OPTIONS, f"--user-data-dir={folder}"], "binary": shutil.which("chromium")}
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        self._address += f"/{self.post('', capabilities={'alwaysMatch': wanted})['sessionId']}"

    def post(self, path, **body):
        return self._call("POST", path, json.dumps(body).encode())

    def get(self, path):
        return self._call("GET", path)

    def run(self, script):
        """What a script returns."""
        return self.post("/execute/sync", script=script, args=[])

    def press(self, *keys):
        """Press keys, one after the other, where the focus is."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.post("/actions", actions=[{"type": "key", "id": "keys", "actions": strokes}])

    def logged(self):
        """What was logged to the console since this was asked last."""
        return self.post("/se/log", type="browser")

    def close(self):
        self._call("DELETE", "")

    def _call(self, method, path, data=None):
        asked = urllib.request.Request(self._address + path, data, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)["value"]


@contextmanager
def browser(folder):
    """A browser with its files in a folder."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        port = next(line.split("port ")[1].rstrip(".\n") for line in driver.stdout if "started successfully" in line)
        session = Browser(port, folder)
        yield session
        session.close()
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
