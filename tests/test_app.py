"""The apps: pictures in, answers out, in a table, as JSON, as CSV and drawn."""

import csv
import dataclasses
import io
import json
import shutil
import sys

from cifar10.forward import forward as cifar10_forward
from common import command_line
from common.app import classifier, drawing
from common.data import pictures
from common.training import checkpoints, runs, testing
from mnist import app, picture_to_input
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
from helpers import draw_seven
from PIL import Image, ImageColor


def test_app_tells_bad_pictures_and_answers_the_others(call, trained, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    Image.new("L", (50, 50), 200).save(tmp_path / "empty.png")
    whole = draw_seven(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    good = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        good.append(draw_seven(folder / "7.png"))
    bad = {
        text: "is not a picture",
        tmp_path / "empty.png": "shows no ink",
        tmp_path / "cut.png": "cannot be read",
        tmp_path / "none.png": "does not exist",
        tmp_path / "*.gif": "matches nothing",
    }
    status, out, err = call(app.main, *trained[1], *bad, *good)
    assert status == 1
    for path, message in bad.items():
        assert f"error: {path} {message}" in err
    assert err.count("\n") == len(bad)
    assert all(f"{path}  " in out for path in good)
    assert "2 of 7 pictures" in out
    assert sorted(p.name for p in (tmp_path / "logs/mnist/fully_connected/app").iterdir()) == ["7-2.png", "7.png"]


@pytest.mark.parametrize(("paper", "ink"), [("white", "black"), ("black", "white"), ((250, 240, 210), (20, 30, 120))])
def test_digit_is_centred_white_on_black(tmp_path, paper, ink):
    path = draw_seven(tmp_path / "seven.png", paper=paper, ink=ink)
    image = picture_to_input.digit(pictures.read(path))[0, 0, ..., 0].astype(float)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20 and image.max() == 255
    assert np.ptp(columns) < np.ptp(rows)  # proportions kept
    y, x = (image.sum(axis=1) @ np.arange(28), image.sum(axis=0) @ np.arange(28)) / image.sum()
    assert abs(y - 14) <= 0.53 and abs(x - 14) <= 0.53


def test_json_and_csv_hold_every_picture(call, trained, tmp_path):
    good, bad = draw_seven(tmp_path / "seven.png"), tmp_path / "none.png"
    status, out, _ = call(app.main, *trained[1], "--json", good, bad)
    [row, error] = json.loads(out)
    assert status == 1 and error == {"picture": str(bad), "error": f"{bad} does not exist"}
    assert row["answer"] == max(row["probabilities"], key=row["probabilities"].get)
    assert row["probability"] == max(row["probabilities"].values())
    assert row["sure"] == (row["probability"] >= classifier.SURE)
    assert Image.open(row["annotated"]).width > 1000
    status, out, _ = call(app.main, *trained[1], "--csv", good, bad)
    [line, failed] = csv.DictReader(io.StringIO(out))
    assert status == 1 and failed["error"] == error["error"] and failed["answer"] == ""
    assert line["answer"] == row["answer"] and float(line[row["answer"]]) == row["probability"]


def test_an_annotated_picture_has_the_colours_of_the_picture(call, trained, tmp_path):
    path = draw_seven(tmp_path / "seven.png", paper=(250, 200, 120))
    call(app.main, *trained[1], "--output-dir", tmp_path / "out", path)
    card = Image.open(tmp_path / "out" / "seven.png")
    assert card.getpixel((drawing.MARGIN + 5, drawing.MARGIN + drawing.TITLE + 5)) == (250, 200, 120)
    colors = {color for _, color in card.getcolors(card.width * card.height)}
    assert {ImageColor.getrgb(color) for color in (drawing.BLUE, drawing.ORANGE)} <= colors


def test_without_pictures_the_answers_are_the_same(call, trained, tmp_path):
    path = draw_seven(tmp_path / "seven.png")
    [row], [bare] = (json.loads(call(app.main, *trained[1], *f, "--json", path)[1]) for f in ([], ["--no-pictures"]))
    assert bare == row | {"annotated": None}
    status, _, err = call(app.main, *trained[1], "--no-pictures", "--output-dir", tmp_path / "out", path)
    assert status == 1 and "--no-pictures makes none" in err and not (tmp_path / "out").exists()


def test_folders_globs_and_a_sheet(call, trained, tmp_path):
    folder = tmp_path / "some" / "deeper"
    folder.mkdir(parents=True)
    for name in ("b.png", "a.jpg", "c.txt"):
        if name != "c.txt":
            draw_seven(folder / name)
        else:
            (folder / name).write_text("notes")
    status, out, _ = call(app.main, *trained[1], "--sheet", tmp_path / "some", folder / "*.png")
    lines = [line.split()[0] for line in out.splitlines() if line.startswith(str(folder))]
    assert status == 0 and lines == [str(folder / "a.jpg"), str(folder / "b.png")]
    assert [p.name for p in (tmp_path / "logs/mnist/fully_connected/app").iterdir()] == ["sheet.png"]
    for hidden in ("._a.jpg", ".thumbnails/a.jpg", "__MACOSX/a.jpg"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_text("no picture")
    both = [folder / "a.jpg", folder / "b.png"]
    assert pictures.expand([tmp_path / "so*"]) == pictures.expand([tmp_path / "some"]) == both
    (tmp_path / "void").mkdir()
    status, _, err = call(app.main, *trained[1], tmp_path / "void")
    assert status == 1 and err == f"error: {tmp_path / 'void'} is a folder without pictures\n"
    status, _, err = call(app.main, *trained[1], "")
    assert status == 1 and err.startswith("error: the name of a picture is empty; give ")


def test_a_picture_of_the_user_is_never_written_over(call, trained, tmp_path):
    brought = [draw_seven(tmp_path / f"{name}.png") for name in ("seven", "sheet")]
    draw_seven(tmp_path / "seven-2.png")
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    for flags in ([], ["--sheet"]):
        status, _, _ = call(app.main, *trained[1], "--output-dir", tmp_path, *flags, *brought)
        assert status == 0 and all(path.read_bytes() == data for path, data in before.items())
    made = {path.name for path in tmp_path.glob("*.png")} - {path.name for path in before}
    assert made == {"seven-3.png", "sheet-2.png", "sheet-3.png"}


def test_annotated_pictures_are_not_read_again(call, trained, tmp_path):
    draw_seven(tmp_path / "seven.png")
    for _ in range(2):
        status, out, _ = call(app.main, *trained[1], "--output-dir", tmp_path / "out", tmp_path)
        assert status == 0 and "1 of 1 pictures" in out


def test_many_pictures_come_in_order(call, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "CHUNK", 2)
    paths = [draw_seven(tmp_path / f"{i}.png") for i in range(5)]
    (tmp_path / "3.png").write_text("broken")
    status, out, _ = call(app.main, *trained[1], "--json", *paths)
    rows = json.loads(out)
    assert status == 1 and [row["picture"] for row in rows] == list(map(str, paths))
    assert ["error" in row for row in rows] == [False, False, False, True, False]


def test_a_line_says_which_network_answers_how_good_it_is_and_how_to_name_another(call, trained, tmp_path):
    folder, flags = trained
    picture = draw_seven(tmp_path / "seven.png")
    better = folder.with_name(runs.PRETRAINED)
    shutil.copytree(folder, better)
    run = runs.read(folder, NETWORKS)
    for place, accuracy in ((folder, 0.91), (better, 0.92)):
        runs.write(place, dataclasses.replace(run, validation_accuracy=accuracy))
    status, out, err = call(app.main, *flags, picture)
    line = out.splitlines()[0]
    assert (
        status == 0 and err == "" and line.startswith("fully_connected trained on MNIST, validation accuracy 0.9200, ")
    )
    assert line.endswith("mnist/pretrained/model.ckpt-3 (best of 2; --checkpoint asks another one)")
    assert (tmp_path / "logs/mnist/pretrained/app/seven.png").exists()
    status, out, _ = call(app.main, *flags, "--checkpoint", folder, picture)
    assert out.splitlines()[0].endswith("0.9100, " + str(folder / "model.ckpt-3"))
    assert (tmp_path / "logs/mnist/fully_connected/app/seven.png").exists()
    status, out, err = call(app.main, *flags, "--json", picture)
    assert json.loads(out) and err == line + "\n"
    recipe = dataclasses.replace(run.recipe, save_steps=2)  # then a signal stopped the run at step 3
    runs.write(folder, dataclasses.replace(run, validation_accuracy=0.91, recipe=recipe, steps=4))
    assert "validation accuracy not known" in call(app.main, *flags, "--checkpoint", folder, picture)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, forward, data, most_bytes",
    [("mnist", forward, "real_mnist", 1_000_000), ("cifar10", cifar10_forward, "real_cifar10", 2_200_000)],
)
def test_pretrained_network_has_its_stated_accuracy(request, task, forward, data, most_bytes):
    folder = command_line.CHECKPOINT_DIR / task / runs.PRETRAINED
    assert sum(path.stat().st_size for path in folder.iterdir()) < most_bytes
    run, data = runs.read(folder), request.getfixturevalue(data)
    if data.digest != run.dataset_sha256:
        pytest.skip(f"the network learnt from another copy of {data.title}")
    [(_, result)] = testing.test(forward, run, data.test, [checkpoints.named(folder)], conftest.CPU)
    assert result.accuracy == pytest.approx(run.test_accuracy, abs=5e-4)  # a few images, for other machines


def test_pictures_or_a_page(call, trained, tmp_path):
    for flags, message in [
        ([], "name the pictures to classify, or --serve"),
        (["--serve", "x.png"], "name the pictures to classify, or --serve"),
        (["--serve", "--sheet"], "--sheet goes without --serve"),
        (["x.png", "--port", "80"], "--port goes with --serve"),
    ]:
        status, _, err = call(app.main, *trained[1], *flags)
        assert status == 1 and err.startswith(f"error: {message}") and err.count("\n") == 1


def test_json_is_valid_where_standard_output_is_not_utf_8(trained, tmp_path, monkeypatch):
    path = draw_seven(tmp_path / "sieben-é.png")
    with io.TextIOWrapper(io.BytesIO(), "ascii") as stdout:
        monkeypatch.setattr(sys, "argv", ["app.py", *map(str, trained[1]), "--json", str(path)])
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit):
            command_line.run(app.main)
        [row] = json.loads(stdout.buffer.getvalue())
    assert row["picture"] == str(path)
