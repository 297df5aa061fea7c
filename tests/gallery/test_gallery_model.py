"""Any sequence of calls gives the answers of a gallery in pure Python."""

from __future__ import annotations

import math
import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ilk.distances import Euclidean
from ilk.gallery import Binding, Gallery

TARGET, MARGIN = 0.1, 0.05
STRANGERS = [(40.0 + 3 * i, 1.0) for i in range(5)] + [(i, 7.0) for i in range(0, 15)]
LABELS = st.sampled_from(["ant", "bee", "cat", "dog"])
POINTS = st.tuples(st.integers(0, 6), st.integers(0, 3)).map(lambda p: (float(p[0]), float(p[1])))


class Row(NamedTuple):
    class_id: int | None
    point: tuple[float, float]
    role: str
    content: str


@dataclass
class Model:
    """What is enrolled: exemplars by id with their class, and classes by id with their label."""

    labels: dict[int, str] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)

    def class_of(self, label: str) -> int | None:
        return next((c for c, name in self.labels.items() if name == label), None)

    def members(self, label: str) -> list[int]:
        own = self.class_of(label)
        rows = self.rows.items()
        return sorted(i for i, row in rows if row.role == "exemplar" and row.class_id == own)

    def ranking(self, probe: tuple[float, float]) -> list[tuple[float, int, str]]:
        """Distances of the classes, with the deciding row, of those that nothing rules out."""
        best: dict[int, tuple[float, int]] = {}
        bars: list[tuple[float, int | None, str]] = []
        for i, row in self.rows.items():
            far = math.dist(probe, row.point)
            if row.role != "exemplar":
                bars.append((far, row.class_id, row.role))
            elif row.class_id is not None:
                best[row.class_id] = min(best.get(row.class_id, (math.inf, 0)), (far, i))
        return sorted(
            (d, i, self.labels[c])
            for c, (d, i) in best.items()
            if not any(b <= d and (role == "ignore" or of == c) for b, of, role in bars)
        )

    def limit(self) -> float:
        ranked = [self.ranking(stranger) for stranger in STRANGERS]
        closest = sorted(ranking[0][0] if ranking else math.inf for ranking in ranked)
        k = math.floor(TARGET * (len(closest) + 1) + 1e-9)
        return min(math.nextafter(closest[k - 1], -math.inf), Euclidean.upper)

    def decide(self, probe: tuple[float, float]) -> tuple[str, str | None]:
        ranking, limit = self.ranking(probe), self.limit()
        if not ranking or ranking[0][0] > limit:
            return "unknown", None
        if len(ranking) > 1 and ranking[1][0] <= min(limit, ranking[0][0] + MARGIN * limit):
            return "ambiguous", None
        return "identified", ranking[0][2]


