"""Tables of items: what is read, and what is said about every kind of mistake."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ilk.datasets import open_source
from ilk.datasets.table import read_table
from ilk.errors import DataError, IlkError, InvalidInput, MissingExtra
from ilk.items import Items
from ilk.labels import clean_label

arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra ilk[tables]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "img").mkdir()
    for name in ("1.png", "2.png", "my cat, 3.png"):
        Image.new("L", (40, 30)).save(tmp_path / "img" / name)
    return tmp_path


def write(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def write_parquet(folder: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    import pyarrow.parquet as parquet

    parquet.write_table(arrow.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


def reasons(items: Items) -> dict[str, str]:
    return {problem.name: problem.reason for problem in items.problems}


def test_all_columns_are_read_and_paths_start_at_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    path = write(
        folder,
        "label,path,split,group,x1,y1,x2,y2,weather\n"
        "two words,img/1.png,train,burst 7,1,2,30.5,20,sunny\n"
        '猫,"img/my cat, 3.png",,,,,,,\n'
        f"a/b,{folder}/img/2.png,test,,,,,,\n",
    )
    first, second, third = open_source(path).items
    assert (first.label, first.split, first.group) == ("two words", "train", "burst 7")
    assert first.box == (1.0, 2.0, 30.5, 20.0)
    assert first.name == "img/1.png (line 2)"
    assert first.source == folder / "img/1.png"
    assert (second.label, second.split, second.group, second.box) == ("猫", None, None, None)
    assert second.name == "img/my cat, 3.png"
    assert third.source == folder / "img/2.png"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_line_ends_and_byte_order_marks(folder: Path, newline: str, encoding: str) -> None:
    text = newline.join(["path,label", "img/1.png,ä", "img/2.png, b", ""])
    items = open_source(write(folder, text, encoding=encoding))
    assert items.labels.tolist() == ["ä", "b"]


def test_tabs(folder: Path) -> None:
    items = open_source(write(folder, "path\tlabel\nimg/my cat, 3.png\tone, two\n", "t.TSV"))
    assert items.labels.tolist() == ["one, two"]


def test_one_file_may_hold_several_boxes(folder: Path) -> None:
    text = "path,label,x1,y1,x2,y2\nimg/1.png,a,0,0,9,9\nimg/1.png,b,9,9,20,20\nimg/1.png,c,,,,\n"
    assert len(open_source(write(folder, text))) == 3


def test_rows_that_cannot_be_used_are_named_by_their_line(folder: Path) -> None:
    (folder / "img/empty.png").touch()
    path = write(
        folder,
        "path,label,x1,y1,x2,y2\n"
        "img/1.png,a,,,,\n"
        ",a,,,,\n"
        "img/2.png,  ,,,,\n"
        "img/none.png,a,,,,\n"
        "img/empty.png,a,,,,\n"
        "img,a,,,,\n"
        "img/1.png,a,,,,\n"
        "img/1.png,b,,,,\n"
        "img/2.png,a,1,2,3,\n"
        "img/2.png,a,1,2,x,4\n"
        "img/2.png,a,5,2,5,4\n"
        "img/2.png,a,0,0,inf,4\n"
        "img/2.png,a,-9,0,0,4\n"
        "img/2.png,ok,-9,0,900,4\n",
    )
    items = open_source(path, on_unreadable="skip")
    assert items.labels.tolist() == ["a", "ok"]
    touching = "must have x1 < x2, y1 < y2 and touch the picture"
    assert reasons(items) == {
        "line 3": "the path is empty",
        "line 4 (img/2.png)": "the label is empty",
        "line 5 (img/none.png)": "No such file or directory",
        "line 6 (img/empty.png)": "the file is empty",
        "line 7 (img)": "is a folder",
        "line 8 (img/1.png)": "repeats line 2",
        "line 9 (img/1.png)": "repeats line 2 under another label, 'b' instead of 'a'",
        "line 10 (img/2.png)": "the box has no y2; give all of x1, y1, x2, y2 or none",
        "line 11 (img/2.png)": "the box 1,2,x,4 must be four numbers",
        "line 12 (img/2.png)": f"the box 5,2,5,4 {touching}",
        "line 13 (img/2.png)": "the box 0,0,inf,4 must be finite",
        "line 14 (img/2.png)": f"the box -9,0,0,4 {touching}",
    }
    with pytest.raises(DataError, match="12 of 14 items"):
        open_source(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no header"),
        ("\n\n", "got no header"),
        ("path,class\na,b\n", "found no label in path, class"),
        ("a,b\n1,2\n", "found no path and no label"),
        ("path;label\na;b\n", "separated by ';'"),
        ("path,label,label\na,b,c\n", "the header has label more than once"),
        ("path,label,x1,y1\na,b,1,2\n", "needs the columns x1, y1, x2 and y2, found x1, y1 only"),
        ("path,label\na,b\nc,d,e\n", "line 3 has 3 cells where the header has 2"),
        ("path,label\na\n", "line 2 has 1 cells where the header has 2"),
        ('path,label\na,"b\n', r"is not \.csv"),
    ],
)
def test_what_is_no_table_is_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(write(folder, text), on_unreadable="skip")


def test_a_path_that_no_file_can_have_is_named(folder: Path) -> None:
    items = read_table(write(folder, f"path,label\n{'a' * 300}.png,a\nimg/1.png/2.png,b\n"))
    assert list(reasons(items).values()) == ["File name too long", "Not a directory"]


def test_another_encoding_is_refused(folder: Path) -> None:
    path = write(folder, "path,label\nimg/1.png,a\nimg/2.png,Käfer\n", encoding="latin-1")
    with pytest.raises(DataError, match="expected UTF-8 text, got byte 0xe4"):
        open_source(path)
    with pytest.raises(DataError, match="UTF-8"):
        open_source(write(folder, "path,label\n", encoding="utf-16"))


def test_parquet_reads_the_same_as_text(folder: Path) -> None:
    columns: dict[str, list[object]] = {
        "path": ["img/1.png", "img/2.png", None, "img/2.png"],
        "label": [3, 4, 5, None],
        "split": ["train", None, "train", "train"],
        "x1": [1.0, float("nan"), 1.0, 1.0],
        "y1": [2.0, None, 1.0, 1.0],
        "x2": [3.0, None, 1.0, 1.0],
        "y2": [4.0, None, 1.0, 1.0],
        "weather": [{"sun": 1}] * 4,
    }
    items = open_source(write_parquet(folder, columns), on_unreadable="skip")
    assert items.labels.tolist() == ["3", "4"]
    assert [(item.split, item.box) for item in items.items] == [
        ("train", (1.0, 2.0, 3.0, 4.0)),
        (None, None),
    ]
    assert reasons(items) == {
        "row 3": "the path is empty",
        "row 4 (img/2.png)": "the label is empty",
    }


def test_parquet_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="not a readable Parquet file"):
        open_source(write(folder, "path,label\n", "t.parquet"))
    with pytest.raises(DataError, match="found no label in path"):
        open_source(write_parquet(folder, {"path": ["a"]}))


def test_parquet_without_pyarrow_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(folder, {"path": ["img/1.png"], "label": ["a"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r'pip install "ilk\[tables\]"'):
        open_source(path)


def label_or_none(text: str) -> str | None:
    try:
        return clean_label(text)
    except InvalidInput:
        return None


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(cells, min_size=1, max_size=8, unique=True))
def test_any_text_that_a_csv_writer_writes_comes_back(folder: Path, labels: list[str]) -> None:
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["path", "label", "x1", "y1", "x2", "y2"])
        for i, label in enumerate(labels):
            writer.writerow(["img/1.png", label, i, 0, i + 1, 1])
    items = read_table(folder / "t.csv")
    assert items.labels.tolist() == [label for label in map(label_or_none, labels) if label]
    assert len(items) + len(items.problems) == len(labels)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"path,label\n", b"path,label,x1,y1,x2,y2\n"]),
    st.sampled_from(["t.csv", "t.tsv", "t.parquet"]),
)
def test_any_bytes_make_items_or_an_error_of_ours(
    folder: Path, content: bytes, start: bytes, name: str
) -> None:
    (folder / name).write_bytes(start + content)
    try:
        items = read_table(folder / name)
    except IlkError:
        return
    assert all(item.label for item in items.items)


def test_labels_of_numbers_stay_text(folder: Path) -> None:
    items = open_source(write(folder, "path,label\nimg/1.png,007\nimg/2.png,1e3\n"))
    assert items.labels.tolist() == ["007", "1e3"]
    assert items.labels.dtype == np.dtype(object)


def test_other_columns_are_metadata_and_change_no_hash(folder: Path) -> None:
    path = write(
        folder,
        "path,label,age band,camera,note,note,\nimg/1.png,a, 18-30 ,back,x,y,z\nimg/2.png,b,,,,,\n",
    )
    plain = write(folder, "path,label\nimg/1.png,a\nimg/2.png,b\n", "plain.csv")
    items = open_source(path).items
    assert [dict(item.metadata) for item in items] == [
        {"age band": "18-30", "camera": "back"},
        {"age band": "", "camera": ""},
    ]
    for with_metadata, without in zip(items, open_source(plain).items, strict=True):
        assert with_metadata.content_hash() == without.content_hash()
        assert without.metadata == {}


def test_parquet_gives_flat_columns_as_metadata(folder: Path) -> None:
    columns: dict[str, list[object]] = {
        "path": ["img/1.png", "img/2.png"],
        "label": ["a", "b"],
        "age": [31, None],
        "camera": ["back", "front"],
        "exif": [{"iso": 100}, None],
        "bytes": [b"\xff", b"\xfe"],
    }
    items = open_source(write_parquet(folder, columns)).items
    assert [dict(item.metadata) for item in items] == [
        {"age": "31", "camera": "back"},
        {"age": "", "camera": "front"},
    ]


def test_a_bad_label_is_a_problem_of_its_picture_and_names_the_line(folder: Path) -> None:
    path = write(folder, 'path,label\nimg/1.png,"a\nb"\nimg/2.png,a \n')
    items = open_source(path, on_unreadable="skip")
    assert items.classes == ("a",)
    assert reasons(items) == {
        "img/1.png": "a label must have 1 to 500 characters and no control characters, got "
        "'a\\nb', in line 3"
    }


def test_numbers_and_dates_of_parquet_are_what_a_person_writes(folder: Path) -> None:
    import datetime
    from decimal import Decimal

    for cells, wanted in (
        ([0, 1, 2**60], ["0", "1", str(2**60)]),
        ([0.0, 1.0, 2.5], ["0", "1", "2.5"]),
        (arrow.array([0.1, 1.0, 2.5], arrow.float32()), ["0.1", "1", "2.5"]),
        ([Decimal("1.00"), Decimal("10.50"), Decimal("0.00")], ["1", "10.5", "0"]),
        ([True, False, True], ["True", "False", "True"]),
        ([datetime.date(2024, 5, i) for i in (1, 2, 3)], [f"2024-05-0{i}" for i in (1, 2, 3)]),
        (
            arrow.array([0, 86400 * 10**9, 1], arrow.timestamp("ns")),
            ["1970-01-01", "1970-01-02", "1970-01-01"],
        ),
        (["a ", "b", "c"], ["a", "b", "c"]),
        (arrow.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
    ):
        paths = ["img/1.png", "img/2.png", "img/my cat, 3.png"]
        items = open_source(write_parquet(folder, {"path": paths, "label": cells}))
        assert items.labels.tolist() == wanted


def test_a_missing_value_makes_no_second_class_of_a_number(folder: Path) -> None:
    paths = ["img/1.png", "img/2.png", "img/my cat, 3.png"]
    path = write_parquet(folder, {"path": paths, "label": [0.0, None, float("nan")]})
    items = open_source(path, on_unreadable="skip")
    assert items.classes == ("0",)
    assert set(reasons(items).values()) == {"the label is empty"}


def test_what_no_text_can_be_made_of_is_refused_by_row_or_column(folder: Path) -> None:
    paths = ["img/1.png", "img/2.png"]
    path = write_parquet(folder, {"path": paths, "label": [1e17 + 16, 7.0]})
    items = open_source(path, on_unreadable="skip")
    assert items.classes == ("7",)
    (reason,) = reasons(items).values()
    assert reason == (
        "the label cannot be read: the number 1e+17 has more digits than float64 keeps; "
        "write it as text"
    )
    assert [*reasons(items)] == ["row 1 (img/1.png)"]
    path = write_parquet(folder, {"path": paths, "label": [["a"], ["b"]]})
    with pytest.raises(DataError, match=r"in the column label, got list<"):
        open_source(path)
    path = write_parquet(folder, {"path": paths, "label": [b"a", b"\xff"]})
    assert open_source(path, on_unreadable="skip").classes == ("a",)


def test_a_split_has_one_name_however_it_is_written(folder: Path) -> None:
    path = write(folder, "path,label,split\nimg/1.png,a,TRAIN\nimg/2.png,a,dev \n")
    assert [item.split for item in open_source(path).items] == ["train", "val"]
    path = write_parquet(
        folder, {"path": ["img/1.png", "img/2.png"], "label": [1, 1], "split": [0.0, None]}
    )
    assert [item.split for item in open_source(path).items] == ["train", None]


def test_backslashes_are_slashes_unless_a_file_is_called_so(folder: Path) -> None:
    path = write(folder, "path,label\nimg\\1.png,a\nimg\\2.png,b\n")
    assert [item.source for item in open_source(path).items] == [
        folder / "img/1.png",
        folder / "img/2.png",
    ]
    Image.new("L", (9, 9)).save(folder / "img\\1.png")
    assert open_source(path).items[0].source == folder / "img\\1.png"
    path = write(folder, "path,label\nimg\\9.png,a\nC:\\img\\1.png,a\nimg/1.png,a\n")
    assert reasons(open_source(path, on_unreadable="skip")) == {
        "line 2 (img\\9.png)": "No such file or directory, nor img/9.png",
        "line 3 (C:\\img\\1.png)": "No such file or directory; this is a place on another machine: "
        "write it relative to the table",
    }


def test_accents_of_a_path_may_be_in_either_form(folder: Path) -> None:
    import unicodedata

    composed, apart = (unicodedata.normalize(form, "img/K\u00e4fer.png") for form in ("NFC", "NFD"))
    Image.new("L", (9, 9)).save(folder / apart)
    (item,) = open_source(write(folder, f"path,label\n{composed},a\n")).items
    assert item.source == folder / apart
