"""A Detection in, an ONNX graph out that turns decoded YOLO predictions into a fixed number of boxes per image.

The same as ``nms.SelectBoxes`` in ONNX operators, for a batch at once. NonMaxSuppression answers ``(M, 3)`` rows
``image, 0, anchor`` for the whole batch, M unknown. Instead of counting rows per image, the kept scores are written
onto a board of zeros ``(N, anchors)`` and the best ``max_boxes`` of each row are read off: right for any mixture of
empty and full images, and independent of the order in which an execution provider lists what it kept.
"""

from __future__ import annotations

import onnx
from onnx import parser

from radserve_contract.spec import Detection
from radserve_export.nms import CLASS_OFFSET_PX
from radserve_export.torch2onnx import NEWEST_IR, OPSET

PREDICTIONS = "predictions"
"""Name of the tensor where the network ends and the selection begins."""

GRAPH = """
<ir_version: {ir_version}, opset_import: ["": {opset}]>
select_boxes (float[batch, {channels}, {anchors}] predictions)
    => (float[batch, {most}, 4] boxes, float[batch, {most}] box_scores,
        int32[batch, {most}] box_classes, int32[batch, 1] box_count)
<
    int64[3] parts = {{2, 2, {classes}}}, int64[1] axis_1 = {{1}}, int64[1] last = {{-1}}, int64[2] axes_1_2 = {{1, 2}},
    int64[2] image_and_anchor = {{0, 2}}, int64[1] most = {{{most}}},
    float[1] floor = {{{floor!r}}}, float[1] iou = {{{iou!r}}}, float class_offset = {{{class_offset!r}}},
    float two = {{2.0}}, float zero = {{0.0}}, int32 no_class = {{0}}
>
{{
    centre, size, class_scores = Split <axis = 1> (predictions, parts)
    half = Div(size, two)
    low = Sub(centre, half)
    high = Add(centre, half)
    corners_by_row = Concat <axis = 1> (low, high)
    corners = Transpose <perm = [0, 2, 1]> (corners_by_row)
    best = ReduceMax <keepdims = 1> (class_scores, axis_1)
    best_scores = Squeeze (best, axis_1)
    best_class = ArgMax <axis = 1, keepdims = 0> (class_scores)
    class_number = Cast <to = 1> (best_class)
    offset = Mul (class_number, class_offset)
    offset_column = Unsqueeze (offset, last)
    apart = Add (corners, offset_column)

    kept = NonMaxSuppression (apart, best, most, iou, floor)
    where = Gather <axis = 1> (kept, image_and_anchor)
    kept_scores = GatherND (best_scores, where)
    shape = Shape (best_scores)
    board = ConstantOfShape <value = float[1] {{0.0}}> (shape)
    kept_board = ScatterND (board, where, kept_scores)
    found_scores, anchor = TopK <axis = 1, largest = 1, sorted = 1> (kept_board, most)

    found = Greater (found_scores, zero)
    found_column = Unsqueeze (found, last)
    anchor_column = Unsqueeze (anchor, last)
    found_boxes = GatherND <batch_dims = 1> (corners, anchor_column)
    boxes = Where (found_column, found_boxes, zero)
    found_class = GatherElements <axis = 1> (best_class, anchor)
    found_class_number = Cast <to = 6> (found_class)
    box_classes = Where (found, found_class_number, no_class)
    found_number = Cast <to = 6> (found)
    box_count = ReduceSum <keepdims = 1> (found_number, axis_1)

    sum = ReduceSum <keepdims = 0> (predictions, axes_1_2)
    sum_column = Unsqueeze (sum, last)
    nothing_or_nan = Mul (sum_column, zero)
    box_scores = Add (found_scores, nothing_or_nan)
}}
"""


def select_boxes_graph(detection: Detection, *, classes: int, anchors: int) -> onnx.ModelProto:
    """The graph ``predictions (batch, 4 + classes, anchors)`` to the detector's four outputs, checked."""
    graph = parser.parse_model(
        GRAPH.format(
            ir_version=NEWEST_IR,
            opset=OPSET,
            channels=4 + classes,
            classes=classes,
            anchors=anchors,
            most=detection.max_boxes,
            floor=detection.floor,
            iou=detection.iou,
            class_offset=CLASS_OFFSET_PX,
        )
    )
    onnx.checker.check_model(graph, full_check=True)
    return graph