class Comparison(RuleBasedStateMachine):
    """The same calls on a gallery and on the model."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.model, self.erased, self.count = Model(), set[str](), 0
        self.before: list[Model] = []
        binding = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
        self.gallery = Gallery.create(self.folder / "g", binding, margin=MARGIN, actor="ada")
        self.gallery.calibrate(TARGET, strangers=np.array(STRANGERS))

    def teardown(self) -> None:
        if hasattr(self, "gallery"):
            self.gallery.close()
            shutil.rmtree(self.folder)

    def remember(self) -> Model:
        self.before.append(deepcopy(self.model))
        return self.model

    @rule(label=LABELS, point=POINTS, role=st.sampled_from(["exemplar"] * 4 + ["not", "ignore"]))
    def enroll(self, label: str, point: tuple[float, float], role: Any) -> None:
        if role == "not" and self.model.class_of(label) is None:
            return
        self.count += 1
        (answer,) = self.gallery.enroll(
            label, np.array([point]), role=role, content_hashes=[f"c{self.count}"], guard="off"
        )
        assert answer.is_enrolled, answer
        assert answer.exemplar_id is not None
        model = self.remember()
        if role != "ignore" and model.class_of(label) is None:
            ids = {row.label: row.id for row in self.gallery.labels()}
            model.labels[ids[label]] = label
        class_id = None if role == "ignore" else model.class_of(label)
        model.rows[answer.exemplar_id] = Row(class_id, point, role, f"c{self.count}")

    @rule(point=POINTS)
    def enroll_the_same_again(self, point: tuple[float, float]) -> None:
        content = f"c{self.count}"
        (answer,) = self.gallery.enroll(
            "dog", np.array([point]), content_hashes=[content], role="ignore", guard="off"
        )
        if content in self.erased:
            assert not answer.is_enrolled
            assert "erased" in answer.reason
        elif answer.is_enrolled:
            assert answer.exemplar_id is not None
            self.remember().rows[answer.exemplar_id] = Row(None, point, "ignore", content)

    def label(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.labels.values())))

    @precondition(lambda self: self.model.labels)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        label = self.label(data)
        self.gallery.remove(label)
        model = self.remember()
        gone = model.class_of(label)
        model.rows = {i: row for i, row in model.rows.items() if row.class_id != gone}
        del model.labels[gone or 0]

    @precondition(lambda self: self.model.labels)
    @rule(data=st.data(), new=st.sampled_from(["elk", "fox"]))
    def rename(self, data: st.DataObject, new: str) -> None:
        label = self.label(data)
        if self.model.class_of(new) is None:
            self.gallery.rename(label, new)
            model = self.remember()
            model.labels[model.class_of(label) or 0] = new

    @precondition(lambda self: len(self.model.labels) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        label, into = self.label(data), self.label(data)
        if label != into:
            self.gallery.merge(label, into)
            model = self.remember()
            old, new = model.class_of(label), model.class_of(into)
            model.rows = {
                i: row._replace(class_id=new) if row.class_id == old else row
                for i, row in model.rows.items()
            }
            del model.labels[old or 0]

    @precondition(lambda self: any(row.role == "exemplar" for row in self.model.rows.values()))
    @rule(data=st.data(), how=st.sampled_from(["split", "reassign", "remove"]))
    def move(self, data: st.DataObject, how: str) -> None:
        owners = [label for label in self.model.labels.values() if self.model.members(label)]
        label = data.draw(st.sampled_from(sorted(owners)))
        ids = data.draw(st.sets(st.sampled_from(self.model.members(label)), min_size=1))
        other = self.label(data)
        if how == "split" and self.model.class_of("gnu") is None:
            self.gallery.split(label, sorted(ids), "gnu")
            new = {row.label: row.id for row in self.gallery.labels()}["gnu"]
            model = self.remember()
            model.labels[new] = "gnu"
        elif how == "reassign" and other != label:
            self.gallery.reassign(ids, other)
            model = self.remember()
            new = model.class_of(other) or 0
        elif how == "remove":
            self.gallery.remove_exemplars(ids)
            model = self.remember()
            model.rows = {i: row for i, row in model.rows.items() if i not in ids}
            return
        else:
            return
        model.rows |= {i: model.rows[i]._replace(class_id=new) for i in ids}

    @precondition(lambda self: self.before)
    @rule()
    def undo(self) -> None:
        self.gallery.undo()
        self.model = self.before.pop()

    @precondition(lambda self: self.model.labels)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        label = self.label(data)
        gone = self.model.class_of(label)
        with self.gallery.access.reading() as reader:  # what was undone or removed goes as well
            ids = [row.id for row in reader.classes(is_live=None) if row.label == label]
            rows = [row for i in ids for row in reader.exemplars(i, is_live=None)]
        contents = {row.content_hash for row in rows}
        assert contents >= {r.content for r in self.model.rows.values() if r.class_id == gone}
        self.gallery.erase(label)
        self.erased |= contents
        self.model.rows = {
            i: row for i, row in self.model.rows.items() if row.content not in self.erased
        }
        del self.model.labels[gone or 0]
        self.before = []

    @rule()
    def reopen(self) -> None:
        self.gallery.close()
        self.gallery = Gallery.open(self.folder / "g", actor="ada")

    @rule(probes=st.lists(POINTS, min_size=1, max_size=3))
    def identify(self, probes: list[tuple[float, float]]) -> None:
        answers = self.gallery.identify(np.array(probes))
        for probe, answer in zip(probes, answers, strict=True):
            ranking = self.model.ranking(probe)
            assert [(c.distance, c.exemplars[0], c.label) for c in answer.candidates] == ranking[:5]
            assert (answer.decision, answer.label) == self.model.decide(probe)

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "gallery"):
            found = {row.label: row.num_exemplars for row in self.gallery.labels()}
            labels = self.model.labels.values()
            assert found == {label: len(self.model.members(label)) for label in labels}
            assert self.gallery.threshold.value == self.model.limit()


Comparison.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestComparison = Comparison.TestCase
