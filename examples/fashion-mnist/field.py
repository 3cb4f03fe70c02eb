"""The field condition of this example: haze (glare on the lens).

Haze lifts the background and flattens the contrast. For every 8-bit pixel p, in integer arithmetic:

    to_field(p) = 64 + floor(3 * p / 4)

0 becomes 64 and 255 becomes 255, so nothing has to be clipped. Every image of Fashion-MNIST, train and test, has at
least one pixel 0; hence the smallest pixel of a clean image is 0 and that of a hazy image is 64, without exception.

Standard library only: the demo's feeder imports this file too.
"""

HAZE_FLOOR = 64

_TABLE = bytes(HAZE_FLOOR + 3 * pixel // 4 for pixel in range(256))


def to_field(pixels: bytes) -> bytes:
    """The same image as a camera in haze would deliver it; 8-bit grey pixels in, as many out."""
    return pixels.translate(_TABLE)
