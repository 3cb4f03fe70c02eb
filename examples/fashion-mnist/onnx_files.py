"""Writes a trained network as ONNX: once in fp32, once quantised to int8 in QDQ form.

The graphs are built by hand from onnx.helper. That keeps names, order and so bytes under our control, and it is the
only way to place the quantisation nodes, and the faults of faults.py, exactly where they belong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

# 8-bit weights are limited to 7 bits: on x86 without VNNI two products u8*s8 are summed in 16 bits, and
# 2 * 255 * 64 still fits. With full range such processors saturate and give other answers than the rest.
WEIGHT_LIMIT = 64

IMAGE_SHAPE = ["batch", 1, 28, 28]


@dataclass
class Layer:
    """Convolution 3x3 with padding 1 ("conv"; ReLU and 2x2 max pooling follow) or a dense layer ("dense")."""

    kind: str
    weights: numpy.ndarray  # conv: [out, in, 3, 3]; dense: [in, out]
    bias: numpy.ndarray
    relu: bool
    output_max: float  # the largest value behind ReLU on the calibration images

    @property
    def channel_axis(self) -> int:
        return 0 if self.kind == "conv" else 1


class GraphWriter:
    """Collects nodes and initialisers; every method returns the name of what it produced."""

    def __init__(self, quantise: bool):
        self.quantise = quantise
        self.nodes = []
        self.initialisers = []

    def constant(self, name: str, value: numpy.ndarray) -> str:
        self.initialisers.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, inputs: list, output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def activation(self, name: str, scale: float) -> str:
        """Rounds an activation that is never negative to uint8 and back; in fp32 nothing happens."""
        if not self.quantise:
            return name
        parameters = [
            self.constant(f"{name}.scale", numpy.float32(scale)),
            self.constant(f"{name}.zero", numpy.uint8(0)),
        ]
        quantised = self.node("QuantizeLinear", [name, *parameters], f"{name}.q")
        return self.node("DequantizeLinear", [quantised, *parameters], f"{name}.dq")

    def stored(self, name: str, quantised: numpy.ndarray, scale: numpy.ndarray, axis: int) -> str:
        parameters = [
            self.constant(f"{name}.q", quantised),
            self.constant(f"{name}.scale", scale.astype(numpy.float32)),
            self.constant(f"{name}.zero", numpy.zeros(scale.shape, quantised.dtype)),
        ]
        return self.node("DequantizeLinear", parameters, name, axis=axis)

    def parameters(self, name: str, layer: Layer, input_scale: float) -> list:
        """Weights and bias of a layer: plain, or int8 and int32 with one scale per output channel."""
        if not self.quantise:
            return [self.constant(f"{name}.weights", layer.weights), self.constant(f"{name}.bias", layer.bias)]
        axis = layer.channel_axis
        others = tuple(a for a in range(layer.weights.ndim) if a != axis)
        scale = numpy.maximum(numpy.abs(layer.weights).max(axis=others), 1e-8) / WEIGHT_LIMIT
        shape = [-1 if a == axis else 1 for a in range(layer.weights.ndim)]
        weights = numpy.rint(layer.weights / scale.reshape(shape)).astype(numpy.int8)
        # The integer kernels add the bias to the sum of products, so it has to carry the products' scale.
        bias_scale = scale * input_scale
        bias = numpy.rint(layer.bias / bias_scale).astype(numpy.int32)
        return [
            self.stored(f"{name}.weights", weights, scale, axis),
            self.stored(f"{name}.bias", bias, bias_scale, 0),
        ]


@dataclass(frozen=True)
class Fault:
    """What a release adds to its network; nothing, unless faults.py says so."""

    before: Optional[Callable] = None  # (graph, image) -> name of what the network shall see
    after: Optional[Callable] = None  # (graph, logits of the network, output)


def branch(writer: GraphWriter, name: str, output: str, shape: list) -> onnx.GraphProto:
    """What `writer` holds as a branch of an If: no inputs of its own, one float output."""
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    return helper.make_graph(writer.nodes, name, [], [value])


def write_network(graph: GraphWriter, layers: list, image: str, output: str) -> None:
    """image -> layers -> output. Pooling and flattening keep their input's scale, so they run on integers too."""
    scale = 1 / 255  # exact: the pixels are 8-bit numbers
    value = graph.activation(image, scale)
    for index, layer in enumerate(layers):
        name = f"{layer.kind}{index}"
        if layer.kind == "dense" and layers[index - 1].kind == "conv":
            value = graph.activation(graph.node("Flatten", [value], "flat", axis=1), scale)
        inputs = [value, *graph.parameters(name, layer, scale)]
        last = layer is layers[-1]
        if layer.kind == "conv":
            value = graph.node("Conv", inputs, name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        else:
            value = graph.node("Gemm", inputs, output if last else name)
        if layer.relu:
            scale = layer.output_max / 255
            value = graph.activation(graph.node("Relu", [value], f"{name}.relu"), scale)
        if layer.kind == "conv":
            pooled = graph.node("MaxPool", [value], f"{name}.pool", kernel_shape=[2, 2], strides=[2, 2])
            value = graph.activation(pooled, scale)


def write_model(path: str, layers: list, quantise: bool, fault: Fault, version: str) -> None:
    graph = GraphWriter(quantise)
    seen = fault.before(graph, "image") if fault.before else "image"
    write_network(graph, layers, seen, "logits.raw" if fault.after else "logits")
    if fault.after:
        fault.after(graph, "logits.raw", "logits")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE_SHAPE)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "fashion-mnist", [image], [logits], graph.initialisers),
        producer_name="ferry-example",
        producer_version=version,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
