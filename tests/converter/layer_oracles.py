"""Slow, obvious numpy versions of Caffe's layers, one loop per sum, written from the layers' definitions.

Arrays are float64. Sizes follow Caffe: floor for convolution, ceil for pooling with its clipping of the last window.
"""

import itertools
import math

import numpy as np


def convolution(x, weight, bias, stride, pad, dilation, group):
    """Cross-correlation, OIHW weights."""
    n, channels, *size = x.shape
    outputs, per_group, *kernel = weight.shape
    out = [(size[i] + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    y = np.zeros((n, outputs, *out))
    for b, o, i, j in np.ndindex(y.shape):
        total = 0.0 if bias is None else bias[o]
        for c, u, v in np.ndindex(per_group, *kernel):
            row = i * stride[0] - pad[0] + u * dilation[0]
            column = j * stride[1] - pad[1] + v * dilation[1]
            if 0 <= row < size[0] and 0 <= column < size[1]:
                total += weight[o, c, u, v] * x[b, o // (outputs // group) * per_group + c, row, column]
        y[b, o, i, j] = total
    assert channels == per_group * group
    return y


def deconvolution(x, weight, bias, stride, pad, dilation, group):
    """Every input pixel adds a scaled filter to the output; weights (C, num_output / group, h, w)."""
    n, channels, *size = x.shape
    _, per_group, *kernel = weight.shape
    out = [stride[i] * (size[i] - 1) + dilation[i] * (kernel[i] - 1) + 1 - 2 * pad[i] for i in (0, 1)]
    y = np.zeros((n, per_group * group, *out))
    for b, c, i, j in np.ndindex(x.shape):
        for o, u, v in np.ndindex(per_group, *kernel):
            row = i * stride[0] - pad[0] + u * dilation[0]
            column = j * stride[1] - pad[1] + v * dilation[1]
            if 0 <= row < out[0] and 0 <= column < out[1]:
                y[b, c // (channels // group) * per_group + o, row, column] += x[b, c, i, j] * weight[c, o, u, v]
    return y if bias is None else y + bias[:, None, None]


def _ranges(size, kernel, stride, pad, padded, floor):
    """(start, end) of each pooling window, the end clipped to the padded image, the start not clipped."""
    rounded = math.floor if floor else math.ceil
    count = rounded((size + 2 * pad - kernel) / stride) + 1
    if padded and (count - 1) * stride >= size + pad:
        count -= 1
    return [(i * stride - pad, min(i * stride - pad + kernel, size + pad)) for i in range(count)]


def pooling(x, method, kernel, stride=(1, 1), pad=(0, 0), floor=False):
    """MAX, AVE or STOCHASTIC (as in TEST phase)."""
    height, width = x.shape[2:]
    rows = _ranges(height, kernel[0], stride[0], pad[0], any(pad), floor)
    columns = _ranges(width, kernel[1], stride[1], pad[1], any(pad), floor)
    y = np.zeros((*x.shape[:2], len(rows), len(columns)))
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
        area = (bottom - top) * (right - left)
        pixels = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        pixels = pixels.reshape(*x.shape[:2], -1)
        if method == "MAX":
            y[:, :, i, j] = pixels.max(2) if pixels.size else np.finfo(np.float64).min
        elif method == "AVE":
            y[:, :, i, j] = pixels.sum(2) / area
        else:
            y[:, :, i, j] = (pixels**2).sum(2) / pixels.sum(2)
    return y


def lrn(x, size, alpha, beta, k, within):
    """Local response normalisation over channels, or within each map."""
    y, half = np.zeros_like(x), size // 2
    for b, c, i, j in np.ndindex(x.shape):
        if within:
            near = x[b, c, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]
            scale = 1 + alpha / size**2 * (near**2).sum()
        else:
            near = x[b, max(c - half, 0) : c + half + 1, i, j]
            scale = k + alpha / size * (near**2).sum()
        y[b, c, i, j] = x[b, c, i, j] / scale**beta
    return y


def batch_statistics(x, eps):
    """(x - mean) / sqrt(var + eps) with each channel's own biased statistics."""
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        y[:, c] = (values - values.mean()) / math.sqrt(((values - values.mean()) ** 2).mean() + eps)
    return y


def softmax_loss(scores, labels, axis, ignore=None, divisor="valid"):
    """Mean of -log(max(probability, FLT_MIN)) over the labels that count; scores with classes along ``axis``."""
    scores = np.moveaxis(scores, axis, -1)
    outer = math.prod(scores.shape[:axis])
    total, count = 0.0, 0
    for row, label in zip(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1).astype(int), strict=True):
        if label != ignore:
            probability = np.exp(row[label] - row.max()) / np.exp(row - row.max()).sum()
            total -= math.log(max(probability, np.finfo(np.float32).tiny))
            count += 1
    return np.float64(total / {"valid": count, "batch": outer, "full": labels.size, "none": 1}[divisor])


def best_first(row):
    """Class indices by descending score; of equal scores the larger index first."""
    return [index for _, index in sorted(((score, i) for i, score in enumerate(row)), reverse=True)]


def accuracy(scores, labels, axis, top_k, ignore=None):
    """Share of labels among the top_k best scores."""
    rows = np.moveaxis(scores, axis, -1).reshape(-1, scores.shape[axis])
    hits = [lab in best_first(row)[:top_k] for row, lab in zip(rows, labels.reshape(-1), strict=True) if lab != ignore]
    return np.float64(sum(hits) / len(hits))


def numeric_gradients(function, arrays, top_gradient, step=1e-6):
    """d sum(function(*arrays) * top_gradient) / d array, by central differences, for each array."""
    gradients = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + step
            above = (function(*arrays) * top_gradient).sum()
            array[place] = kept - step
            below = (function(*arrays) * top_gradient).sum()
            array[place] = kept
            gradient[place] = (above - below) / (2 * step)
        gradients.append(gradient)
    return gradients
