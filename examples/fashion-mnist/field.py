"""The field conditions of this example: haze (glare on the lens) and dusk (little light).

Haze lifts the background and flattens the contrast; dusk darkens the image, and the amplified sensor adds a little
glow of its own. For every 8-bit pixel p, in integer arithmetic:

    to_field(p) = 64 + floor(3 * p / 4)
    to_dusk(p)  = 16 + floor(5 * p / 8)

In haze 0 becomes 64 and 255 becomes 255; at dusk 0 becomes 16 and 255 becomes 175. Nothing has to be clipped. Every
image of Fashion-MNIST, train and test, has at least one pixel 0 and one of 249 or more. Hence, without exception, the
darkest pixel is 0 in a clean image, 16 at dusk and 64 in haze, and the brightest is at least 249 in a clean image,
at least 250 in haze and at most 175 at dusk.

Standard library only: the demo's feeder imports this file too.
"""

HAZE_FLOOR = 64
DUSK_FLOOR = 16

_HAZE = bytes(HAZE_FLOOR + 3 * pixel // 4 for pixel in range(256))
_DUSK = bytes(DUSK_FLOOR + 5 * pixel // 8 for pixel in range(256))


def to_field(pixels: bytes) -> bytes:
    """The same image as a camera in haze would deliver it; 8-bit grey pixels in, as many out."""
    return pixels.translate(_HAZE)


def to_dusk(pixels: bytes) -> bytes:
    """The same image as a camera at dusk would deliver it; 8-bit grey pixels in, as many out."""
    return pixels.translate(_DUSK)
