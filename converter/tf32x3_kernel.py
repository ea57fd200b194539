"""Triton kernel of the precision tf32x3: a convolution as a matrix product on tensor cores, as exact as in float32.

Import only where Triton is installed. A tensor core takes factors of 10 bits of mantissa (TF32) and adds their products
in about 24. So every factor is split into two such numbers, high + low, and three products are added: low * high,
high * low, high * high; low * low is at most 2^-22 of the whole. The sum of each block of the depth is added to the
total outside the tensor cores, which cut sums off where float32 rounds.
"""

import triton
import triton.language as tl

#: one compilation for all values; whether 16 divides the others decides how memory is read
_NUMBERS = [
    "pixels",
    "height",
    "width",
    "rows",
    "columns",
    "kernel_x",
    "stride_y",
    "stride_x",
    "pad_y",
    "pad_x",
    "slope",
]


@triton.jit
def rounded(value):
    """The nearest float32 with 10 bits of mantissa, halves away from 0."""
    bits = value.to(tl.int32, bitcast=True)
    return ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=_NUMBERS)
def convolve(
    x,
    high,
    low,
    bias,
    y,
    pixels,
    height,
    width,
    channels,
    rows,
    columns,
    outputs,
    kernel_x,
    depth,
    step_image,
    step_row,
    step_column,
    stride_y,
    stride_x,
    pad_y,
    pad_x,
    slope,
    BIAS: tl.constexpr,
    RELU: tl.constexpr,
    GATHER: tl.constexpr,
    PIXELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Grid (tiles of PIXELS x OUTPUTS,). Convolution, bias and (leaky) ReLU; all float32, channels are neighbours.

    x (N, height, width, channels), its other steps as given; high, low (outputs, depth): the weights' two parts, depth
    being (kernel_y, kernel_x, channels); bias (outputs,) if BIAS; y (pixels, outputs), the pixels being
    (N, rows, columns). RELU: "none", "relu" or "leaky". GATHER: any number of channels; else a multiple of DEPTH.
    """
    across = tl.cdiv(outputs, OUTPUTS)
    pixel = tl.program_id(0) // across * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(0) % across * OUTPUTS + tl.arange(0, OUTPUTS)
    image, place = pixel // (rows * columns), pixel % (rows * columns)
    top, left = place // columns * stride_y - pad_y, place % columns * stride_x - pad_x
    corner = x + image.to(tl.int64) * step_image + top * step_row + left * step_column
    is_pixel, is_output = pixel < pixels, output < outputs
    weights = output[None, :] * depth + tl.arange(0, DEPTH)[:, None]
    total = tl.zeros((PIXELS, OUTPUTS), tl.float32)
    for start in range(0, depth, DEPTH):
        if GATHER:
            index = start + tl.arange(0, DEPTH)
            tap, channel = index // channels, index % channels
            down, right = (tap // kernel_x)[None, :], (tap % kernel_x)[None, :]
            there = (is_pixel[:, None]) & (index < depth)[None, :]
            wanted = is_output[None, :] & (index < depth)[:, None]
        else:
            tap, channel = start // channels, tl.multiple_of(start % channels, DEPTH) + tl.arange(0, DEPTH)
            down, right = tap // kernel_x, tap % kernel_x
            there, wanted = is_pixel[:, None], is_output[None, :]
        above, before = top[:, None] + down, left[:, None] + right
        there = there & (above >= 0) & (above < height) & (before >= 0) & (before < width)
        texels = corner[:, None] + (down * step_row + right * step_column + channel[None, :])
        factor = tl.load(texels, there, 0.0)
        weight_high = tl.load(high + weights + start, wanted, 0.0)
        weight_low = tl.load(low + weights + start, wanted, 0.0)
        factor_high = rounded(factor)
        factor_low = rounded(factor - factor_high)
        part = tl.dot(factor_low, weight_high, input_precision="tf32")
        part = tl.dot(factor_high, weight_low, part, input_precision="tf32")
        total += tl.dot(factor_high, weight_high, part, input_precision="tf32")
    if BIAS:
        total += tl.load(bias + output, is_output, 0.0)[None, :]
    if RELU == "relu":
        total = tl.where(total < 0, 0.0, total)
    elif RELU == "leaky":
        total = tl.where(total < 0, total * slope, total)
    places = y + pixel.to(tl.int64)[:, None] * outputs + output[None, :]
    tl.store(places, total, is_pixel[:, None] & is_output[None, :])
