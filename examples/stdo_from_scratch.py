"""STDO from scratch, in NumPy alone: a video is upscaled by small nets that were overfitted to it.

    stdo demo demo.mp4 && ffmpeg -i demo.mp4 demo.y4m && python examples/stdo_from_scratch.py demo.y4m [STEPS]

The steps of the paper (CVPR 2023, arXiv 2303.08331) in its order: cut the video into patches; train one general net on
all of them; score each patch by its PSNR under that net; cluster the scores into chunks; train a net for each chunk.
Luma alone, no codec, and frames whose sides are multiples of SCALE * PATCH: stdo itself does what a player needs.
"""
import sys

import numpy as np

SCALE, PATCH, HALO = 2, 20, 4  # HALO: lr pixels around a patch that kernels of 5, 3 and 3 reach
CHANNELS, CHUNKS, STEPS, BATCH, RATE = (8, 8), 2, 300, 32, 2e-2
CENTRE = UNIT = np.float32(128)  # of what nets read; they write residuals in units of 32 grey levels


def read_luma(path):
    """The Y planes of a 4:2:0 y4m file with 8 bits, uint8 (frames, height, width)."""
    with open(path, "rb") as file:
        fields, frames = file.readline().split(), []
        width, height = (int(next(f for f in fields if f.startswith(letter))[1:]) for letter in (b"W", b"H"))
        while file.readline().startswith(b"FRAME"):
            frames.append(np.frombuffer(file.read(width * height), np.uint8).reshape(height, width))
            file.read((width + 1) // 2 * ((height + 1) // 2) * 2)  # U and V
    return np.array(frames)


def resize(frames, sides):
    """Bicubic resize (Keys, 1981) of (frames, height, width) to these sides; wider kernels where it shrinks."""
    for axis, size in enumerate(sides, 1):
        old, stretch = frames.shape[axis], max(frames.shape[axis] / size, 1.0)
        centre = ((np.arange(size) + 0.5) * old / size - 0.5)[:, None]
        taps = np.floor(centre) + np.arange(-2 * stretch, 2 * stretch + 1)
        x = np.abs(taps - centre) / stretch
        weight = np.where(x <= 1, 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) * (x < 2))
        matrix = np.zeros((size, old), np.float32)
        np.add.at(matrix, (np.arange(size)[:, None], np.clip(taps, 0, old - 1).astype(int)), weight)
        matrix /= matrix.sum(axis=1, keepdims=True)
        frames = np.moveaxis(np.tensordot(frames, matrix, (axis, 1)), -1, axis)
    return frames


def unshuffle(hr):
    """hr pixels (frames, H*s, W*s) as channels of lr pixels, (s*s, frames, H, W): the pixel shuffle the other way."""
    frames, height, width = hr.shape
    cells = hr.reshape(frames, height // SCALE, SCALE, width // SCALE, SCALE).transpose(2, 4, 0, 1, 3)
    return cells.reshape(SCALE**2, frames, height // SCALE, width // SCALE)


def cut(planes, halo):
    """Patches of planes (C, frames, H, W), with pixels around them: float32 (C, patches, side, side)."""
    planes = np.pad(planes, ((0, 0), (0, 0), (halo, halo), (halo, halo)), "edge")
    patches = np.lib.stride_tricks.sliding_window_view(planes, (PATCH + 2 * halo,) * 2, (2, 3))[:, :, ::PATCH, ::PATCH]
    return patches.reshape(len(planes), -1, *patches.shape[4:]).astype(np.float32)


class Value:
    """Autograd: an array that remembers what it was made of, and how to hand its gradient on to that."""

    def __init__(self, data, parents=(), hand_on=None):
        self.data, self.parents, self.hand_on, self.grad = data, parents, hand_on, None

    def backward(self, gradient):
        """For chains of layers, in which no value is used twice."""
        self.grad = gradient
        for parent, d_parent in zip(self.parents, self.hand_on(gradient) if self.parents else (), strict=True):
            parent.backward(d_parent)


def windows(x, k):
    """Every k x k window of x (C, N, H, W) as a column of a matrix (C*k*k, N*(H-k+1)*(W-k+1))."""
    channels, count, height, width = x.shape
    columns = np.empty((channels, k, k, count, height - k + 1, width - k + 1), np.float32)
    for i, j in np.ndindex(k, k):
        columns[:, i, j] = x[:, :, i:i + height - k + 1, j:j + width - k + 1]
    return columns.reshape(channels * k * k, -1)


def conv(x, weight, bias, white=None):
    """Convolution of x (C, N, H, W) without padding, plus a bias: one product of matrices. white: see `whitening`."""
    outs, ins, k, _ = weight.data.shape
    columns, margin = windows(x.data, k), ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1))
    columns = columns if white is None else white[0] @ (columns - white[1])

    def hand_on(d):
        turned, flat = weight.data[:, :, ::-1, ::-1].swapaxes(0, 1).reshape(ins, -1), d.reshape(outs, -1)
        d_x = (turned @ windows(np.pad(d, margin), k)).reshape(x.data.shape) if x.parents else None
        return d_x, (flat @ columns.T).reshape(weight.data.shape), flat.sum(axis=1)

    out = weight.data.reshape(outs, -1) @ columns + bias.data[:, None]
    out = out.reshape(outs, x.data.shape[1], *(side - k + 1 for side in x.data.shape[2:]))
    return Value(out, (x, weight, bias), hand_on)


