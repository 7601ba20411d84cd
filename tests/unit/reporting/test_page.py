"""Figures and report: what they show, and what they refuse."""

import base64
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from iphasenet.base.errors import InputError
from iphasenet.evaluation import metrics
from iphasenet.reporting.numbers import COLUMNS, METHODS, METRICS, POTENTIALS
from tests.report_example import scores, summary, viewer_samples, write_example


class Page(HTMLParser):
    """Resources, links, text and tables of a page; notes of a cell follow its text after a bar."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.text = ""
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "poster", "data")]
        self.links += [known["href"] or ""] if "href" in known else []
        if tag == "table":
            self.rows = self.tables.setdefault(known["id"] or "", [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True
        if tag == "span" and self.in_cell:
            self.rows[-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += " ".join(data.split())

    def column(self, table: str, number: int) -> list[str]:
        """Texts of a column without their notes."""
        return [row[number].split("|")[0] for row in self.tables[table][1:]]


@pytest.fixture
def found() -> dict[str, Any]:
    return summary()


def test_report_needs_nothing_beside_it(tmp_path: Path) -> None:
    html = write_example(tmp_path).read_text()
    page = Page(html)
    embedded = "data:image/png;base64," + base64.b64encode((tmp_path / "plot.png").read_bytes()).decode()
    assert page.sources == [embedded, embedded]
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?:|@import|url\(", html)
    assert "default-src 'none'" in html


def test_plotly_is_in_the_page_once_whatever_the_number_of_samples(tmp_path: Path) -> None:
    html = write_example(tmp_path, viewer=viewer_samples()).read_text()
    assert html.count("plotly.js v") == 1 and html.count('class="plotly-graph-div"') == 2
    assert not Page(html).sources[2:]
    assert "GaN &amp; &lt;more&gt;" in html


def test_report_shows_all_methods_with_their_intervals(tmp_path: Path) -> None:
    rows = Page(write_example(tmp_path).read_text()).tables["scores"]
    assert rows[0] == ["Metric", *METHODS.values()]
    assert len(rows[1]) == 1 + len(METHODS)
    assert rows[1][:6] == [
        "Pearson correlation ↑",
        *("0.912|0.821 to 1.004", "0.812|0.731 to 0.894", "0.712|0.641 to 0.784"),
        *("0.612|0.551 to 0.674", "0.512|0.461 to 0.564"),
    ]
    assert rows[2][:2] == ["MAE ↓ [V Å]|mean absolute error", "1 234.6|1 111.1 to 1 358.0"]
    assert [row[1].split("|")[0] for row in rows[3:]] == ["3.21", "21.23", "48.77", "18.8", "0.813"]


def test_best_of_each_row_is_marked(tmp_path: Path, found: dict[str, Any]) -> None:
    found["scores"]["wiener"]["mae"]["mean"] = 1.0
    html = write_example(tmp_path, found).read_text()
    rows = re.search(r'<table id="scores">(.*?)</table>', html, re.S)
    assert rows is not None
    marked = [re.findall(r"<td( class=\"best\")?>", row) for row in rows[1].split("<tr>")[2:]]
    assert [[bool(cell) for cell in row].index(True) for row in marked] == [0, 2, 0, 0, 0, 0, 0]


def test_published_table_has_both_definitions(tmp_path: Path) -> None:
    page = Page(write_example(tmp_path).read_text())
    assert page.column("published", 1) == ["54.45", "897.8", "3.4", "0.72", "23.8", "1 825", "2 162", "28.3", "25.9"]
    same = ["48.77", "1 234.6", "3.85", "0.912", "18.8", "2 101", "2 050", "30.5", "32.1"]
    assert page.column("published", 2) == same
    assert page.column("published", 3) == ["21.23", "1 234.6", "3.21", *same[3:]]


def test_scores_are_broken_down_where_there_is_more_than_one_level(tmp_path: Path) -> None:
    tables = Page(write_example(tmp_path).read_text()).tables
    assert [row[0] for row in tables["by-material"][1:]] == ["GaN", "MoS2"]
    assert tables["by-thickness_nm"][2][:2] == ["40", "0.892|0.803 to 0.982"]
    assert [row[0] for row in tables["by-dose"][1:]] == ["1 000", "100 000"]
    assert tables["by-tilt_deg"][2][1] == "0.892"
    assert tables["by-material-peak_error"][1][1:3] == ["19.8|17.8 to 21.7", "29.8|26.8 to 32.7"]
    assert not any(name.startswith("by-held_out") for name in tables)


def test_what_training_has_not_seen_stands_apart(tmp_path: Path, found: dict[str, Any]) -> None:
    found["by"]["held_out"]["material"] = scores(0.4)
    page = Page(write_example(tmp_path, found).read_text())
    assert page.column("by-held_out", 0) == ["tilt alone", "material"]
    assert page.column("by-held_out", 1) == ["0.902", "0.512"]
    assert (
        "crystal tilts that training never saw. Part of the samples are of materials that training never saw either"
        in (" ".join(page.text.split()))
    )
    assert "left out" not in page.text


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (
            ["tilt", "tilt and thickness"],
            "crystal tilts that training never saw. Part of the samples are of thicknesses",
        ),
        (["thickness"], "crystal tilts. Part of the samples are of thicknesses that training never saw; they"),
        (["not known"], "crystal tilts. Which of them the network has seen is not known: its weights do not say"),
    ],
)
def test_the_report_says_what_is_new_and_no_more(
    tmp_path: Path, found: dict[str, Any], levels: list[str], said: str
) -> None:
    found["by"]["held_out"], found["left_out"] = {level: scores(0.1) for level in levels}, 3
    text = " ".join(Page(write_example(tmp_path, found).read_text()).text.split())
    assert said in text
    assert "3 more samples of the test split are left out: the network was trained on that crystal" in text


def test_report_begins_with_the_summary_in_words(tmp_path: Path) -> None:
    text = Page(write_example(tmp_path).read_text()).text
    start = text[: text.index("Beside the published system")].replace("\u00a0", " ")
    assert "1\u202f008 samples of 2 materials (GaN, MoS2) at 1\u202f000 and 100\u202f000 e/Å²" in start
    assert "from 4 crystal tilts" in start
    assert "0.912 (95 % interval 0.821 to 1.004) for the network; the best baseline is iDPC with 0.812" in start
    assert "18.8 % (95 % interval 16.9 to 20.6 %) for the network" in start
    assert "from 4.21 % (GaN) to 5.21 % (MoS2)" in start
    assert "98.7 % of the heavy ones and 61.2 % of the light ones" in start


def test_light_columns_stand_apart(tmp_path: Path) -> None:
    tables = Page(write_example(tmp_path).read_text()).tables
    assert tables["columns-light"][1] == ["Network", "61.2", "7.2", "−2.1", "4.3"]
    assert tables["columns-all"][1] == ["Network", "98.7", "7.2", "−2.1", "4.3", "1.5"]
    assert [row[0] for row in tables["column-types-heavy"][1:]] == ["GaN: Ga+N"]
    assert [row[0] for row in tables["column-types-light"][1:]] == ["MoS2: O"]


def test_columns_of_which_none_was_found_are_dashes(tmp_path: Path, found: dict[str, Any]) -> None:
    found["columns"]["model"]["light"] = dict.fromkeys(COLUMNS, None) | {"visible": 0.5, "detection_rate": 0.0}
    page = Page(write_example(tmp_path, found).read_text())
    assert page.tables["columns-light"][1] == ["Network", "0.0", "–", "–", "–"]


def test_altered_inputs_and_uncertainty_are_shown(tmp_path: Path) -> None:
    page = Page(write_example(tmp_path).read_text())
    assert page.tables["shuffled-metadata"][2] == ["tilt", "0.412", "1 734.6", "53.21", "68.8"]
    assert page.tables["noise"][2][:2] == ["shot + scan", "0.662"]
    assert page.tables["uncertainty"][1] == ["True value inside", "48.1 %", "88.3 %"]
    assert "is 0.97 times the true one" in page.text


def test_parts_that_were_not_measured_are_left_out(tmp_path: Path, found: dict[str, Any]) -> None:
    for name in ("title", "shuffled_metadata", "noise", "uncertainty", "columns"):
        del found[name]
    for part in (found["scores"], *(level for key in found["by"].values() for level in key.values())):
        for method in METHODS:
            if method != "model":
                del part[method]
    page = Page(write_example(tmp_path, found).read_text())
    assert page.tables["scores"][0] == ["Metric", "Network"]
    assert not {"shuffled-metadata", "noise", "uncertainty", "columns-all"} & set(page.tables)
    for word in ("Shuffled", "uncertainty", "Atomic columns", "Cost", "Where it works", "slider"):
        assert word not in page.text


def test_further_tables_are_shown(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text(
        "case,held_out,dose,pearson,pearson_low,pearson_high,best_baseline,best_baseline_pearson\n"
        "overfocused,tilt,100000.0,0.93,0.92,0.94,wiener,0.61\nwithout MoS2,material,1000.0,0.71,,,idpc,0.5\n"
    )
    (tmp_path / "cost.csv").write_text("stage,wall time [s],memory [GB]\ntrain,2810,3.25\nplan,0.5,\n")
    html = write_example(tmp_path, generalisation=tmp_path / "cases.csv", cost=tmp_path / "cost.csv").read_text()
    tables = Page(html).tables
    assert tables["generalisation"][0][1:4] == ["Not seen in training", "Dose [e/Å²]", "Pearson correlation ↑"]
    assert tables["generalisation"][1:] == [
        ["overfocused", "tilt alone", "100 000", "0.930|0.920 to 0.940", "Wiener filter", "0.610"],
        ["without MoS2", "material", "1 000", "0.710", "iDPC", "0.500"],
    ]
    assert tables["cost"] == [
        ["stage", "wall time [s]", "memory [GB]"],
        ["train", "2 810", "3.25"],
        ["plan", "0.5", "–"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,pearson\none,0.5\ntwo,\n", "row 2: pearson: found nan"),
        ("case,pearson\none,inf\n", "row 1: pearson: found inf"),
        ("case,pearson,pearson_low,pearson_high\none,0.5,-inf,0.6\n", "row 1: pearson_low: found -inf"),
        ("case,best_baseline_pearson\none,\n", "row 1: best_baseline_pearson: found nan"),
        ("case,hours\none,-inf\n", "row 1: hours: found -inf"),
        ("case,pearson\n", "found 0 rows"),
    ],
)
def test_further_tables_refuse_a_missing_number(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(f"cases.csv: {message}")):
        write_example(tmp_path, generalisation=tmp_path / "cases.csv")
    assert not (tmp_path / "reports").exists()


def test_report_escapes_names_and_captions_and_links_from_its_folder(tmp_path: Path) -> None:
    html = write_example(tmp_path, links={"Columns": tmp_path / "columns.csv"}).read_text()
    assert "<h1>trial &lt;7&gt;</h1>" in html and "a trial of &lt;everything&gt;" in html
    assert "<p>First line of &lt;b&gt; &amp; more.</p>\n<p>Second paragraph.</p>" in html
    assert "run: trial &lt;7&gt;\ngrid:\n  thickness_nm:\n  - 20\n" in html
    links = [link for link in Page(html).links if not link.startswith("#")]
    assert links[0] == "../data%20set.zarr"
    assert {"../samples.csv", "../summary.json", "../columns.csv", "../plot.png"} <= set(links)


def test_links_within_the_page_lead_somewhere(tmp_path: Path) -> None:
    html = write_example(tmp_path, viewer=viewer_samples()).read_text()
    within = [link[1:] for link in Page(html).links if link.startswith("#")]
    assert len(within) == 10 and all(f'id="{name}"' in html for name in within)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("scores", "model", "ssim", "mean"), float("nan"), "scores.model.ssim.mean: found nan"),
        (("scores", "model", "ssim", "mean"), None, "scores.model.ssim.mean: found None"),
        (("scores", "model", "ssim", "low"), float("inf"), "scores.model.ssim.low: found inf"),
        (("scores", "idpc"), {}, "scores.idpc is missing"),
        (
            ("scores", "guess"),
            scores()["idpc"],
            f"scores: found {[*METHODS, 'guess']}",
        ),
        (("by", "material", "MoS2", "idpc", "mae", "mean"), float("inf"), "by.material.MoS2.idpc.mae.mean: found inf"),
        (("by", "dose", "1000", "model", "mae"), {"mean": 1.0}, "by.dose.1000.model.mae.low is missing"),
        (("by", "material"), {}, "by.material is missing"),
        (("potentials", "model", "mean_true"), None, "potentials.model.mean_true: found None"),
        (("shuffled_metadata", "tilt", "mae"), float("nan"), "shuffled_metadata.tilt.mae: found nan"),
        (("noise", "none"), {}, "noise.none is missing"),
        (("uncertainty", "50%"), float("nan"), "uncertainty.50%: found nan"),
        (("columns", "model", "all"), {}, "columns.model.all is missing"),
        (("columns", "model", "light", "visible"), float("nan"), "columns.model.light.visible: found nan"),
        (("samples",), "many", "samples: found 'many'"),
        (("doses",), [], "doses is missing"),
        (("doses",), [1.0, float("inf")], "doses.1: found inf"),
    ],
)
def test_report_refuses_a_missing_number(
    tmp_path: Path, found: dict[str, Any], path: tuple[str, ...], value: Any, message: str
) -> None:
    part = found
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(InputError, match=re.escape(f"summary.json: {message}")) as error:
        write_example(tmp_path, found)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "reports").exists()


def test_report_refuses_a_figure_that_browsers_may_not_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"figures\.loss: found .*loss\.svg; allowed: a PNG file"):
        write_example(tmp_path, figures={"loss": tmp_path / "loss.svg"})


def test_report_knows_every_metric() -> None:
    assert tuple(METRICS) == metrics.METRICS and POTENTIALS == metrics.POTENTIALS


EXAMPLE = """
import sys
from pathlib import Path
from tests.report_example import viewer_samples, write_example
folder = Path(sys.argv[1])
folder.mkdir()
(folder / "cost.csv").write_text(f"rule,wall time [h]\\nall,{sys.argv[2]}\\n")
write_example(folder, viewer=viewer_samples(), cost=folder / "cost.csv")
"""


def test_two_runs_have_the_same_report_but_for_their_cost(tmp_path: Path) -> None:
    """In processes of their own, with other hashes of texts: no set's order, process number or hour is in it."""
    pages = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", EXAMPLE, str(tmp_path / seed), seed]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[3])
        pages.append((tmp_path / seed / "reports" / "report.html").read_text(encoding="utf-8"))
    rest = [re.sub('<h2 id="cost-section">.*?<h2', "", page, flags=re.DOTALL) for page in pages]
    assert pages[0] != pages[1] and rest[0] == rest[1]
    assert "differ from run to run" in " ".join(pages[0].split())
