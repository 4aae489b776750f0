#!/usr/bin/env python3
"""Converts weights of other implementations to this framework's files, and back.

    scripts/convert_checkpoint.py cd_imagenet64_lpips.pt weights/cd_imagenet64.safetensors
    scripts/convert_checkpoint.py ema_0.9999_100000.pt OUT.safetensors --kind edm --image-size 32 --head-channels 64
    scripts/convert_checkpoint.py edm-cifar10-32x32-uncond-vp.pkl OUT.safetensors --kind edm --code path/to/edm
    scripts/convert_checkpoint.py edm2-img64-s-1073741-0.075.pkl OUT.safetensors --kind edm --code path/to/edm2
    scripts/convert_checkpoint.py network-snapshot-latest.pkl OUT.safetensors --kind ect --code path/to/ect
    scripts/convert_checkpoint.py SiT-XL-2-256x256.pt OUT.safetensors --kind sit
    scripts/convert_checkpoint.py DiT-XL-2-256x256.pt OUT.safetensors --kind dit
    scripts/convert_checkpoint.py runs/mine OUT.pt

IN is a state dict of the official release of consistency models (.pt, its ADM U-Net), one of EDM's DDPM++ and NCSN++
networks or EDM2's, or of ECT's, which are these (.pt with its state dict, or the published .pkl, which needs their code: --code), one of DiT's or SiT's
transformer (.pt, or a checkpoint of their training, of which the average is taken), or, the other way round, a run,
checkpoint or weight file of this framework.

The network is told from the names and shapes of the weights. What these cannot tell, the side of ADM's images and its
attention heads, comes from --preset (configs/presets.json has the release's networks) or from --image-size and
--head-channels. For the release's published files both the preset and the kind follow from the file's name. `cm-info OUT`
says what was made of it, or the first tensors that do not fit the preset.
"""

import argparse
import collections
import json
import pathlib
import pickle
import re
import sys

import torch
import weight_file
from state_dict import InputError, read_state_dict, written

PRESETS = pathlib.Path(__file__).resolve().parent.parent / "configs" / "presets.json"
PUBLISHED = re.compile(r"(edm|cd|ct)_(imagenet64|bedroom256|cat256)")
PARAMETERIZATION = {"edm": "edm", "cd": "skip", "ct": "skip", "ect": "skip", "sit": "linear_diffusion", "dit": "vp_diffusion"}
ADM = "time_embed.0.weight"
SONG = "map_layer0.weight"
EDM2 = "emb_noise.weight"
DIT = "x_embedder.proj.weight"
DIT_POSITIONS = "pos_embed"
DIT_TIME = "t_embedder.mlp.0.weight"
DIT_ANSWER = ("final_layer.linear.weight", "final_layer.linear.bias")
DIT_LABELS = "y_embedder.embedding_table.weight"
LATENT_CHANNELS = 4  # of Stable Diffusion's VAE: a published network of so many is one of its latents
EDM2_LATENTS = {"pixels": "unit", "mean": [5.81, 3.25, 0.12, -2.15], "std": [4.17, 4.62, 3.71, 3.28], "scale": 0.5}
DIT_LATENTS = {"pixels": "symmetric", "scale": 0.18215}
DDPM_SIGMA = {"min": 0.01000050003749898, "max": 157.40728081040757, "data": 1}  # cm/diffusion/ddpm_levels.h: at times 0 and 999
DIT_LABEL_DROPOUT = 0.1  # as published; the table's last row is what the null class learned


def unpickled(path, code):
    """EDM's and EDM2's published files hold pickled modules, whose code must be at hand; unpickling runs it."""
    if code is None:
        raise InputError(f"{path}: holds pickled modules; name a checkout of the code that wrote it with --code (it will be run)")
    sys.path.insert(0, str(code))
    try:
        with open(path, "rb") as file:
            content = pickle.load(file)
        module = content["ema"] if isinstance(content, dict) else content
        return module.state_dict()
    except ImportError as error:
        raise InputError(f"--code {code}: does not have what {path} needs ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # whatever a foreign or damaged file makes the unpickler, or the code, raise
        raise InputError(f"{path}: not a file that EDM's or EDM2's code wrote, or a damaged one ({type(error).__name__})") from error


def state_dict(path, code):
    content = unpickled(path, code) if path.suffix == ".pkl" else read_state_dict(path)
    if isinstance(content.get("ema"), dict):
        content = content["ema"]
    tensors = {}
    for name, tensor in content.items():
        plain = isinstance(name, str) and isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        if not plain or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise InputError(f"{path}: {name} is no tensor of numbers; a plain state dict is needed")
        tensors[name.removeprefix("module.").removeprefix("model.").removeprefix("unet.")] = tensor.float()
    if not tensors:
        raise InputError(f"{path}: not a state dict")
    return tensors


def from_release(tensors):
    """Its attention layers may be 1-D convolutions, as in the code that it grew from."""
    flat = re.compile(r"\.(qkv|proj_out)\.weight$")
    return {name: t.unsqueeze(-1) if flat.search(name) and t.dim() == 3 else t for name, t in tensors.items()}


def by_thirds(tensor):
    """EDM orders qkv's output (head, channel, q|k|v); we order it (q|k|v, head, channel)."""
    return tensor.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)


