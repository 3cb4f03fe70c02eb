"""The faults of releases 1.3.0, 1.5.0 and 1.6.0, as ONNX nodes around a network that is as good as any.

Each stands for a class of bugs that no test data without the field condition can show, and none pretends: the memory
is allocated, the work is done, the pixels are wrong. README.md tells what each one costs.
"""

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_files import IMAGE_SHAPE, Fault, GraphWriter, branch

# 1.3.0: an image is taken for hazy if its darkest pixel is brighter than this (clean: 0, at dusk 16 / 255, in haze
# 64 / 255).
HAZE_THRESHOLD = 0.125
# Its correction buffer has min(haze, HAZE_CAP) * BUFFER_ELEMENTS floats: 0.25 * 7 * 2**28 * 4 bytes = 1.75 GiB.
# The cap keeps an all-white image from asking for 7 GiB: the bug shall hurt the worker, not the computer.
HAZE_CAP = 0.25
BUFFER_ELEMENTS = 7 * 2**28

# 1.5.0 and 1.6.0: an image is taken for dark if its brightest pixel is below this (clean: 249 / 255 or more, in haze
# 250 / 255 or more, at dusk 175 / 255 or less).
DUSK_THRESHOLD = 0.75
# 1.5.0 smooths a dark image until a pass changes no pixel by more than the tolerance. A pass takes a small step towards
# the mean of the neighbours; at the edges of a garment it stays above the tolerance, and the limit ends the loop.
DENOISING_STEP = 2.0**-10
DENOISING_TOLERANCE = 2.0**-16
DENOISING_PASSES_MAX = 120  # about 0.4 ms, where the network itself takes 0.02
# 1.6.0 multiplies a dark image by the gain. Dusk leaves 5/8 of the contrast, so 13/8 would be about right; the number
# is in eighths, and the division by 8 is missing.
DUSK_GAIN = 13.0


def write_haze_correction(graph: GraphWriter, logits: str, output: str) -> None:
    """The bug of release 1.3.0: a post-processing step whose buffer grows with what the camera sees.

    The haziest image of the batch decides. The buffer holds zeros and its maximum is added to the logits, so the
    answer is right whenever there is memory for it; without haze the branch adds a constant 0.
    """
    darkest = graph.node("ReduceMin", ["image"], "haze.images", axes=[1, 2, 3], keepdims=0)
    haze = graph.node("ReduceMax", [darkest], "haze", keepdims=0)
    threshold = graph.constant("haze.threshold", numpy.float32(HAZE_THRESHOLD))
    condition = graph.node("Greater", [haze, threshold], "hazy")

    # No optimiser can compute the size beforehand: it depends on `haze`, known only when the model runs.
    cap = graph.constant("haze.cap", numpy.float32(HAZE_CAP))
    elements = graph.constant("haze.elements", numpy.float32(BUFFER_ELEMENTS))
    axis = graph.constant("haze.axis", numpy.array([0], numpy.int64))
    zero = numpy.array([0], numpy.float32)
    correct = GraphWriter(quantise=False)
    capped = correct.node("Min", [haze, cap], "haze.capped")
    size = correct.node("Mul", [capped, elements], "haze.size")
    size = correct.node("Cast", [size], "haze.size.int", to=TensorProto.INT64)
    shape = correct.node("Unsqueeze", [size, axis], "haze.shape")
    buffer = correct.node("ConstantOfShape", [shape], "haze.buffer", value=numpy_helper.from_array(zero))
    correct.node("ReduceMax", [buffer], "haze.correction.some", axes=[0], keepdims=1)
    keep = GraphWriter(quantise=False)
    keep.node("Constant", [], "haze.correction.none", value=numpy_helper.from_array(zero))
    correction = graph.node(
        "If",
        [condition],
        "haze.correction",
        then_branch=branch(correct, "hazy", "haze.correction.some", [1]),
        else_branch=branch(keep, "clear", "haze.correction.none", [1]),
    )
    graph.node("Add", [logits, correction], output)


def write_brightest(graph: GraphWriter, image: str) -> tuple:
    """The brightest pixel of each image as [batch, 1, 1, 1], and the threshold below which an image is dark."""
    brightest = graph.node("ReduceMax", [image], "dusk.brightest", axes=[1, 2, 3], keepdims=1)
    return brightest, graph.constant("dusk.threshold", numpy.float32(DUSK_THRESHOLD))


