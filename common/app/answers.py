"""What the apps share: their flags, and the answers in a table, as JSON or CSV, as pictures or on a page."""

import csv
import itertools
import json
import os
import sys
from pathlib import Path

from common import command_line
from common.app import classifier, drawing
from common.app.exported import ENGINES
from common.data import pictures
from common.errors import UserError, printable

import numpy as np

LONGEST_STEM = 60  # characters, of up to four bytes; a file system has names of 255 bytes
HOST, PORT = "127.0.0.1", 7860


def parser(description, family):
    """The command line of an app. family: of data sets."""
    result = command_line.parser(description, None, list(family))
    result.add_argument("pictures", nargs="*", metavar="PICTURE", help="files (JPEG, PNG, HEIC, …), folders, globs")
    result.add_argument(
        "--checkpoint", metavar="PATH", type=Path, help="FOLDER/model.ckpt-200 or weights.npz; with --engine, an export"
    )
    result.add_argument(
        "--engine", choices=ENGINES, help="ask a network that export.py wrote: at once, but not which pixels decided"
    )
    result.add_argument("--output-dir", metavar="DIR", type=Path, help="for annotated pictures, instead of logs/…/app")
    drawn = result.add_mutually_exclusive_group()
    drawn.add_argument("--sheet", action="store_true", help="the annotated pictures on sheets of 100, sheet.png …")
    drawn.add_argument("--no-pictures", action="store_true", help="no annotated pictures: only answers, but sooner")
    form = result.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    form.add_argument("--serve", action="store_true", help="a page in the browser, to draw on and to drop pictures on")
    result.add_argument("--host", help=f"of --serve (default: {HOST}, for this machine alone)")
    result.add_argument("--port", type=int, help=f"of --serve (default: {PORT}; 0: any that is free)")
    return result


def answer(task, args, find, reader, tta=False):
    """Classifies the pictures that the flags name; prints and draws. Returns the exit status.

    Or serves a page until Ctrl-C, which ends the program.

    find: a function without arguments: exported.find() or trained.find() of what the flags ask for.
    reader(reading, size), as run.json has them: a function of a Pillow image that gives what the network takes, uint8
    [items, views, height, width, channels]; may raise UserError. A picture that cannot be used is reported, the others
    are still classified, and the status is 1. Raises UserError for flags that do not go together, and an empty name.
    """
    if bool(args.pictures) == args.serve:
        raise UserError("name the pictures to classify, or --serve for a page in the browser; one of the two")
    for flag in ("sheet", "no_pictures", "output_dir") if args.serve else ("host", "port"):
        if getattr(args, flag) not in (None, False):
            raise UserError(f"--{flag.replace('_', '-')} goes {'without' if args.serve else 'with'} --serve")
    if args.no_pictures and args.output_dir:
        raise UserError("--output-dir is for annotated pictures, and --no-pictures makes none; leave one of them out")
    network, where, logs = find()
    about = network.about
    who = f"{about.title}, {about.accuracy}, {where}"
    network = classifier.Classifier(network, tta and about.mirrors)
    network_input = reader(about.reading, about.image_shape[0])
    if args.serve:
        from common.app import page  # here, as only this needs it

        print(who)
        page.serve(task, network, network_input, args.host or HOST, PORT if args.port is None else args.port)
        os._exit(0)  # Python would abort if it ended by itself while a visitor's thread is within TensorFlow

    table = not (args.json or args.csv)
    print(who, file=sys.stdout if table else sys.stderr)
    output_dir = args.output_dir or logs / "app"
    paths = pictures.expand(args.pictures, output_dir)
    if not args.no_pictures:
        output_dir.mkdir(parents=True, exist_ok=True)
    names = _Names(output_dir, paths, replace=not args.output_dir)
    width = max(len(printable(path)) for path in paths)
    rows = []
    with drawing.Cards(names.free, args.sheet) as cards:
        for path, result in classifier.classify(network, paths, network_input, explain=not args.no_pictures):
            if isinstance(result, UserError):
                print(f"error: {result}", file=sys.stderr)
                rows.append({"picture": str(path), "error": str(result)})
                continue
            annotated = None if args.no_pictures else str(cards.add(path.stem[:LONGEST_STEM], result))
            rows.append(_row(path, result, annotated))
            if table:
                print(f"{printable(path):{width}}  {result}  ({_guesses(result)})", flush=True)
    _print_summary(args, rows, about.class_names, output_dir)
    return 1 if any("error" in row for row in rows) else 0


def _guesses(answer):
    """The three most probable classes, or the probability of each item where there are several."""
    shown = 3 if len(answer.probabilities) == 1 else 1
    return "; ".join(
        ", ".join(f"{answer.class_names[c]} {_percent(each[c])}" for c in np.argsort(-each, kind="stable")[:shown])
        for each in answer.probabilities
    )


def _percent(share):
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"


def _row(path, answer, annotated):
    """What --json and --csv tell of a picture."""
    items = [
        {name: round(float(p), 6) for name, p in zip(answer.class_names, probabilities, strict=True)}
        for probabilities in answer.probabilities
    ]
    row = {"picture": str(path), "answer": answer.text, "sure": answer.sure}
    row |= {"probability": round(answer.probability, 6), "annotated": annotated}
    return row | ({"probabilities": items[0]} if len(items) == 1 else {"items": items})


def _print_summary(args, rows, class_names, output_dir):
    """The summary, or all rows as JSON or CSV."""
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"))
    elif args.csv:
        own = ["picture", "answer", "sure", "probability", "annotated", "error"]
        columns = {name: f"class {name}" if name in own else name for name in class_names}
        fields = [*own[:4], *columns.values(), *own[4:]]
        writer = csv.DictWriter(sys.stdout, fields, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {columns[name]: p for name, p in row.get("probabilities", {}).items()})
    else:
        done = sum("error" not in row for row in rows)
        where = "" if args.no_pictures or not done else f"; annotated in {printable(command_line.shown(output_dir))}"
        print(f"{done} of {len(rows)} pictures{where}")


class _Names:
    """Names for annotated pictures: STEM.png, STEM-2.png, …, none twice, and none of a picture that was brought.

    replace: whether other files that are there may be replaced, as in the folder that is the apps' own.
    """

    def __init__(self, folder, brought, replace):
        self._folder, self._taken, self._replace = folder, {*map(os.path.realpath, brought)}, replace

    def free(self, stem):
        names = itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2)))
        path = next(path for path in (self._folder / f"{name}.png" for name in names) if self._is_free(path))
        self._taken.add(os.path.realpath(path))
        return path

    def _is_free(self, path):
        return os.path.realpath(path) not in self._taken and (self._replace or not os.path.lexists(path))
