"""Labels that know their price: which net each patch gets when the bits of the map, and of the nets, count too.

Errors are squared errors of luma, of every patch under the base (label 0) and under each net; a weight says how much
squared error one bit is worth. `rate_aware` seeks the map, `drop_nets` the set of nets too, that make errors + weight
* bits small.
"""

from __future__ import annotations

import numpy as np

from stdo_min.algorithm.compiled import compiled

SWEEPS = 6
_LEAST = 31 / 32768  # a context of the map comes no nearer to certainty
_FLOOR = 28  # bits of the coder's state that are written after the last surprise


def rate_aware(errors: np.ndarray, weight: float) -> np.ndarray:
    """The map with little squared error + weight * its bits, by sweeps of Viterbi along the time of each patch.

    errors: float or int (frames, 1 + nets, rows, columns). weight: squared error a bit, finite and >= 0. Returns uint8
    (frames, rows, columns), 0..nets, for which the sum is at most that of the labels of least error, of every map of
    one label, and of the best map that never changes in time. Some nets may have no patch. Raises ValueError for other
    shapes, more than 63 nets, errors that are not finite, or another weight.
    """
    errors = _checked(errors, weight)
    labels = np.argmin(errors, axis=1).astype(np.uint8)
    return labels if weight == 0 else _least(errors, weight, labels)[1]


def drop_nets(errors: np.ndarray, weight: float, net_bits: np.ndarray) -> np.ndarray:
    """The labels of `rate_aware` when each net used costs bits too; nets that are not worth theirs are left out.

    errors, weight: as for `rate_aware`. net_bits: float or int (nets,), bits of each net in the file, >= 0. Starts from
    all nets and leaves out, one by one, the net that is missed least; the best of all these sets, of no net, and of
    each net alone, is taken. Returns uint8 (frames, rows, columns) in the numbers of `errors`, perhaps all 0. Raises
    ValueError as `rate_aware` does, and for other net_bits.
    """
    errors = _checked(errors, weight)
    labels = errors.shape[1]
    net_bits = np.asarray(net_bits, np.float64)
    if net_bits.shape != (labels - 1,) or not (net_bits >= 0).all():
        raise ValueError(f"net_bits have shape {net_bits.shape}; they must be {labels - 1} numbers, 0 or more")

    def of(nets):
        """The sum and the labels with these nets alone, those without patches left out again."""
        while True:
            own = np.ascontiguousarray(errors[:, (0, *nets)])
            total, found = _least(own, weight, np.argmin(own, axis=1).astype(np.uint8))
            used = [net for number, net in enumerate(nets, 1) if np.any(found == number)]
            if len(used) == len(nets):
                return total + weight * net_bits[[net - 1 for net in nets]].sum(), found, tuple(nets)
            nets = used

    def fewer(found, nets):
        """The nets without the one whose patches lose least under the others, its own bits counted."""
        own, losses = errors[:, (0, *nets)], []
        for number, net in enumerate(nets, 1):
            frame, y, x = np.nonzero(found == number)
            of_patches = own[frame, :, y, x]
            lost = np.delete(of_patches, number, axis=1).min(axis=1) - of_patches[:, number]
            losses.append(lost.sum() - weight * net_bits[net - 1])
        return tuple(np.delete(nets, np.argmin(losses)))

    now = of(tuple(range(1, labels)))
    best = now
    for nets in ((), *((net,) for net in range(1, labels))):
        best = min(best, of(nets), key=lambda one: one[0])
    while len(now[2]) > 2:
        now = of(fewer(*now[1:]))
        best = min(best, now, key=lambda one: one[0])
    return np.array((0, *best[2]), np.uint8)[best[1]]


def map_bits(labels: np.ndarray, nets: int) -> float:
    """The bits that `patchmap.encode` spends on labels, before it rounds to bytes.

    labels: uint8 (frames, rows, columns), 0..nets, which is not checked.
    """
    return float(_bits_numba(np.ascontiguousarray(labels), nets)) if nets else 0.0


def _checked(errors, weight):
    errors = np.asarray(errors, np.float64)
    if errors.ndim != 4 or not 1 <= errors.shape[1] <= 64 or 0 in errors.shape:
        raise ValueError(f"errors have shape {errors.shape}; they must be (frames, 1 + nets, rows, columns), with at "
                         "most 63 nets and nothing 0")
    if not np.isfinite(errors).all():
        raise ValueError("some errors are not finite")
    if not 0 <= weight < np.inf:
        raise ValueError(f"the weight is {weight}; it must be finite and 0 or more")
    return errors