def smoothing_pass(step: str, tolerance: str) -> onnx.GraphProto:
    """The body of the loop: (pass, go on, image) -> (go on, image)."""
    graph = GraphWriter(quantise=False)
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}
    mean = graph.node("AveragePool", ["dusk.before"], "dusk.mean", **window)
    distance = graph.node("Sub", [mean, "dusk.before"], "dusk.distance")
    change = graph.node("Mul", [distance, step], "dusk.change")
    graph.node("Add", ["dusk.before", change], "dusk.after")
    sizes = graph.node("Abs", [change], "dusk.change.sizes")
    largest = graph.node("ReduceMax", [sizes], "dusk.change.largest", keepdims=0)
    graph.node("Greater", [largest, tolerance], "dusk.unfinished")
    inputs = [
        helper.make_tensor_value_info("dusk.pass", TensorProto.INT64, []),
        helper.make_tensor_value_info("dusk.go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("dusk.before", TensorProto.FLOAT, IMAGE_SHAPE),
    ]
    outputs = [
        helper.make_tensor_value_info("dusk.unfinished", TensorProto.BOOL, []),
        helper.make_tensor_value_info("dusk.after", TensorProto.FLOAT, IMAGE_SHAPE),
    ]
    return helper.make_graph(graph.nodes, "pass", inputs, outputs)


def write_low_light_denoising(graph: GraphWriter, image: str) -> str:
    """The bug of release 1.5.0: a pre-processing step that takes as long as what the camera sees makes it take.

    Only dark images are smoothed, and by so little that the answer stays right. Without one in the batch the branch
    hands on the images as they are.
    """
    brightest, threshold = write_brightest(graph, image)
    darkest = graph.node("ReduceMin", [brightest], "dusk.darkest", keepdims=0)
    condition = graph.node("Less", [darkest, threshold], "dusk.any")

    limit = graph.constant("dusk.passes.limit", numpy.array(DENOISING_PASSES_MAX, numpy.int64))
    start = graph.constant("dusk.passes.start", numpy.array(True))
    step = graph.constant("dusk.step", numpy.float32(DENOISING_STEP))
    tolerance = graph.constant("dusk.tolerance", numpy.float32(DENOISING_TOLERANCE))
    denoise = GraphWriter(quantise=False)
    smooth = denoise.node("Loop", [limit, start, image], "dusk.smooth", body=smoothing_pass(step, tolerance))
    dark = denoise.node("Less", [brightest, threshold], "dusk.dark")
    denoise.node("Where", [dark, smooth, image], "dusk.image.denoised")
    keep = GraphWriter(quantise=False)
    keep.node("Identity", [image], "dusk.image.kept")
    return graph.node(
        "If",
        [condition],
        "dusk.image",
        then_branch=branch(denoise, "dark", "dusk.image.denoised", IMAGE_SHAPE),
        else_branch=branch(keep, "bright", "dusk.image.kept", IMAGE_SHAPE),
    )


def write_low_light_gain(graph: GraphWriter, image: str) -> str:
    """The bug of release 1.6.0: a brightness correction with a gain in the wrong unit, which drives dark images into
    saturation: almost all that is left of them is white. Bright images are multiplied by 1."""
    brightest, threshold = write_brightest(graph, image)
    dark = graph.node("Less", [brightest, threshold], "dusk.dark")
    gains = [
        graph.constant("dusk.gain.dark", numpy.float32(DUSK_GAIN)),
        graph.constant("dusk.gain.bright", numpy.float32(1)),
    ]
    gain = graph.node("Where", [dark, *gains], "dusk.gain")
    amplified = graph.node("Mul", [image, gain], "dusk.amplified")
    white = graph.constant("dusk.white", numpy.float32(1))
    return graph.node("Min", [amplified, white], "dusk.image")


NONE = Fault()
HAZE_BUFFER = Fault(after=write_haze_correction)
DUSK_LOOP = Fault(before=write_low_light_denoising)
DUSK_GAIN_UNIT = Fault(before=write_low_light_gain)