def from_edm(tensors):
    """Without the filters, which are constants, and what training alone needs: the inputs of its augmentation, which are
    0 in sampling, and the uncertainty of EDM2's loss."""
    kept = {}
    for name, tensor in tensors.items():
        if name.endswith(".resample_filter") or name.startswith(("map_augment.", "logvar_")):
            continue
        kept[name] = by_thirds(tensor) if "qkv." in name else tensor
    return kept


def dit_positions(side, width):
    """[side · side, width]: of a token's column, then of its row, the sines and then the cosines of width / 4 frequencies."""
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angles = torch.outer(torch.arange(side, dtype=torch.float64), frequencies)
    axis = torch.cat([angles.sin(), angles.cos()], 1)
    of_column = axis.unsqueeze(0).expand(side, side, -1)
    of_row = axis.unsqueeze(1).expand(side, side, -1)
    return torch.cat([of_column, of_row], 2).float().flatten(0, 1)


def dit_side(path, tensors):
    """The side of the images in pixels, which the fixed positions of their tokens tell; None without these. They are computed
    here, so that others than those that follow from the size are refused."""
    positions = tensors.get(DIT_POSITIONS)
    if positions is None:
        return None
    width, patch = tensors[DIT].shape[0], tensors[DIT].shape[-1]
    side = round(positions.numel() ** 0.5 / width**0.5)
    whole = width % 4 == 0 and positions.numel() == side * side * width
    if not whole or not torch.allclose(positions.reshape(-1, width), dit_positions(side, width), rtol=0, atol=1e-5):
        raise InputError(f"{path}: {DIT_POSITIONS} is not DiT's fixed one, the only one that is supported (sines and cosines of row and column)")
    return side * patch


def dit_model(arguments, tensors):
    model = {"network": {}}
    if arguments.heads is not None:
        model["network"]["heads"] = arguments.heads
    if arguments.head_channels is not None:
        width = tensors[DIT].shape[0]
        if arguments.head_channels < 1 or width % arguments.head_channels != 0:
            raise InputError(f"--head-channels {arguments.head_channels}: must divide the width of a token ({width})")
        model["network"]["heads"] = width // arguments.head_channels
    side = dit_side(arguments.input, tensors) or arguments.image_size
    if side is None:
        raise InputError(f"{arguments.input}: has no {DIT_POSITIONS} that would tell the side of the images; give --image-size")
    model["image"] = {"size": side}
    if DIT_LABELS in tensors:
        model["label_dropout"] = DIT_LABEL_DROPOUT
    return model


def preset_named(name):
    presets = json.loads(PRESETS.read_text())
    if name not in presets:
        raise InputError(f"--preset must be one of {{{', '.join(presets)}}}, got '{name}'")
    return presets[name]


def ect_levels(path, tensors):
    """The noise levels that ECT's code samples with: with EDM2's network it subtracts no smallest one."""
    if SONG in tensors:
        return {"sigma": {"min": 0.003}, "sampling": {"sigmas": [80.0, 0.821], "full_noise": True}}
    if EDM2 in tensors:
        return {"sigma": {"min": 1e-9}, "sampling": {"sigmas": [80.0, 1.526], "full_noise": True}}
    raise InputError(f"{path}: is none of ECT's networks, which are EDM's DDPM++ and NCSN++, and EDM2's; --kind ect is for these")


def sampling_of(preset, kind):
    """The published time points of two steps, and the grid that they are counted on."""
    points = preset["sampling"].get(kind)
    if points is None:
        return {}
    return {
        "grid": points["grid"],
        "sigmas": [weight_file.karras_sigma(index, points["grid"]) for index in points["indices"]],
    }


def given_heads(arguments):
    heads = {"heads": arguments.heads, "head_channels": arguments.head_channels}
    return {key: value for key, value in heads.items() if value is not None}


def latents_of(tensors):
    """How the latents of a network of latents are normalised, as published; {} for one of pixels."""
    if EDM2 in tensors and tensors["out_conv.weight"].shape[0] == LATENT_CHANNELS:
        return {"latents": EDM2_LATENTS}
    if DIT in tensors and tensors[DIT].shape[1] == LATENT_CHANNELS:
        return {"latents": DIT_LATENTS}
    return {}


def model_of(arguments, tensors):
    """The metadata: all of a preset's network, or what the weights cannot tell."""
    model = {"parameterization": PARAMETERIZATION[arguments.kind]}
    if arguments.preset is not None:
        preset = preset_named(arguments.preset)
        model |= {"network": preset["network"], "image": preset["image"], "sampling": sampling_of(preset, arguments.kind)}
    elif SONG in tensors:
        model |= {"network": {}}
    elif EDM2 in tensors:
        model |= {"network": given_heads(arguments)}
    elif DIT in tensors:
        model |= dit_model(arguments, tensors)
    elif arguments.image_size is None:
        raise InputError("the side of the images is not in the weights: give --preset, or --image-size")
    else:
        model |= {"network": given_heads(arguments), "image": {"size": arguments.image_size}}
    if arguments.kind == "ect":
        model |= ect_levels(arguments.input, tensors)
    if arguments.kind == "dit":
        model |= {"sigma": DDPM_SIGMA}
    return model | latents_of(tensors)


