#!/usr/bin/env python3
"""Converts weights of other implementations to this framework's files, and back.

    scripts/convert_checkpoint.py cd_imagenet64_lpips.pt weights/cd_imagenet64.safetensors
    scripts/convert_checkpoint.py ema_0.9999_100000.pt OUT.safetensors --kind edm --image-size 32 --head-channels 64
    scripts/convert_checkpoint.py edm-cifar10-32x32-uncond-vp.pkl OUT.safetensors --kind edm --code path/to/edm
    scripts/convert_checkpoint.py edm2-img64-s-1073741-0.075.pkl OUT.safetensors --kind edm --code path/to/edm2
    scripts/convert_checkpoint.py runs/mine OUT.pt

IN is a state dict of the official release of consistency models (.pt, its ADM U-Net), one of EDM's DDPM++ and NCSN++
networks or EDM2's (.pt with its state dict, or the published .pkl, which needs their code: --code), or, the other way
round, a run, checkpoint or weight file of this framework.

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
PARAMETERIZATION = {"edm": "edm", "cd": "skip", "ct": "skip"}
ADM = "time_embed.0.weight"
SONG = "map_layer0.weight"
EDM2 = "emb_noise.weight"


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


def preset_named(name):
    presets = json.loads(PRESETS.read_text())
    if name not in presets:
        raise InputError(f"--preset must be one of {{{', '.join(presets)}}}, got '{name}'")
    return presets[name]


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
    elif arguments.image_size is None:
        raise InputError("the side of the images is not in the weights: give --preset, or --image-size")
    else:
        model |= {"network": given_heads(arguments), "image": {"size": arguments.image_size}}
    return model


def check_known(path, tensors):
    if "out_norm.weight" in tensors:
        raise InputError(f"{path}: is EDM's ADM network; of EDM's networks DDPM++ and NCSN++ are supported, and EDM2's")
    known = (ADM, SONG, EDM2)
    if not any(name in tensors for name in known):
        first = ", ".join(list(tensors)[:3])
        raise InputError(f"{path}: weights of no network that is known here (none of {', '.join(known)}; it begins {first})")


def convert(arguments):
    published = PUBLISHED.match(arguments.input.name)
    if published and arguments.preset is None and arguments.image_size is None:
        arguments.preset = published[2]
    if arguments.kind is None:
        if not published:
            raise InputError("--kind is needed: edm (a diffusion model), cd or ct (a consistency model)")
        arguments.kind = published[1]
    tensors = state_dict(arguments.input, arguments.code)
    check_known(arguments.input, tensors)
    model = model_of(arguments, tensors)
    weight_file.save(arguments.output, model, from_release(tensors) if ADM in tensors else from_edm(tensors))
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
    parser.add_argument("--image-size", type=int, help="side of the images in pixels, where there is no preset")
    heads = parser.add_mutually_exclusive_group()
    heads.add_argument("--head-channels", type=int, help="channels of an attention head, where there is no preset (EDM2: 64)")
    heads.add_argument("--heads", type=int, help="attention heads, instead of --head-channels (default: 1)")
    parser.add_argument("--code", type=pathlib.Path, help="a checkout of EDM's or EDM2's code, for its .pkl files")
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
