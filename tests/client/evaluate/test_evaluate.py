"""`radserve evaluate` on a label file of each format, held to computation by hand; and on all that can be wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from radserve_client.cli import app
from radserve_client.evaluate import evaluation
from radserve_client.evaluate.dataset import Wanted
from radserve_client.evaluate.document import as_json
from radserve_client.evaluate.evaluation import Request, evaluate
from radserve_client.evaluate.values import Resampling
from radserve_client.score import run_document
from radserve_client.score.row import row_of
from radserve_client.score.run_document import RunState
from radserve_client.score.schema import results_schema
from radserve_contract.findings import Decision
from tests.client.evaluate.datasets import csv, failed, film, judgement, labels, model, organ, scored, write
from tests.client.evaluate.labels.test_cq500 import HEADER as CQ500
from tests.client.evaluate.labels.test_cq500 import scan
from tests.client.evaluate.labels.test_rsna_2019_ich import six
from tests.client.evaluate.labels.test_rsna_2023 import HEADER as RSNA_2023
from tests.client.evaluate.labels.test_rsna_2023 import IMAGES
from tests.client.evaluate.labels.test_vindr_spinexr import HEADER as VINDR
from tests.client.score import answers

NO_BOX = ",,,,"
BOX = "1,2,30,40"
# abnormal: a, c, d; two films of study s1
FILMS = {"a": 0.9, "b": 0.8, "c": 0.6, "d": 0.449, "e": 0.3, "f": 0.1, "g": 0.2}
ABNORMAL = "acd"
STUDIES = {"a": "s1", "b": "s1"}
ANY = Wanted()


def run(*arguments: str | Path, expect: int = 0) -> Result:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result


def evaluated(
    results: Path, labelled: Path, wanted: Wanted = ANY, *, seed: int = 0, resamples: int = 20, **options: str
) -> dict[str, Any]:
    """The JSON document, with few resamples; the page is drawn in other tests."""
    request = Request(results, labelled, wanted=wanted, resampling=Resampling(resamples, seed), **options)
    document: dict[str, Any] = json.loads(as_json(evaluate(request)))
    return document


def refused(results: Path, labelled: Path, *options: str | Path, code: str, exit_code: int) -> str:
    result = run(results, "--labels", labelled, "--out", results.parent / "out", *options, expect=exit_code)
    assert f"radserve: {code}: " in result.stderr, result.stderr
    assert not (results.parent / "out" / "evaluation.json").exists()
    return result.stderr


def vindr(tmp_path: Path, images: str = "abcdefg") -> Path:
    lines = (
        f"{STUDIES.get(image, image)},r,{image},rad1,"
        + (f"Osteophytes,{BOX}" if image in ABNORMAL else f"No finding{NO_BOX}")
        for image in images
    )
    return csv(tmp_path / "annotations.csv", VINDR, *lines)


def films(tmp_path: Path, **columns: Any) -> Path:
    return write(tmp_path / "run", [film(image, score, **columns) for image, score in FILMS.items()])


def by_name(document: dict[str, Any]) -> dict[str, Any]:
    return {label["name"]: label for label in document["labels"]}


def value(estimate: dict[str, Any]) -> float | None:
    return estimate["value"]


def values(at: dict[str, Any]) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in at["figures"].items()}


def test_spine_films_against_vindr_spinexr(tmp_path):
    """The figures of test_classification.py, from files on."""
    document = evaluated(films(tmp_path), vindr(tmp_path))
    decision = by_name(document)["decision"]
    assert value(decision["auroc"]) == pytest.approx(10 / 12)
    assert values(decision["at_spec"]) == pytest.approx(
        {"accuracy": 5 / 7, "precision": 2 / 3, "recall": 2 / 3, "specificity": 3 / 4, "f1": 2 / 3, "npv": 3 / 4}
    )
    assert (decision["at_spec"]["threshold"], decision["at_spec"]["comparison"]) == (0.449, ">")
    assert decision["at_youden"]["counts"] == {
        "true_positive": 3,
        "false_positive": 1,
        "true_negative": 3,
        "false_negative": 0,
    }
    assert (decision["rows"], decision["patients"]) == (7, 6)
    assert document["matching"]["match"] == "file"
    assert document["matching"]["patients_from"] == "study_id of the labels"
    assert document["resampling"] == {"resamples": 20, "seed": 0, "confidence": 0.95}
    assert document["labels_format"] == "vindr_spinexr"


def test_the_command_writes_a_document_and_a_page_and_prints_the_figures(tmp_path):
    out = tmp_path / "deep" / "out"
    result = run(films(tmp_path), "--labels", vindr(tmp_path), "--out", out, "--resamples", "0")
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.json", "report.html"]
    assert result.stdout.splitlines() == [
        "For research use only. Not a medical device; not for diagnosis or treatment.",
        "spine deployed, vindr_spinexr: 7 rows of 6 patients, matched by file",
        "decision\tauroc\t0.833",
        "decision\trecall\t0.667",
        "decision\tspecificity\t0.750",
        "decision\tf1\t0.667",
        "boxes\tmap50\tthe detector ran on none of these films",
        "boxes\tmap50_95\tthe detector ran on none of these films",
    ]
    assert f"wrote {out / 'report.html'}" in result.stderr


def test_the_options_of_the_command_arrive(tmp_path):
    manifest = pa.schema([("image", pa.string()), ("person", pa.int64())])
    rows = [
        film(image, score, **{"manifest.image": image, "manifest.person": number // 4})
        for number, (image, score) in enumerate(FILMS.items())
    ]
    rows.append(film("a", 0.2, profile="published", item_key="other"))
    run(
        write(tmp_path / "run", rows, manifest),
        *("--labels", vindr(tmp_path), "--out", tmp_path / "out", "--format", "vindr_spinexr"),
        *("--match", "manifest.image", "--patient-column", "manifest.person"),
        *("--pipeline", "spine", "--profile", "deployed", "--digest", "aaaa"),
        *("--resamples", "30", "--seed", "9"),
    )
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert document["resampling"] == {"resamples": 30, "seed": 9, "confidence": 0.95}
    assert (document["matching"]["match"], document["matching"]["patients"]) == ("manifest.image", 2)
    assert document["matching"]["rows_of_others"] == 1
    assert document["labels_format"] == "vindr_spinexr"


def test_abdominal_series_against_rsna_2023(tmp_path):
    def series(patient, number, bowel, kidney, called):
        return scored(
            f"/train_images/{patient}/{number}",
            "abdominal_trauma",
            labels=labels({"bowel": bowel, "extravasation": 0.1}, 0.45, ">="),
            organs=[
                organ("kidney", called, kidney),
                *(organ(name, "normal", (1, 0, 0)) for name in ("liver", "spleen")),
            ],
            risk="Low",
        )

    results = write(
        tmp_path / "run",
        [
            series("1", "11", 0.45, (0.2, 0.5, 0.3), "low"),  # bowel injury exactly at the threshold, kidney low
            series("1", "12", 0.40, (0.7, 0.2, 0.1), "normal"),
            series("2", "21", 0.42, (0.4, 0.3, 0.3), "normal"),  # nothing
            series("3", "31", 0.10, (0.1, 0.1, 0.8), "high"),  # kidney high
        ],
    )
    train = csv(
        tmp_path / "train.csv",
        RSNA_2023,
        "1,0,1,1,0,0,1,0,1,0,0,1,0,0,1",
        "2,1,0,1,0,1,0,0,1,0,0,1,0,0,0",
        "3,1,0,1,0,0,0,1,1,0,0,1,0,0,1",
        "4,1,0,1,0,0,0,1,1,0,0,1,0,0,1",
    )
    document = evaluated(results, train)
    found = by_name(document)
    # bowel: positives 0.45 and 0.40, negatives 0.42 and 0.10: 3 of 4 pairs
    assert value(found["bowel"]["auroc"]) == pytest.approx(3 / 4)
    assert found["bowel"]["at_spec"]["counts"] == {
        "true_positive": 1,
        "false_positive": 0,
        "true_negative": 2,
        "false_negative": 1,
    }
    assert (found["bowel"]["rows"], found["bowel"]["patients"]) == (4, 3)
    # extravasation: nobody has it
    assert found["extravasation"]["auroc"]["undefined"] == "not defined: the reference has no positive"
    # kidney: P(low) + P(high) is 0.8, 0.3, 0.9 of the injured and 0.6 of the healthy: 2 of 3 pairs
    kidney = found["kidney: injured"]
    assert value(kidney["auroc"]) == pytest.approx(2 / 3)
    assert (kidney["reference"], kidney["rule"]) == ("kidney_low or kidney_high", "P(low) + P(high)")
    assert (kidney["at_spec"]["threshold"], kidney["at_spec"]["comparison"]) == (None, "")
    # called injured by the grade: 11 and 31 of the three injured; not the healthy one, for all its 0.6
    assert values(kidney["at_spec"])["recall"] == pytest.approx(2 / 3)
    assert values(kidney["at_spec"])["precision"] == 1
    (grades,) = (one for one in document["grades"] if one["name"] == "kidney")
    assert grades["grades"] == ["healthy", "low", "high"]
    assert grades["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert value(grades["figures"]["macro_recall"]) == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert document["matching"]["match"] == "folder"
    assert document["matching"]["labels_unmatched"] == 1
    assert document["matching"]["labels_unmatched_examples"] == ["4"]
    assert document["without_counterpart"] == ["any_injury"]


def test_abdominal_niftis_are_matched_by_what_stands_before_their_underscore(tmp_path):
    said = {
        "labels": labels({"bowel": 0.9, "extravasation": 0.1}),
        "organs": [organ(name, "normal", (1, 0, 0)) for name in ("liver", "kidney", "spleen")],
    }
    results = write(tmp_path / "run", [scored("/nifti/10004_21057.nii.gz", "abdominal_trauma", **said)])
    document = evaluated(results, csv(tmp_path / "train.csv", RSNA_2023, "10004,1,0,1,0,1,0,0,1,0,0,1,0,0,0"))
    assert document["matching"]["match"] == "prefix"


def test_abdominal_series_against_image_level_labels(tmp_path):
    def series(patient, number, bowel):
        return scored(
            f"/train_images/{patient}/{number}",
            "abdominal_trauma",
            labels=labels({"bowel": bowel, "extravasation": 0.9}),
        )

    results = write(tmp_path / "run", [series("1", "11", 0.8), series("1", "12", 0.3), series("2", "21", 0.4)])
    document = evaluated(results, csv(tmp_path / "image_level_labels.csv", IMAGES, "1,11,30,Bowel", "1,11,31,Bowel"))
    bowel = by_name(document)["bowel"]
    assert value(bowel["auroc"]) == 1
    assert (bowel["rows"], bowel["positives"], bowel["patients"]) == (3, 1, 2)
    assert any("does not list counts as without" in note for note in document["notes"])


def bleeding(source, subdural, others=0.05, **columns):
    scores = dict.fromkeys(("epidural", "intraparenchymal", "intraventricular", "subarachnoid"), others)
    scores |= {"subdural": subdural, "any": subdural}
    called = judgement(subdural)
    return scored(source, "hemorrhage", labels=labels(scores), decision={"label": "", **called}, **columns)


ICH = [*six("a", ("subdural", "any")), *six("b"), *six("c", ("subdural", "any"))]


def test_slices_against_rsna_2019(tmp_path):
    rows = [bleeding(f"/stage_2_train/ID_{image}.dcm", score) for image, score in (("a", 0.9), ("b", 0.5), ("c", 0.4))]
    document = evaluated(write(tmp_path / "run", rows), csv(tmp_path / "stage_2_train.csv", "ID,Label", *ICH))
    found = by_name(document)
    assert set(found) == {"epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"}
    # 0.9 and 0.4 against 0.5: 1 of 2; over 0.5 is only a, as 0.5 is not over 0.5
    assert value(found["subdural"]["auroc"]) == 1 / 2
    assert values(found["any"]["at_spec"]) == pytest.approx(
        {"accuracy": 2 / 3, "precision": 1, "recall": 1 / 2, "specificity": 1, "f1": 2 / 3, "npv": 1 / 2}
    )
    assert document["matching"]["match"] == "file"
    assert any("does not know patients" in note for note in document["notes"])


def sliced(source, study, **subdural):
    """A series of slices ``ID_<name>``, with those scores of ``subdural`` and ``any``."""
    quiet = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid")
    scores = [*subdural.values()]
    by_label = {"subdural": scores, "any": scores} | {name: [0.05] * len(scores) for name in quiet}
    slices = {
        "sop_instance_uids": [f"ID_{name}" for name in subdural],
        "probabilities": [{"label": label, "values": values} for label, values in by_label.items()],
    }
    return bleeding(source, max(scores), slices=slices, study_instance_uid=study)


def test_slices_of_a_scored_series_have_labels_of_their_own(tmp_path):
    """Series 1 has slices b, a and one that is not labelled, series 2 has d and e; c was scored alone."""
    rows = [
        sliced("/series/1", "1.2", b=0.2, a=0.9, z=0.99),
        bleeding("/slices/c.dcm", 0.4, sop_instance_uid="ID_c", study_instance_uid="1.3"),
        sliced("/series/2", "1.4", d=0.3, e=0.1),
    ]
    labelled = csv(tmp_path / "stage_2_train.csv", "ID,Label", *ICH, *six("d"), *six("e", ("subdural", "any")))
    document = evaluated(write(tmp_path / "run", rows), labelled)
    subdural = by_name(document)["subdural"]
    # positive are a 0.9, c 0.4, e 0.1; negative are b 0.2, d 0.3: 4 of 6 pairs
    assert value(subdural["auroc"]) == pytest.approx(4 / 6)
    assert subdural["at_spec"]["counts"] == {
        "true_positive": 1,
        "false_positive": 0,
        "true_negative": 2,
        "false_negative": 2,
    }
    matching = document["matching"]
    assert (matching["match"], matching["units"], matching["units_evaluated"]) == ("sop", "slices", 5)
    assert (matching["rows_evaluated"], matching["patients"], subdural["patients"]) == (3, 3, 3)
    assert any("1 slices of the scored series are not in the label file" in note for note in document["notes"])


def test_a_label_of_one_image_is_never_held_against_a_series_of_its_name(tmp_path):
    by_label = [{"label": "any", "values": [0.9, 0.1]}]
    series = bleeding("/series/ID_a", 0.9, slices={"sop_instance_uids": ["", ""], "probabilities": by_label})
    results = write(tmp_path / "run", [series, bleeding("/slices/ID_b.dcm", 0.3)])
    document = evaluated(results, csv(tmp_path / "stage_2_train.csv", "ID,Label", *ICH))
    assert (document["matching"]["match"], document["matching"]["units_evaluated"]) == ("file", 1)
    assert document["matching"]["rows_unmatched_examples"] == ["/series/ID_a"]
    assert any("1 rows are of a series" in note for note in document["notes"])


def test_rows_as_the_scorer_makes_them_are_evaluated(tmp_path):
    """The service's own document of a film, through the scorer's own row: nothing here is made for the evaluation."""

    def row(image, probability):
        document = answers.document(decision=asdict(Decision("abnormal", True, probability, 0.449, ">")))
        return row_of(answers.scored(f"{image}.dicom", document=document), answers.run()).values

    rows = [row("a", 0.75), row("b", 0.5)]
    document = evaluated(write(tmp_path / "run", rows), vindr(tmp_path, "ab"))
    assert value(by_name(document)["decision"]["auroc"]) == 1
    assert document["notices"][0].startswith("UNTRAINED")
    assert [one["name"] for one in document["models"]] == ["network_0", "network_1"]


def test_head_ct_against_cq500(tmp_path):
    def head(source, **scores):
        names = [column.removeprefix("R1:") for column in CQ500.split(",") if column.startswith("R1:")]
        return scored(source, "head_ct", labels=labels(dict.fromkeys(names, 0.1) | scores))

    results = write(
        tmp_path / "run",
        [
            head("/CQ500CT0 CQ500CT0/Unknown Study/CT PLAIN THIN", ICH=0.8),
            head("/CQ500CT1 CQ500CT1/Unknown Study/CT PLAIN THIN", ICH=0.7),
            head("/CQ500CT2 CQ500CT2/Unknown Study/CT PLAIN THIN", ICH=0.6),
        ],
    )
    reads = csv(
        tmp_path / "reads.csv",
        CQ500,
        scan("CQ500-CT-0", ("ICH",), ("ICH",), ()),  # two of three: yes
        scan("CQ500-CT-1", ("ICH",), (), ()),  # one of three: no
        scan("CQ500-CT-2", ("ICH",), ("ICH",), ("ICH",)),
    )
    document = evaluated(results, reads)
    ich = by_name(document)["ICH"]
    assert len(document["labels"]) == 14
    # 0.8 and 0.6 against 0.7
    assert value(ich["auroc"]) == 1 / 2
    assert values(ich["at_spec"])["precision"] == pytest.approx(2 / 3)
    assert values(ich["at_spec"])["npv"] is None
    assert document["matching"]["match"] == "path"
    assert document["without_counterpart"] == ["Category"]
    assert any("211 of the 491" in note for note in document["notes"])


def test_bleeding_of_series_against_cq500_names_what_has_no_counterpart(tmp_path):
    results = write(tmp_path / "run", [bleeding("/CQ500-CT-0.zip", 0.9), bleeding("/CQ500-CT-1.zip", 0.1)])
    reads = csv(
        tmp_path / "reads.csv",
        CQ500,
        scan("CQ500-CT-0", ("ICH", "SDH"), ("ICH", "SDH"), ()),
        scan("CQ500-CT-1", (), (), ()),
    )
    document = evaluated(results, reads)
    assert value(by_name(document)["any"]["auroc"]) == value(by_name(document)["subdural"]["auroc"]) == 1
    assert by_name(document)["any"]["reference"] == "ICH"
    assert document["without_counterpart"] == [
        "BleedLocation-Left",
        "BleedLocation-Right",
        "ChronicBleed",
        "Fracture",
        "CalvarialFracture",
        "OtherFracture",
        "MassEffect",
        "MidlineShift",
        "Category",
    ]


def lung(tmp_path: Path) -> tuple[Path, Path]:
    """One scan: 8 of 120 voxels are marked, 4 of them rightly; the folder of its mask."""
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    predicted, reference = np.zeros((6, 5, 4), np.uint8), np.zeros((6, 5, 4), np.uint8)
    predicted[:2, :2, :2] = reference[:2, :2, :1] = 1
    row = scored("/ct/study_0255.nii.gz", "covid_lung", segmentation={"label": "infection"}, mask_file="masks/a.nii.gz")
    results = write(tmp_path / "run", [row])
    (results / "masks").mkdir()
    (tmp_path / "masks").mkdir()
    nib.save(nib.Nifti1Image(predicted, affine), results / "masks" / "a.nii.gz")
    nib.save(nib.Nifti1Image(reference, affine), tmp_path / "masks" / "study_0255_mask.nii.gz")
    return results, tmp_path / "masks"


@pytest.mark.parametrize("given", ["", "results", "results/part-000001.parquet"])
def test_lung_masks_against_a_folder_of_masks(tmp_path, given):
    results, folder = lung(tmp_path)
    document = evaluated(results / given, folder)
    # Dice 2 * 4 / (8 + 4), IoU 4 / 8
    assert value(document["masks"]["mean_dice"]) == pytest.approx(8 / 12)
    assert value(document["masks"]["mean_iou"]) == pytest.approx(4 / 8)
    assert (document["labels_format"], document["labels"], document["boxes"]) == ("masks", [], None)
    assert (document["matching"]["rows_read"], document["matching"]["rows_evaluated"]) == (1, 1)


def test_a_folder_of_masks_is_refused_where_it_says_nothing(tmp_path):
    results, folder = lung(tmp_path)
    said = refused(results, folder, "--match", "sop", code="LABELS_UNKNOWN_FORMAT", exit_code=2)
    assert "--match does not apply to masks" in said
    said = refused(results, folder, "--format", "cq500", code="LABELS_UNKNOWN_FORMAT", exit_code=2)
    assert "is a folder; --format cq500 wants a file" in said
    spine = write(tmp_path / "spine", [film("a", 0.9)])
    assert "format masks say nothing about what spine" in refused(
        spine, folder, code="LABELS_WRONG_FORMAT", exit_code=2
    )


def test_untrained_results_say_so_before_everything_else(tmp_path):
    results = films(tmp_path, trained=False, models=[model("spine_resnet50", trained=False)])
    result = run(results, "--labels", vindr(tmp_path), "--out", tmp_path / "out", "--resamples", "0")
    assert result.stdout.startswith("UNTRAINED: at least one network carries random weights.")
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert next(iter(document)) == "notices"
    assert document["notices"][0].startswith("UNTRAINED")
    assert document["trained"] is False
    report = (tmp_path / "out" / "report.html").read_text()
    body = report[report.index("<body") :]
    assert body.index("UNTRAINED") < body.index("AUROC")


def test_one_untrained_row_is_enough(tmp_path):
    classifier, detector = model("spine_resnet50"), model("spine_yolo11", trained=False)
    rows = [film(image, score, models=[classifier]) for image, score in FILMS.items() if image != "a"]
    rows.append(film("a", 0.9, models=[classifier, detector], trained=False))
    assert evaluated(write(tmp_path / "run", rows), vindr(tmp_path))["trained"] is False


def test_trained_results_do_not_say_untrained(tmp_path):
    document = evaluated(films(tmp_path), vindr(tmp_path))
    assert document["notices"] == ["For research use only. Not a medical device; not for diagnosis or treatment."]


def test_what_is_left_out_is_counted_and_said(tmp_path):
    rows = [film(image, score) for image, score in FILMS.items()]
    rows += [failed("/films/h.dicom", "spine"), failed("/films/i.dicom", "spine", "WRONG_MODALITY"), film("x", 0.7)]
    document = evaluated(write(tmp_path / "run", rows), vindr(tmp_path, "abcdefgh"))
    matching = document["matching"]
    assert matching["rows_read"] == 10
    assert matching["failed_by_code"] == {"CORRUPT_DICOM": 1, "WRONG_MODALITY": 1}
    assert (matching["rows_failed"], matching["rows_unmatched"], matching["rows_evaluated"]) == (2, 1, 7)
    assert matching["rows_unmatched_examples"] == ["/films/x.dicom"]
    assert (matching["labels_read"], matching["labels_unmatched"]) == (8, 1)
    assert matching["labels_unmatched_examples"] == ["h"]
    assert document["notes"][:3] == [
        "2 rows failed and have no score (CORRUPT_DICOM 1, WRONG_MODALITY 1); figures are of the others only",
        "1 scored rows have no label and were left out",
        "1 labels have no scored row and were left out",
    ]


@pytest.mark.parametrize("state", RunState)
def test_a_run_that_is_not_finished_is_told_first(tmp_path, state):
    results = films(tmp_path)
    runs = [{"run_id": "1", "state": "cut_off"}, {"run_id": "2", "state": state}]
    (results / run_document.NAME).write_text(json.dumps({"schema_version": "1", "runs": runs}))
    notes = evaluated(results, vindr(tmp_path))["notes"]
    told = f"the last run of radserve score into this folder is not finished ({state})"
    assert notes[0].startswith(told) == (state is not RunState.FINISHED)


@pytest.mark.parametrize("content", ["", "{}", '{"runs": []}', "[1]"])
def test_a_folder_with_another_run_json_is_evaluated_all_the_same(tmp_path, content):
    results = films(tmp_path)
    (results / "run.json").write_text(content)
    assert value(by_name(evaluated(results, vindr(tmp_path)))["decision"]["auroc"]) == pytest.approx(10 / 12)


def test_the_same_command_gives_the_same_figures_whatever_the_order_of_the_rows(tmp_path):
    rows = [film(image, score) for image, score in FILMS.items()]
    forth = evaluated(write(tmp_path / "forth", rows), vindr(tmp_path))
    back = evaluated(write(tmp_path / "back", reversed(rows)), vindr(tmp_path))
    assert forth["labels"] == back["labels"]
    assert evaluated(tmp_path / "back", vindr(tmp_path), seed=5)["resampling"]["seed"] == 5


def test_a_column_of_the_manifest_can_name_label_and_patient(tmp_path):
    manifest = pa.schema([("image", pa.string()), ("person", pa.float64())])
    rows = [
        film(f"hash{number}", score, **{"manifest.image": image, "manifest.person": 1.0 + number // 4})
        for number, (image, score) in enumerate(FILMS.items())
    ]
    document = evaluated(
        write(tmp_path / "run", rows, manifest),
        vindr(tmp_path),
        match="manifest.image",
        patient_column="manifest.person",
    )
    assert document["matching"]["match"] == "manifest.image"
    assert document["matching"]["patients_from"] == "column manifest.person of the results"
    assert by_name(document)["decision"]["patients"] == 2
    assert value(by_name(document)["decision"]["auroc"]) == pytest.approx(10 / 12)


def test_one_patient_has_figures_and_no_intervals(tmp_path):
    rows = [film(image, score, study_instance_uid="1.2") for image, score in FILMS.items()]
    document = evaluated(write(tmp_path / "run", rows), vindr(tmp_path), patient_column="study_instance_uid")
    auroc = by_name(document)["decision"]["auroc"]
    assert (value(auroc), auroc["interval"]) == (pytest.approx(10 / 12), None)
    assert any("of one patient" in note for note in document["notes"])


def test_several_profiles_need_a_choice(tmp_path):
    rows = [film(image, score) for image, score in FILMS.items()]
    rows += [film(image, 1 - score, profile="published", item_key=f"p{image}") for image, score in FILMS.items()]
    results = write(tmp_path / "run", rows)
    said = refused(results, vindr(tmp_path), code="RESULTS_MIXED", exit_code=2)
    assert "spine/deployed (7), spine/published (7)" in said
    assert "--profile" in said
    document = evaluated(results, vindr(tmp_path), Wanted(profile="published"))
    assert document["profile"] == "published"
    assert document["matching"]["rows_of_others"] == 7
    assert value(by_name(document)["decision"]["auroc"]) == pytest.approx(2 / 12)


def test_several_pipelines_need_a_choice(tmp_path):
    results = write(tmp_path / "run", [*(film(*pair) for pair in FILMS.items()), bleeding("/x.dcm", 0.5)])
    refused(results, vindr(tmp_path), code="RESULTS_MIXED", exit_code=2)
    assert evaluated(results, vindr(tmp_path), Wanted(pipeline="spine"))["pipeline"] == "spine"


def test_what_is_asked_for_and_not_there_is_refused(tmp_path):
    said = refused(films(tmp_path), vindr(tmp_path), "--profile", "mine", code="RESULTS_MIXED", exit_code=2)
    assert "there are: spine/deployed (7)" in said


def test_several_models_of_one_name_need_a_choice(tmp_path):
    detector = model("spine_yolo11", "12" * 32)
    rows = [
        # a detector takes part in abnormal films only: that is no other set of models
        film(image, score, models=[model("spine_resnet50"), *([detector] if score > 0.449 else [])])
        for image, score in FILMS.items()
    ]
    rows += [film(image, 0.5, models=[model("spine_resnet50", "34" * 32)], item_key=f"n{image}") for image in "ab"]
    results = write(tmp_path / "run", rows)
    said = refused(results, vindr(tmp_path), code="RESULTS_MIXED", exit_code=2)
    assert "spine_resnet50 version 1 343434343434" in said
    assert "spine_yolo11" not in said
    assert "--digest" in said
    document = evaluated(results, vindr(tmp_path), Wanted(digests=("aaaa",)))
    assert document["matching"]["rows_of_others"] == 2
    assert [one["name"] for one in document["models"]] == ["spine_resnet50", "spine_yolo11"]


def test_a_digest_that_no_model_has_is_refused(tmp_path):
    said = refused(films(tmp_path), vindr(tmp_path), "--digest", "77", code="RESULTS_MIXED", exit_code=2)
    assert "--digest 77 is of 0 models, wanted 1; there are: spine_resnet50 version 1 aaaaaaaaaaaa" in said


def test_rows_with_different_thresholds_are_refused(tmp_path):
    rows = [film(image, score, threshold=0.5 if image == "g" else 0.449) for image, score in FILMS.items()]
    said = refused(write(tmp_path / "run", rows), vindr(tmp_path), code="RESULTS_DISAGREE", exit_code=1)
    assert "> 0.449 (6 rows)" in said
    assert "> 0.5 (1 rows)" in said


def test_a_row_that_calls_against_its_own_threshold_is_refused(tmp_path):
    decision = {"label": "normal", **judgement(0.9, 0.449), "positive": False}
    rows = [film(image, score) for image, score in FILMS.items() if image != "a"]
    results = write(tmp_path / "run", [*rows, film("a", 0.9, decision=decision)])
    said = refused(results, vindr(tmp_path), code="RESULTS_DISAGREE", exit_code=1)
    assert "1 of 7 rows (/films/a.dicom) call it otherwise than `probability > 0.449` does" in said


@pytest.mark.parametrize("probability", [None, float("nan"), 1.5])
def test_a_score_that_is_no_probability_is_refused(tmp_path, probability):
    decision = {"label": "normal", "positive": False, "probability": probability, "threshold": 0.449, "comparison": ">"}
    results = write(tmp_path / "run", [film("a", 0.9), film("b", 0.1, decision=decision)])
    said = refused(results, vindr(tmp_path), code="RESULTS_DISAGREE", exit_code=1)
    assert "decision: 1 of 2 scores are not probabilities" in said


def test_a_row_without_its_score_is_refused(tmp_path):
    results = write(tmp_path / "run", [film("a", 0.9), film("b", 0.1, decision=None)])
    said = refused(results, vindr(tmp_path), code="RESULTS_DISAGREE", exit_code=1)
    assert "1 of 2 rows (/films/b.dicom) have no decision" in said


def test_an_image_in_two_rows_is_refused(tmp_path):
    results = write(
        tmp_path / "run", [film("a", 0.9), film("b", 0.1), film("a", 0.8, source="/copy/a.dicom", item_key="copy")]
    )
    said = refused(results, vindr(tmp_path), code="RESULTS_DUPLICATE", exit_code=1)
    assert "1 image labels have several rows (a)" in said


@pytest.mark.parametrize("column", ["series_instance_uid", "content_sha256"])
def test_one_series_scored_twice_is_refused(tmp_path, column):
    rows = [bleeding(f"/{folder}/CQ500-CT-0", 0.9, **{column: "same"}) for folder in "ab"]
    reads = csv(tmp_path / "reads.csv", CQ500, scan("CQ500-CT-0", (), (), ()))
    said = refused(write(tmp_path / "run", rows), reads, code="RESULTS_DUPLICATE", exit_code=1)
    assert "/a/CQ500-CT-0, /b/CQ500-CT-0" in said


def test_labels_that_match_nothing_are_refused_with_counts_and_examples(tmp_path):
    results = write(tmp_path / "run", [film("x", 0.5, sop_instance_uid="1.2.3"), film("y", 0.6)])
    said = refused(results, vindr(tmp_path), code="LABELS_MATCH_NOTHING", exit_code=2)
    assert "none of 2 rows is of one of the 7 labels (a, b, c, ...)" in said
    assert "sop: 1.2.3" in said
    assert "--match" in said


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--match", "patient"), "LABELS_MATCH_NOTHING", "--match patient is unknown; there are sop, series"),
        (("--match", "manifest.x"), "RESULTS_UNREADABLE", "no column manifest.x; the manifest of the run carried none"),
        (("--patient-column", "x"), "RESULTS_UNREADABLE", "no column x"),
        (("--patient-column", "study_instance_uid"), "RESULTS_UNREADABLE", "7 of 7 rows have no value"),
        (("--format", "coco"), "LABELS_UNKNOWN_FORMAT", "no format is called coco"),
        (("--format", "masks"), "LABELS_UNKNOWN_FORMAT", "is a file; --format masks wants a folder"),
        (("--format", "cq500"), "LABELS_UNREADABLE", "lacks the columns name, R1:ICH"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, code, words):
    usage = {"LABELS_MATCH_NOTHING", "LABELS_UNKNOWN_FORMAT"}
    exit_code = 2 if code in usage else 1
    assert words in refused(films(tmp_path), vindr(tmp_path), *options, code=code, exit_code=exit_code)


def test_labels_of_another_pipeline_are_refused(tmp_path):
    stage_2 = csv(tmp_path / "stage_2_train.csv", "ID,Label", *ICH)
    said = refused(films(tmp_path), stage_2, code="LABELS_WRONG_FORMAT", exit_code=2)
    assert "rsna_2019_ich say nothing about what spine scores; for it there are vindr_spinexr" in said


def test_a_path_that_names_two_scans_is_refused(tmp_path):
    reads = csv(tmp_path / "reads.csv", CQ500, *(scan(f"CQ500-CT-{k}", (), (), ()) for k in (0, 1)))
    results = write(tmp_path / "run", [bleeding("/CQ500-CT-0/CQ500-CT-1", 0.9)])
    assert "names several labelled things (CQ500-CT-0, CQ500-CT-1)" in refused(
        results, reads, code="LABELS_MATCH_NOTHING", exit_code=2
    )


def test_an_empty_results_folder_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    assert "no Parquet files" in refused(tmp_path / "run", vindr(tmp_path), code="RESULTS_UNREADABLE", exit_code=1)


def test_a_damaged_part_is_named(tmp_path):
    results = films(tmp_path)
    (results / "results" / "part-000002.parquet").write_bytes(b"PAR1 cut off")
    said = refused(results, vindr(tmp_path), code="RESULTS_UNREADABLE", exit_code=1)
    assert "part-000002.parquet cannot be read as Parquet" in said


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "run" / "x.parquet")
    said = refused(tmp_path / "run", vindr(tmp_path), code="RESULTS_UNREADABLE", exit_code=1)
    assert "schema version none, wanted 1" in said


def test_results_that_all_failed_are_refused(tmp_path):
    results = write(tmp_path / "run", [failed("/films/a.dicom", "spine")])
    said = refused(results, vindr(tmp_path), code="RESULTS_UNREADABLE", exit_code=1)
    assert "no row has an answer; failed: CORRUPT_DICOM (1)" in said


def test_parts_of_several_runs_are_read_together(tmp_path):
    write(tmp_path / "run", [film(image, FILMS[image]) for image in "abc"])
    results = write(tmp_path / "run", [film(image, FILMS[image]) for image in "defg"], pa.schema([("k", pa.int64())]))
    assert value(by_name(evaluated(results, vindr(tmp_path)))["decision"]["auroc"]) == pytest.approx(10 / 12)


def test_a_hundred_thousand_rows_are_no_trouble(tmp_path):
    """Film k has the score k / 100,000 and is abnormal from the middle on, but for every tenth film."""
    count = 100_000
    number = np.arange(count)
    score = number / count
    names = [f"{k:06d}" for k in number]
    positive = score > 0.449
    called = {"label": pa.array(np.where(positive, "abnormal", "normal")), "positive": positive, "probability": score}
    called |= {"threshold": np.full(count, 0.449), "comparison": pa.array([">"] * count)}
    one = pa.Table.from_pylist([film("x", 0.5)], schema=results_schema())
    table = pa.table({name: pa.repeat(one[name][0], count) for name in one.column_names}, schema=one.schema)
    columns = {
        "item_key": pa.array(names),
        "source": pa.array([f"/films/{name}.dicom" for name in names]),
        "decision": pa.StructArray.from_arrays([pa.array(values) for values in called.values()], [*called]),
    }
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values.cast(one.schema.field(name).type))
    (tmp_path / "run").mkdir()
    pq.write_table(table, tmp_path / "run" / "part.parquet")
    abnormal = (number >= count // 2) ^ (number % 10 == 0)
    lines = (
        f"study{k // 4},r,{name},rad1,{f'Osteophytes,{BOX}' if is_abnormal else f'No finding{NO_BOX}'}"
        for k, (name, is_abnormal) in enumerate(zip(names, abnormal, strict=True))
    )
    document = evaluated(tmp_path / "run", csv(tmp_path / "annotations.csv", VINDR, *lines), resamples=3)
    decision = by_name(document)["decision"]
    # 1 in 10 is on the wrong side, evenly: of the pairs 0.9 x 0.9 are right, 0.1 x 0.1 wrong, the rest half
    assert value(decision["auroc"]) == pytest.approx(0.9, abs=1e-4)
    assert decision["patients"] == 25_000
    # over 0.449: 55,099 films; right are 0.9 of the upper half, and 0.1 of the 5,099 below it
    counts = decision["at_spec"]["counts"]
    assert counts["true_positive"] + counts["false_positive"] == 55_099
    assert counts["true_positive"] == 45_000 + len([k for k in range(44_901, 50_000) if k % 10 == 0])


def test_an_output_that_cannot_be_written_is_told_and_leaves_no_half_file(tmp_path):
    (tmp_path / "out" / "evaluation.json").mkdir(parents=True)
    (tmp_path / "out" / "evaluation.json" / "x").touch()
    result = run(films(tmp_path), "--labels", vindr(tmp_path), "--out", tmp_path / "out", expect=1)
    assert "radserve: EVALUATE_OUTPUT: cannot write" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    result = run(tmp_path, "--labels", vindr(tmp_path), "--out", tmp_path / "file" / "out", expect=1)
    assert "radserve: EVALUATE_OUTPUT: cannot make the folder" in result.stderr


def test_an_interrupted_evaluation_ends_with_130_and_writes_nothing(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "read_rows", interrupted)
    result = run(films(tmp_path), "--labels", vindr(tmp_path), "--out", tmp_path / "out", expect=130)
    assert "radserve: interrupted" in result.stderr
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_label_file_that_is_not_there_is_a_usage_error(tmp_path):
    result = run(films(tmp_path), "--labels", tmp_path / "no.csv", "--out", tmp_path, expect=2)
    assert "Invalid value for '--labels'" in result.stderr
