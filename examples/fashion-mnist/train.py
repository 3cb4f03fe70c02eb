#!/usr/bin/python3
"""Trains the releases of the Fashion-MNIST example and writes models/<version>/{fp32,int8}.onnx.

    nice -n 15 /usr/bin/python3 train.py [--only 1.1.0]

Everything is seeded and runs on one thread. README.md tells what each release stands for.
"""

import argparse
import ctypes
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional

import faults
import field
import onnx_files

DATA = Path("/usr/share/datasets/fashion-mnist")
MODELS = Path(__file__).parent / "models"

BATCH = 128
HAZE_SHARE = 0.3  # of the images of a training batch, as seen through haze
CALIBRATION_IMAGES = 2000

HAZE = torch.frombuffer(bytearray(field.to_field(bytes(range(256)))), dtype=torch.uint8)
DUSK = torch.frombuffer(bytearray(field.to_dusk(bytes(range(256)))), dtype=torch.uint8)


@dataclass
class Release:
    version: str
    widths: tuple  # channels of the convolutions
    hidden: int  # width of the hidden dense layer; 0: none
    steps: int
    rate: float
    seed: int
    fault: onnx_files.Fault = faults.NONE
    dusk_share: float = 0  # of the images of a training batch, as seen at dusk


RELEASES = [
    Release("1.0.0", widths=(16, 32, 96), hidden=64, steps=300, rate=0.002, seed=100),
    Release("1.1.0", widths=(16, 32, 64), hidden=64, steps=4200, rate=0.004, seed=110),
    Release("1.2.0", widths=(16, 32, 64), hidden=64, steps=80, rate=0.001, seed=120),
    Release("1.3.0", widths=(16, 32, 48), hidden=64, steps=5600, rate=0.004, seed=130, fault=faults.HAZE_BUFFER),
    Release("1.4.0", widths=(16, 32, 56), hidden=64, steps=6000, rate=0.004, seed=140),
    Release("1.5.0", (16, 32, 32), hidden=64, steps=7000, rate=0.004, seed=150, fault=faults.DUSK_LOOP, dusk_share=0.2),
    Release("1.6.0", (16, 32, 32), hidden=64, steps=7000, rate=0.004, seed=160, fault=faults.DUSK_GAIN_UNIT),
]


def load(part: str) -> tuple:
    """Images as uint8 [count, 1, 28, 28] and labels as int64; part is "train" or "t10k"."""
    with gzip.open(DATA / f"{part}-images-idx3-ubyte.gz") as file:
        images = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=16)
    with gzip.open(DATA / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=8)
    return images.reshape(-1, 1, 28, 28), labels.long()


def hazy(images: torch.Tensor) -> torch.Tensor:
    return HAZE[images.long()]


def at_dusk(images: torch.Tensor) -> torch.Tensor:
    return DUSK[images.long()]