def _least(errors, weight, greedy):
    """The least sum found, and its labels."""
    nets = errors.shape[1] - 1

    def total(labels):
        found = np.take_along_axis(errors, labels[:, None].astype(np.intp), axis=1).sum()
        return found + weight * map_bits(labels, nets), labels

    still = np.argmin(errors.sum(axis=0), axis=0).astype(np.uint8)
    plain = [np.full(greedy.shape, label, np.uint8) for label in range(nets + 1)]
    plain.append(np.ascontiguousarray(np.broadcast_to(still, greedy.shape)))
    starts = [total(greedy), min(map(total, plain), key=lambda one: one[0])]
    best = min(starts, key=lambda one: one[0])
    if nets == 0:
        return best
    by_patch = np.ascontiguousarray(errors.transpose(2, 3, 0, 1))
    for now in starts:
        for _ in range(SWEEPS):
            flag, jump = costs(now[1], nets)
            moving = now[1].transpose(1, 2, 0).copy()
            _sweep_numba(by_patch, moving, weight * flag, weight * jump)
            before, now = now, total(np.ascontiguousarray(moving.transpose(2, 0, 1)))
            best = min(best, now, key=lambda one: one[0])
            if now[0] >= before[0]:
                break
    return best


def costs(labels: np.ndarray, nets: int) -> tuple[np.ndarray, np.ndarray]:
    """What bits cost on average in a map like this: float64 (4, 2) and (1 + nets, 1 + nets).

    labels: uint8 (frames, rows, columns). The first are the bits of the flag by its context, for a label as predicted
    and for another; the second those of the label, by the predicted one and itself, after the flag.
    """
    predicted, context = _predictions(labels)
    moved = labels != predicted
    flags = np.bincount((2 * context + moved).ravel(), minlength=8).reshape(4, 2)
    pairs = predicted[moved].astype(np.intp) * (nets + 1) + labels[moved]
    pairs = np.bincount(pairs, minlength=(nets + 1) ** 2).reshape(nets + 1, nets + 1)
    jump = np.zeros((nets + 1, nets + 1))
    for one in range(nets + 1):
        others = np.delete(np.arange(nets + 1), one)
        ranks = pairs[one, others]
        after = ranks.sum() - np.cumsum(ranks)
        bits = _bit_costs(np.stack([ranks, after], axis=1)[:nets - 1])  # of stopping at a rank, and of going on
        jump[one, others] = np.append(0, np.cumsum(bits[:, 1])) + np.append(bits[:, 0], 0)
    return _bit_costs(flags), jump


def _bit_costs(counts):
    """Bits of a 0 and of a 1 in contexts that saw so many of both: float64 (n, 2)."""
    share = np.clip((counts[:, 1] + 0.5) / (counts.sum(axis=1) + 1), _LEAST, 1 - _LEAST)
    return -np.log2(np.stack([1 - share, share], axis=1))


def _predictions(labels):
    """The label predicted for each patch and the context of its flag, by FORMAT.md."""
    predicted, context = np.zeros_like(labels), np.full(labels.shape, 3, np.intp)
    predicted[1:] = labels[:-1]
    predicted[0, :, 1:], predicted[0, 1:, 0] = labels[0, :, :-1], labels[0, :-1, 0]
    moved = labels[1:] != predicted[1:]
    context[1:] = 0
    context[1:, :, 1:] += moved[:, :, :-1]
    context[1:, 1:] += moved[:, :-1]
    return predicted, context


@compiled
def _bits_numba(labels, nets):
    """The range coder of patchmap without its bytes: how far its range has shrunk."""
    frames, rows, columns = labels.shape
    contexts = np.full(4 + (nets + 1) * max(nets - 1, 1), 1 << 14, np.int64)
    moved = np.zeros(columns, np.int64)
    span, shifts, surprise = (1 << 32) - 1, 0, -1.0  # bits up to the last 1
    for frame in range(frames):
        moved[:] = 0
        for y in range(rows):
            for x in range(columns):
                label, predicted, place = np.int64(labels[frame, y, x]), np.int64(0), np.int64(3)
                if frame:
                    predicted = np.int64(labels[frame - 1, y, x])
                    place = moved[x] + (moved[x - 1] if x else 0)
                elif x:
                    predicted = np.int64(labels[0, y, x - 1])
                elif y:
                    predicted = np.int64(labels[0, y - 1, 0])
                moved[x] = label != predicted
                rank = label - (label > predicted)
                left = min(rank + 1, nets - 1) if moved[x] else 0  # bits after the flag
                bit = moved[x]
                for i in range(-1, left):
                    if i >= 0:
                        place, bit = 4 + predicted * (nets - 1) + i, np.int64(i < rank)
                    p = contexts[place]
                    bound = (span >> 15) * p
                    if bit:
                        span -= bound
                        contexts[place] = p - (p >> 5)
                    else:
                        span = bound
                        contexts[place] = p + (((1 << 15) - p) >> 5)
                    while span < 1 << 24:
                        span <<= 8
                        shifts += 8
                    if bit:
                        surprise = shifts + 32 - np.log2(span)
    if surprise < 0:
        return 0.0  # the coder's bytes are all 0, and those at the end are not stored
    return min(shifts + 32 - np.log2(span), surprise + _FLOOR)