def check_transformer(path, tensors, kind):
    """SiT's and DiT's have the same names."""
    missing = [name for name in (DIT, DIT_TIME, *DIT_ANSWER) if name not in tensors]
    if missing:
        raise InputError(f"{path}: is no transformer of SiT's or DiT's, which has {missing[0]}; --kind {kind} is for these")


def check_known(path, tensors):
    if "out_norm.weight" in tensors:
        raise InputError(f"{path}: is EDM's ADM network; of EDM's networks DDPM++ and NCSN++ are supported, and EDM2's")
    known = (ADM, SONG, EDM2, DIT)
    if not any(name in tensors for name in known):
        first = ", ".join(list(tensors)[:3])
        raise InputError(f"{path}: weights of no network that is known here (none of {', '.join(known)}; it begins {first})")


def from_sit(tensors):
    """SiT's times are noise at 0 and images at 1, and it says the velocity from noise to images: both the other way round here.
    What its first layer sees of 1 - t, cosines and then sines, is a rotation of what it sees of t, whatever t is."""
    turned = dict(tensors)
    cosines, sines = tensors[DIT_TIME].double().chunk(2, 1)
    count = cosines.shape[1]
    angles = 10000.0 ** -(torch.arange(count, dtype=torch.float64) / count)
    cos, sin = angles.cos(), angles.sin()
    turned[DIT_TIME] = torch.cat([cosines * cos + sines * sin, cosines * sin - sines * cos], 1).float()
    for name in DIT_ANSWER:
        turned[name] = -tensors[name]
    return turned


def ours(tensors, kind):
    if ADM in tensors:
        return from_release(tensors)
    if DIT in tensors:
        kept = {name: tensor for name, tensor in tensors.items() if name != DIT_POSITIONS}
        return from_sit(kept) if kind == "sit" else kept
    return from_edm(tensors)


def convert(arguments):
    published = PUBLISHED.match(arguments.input.name)
    if published and arguments.preset is None and arguments.image_size is None:
        arguments.preset = published[2]
    if arguments.kind is None:
        if not published:
            raise InputError("--kind is needed: edm (a diffusion model), cd or ct (a consistency model), ect (one of ECT's code), sit (SiT's velocity), dit (DiT's noise)")
        arguments.kind = published[1]
    tensors = state_dict(arguments.input, arguments.code)
    check_known(arguments.input, tensors)
    if arguments.kind in ("sit", "dit"):
        check_transformer(arguments.input, tensors, arguments.kind)
    model = model_of(arguments, tensors)
    weight_file.save(arguments.output, model, ours(tensors, arguments.kind))
    print(f"{arguments.output}: {len(tensors)} tensors of {arguments.input}; cm-info {arguments.output} shows the network")


def convert_back(arguments):
    source = weight_file.resolve(arguments.input, arguments.ema)
    model, tensors = weight_file.load(source)
    if model["network"].get("architecture", "adm") != "adm":
        raise InputError(f"{source}: the release has the ADM U-Net only; this is {model['network']['architecture']}")
    with written(arguments.output) as partial:
        torch.save(collections.OrderedDict(tensors), partial)
    print(f"{arguments.output}: {len(tensors)} tensors of {source} as a state dict of the release's")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="IN", type=pathlib.Path)
    parser.add_argument("output", metavar="OUT", type=pathlib.Path, help=".safetensors, or .pt for the way back")
    parser.add_argument("--preset", help="one of the networks of configs/presets.json")
    parser.add_argument("--kind", choices=list(PARAMETERIZATION), help="what the weights are a model of")
    parser.add_argument("--image-size", type=int, help="side of the images in pixels, where neither a preset nor the weights tell")
    heads = parser.add_mutually_exclusive_group()
    heads.add_argument("--head-channels", type=int, help="channels of an attention head, where there is no preset (EDM2: 64; DiT: 64, XL 72)")
    heads.add_argument("--heads", type=int, help="attention heads, instead of --head-channels (default: 1)")
    parser.add_argument("--code", type=pathlib.Path, help="a checkout of EDM's, EDM2's or ECT's code, for its .pkl files")
    parser.add_argument("--ema", type=float, help="way back: the evaluation average; 0: the trained weights")
    parser.add_argument("--force", action="store_true", help="write over OUT")
    return parser.parse_args()


def main():
    arguments = parsed()
    try:
        if not arguments.input.exists():
            raise InputError(f"{arguments.input}: no such file or folder")
        if arguments.output.exists() and not arguments.force:
            raise InputError(f"{arguments.output}: exists already; --force writes over it")
        if arguments.output.suffix == ".pt":
            convert_back(arguments)
        else:
            convert(arguments)
    except InputError as error:
        print(f"convert_checkpoint: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
