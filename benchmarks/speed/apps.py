"""Measures how long the MNIST app takes: its start, each further picture, and the page from a stroke's end to the bars.

    python benchmarks/speed/apps.py             # needs Chromium and its driver for the page
    python benchmarks/speed/apps.py FOLDER      # with the pictures in FOLDER instead of 200 drawn ones

The network is the one that comes with the repository, the device the CPU. The runs of the first part take turns: the
app with one picture, with all of them, with all of them and --no-pictures. Prints medians, and the spread.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from benchmarks.accuracy import drawn
from common import command_line
from common.data import datasets, pictures
from common.training import runs

import numpy as np

PRETRAINED = ROOT / "checkpoints" / "mnist" / runs.PRETRAINED
APP = [sys.executable, ROOT / "mnist" / "app.py", "--checkpoint", PRETRAINED, "--device", "cpu"]
DRAWN, STROKES = 200, 30  # pictures, 480×640 JPEG files; strokes on the page
NOTE_TIMES = """
  let ended = null;
  window.times = [];
  document.getElementById("canvas").addEventListener("pointerup", () => { ended = performance.now(); }, true);
  new MutationObserver(() => {
    if (ended !== null) times.push(performance.now() - ended);
    ended = null;
  }).observe(document.getElementById("output"), { subtree: true, childList: true, attributes: true });
"""


def draw(folder, data_dir):
    """Pictures of all kinds, as files."""
    images, labels = datasets.MNIST["mnist"](data_dir).validation
    random = np.random.default_rng(1)
    for i in range(DRAWN):
        kind = drawn.KINDS[i % len(drawn.KINDS)]
        drawn.digit(random, images[i, :, :, 0], labels[i], {kind}).save(folder / f"{i}.jpg")


def seconds(*command):
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def spread(values, unit, digits):
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def terminal(paths, rounds, folder):
    """What one picture takes, with the start, and each further one: with an annotated picture, and without."""
    first, further, bare = [], [], []
    for _ in range(rounds):
        one = seconds(*APP, "--output-dir", folder, paths[0])
        everything = seconds(*APP, "--output-dir", folder, *paths)
        answers = seconds(*APP, "--no-pictures", *paths)
        first.append(one)
        bare.append((answers - one) / (len(paths) - 1) * 1000)
        further.append((everything - one) / (len(paths) - 1) * 1000)
    print(f"one picture, with the start            {spread(first, 's', 2)}")
    print(f"each of {len(paths) - 1} further pictures           {spread(further, 'ms', 1)}")
    print(f"the same with --no-pictures            {spread(bare, 'ms', 1)}")


def page():
    """From the end of a stroke to the new bars, which then grow for 60 ms, in milliseconds: of each stroke."""
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains

    command = list(map(str, [*APP, "--serve", "--port", "0"]))
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1100,900"):
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        server.stdout.readline()
        browser.get(server.stdout.readline().split()[0])
        canvas = browser.find_element("id", "canvas")
        browser.execute_script(NOTE_TIMES)
        random = np.random.default_rng(1)
        for i in range(STROKES):
            if i % 3 == 0:
                browser.find_element("id", "clear").click()
            pen = ActionChains(browser, duration=30)
            pen.move_to_element_with_offset(canvas, *map(int, random.integers(-100, 100, 2))).click_and_hold()
            for move in random.integers(-20, 20, [12, 2]):
                pen.move_by_offset(*map(int, move))
            pen.release().perform()
            while len(browser.execute_script("return times")) <= i:
                time.sleep(0.02)
        return browser.execute_script("return times")
    finally:
        browser.quit()
        server.terminate()


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of pictures")
    parser.add_argument("--rounds", type=command_line.positive(int), default=5, help="(%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    print(runner.machine())
    with tempfile.TemporaryDirectory() as folder:
        if not args.folder:
            draw(Path(folder), args.data_dir)
        terminal(pictures.expand([args.folder or folder]), args.rounds, Path(folder) / "annotated")
    if shutil.which("chromedriver"):
        print(f"page, stroke's end to new bars         {spread(page(), 'ms', 0)}")
    else:
        print("page: not measured, there is no chromedriver")


if __name__ == "__main__":
    command_line.run(main)