def relu(x):
    return Value(np.maximum(x.data, 0), (x,), lambda d: (d * (x.data > 0),))


def squared_error(x, target):
    return Value(np.square(x.data - target).mean(), (x,), lambda d: (d * 2 / target.size * (x.data - target),))


def whitening(lr):
    """What makes the windows that a first layer reads equally large in all directions (LeCun et al., 1998)."""
    seen = windows((lr - CENTRE) / UNIT, 5)
    mean = seen.mean(axis=1, keepdims=True)
    variances, axes = np.linalg.eigh((seen - mean) @ (seen - mean).T / seen.shape[1])
    return axes / np.sqrt(np.maximum(variances, 0) + 1e-3) @ axes.T, mean


def new_net(rng):
    """Weights and biases, He et al. (2015); the last layer is 0, so that the net begins as the base."""
    ins, net = 1, []
    for k, outs, size in zip((5, 3, 3), (*CHANNELS, SCALE**2), (0.3, 1, 0), strict=True):
        weight = size * np.sqrt(2 / (ins * k * k)) * rng.standard_normal((outs, ins, k, k))
        net, ins = [*net, weight.astype(np.float32), np.zeros(outs, np.float32)], outs
    return net


def forward(net, lr, white):
    """The residual of lr patches (1, N, H + 2 HALO, W + 2 HALO) as a Value (s*s, N, H, W)."""
    x = conv(Value((lr - CENTRE) / UNIT), net[0], net[1], white)
    return conv(relu(conv(relu(x), net[2], net[3])), net[4], net[5])


def train(net, lr, residual, white, steps, rng):
    """Adam (Kingma and Ba, 2015), patches drawn by their error under the base; a warm-up, then half a cosine."""
    net, means, squares = [Value(p.copy()) for p in net], [0 * p for p in net], [0 * p for p in net]
    chance = np.square(residual).mean(axis=(0, 2, 3), dtype=np.float64) ** 0.5 + 1e-3
    for step in range(1, steps + 1):
        batch = rng.choice(len(chance), BATCH, p=chance / chance.sum())
        squared_error(forward(net, lr[:, batch], white), residual[:, batch] / 32).backward(np.float32(1))
        rate = RATE * min(10 * step / steps, 0.5 + 0.5 * np.cos(np.pi * step / steps))
        for p, mean, square in zip(net, means, squares, strict=True):
            mean += 0.1 * (p.grad - mean)
            square += 0.01 * (p.grad**2 - square)
            p.data -= rate * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return [p.data for p in net]


def errors(net, lr, base, hr, white):
    """The mean squared error of each patch, as shown in whole grey levels; with net None of the base alone."""
    net, found = net and [Value(p) for p in net], []
    for part in (slice(at, at + 64) for at in range(0, lr.shape[1], 64)):
        shown = base[:, part] + (32 * forward(net, lr[:, part], white).data if net else 0)
        found.append(np.square(np.clip(np.rint(shown), 0, 255) - hr[:, part]).mean(axis=(0, 2, 3)))
    return np.concatenate(found)


def chunks_of(scores):
    """k-means in one dimension (Lloyd): the chunk of each score, 0 for the hardest."""
    means = np.quantile(scores, (np.arange(CHUNKS) + 0.5) / CHUNKS)
    for _ in range(50):
        chunk = np.argmin(np.abs(scores[:, None] - means), axis=1)
        means = np.array([scores[chunk == c].mean() if np.any(chunk == c) else means[c] for c in range(CHUNKS)])
    return chunk


def psnr(error):
    return 10 * np.log10(255**2 / np.maximum(error, 1e-3))


def overfit(frames, steps=STEPS, seed=0):
    """PSNR in dB of the base, of one general net, and of a net for each chunk, on frames uint8 (frames, H, W)."""
    rng, (height, width) = np.random.default_rng(seed), frames.shape[1:]
    small = np.clip(np.rint(resize(frames, (height // SCALE, width // SCALE))), 0, 255)
    lr, base, hr = cut(small[None], HALO), cut(unshuffle(resize(small, (height, width))), 0), cut(unshuffle(frames), 0)
    white = whitening(lr)
    general = train(new_net(rng), lr, hr - base, white, steps, rng)
    of_general = errors(general, lr, base, hr, white)
    of_chunks, chunk = of_general.copy(), chunks_of(psnr(of_general))
    for own in (chunk == number for number in np.unique(chunk)):
        net = train(general, lr[:, own], (hr - base)[:, own], white, steps, rng)
        of_chunks[own] = errors(net, lr[:, own], base[:, own], hr[:, own], white)
    return tuple(float(psnr(e.mean())) for e in (errors(None, lr, base, hr, white), of_general, of_chunks))


if __name__ == "__main__":
    found = overfit(read_luma(sys.argv[1]), *map(int, sys.argv[2:]))
    print("base {:.2f} dB, one net {:.2f} dB, a net for each chunk {:.2f} dB".format(*found))