def scaled(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255


def network(release: Release) -> nn.Sequential:
    layers = []
    channels, side = 1, 28
    for width in release.widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        channels, side = width, side // 2
    layers += [nn.Flatten()]
    features = channels * side * side
    if release.hidden:
        layers += [nn.Linear(features, release.hidden), nn.ReLU(), nn.Dropout(0.2)]
        features = release.hidden
    return nn.Sequential(*layers, nn.Linear(features, 10))


def train(release: Release, images: torch.Tensor, labels: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(release.seed)
    model = network(release).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=release.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, release.rate, total_steps=release.steps)
    order = torch.empty(0, dtype=torch.long)
    for step in range(release.steps):
        if len(order) < BATCH:
            order = torch.randperm(len(images))
        chosen, order = order[:BATCH], order[BATCH:]
        batch = images[chosen]
        drawn = torch.rand(BATCH)
        in_haze = drawn < HAZE_SHARE
        in_dusk = drawn >= 1 - release.dusk_share
        batch[in_haze] = hazy(batch[in_haze])
        batch[in_dusk] = at_dusk(batch[in_dusk])
        mirrored = torch.rand(BATCH) < 0.5  # clothes look the same in a mirror
        batch[mirrored] = batch[mirrored].flip(-1)
        loss = functional.cross_entropy(model(scaled(batch)), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 500 == 499:
            print(f"{release.version} step {step + 1}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def exported(model: nn.Sequential, calibration: torch.Tensor) -> list:
    """The layers as they go into the ONNX files: batch norm folded, output ranges measured on `calibration`."""
    layers = []
    value = calibration
    with torch.no_grad():
        for module in model:
            value = module(value)
            if isinstance(module, nn.Conv2d):
                weights = module.weight
            elif isinstance(module, nn.BatchNorm2d):
                factor = module.weight / torch.sqrt(module.running_var + module.eps)
                folded = (weights * factor.reshape(-1, 1, 1, 1)).numpy()
                bias = (module.bias - module.running_mean * factor).numpy()
                layers.append(onnx_files.Layer("conv", folded, bias, relu=False, output_max=0.0))
            elif isinstance(module, nn.Linear):
                transposed = numpy.ascontiguousarray(module.weight.t().numpy())
                bias = module.bias.numpy().copy()
                layers.append(onnx_files.Layer("dense", transposed, bias, relu=False, output_max=0.0))
            elif isinstance(module, nn.ReLU):
                layers[-1].relu = True
                layers[-1].output_max = value.max().item()
    return layers


def correct_answers(model: nn.Sequential, images: torch.Tensor, labels: torch.Tensor) -> int:
    with torch.no_grad():
        parts = zip(images.split(250), labels.split(250))
        return sum(int((model(scaled(part)).argmax(1) == label).sum()) for part, label in parts)


def check_field_conditions(train_images: torch.Tensor, test_images: torch.Tensor) -> None:
    """Counts over all 70,000 images that the faults are met in their own condition always, and never elsewhere."""
    images = torch.cat([train_images, test_images])
    seen = {"clean": images, "haze": hazy(images), "dusk": at_dusk(images)}
    counts = {"images": len(images), "haze": {}, "dusk": {}}
    for condition, some in seen.items():
        pixels = some.reshape(len(some), -1)
        darkest, brightest = scaled(pixels.min(1).values), scaled(pixels.max(1).values)
        counts["haze"][condition] = int((darkest > faults.HAZE_THRESHOLD).sum())
        counts["dusk"][condition] = int((brightest < faults.DUSK_THRESHOLD).sum())
    for name in ("haze", "dusk"):
        wanted = {condition: len(images) if condition == name else 0 for condition in seen}
        if counts[name] != wanted:
            raise SystemExit(f"the field condition {name} does not separate: {counts[name]}, expected {wanted}")
    MODELS.mkdir(exist_ok=True)
    (MODELS / "field.json").write_text(json.dumps(counts, indent=2) + "\n")
    print(counts)


def keep_freed_memory() -> None:
    """Training frees and allocates the same large tensors in every step. By default glibc returns each to the kernel,
    and fetching it again, page by page, takes about half of the time."""
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 2**25)
    libc.mallopt(trim_threshold, 2**31 - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the releases and writes their ONNX files.")
    parser.add_argument("--only", help="one version instead of all")
    only = parser.parse_args().only

    keep_freed_memory()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_images, train_labels = load("train")
    test_images, test_labels = load("t10k")
    check_field_conditions(train_images, test_images)
    half = CALIBRATION_IMAGES // 2
    calibration = torch.cat([train_images[:half], hazy(train_images[half:CALIBRATION_IMAGES])])

    for release in RELEASES:
        if only not in (None, release.version):
            continue
        model = train(release, train_images, train_labels)
        for name, seen in (("clean", test_images), ("in haze", hazy(test_images)), ("at dusk", at_dusk(test_images))):
            correct = correct_answers(model, seen, test_labels)  # of the network alone, without the fault
            print(f"{release.version} {name}: {correct} of {len(test_labels)} correct", flush=True)
        layers = exported(model, scaled(calibration))
        folder = MODELS / release.version
        folder.mkdir(exist_ok=True)
        for name, quantise in (("fp32", False), ("int8", True)):
            path = str(folder / f"{name}.onnx")
            onnx_files.write_model(path, layers, quantise, release.fault, release.version)


if __name__ == "__main__":
    main()
