"""Pairs files as people write them, and whose pictures they say these are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ilk.errors import DataError
from ilk.evaluation import read_pairs


def written(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_head_names_the_columns_wherever_they_are(tmp_path: Path) -> None:
    text = 'age,file_x,file_y,Decision,"light, outside"\n18-30,"a, 1.jpg",b.jpg,Yes,sun\n'
    text += "30+,a.jpg,c.jpg,No,\n"
    pairs = read_pairs(written(tmp_path, text))
    assert pairs.first == ("a, 1.jpg", "a.jpg")
    assert pairs.second == ("b.jpg", "c.jpg")
    assert pairs.is_same.tolist() == [True, False]
    assert pairs.metadata == {"age": ("18-30", "30+"), "light, outside": ("sun", "")}


def test_without_a_known_name_the_third_column_tells(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, "x;,y,z,w\na,b,1,p\nc,d,0,q\n"))
    assert (pairs.first, pairs.second) == (("a", "c"), ("b", "d"))
    assert pairs.metadata == {"w": ("p", "q")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,same\nx,y,1\nx,y,1,2\n", "line 3: expected 'path1 path2 same'"),
        ("a,b,same\nx,y,maybe\n", "line 2: .*got 'x y maybe'"),
        ("a,b,same\n", "found none"),
        ('a,b,same\nx,"y,1\n', "line 2: "),
        ("10 300\n", "promises 10 folds of 300"),
        ("2\nAnn 1 2\n", "promises 1 folds of 2"),
    ],
)
def test_a_broken_file_is_refused_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(written(tmp_path, text))


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("Käthe.jpg b.jpg 1\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8 text, got byte 0xe4"):
        read_pairs(tmp_path / "p.txt")


def test_people_come_from_names_or_from_what_is_called_the_same(tmp_path: Path) -> None:
    lfw = read_pairs(written(tmp_path, "1\nAnn\t1\t2\nAnn\t1\tBo\t1\n", "pairs.txt"))
    assert lfw.people == (("Ann", "Ann"), ("Ann", "Bo"))
    assert [ids.tolist() for ids in lfw.person_ids()] == [[0, 0], [0, 1]]
    plain = read_pairs(written(tmp_path, "a b 1\nd c 1\nb ./c 1\na e 0\nf e 0\n"))
    first, second = plain.person_ids()
    assert len(set(first[:4]) | set(second[:3])) == 1  # a, b, c and d through one another
    assert len({first[3], second[3], first[4]}) == 3
    assert second[3] == second[4]


def test_contradicting_answers_are_no_loop(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, "a b 1\nb a 1\na a 1\na b 0\n"))
    assert np.unique(pairs.person_ids()).tolist() == [0]
