"""Patches: the fixed grid over an lr frame, and cutting patches out with the halo around them."""

from __future__ import annotations

import numpy as np

from stdo_min._stdo import ffi, lib


def grid(height: int, width: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """The top left corners (ys, xs), int64 (rows*columns,) each, of the patches of a plane, row by row.

    The patches of the last row and column may reach over the edge. Raises ValueError where the plane is smaller than
    one patch.
    """
    if patch < 1 or height < patch or width < patch:
        raise ValueError(f"a {width}x{height} plane is smaller than one {patch}x{patch} patch")
    ys, xs = np.meshgrid(np.arange(0, height, patch), np.arange(0, width, patch), indexing="ij")
    return ys.ravel(), xs.ravel()


def cut(plane: np.ndarray, ys: np.ndarray, xs: np.ndarray, side: int, halo: int = 0) -> np.ndarray:
    """The patches of `side` x `side` pixels at (ys, xs) of a plane (H, W), with `halo` pixels more on each side.

    Returns (N, side + 2*halo, side + 2*halo) of the plane's dtype; positions outside the plane take its nearest pixel.
    """
    offsets = np.arange(-halo, side + halo)
    rows = np.clip(ys[:, None] + offsets, 0, plane.shape[0] - 1)
    columns = np.clip(xs[:, None] + offsets, 0, plane.shape[1] - 1)
    return plane[rows[:, :, None], columns[:, None, :]]


def cut_residuals(lr: np.ndarray, hr: np.ndarray, ys: np.ndarray, xs: np.ndarray, places: np.ndarray, patch: int,
                  halo: int, scale: int, out_lr: np.ndarray, out_residual: np.ndarray) -> np.ndarray:
    """Cut patches out of the luma of an lr frame and of its source, and what the base lacks of the source.

    lr: uint8 (h, w). hr: uint8, up to (h*scale, w*scale); its edge goes on where it is smaller. ys, xs: int64 (n,), top
    left corners of patches that lie wholly inside. places: int64 (n,), the slot of each in the outputs. out_lr: uint8
    (slots, patch + 2*halo, patch + 2*halo), gets the patches; outside the frame its nearest pixel counts. out_residual:
    int16 (slots, patch, patch, scale^2), gets 64*hr + 32 - base, unshuffled: what the arithmetic of FORMAT.md turns
    into hr exactly. Returns the mean squared error of each under the base, float64 (n,), in grey levels squared. Raises
    ValueError for arguments that do not fit. Other threads may work meanwhile, on other slots.
    """
    _check(lr, hr, scale, ys, xs, places, out_lr, (patch + 2 * halo,) * 2, out_residual, (patch, patch, scale * scale))
    lr, hr = (plane if plane.strides[1] == 1 else np.ascontiguousarray(plane) for plane in (lr, hr))
    errors, corners = np.empty(len(places)), [np.ascontiguousarray(array, np.int64) for array in (xs, ys, places)]
    pair = ffi.new("stdo_pair *", (_pointer("uint8_t *", lr), _pointer("uint8_t *", hr), lr.strides[0], hr.strides[0],
                                   lr.shape[1], lr.shape[0], hr.shape[1], hr.shape[0], scale))
    at = ffi.new("stdo_corners *", (*(_pointer("int64_t *", array) for array in corners), len(places), patch, halo))
    out = ffi.new("stdo_cut *", (_pointer("uint8_t *", out_lr), _pointer("int16_t *", out_residual),
                                 _pointer("double *", errors)))
    if lib.stdo_cut_patches(pair, at, out) != lib.STDO_OK:
        raise ValueError(f"{len(places)} patches of {patch}x{patch} with corners up to ({max(ys)}, {max(xs)}) at scale "
                         f"{scale} and with a halo of {halo}; they must lie inside the frame of shape {lr.shape}, with "
                         "sides of 1..128, a halo up to 128 and a scale of 1..4")
    return errors


def _pointer(kind, array):
    return ffi.cast(kind, array.ctypes.data)


def _check(lr, hr, scale, ys, xs, places, *outputs):
    if lr.dtype != np.uint8 or hr.dtype != np.uint8 or lr.ndim != 2 or hr.ndim != 2 or 0 in (*lr.shape, *hr.shape):
        raise ValueError(f"planes are {lr.dtype} {lr.shape} and {hr.dtype} {hr.shape}; they must be uint8 (h, w)")
    if hr.shape[0] > lr.shape[0] * scale or hr.shape[1] > lr.shape[1] * scale:
        raise ValueError(f"hr has shape {hr.shape}, more than lr's {lr.shape} times {scale}")
    if not len(ys) == len(xs) == len(places):
        raise ValueError(f"{len(ys)} ys, {len(xs)} xs and {len(places)} places; there must be as many of each")
    for array, shape, dtype in zip(outputs[::2], outputs[1::2], (np.uint8, np.int16), strict=True):
        if array.dtype != dtype or array.shape[1:] != shape or not array.flags.c_contiguous:
            raise ValueError(f"an output is {array.dtype} {array.shape}; it must be contiguous {dtype.__name__} "
                             f"(slots, {', '.join(map(str, shape))})")
        if len(places) and not 0 <= np.min(places) <= np.max(places) < len(array):
            raise ValueError(f"places are {np.min(places)}..{np.max(places)}; they must be 0..{len(array) - 1}")
