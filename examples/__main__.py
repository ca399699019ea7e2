"""Runs the examples, and writes docs/examples.md: what each prints, and its picture.

    ./run.sh examples
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line
from common.errors import UserError

ROOT = command_line.ROOT
NAMES = (  # in the order in which one reads them, some with arguments
    "graph_and_session", "forward_pass", "training_by_hand", "losses", "learning_rate", "moving_average",
    "regularization", "iris", "four_styles", "tfrecords", "save_and_restore", "weights",
    "vgg16 docs/examples/cifar10 --network squeezenet", "features",
)  # fmt: skip


def main():
    pictures = ROOT / "docs" / "examples_pictures"
    pictures.mkdir(exist_ok=True)
    rows, sections = [], []
    for words in NAMES:
        name, *arguments = words.split()
        path = f"examples/{name}.py"
        print(path, *arguments, flush=True)
        utf8 = dict(encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"})
        done = subprocess.run([sys.executable, path, *arguments], cwd=ROOT, capture_output=True, **utf8)
        if done.returncode:
            raise UserError(f"{path}: {done.stderr.strip().splitlines()[-1]}")
        headline, _, text = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))).partition("\n\n")
        rows.append(f"| {headline.rstrip('.')} | [{name}.py](#{name}py) |")
        sections += [f"## {name}.py", f"{headline} ([{path}](../{path}))", text]
        sections += [f"Here `python {path} {' '.join(arguments)}`:"] * bool(arguments)
        sections.append(f"```\n{done.stdout.rstrip()}\n```")
        if "\npicture: " in done.stdout:
            shutil.copyfile(ROOT / "logs" / "examples" / f"{name}.png", pictures / f"{name}.png")
            sections.append(f"![{headline}](examples_pictures/{name}.png)")
    page = [
        "# What the examples print",
        "Each file of [examples/](../examples) shows one idea of graph mode. It runs from top to bottom in seconds:\n"
        "`python examples/forward_pass.py`. `./run.sh examples` runs them all, and wrote this page.",
        "\n".join(["| idea | file |", "| --- | --- |", *rows]),
        *sections,
    ]
    (ROOT / "docs" / "examples.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    print("written: docs/examples.md")


if __name__ == "__main__":
    command_line.run(main)
