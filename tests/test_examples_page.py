"""The page of the examples, as the program writes it."""

import importlib.util
import sys

import pytest
from example_helpers import EXAMPLES


@pytest.fixture
def generator(monkeypatch, tmp_path):
    """examples/__main__.py as a module, of a repository that holds two examples."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("page_of_examples", EXAMPLES / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "NAMES", ("one", "two"))
    for folder in ("examples", "docs", "logs/examples"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "examples/one.py").write_text('"""One: counts.\n\nTo 1.\n"""\n\nprint(1)\n')
    (tmp_path / "examples/two.py").write_text('"""Two: draws.\n\nA line.\n"""\n\nprint(2)\nprint("picture: two.png")\n')
    (tmp_path / "logs/examples/two.png").write_bytes(b"a picture")
    return module


def test_the_page_of_the_examples(generator, call, tmp_path):
    status, _, err = call(generator.main)
    page = (tmp_path / "docs/examples.md").read_text()
    assert status == 0 and err == ""
    assert "| One: counts | [one.py](#onepy) |\n| Two: draws | [two.py](#twopy) |" in page
    assert "To 1.\n\n```\n1\n```\n\n## two.py" in page and page.count("![") == 1
    assert (tmp_path / "docs/examples_pictures/two.png").read_bytes() == b"a picture"


def test_an_example_that_fails_is_named_and_the_page_stays(generator, call, tmp_path):
    (tmp_path / "docs/examples.md").write_text("as it was")
    (tmp_path / "examples/two.py").write_text('"""Two: fails.\n\nHere.\n"""\n\nraise ValueError("so it is")\n')
    status, _, err = call(generator.main)
    assert status == 1 and err == "error: examples/two.py: ValueError: so it is\n"
    assert (tmp_path / "docs/examples.md").read_text() == "as it was"