def _bits_python(labels, nets):
    """The twin of `_bits_numba`: the probability of each bit by patchmap's contexts, as a product of fractions."""
    predicted, context = _predictions(labels)
    contexts, product, bits, surprise = {}, (1 << 32) - 1, 0, -1.0
    for label, guess, place in zip(labels.ravel().tolist(), predicted.ravel().tolist(), context.ravel().tolist(),
                                   strict=True):
        rank = label - (label > guess)
        coded = [(place, label != guess)]
        coded += [((guess, i), i < rank) for i in range(min(rank + 1, nets - 1)) if label != guess]
        for key, bit in coded:
            p = contexts.get(key, 1 << 14)
            zero = (product >> 15) * p
            product = product - zero if bit else zero
            contexts[key] = p - (p >> 5) if bit else p + ((32768 - p) >> 5)
            while product < 1 << 24:
                product, bits = product << 8, bits + 8
            surprise = bits + 32 - np.log2(product) if bit else surprise
    return 0.0 if surprise < 0 else min(bits + 32 - np.log2(product), surprise + _FLOOR)


@compiled
def _moved(labels, y, x, t):
    """Whether a patch has another label than in the frame before; 0 outside the grid."""
    if y < 0 or x < 0 or y >= labels.shape[0] or x >= labels.shape[1]:
        return 0
    return int(labels[y, x, t] != labels[y, x, t - 1])


@compiled
def _first(flag, jump, predicted, label):
    """What a label costs in the first frame."""
    return flag[3, 0] if predicted == label else flag[3, 1] + jump[predicted, label]


@compiled
def _sweep_numba(errors, labels, flag, jump):
    """Give each patch in turn its best labels over time while all others keep theirs, in place.

    errors: float64 (rows, columns, frames, 1 + nets). labels: uint8 (rows, columns, frames). flag, jump: of `costs`,
    times the weight. A patch that moves changes the contexts of those to its right and below, which counts too.
    """
    rows, columns, frames, count = errors.shape
    sums, least, back = np.empty(count), np.empty(count), np.empty((frames, count), np.uint8)
    for y in range(rows):
        for x in range(columns):
            predicted = labels[y, x - 1, 0] if x else labels[y - 1, 0, 0] if y else np.uint8(0)
            for j in range(count):
                sums[j] = errors[y, x, 0, j] + _first(flag, jump, predicted, j)
                if x + 1 < columns:
                    sums[j] += _first(flag, jump, j, labels[y, x + 1, 0])
                if x == 0 and y + 1 < rows:
                    sums[j] += _first(flag, jump, j, labels[y + 1, 0, 0])
            for t in range(1, frames):
                context = _moved(labels, y, x - 1, t) + _moved(labels, y - 1, x, t)
                stay, move = flag[context, 0], flag[context, 1]
                if x + 1 < columns:
                    context, bit = _moved(labels, y - 1, x + 1, t), _moved(labels, y, x + 1, t)
                    stay, move = stay + flag[context, bit], move + flag[context + 1, bit]
                if y + 1 < rows:
                    context, bit = _moved(labels, y + 1, x - 1, t), _moved(labels, y + 1, x, t)
                    stay, move = stay + flag[context, bit], move + flag[context + 1, bit]
                for j in range(count):
                    best, start = np.inf, 0
                    for i in range(count):
                        one = sums[i] + (stay if i == j else move + jump[i, j])
                        if one < best:
                            best, start = one, i
                    least[j], back[t, j] = best + errors[y, x, t, j], start
                sums, least = least, sums
            label = np.argmin(sums)
            for t in range(frames - 1, -1, -1):
                labels[y, x, t] = label
                label = np.int64(back[t, label]) if t else label


def _sweep_numpy(errors, labels, flag, jump):
    """The twin of `_sweep_numba`: all pairs of labels of a frame at once."""
    rows, columns, frames, count = errors.shape
    first = np.where(np.eye(count, dtype=bool), flag[3, 0], flag[3, 1] + jump)
    for y, x in np.ndindex(rows, columns):
        moved = np.zeros((rows + 2, columns + 2, frames), np.intp)
        moved[1:-1, 1:-1, 1:] = labels[:, :, 1:] != labels[:, :, :-1]
        around = moved[y:y + 3, x:x + 3]
        cost = flag[around[1, 0] + around[0, 1]]
        sums = errors[y, x, 0] + first[labels[y, x - 1, 0] if x else labels[y - 1, 0, 0] if y else 0]
        if x + 1 < columns:
            sums = sums + first[:, labels[y, x + 1, 0]]
            cost = cost + np.stack([flag[around[0, 2] + own, around[1, 2]] for own in (0, 1)], axis=1)
        if x == 0 and y + 1 < rows:
            sums = sums + first[:, labels[y + 1, 0, 0]]
        if y + 1 < rows:
            cost = cost + np.stack([flag[around[2, 0] + own, around[2, 1]] for own in (0, 1)], axis=1)
        back = np.zeros((frames, count), np.intp)
        for t in range(1, frames):
            steps = sums[:, None] + np.where(np.eye(count, dtype=bool), cost[t, 0], cost[t, 1] + jump)
            back[t], sums = np.argmin(steps, axis=0), np.min(steps, axis=0) + errors[y, x, t]
        label = np.argmin(sums)
        for t in range(frames - 1, -1, -1):
            labels[y, x, t], label = label, back[t, label]
