"""Integer nets in NNCodec, Fraunhofer's coder of ISO/IEC 15938-17 (DeepCABAC), where it is installed.

Its package wants PyTorch and more, for networks in their formats; what codes tensors needs NumPy alone, so
`pip install --no-deps nncodec` is enough, with a C++ compiler.
"""

from __future__ import annotations

import importlib.util
from itertools import product

import numpy as np

from stdo_min.format.net import Net

INSTALL = "pip install --no-deps nncodec"
FLAGS = 1, 4, 11  # greater-than flags of a weight before Golomb codes; 11 is NNCodec's own choice


def installed() -> bool:
    """Whether NNCodec can be imported."""
    return importlib.util.find_spec("nncodec") is not None


def tensors(net: Net) -> dict[str, np.ndarray]:
    """All numbers of a net but its shifts, as PyTorch has them: weights (out, in, k, k), biases, multipliers; int32."""
    return {f"{number}.{name}": np.ascontiguousarray(array, np.int32) for number, layer in enumerate(net.layers)
            for name, array in (("weight", layer.weight.transpose(0, 3, 1, 2)), ("bias", layer.bias),
                                ("scale", layer.multiplier))}


def file(arrays: dict[str, np.ndarray], flags: int, qp: int = -32, other_qp: int = -75) -> bytes:
    """NNCodec's whole file of some tensors, by its own steps (`nncodec.nnc.compress`); int32 tensors lose nothing.

    float32 tensors are quantised (dependent quantisation): weights of two axes and more at `qp`, others at `other_qp`.
    """
    from nncodec import nnc_core
    from nncodec.nnc_core import approximator, coder

    model = nnc_core.nnr_model.NNRModel(arrays)
    data = approximator.init_approx_data(arrays, model.model_info, qp_density=2, scan_order=0)
    info = approximator.ApproxInfo(data, model.model_info, "uniform", 0, qp, False, False, flags, 0,
                                   nonweight_qp=other_qp, qp_per_tensor=None, int_quant_bw=None).approx_info
    settings = {"cabac_unary_length_minus1": flags - 1, "param_opt_flag": True, "partial_data_counter": 0,
                "general_profile_idc": 1, "node_id_present_flag": 1, "device_id": 0,
                "mps_parent_signalling_enabled_flag": 0, "parent_node_id_present_flag": 0,
                "temporal_context_modeling_flag": 0, "row_skip_enabled_flag": 1, "pre_signalling": 0}
    coded = approximator.approx(info, model.model_info, data, settings)
    return bytes(coder.encode(enc_info=settings, model_info=model.model_info, approx_data=coded)[0])


def decoded(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a file."""
    from nncodec.nnc_core import approximator, coder

    performance = {f"{unit}_{flag}": {} for unit in ("mps", "lps") for flag in (
        "sparsification_flag", "pruning_flag", "unification_flag", "decomposition_performance_map_flag")}
    info = {"parameter_type": {}, "parameter_dimensions": {}, "parameter_index": {}, "block_identifier": {},
            "topology_storage_format": None, "topology_compression_format": None,
            "performance_maps": {"mps": {}, "lps": {}}, "performance_map_flags": performance}
    found = coder.decode(bytearray(data), info, hls_stats={}, oob_dict={}, approx_param_base=None,
                         update_base_param=False, return_hls=False, tool_if=None)
    approximator.rec(found)
    return approximator.recompose_params(info, found)["parameters"]


def payload(array: np.ndarray) -> int:
    """Bytes of one int32 tensor by its coder alone, no header counted, with the options that are best for it."""
    from nncodec.extensions.deepCABAC import Encoder, HdspMode

    empty = np.array([row.ndim > 0 and not row.any() for row in array], np.int32)
    least = None
    for flags, optimised, skip in product(FLAGS, (0, 1), (0, 1)):
        encoder = Encoder()
        encoder.initCtxModels(flags, optimised)
        encoder.encodeLayer(array, 0, 0, 1, 0, skip, empty, HdspMode.AlwaysOff, np.zeros(2, np.int8), 0, 0)
        size = len(encoder.finish())
        least = size if least is None else min(least, size)
    return least


def measure(net: Net) -> dict[str, int]:
    """Bytes of a net: `nnc` of NNCodec's file at the best of FLAGS, `nnc_coder` without the headers of its units."""
    arrays = tensors(net)
    return {"nnc": min(len(file(arrays, flags)) for flags in FLAGS),
            "nnc_coder": sum(payload(array) for array in arrays.values())}
