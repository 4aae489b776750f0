#!/usr/bin/env python3
"""Writes a model as a folder that diffusers loads: a consistency model as a ConsistencyModelPipeline, and a transformer of
latents that says the noise at DDPM's levels as a DiTPipeline.

    scripts/export_diffusers.py runs/digits/cd exported/digits-cd
    python -c 'import diffusers; diffusers.ConsistencyModelPipeline.from_pretrained("exported/digits-cd")'
    scripts/export_diffusers.py runs/dit exported/dit --vae weights/sd-vae-ft-mse

RUN is a run, a checkpoint folder or a weight file; of a run, the average that sampling would choose is taken, unless
--ema names another one. The pipeline computes the same function. A ConsistencyModelPipeline names time points by the same
grid, counted as here (index 0 is the largest noise level), without the index that ends the walk: --indices 0,22,39 is
timesteps=[22, 0]. A DiTPipeline's num_inference_steps=N is --sampler euler --steps N.
"""

import argparse
import json
import pathlib
import shutil
import sys

import dit_pipeline
import weight_file
from safetensors.torch import save_file
from state_dict import InputError

# The first release of diffusers with a ConsistencyModelPipeline.
VERSION = "0.18.0"
DEFAULT_GRID = 40

RES_BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OUTER = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def head_channels(network, widths, attends):
    """diffusers has one width of an attention head for all levels, or one head (None)."""
    if network["head_channels"] is not None:
        return network["head_channels"]
    if network["heads"] == 1:
        return None
    attending = {width for width, attended in zip(widths, attends) if attended} | {widths[-1]}
    if len(attending) > 1:
        raise InputError(
            f"network.heads is {network['heads']} at levels of {sorted(attending)} channels, and diffusers knows one width "
            "of a head for all levels"
        )
    return attending.pop() // network["heads"]


def attending(model):
    """For each level, whether it has self-attention."""
    network, side = model["network"], model["image"]["size"]
    return [side >> level in network["attention_resolutions"] for level in range(len(network["channel_mult"]))]


def unet_config(model):
    network, image, attends = model["network"], model["image"], attending(model)
    widths = [int(network["channels"] * factor) for factor in network["channel_mult"]]
    residual = network["resblock_updown"]
    if widths[0] != network["channels"]:
        raise InputError(
            f"network.channel_mult begins with {network['channel_mult'][0]:g}; diffusers' U-Net takes its time features as "
            "wide as the first level, which is 1 here"
        )
    if not residual and not network["conv_resample"] and len(widths) > 1:
        raise InputError("network.conv_resample is false; diffusers' U-Net resamples by a residual block or a convolution")
    plain = "Resnet{}sampleBlock2D" if residual else "{}Block2D"
    kind = "resnet" if residual else "conv"
    scale_shift = network["scale_shift_norm"] is not False
    return {
        "_class_name": "UNet2DModel",
        "_diffusers_version": VERSION,
        "sample_size": image["size"],
        "in_channels": image["channels"],
        "out_channels": image["channels"],
        "num_class_embeds": image["classes"] or None,
        "block_out_channels": widths,
        "layers_per_block": network["res_blocks"],
        "down_block_types": ["AttnDownBlock2D" if attended else plain.format("Down") for attended in attends],
        "up_block_types": ["AttnUpBlock2D" if attended else plain.format("Up") for attended in reversed(attends)],
        "downsample_type": kind,
        "upsample_type": kind,
        "attention_head_dim": head_channels(network, widths, attends),
        "attn_norm_num_groups": 32,
        "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
        "dropout": network["dropout"],
    }


def scheduler_config(model):
    sigma = model["sigma"]
    return {
        "_class_name": "CMStochasticIterativeScheduler",
        "_diffusers_version": VERSION,
        "num_train_timesteps": model["sampling"]["grid"] or DEFAULT_GRID,
        "sigma_min": sigma["min"],
        "sigma_max": sigma["max"],
        "sigma_data": sigma["data"],
        "rho": sigma["rho"],
        "s_noise": 1.0,
        "clip_denoised": True,
    }


def res_block(our, their):
    return {f"{our}.{ours}": f"{their}.{theirs}" for ours, theirs in RES_BLOCK.items()}


def attention(our, their):
    return {f"{our}.norm": f"{their}.group_norm", f"{our}.qkv": their, f"{our}.proj_out": f"{their}.to_out.0"}


def resampling(our, their):
    return res_block(our, their) | {f"{our}.op": f"{their}.conv", f"{our}.conv": f"{their}.conv"}


def layers(network, attends):
    """{our layer: theirs}; a network has some of them. qkv stands for three of theirs, in the module named."""
    levels, blocks = len(attends), network["res_blocks"] + 1
    found = OUTER | res_block("middle_block.0", "mid_block.resnets.0") | res_block("middle_block.2", "mid_block.resnets.1")
    found |= attention("middle_block.1", "mid_block.attentions.0")
    for level in range(levels):
        down, up = f"down_blocks.{level}", f"up_blocks.{level}"  # up_blocks begin at the deepest level
        first_in, first_out = level * blocks + 1, level * blocks
        for i in range(blocks - 1):
            found |= res_block(f"input_blocks.{first_in + i}.0", f"{down}.resnets.{i}")
            found |= attention(f"input_blocks.{first_in + i}.1", f"{down}.attentions.{i}")
        found |= resampling(f"input_blocks.{first_in + blocks - 1}.0", f"{down}.downsamplers.0")
        for i in range(blocks):
            found |= res_block(f"output_blocks.{first_out + i}.0", f"{up}.resnets.{i}")
            found |= attention(f"output_blocks.{first_out + i}.1", f"{up}.attentions.{i}")
        place = 2 if attends[levels - 1 - level] else 1
        found |= resampling(f"output_blocks.{first_out + blocks - 1}.{place}", f"{up}.upsamplers.0")
    return found


def exported(model, tensors):
    """The tensors under diffusers' names; 1x1 convolutions of attention are linear layers there."""
    their_layer = layers(model["network"], attending(model))
    found = {}
    for name, tensor in tensors.items():
        layer, part = name.rsplit(".", 1)
        their = their_layer[layer]
        flat = tensor.flatten(1) if part == "weight" and layer.endswith((".qkv", ".proj_out")) else tensor
        if layer.endswith(".qkv"):
            found |= {f"{their}.to_{letter}.{part}": third.clone() for letter, third in zip("qkv", flat.chunk(3))}
        else:
            found[f"{their}.{part}"] = flat.contiguous()
    return found


def check(source, model):
    if not {"sigma", "sampling"} <= model.keys() or "second_time" not in model.get("network", {}):
        raise InputError(
            f"{source}: does not say all of its network and noise levels, as converted files do not; export a run, or a "
            "file of its checkpoints"
        )
    architecture = model["network"]["architecture"]
    if architecture == "dit":
        dit_pipeline.check(source, model)
    elif architecture == "adm":
        check_unet(source, model)
    else:
        raise InputError(f"{source}: diffusers has the ADM U-Net and DiT; this network is {architecture}")


def check_unet(source, model):
    if model["network"].get("double_norm"):
        raise InputError(f"{source}: its network has double_norm, which diffusers' U-Net has not")
    if model.get("latents"):
        raise InputError(f"{source}: is a model of latents; diffusers' ConsistencyModelPipeline makes pixels")
    if model["parameterization"] != "skip":
        raise InputError(
            f"{source}: is parameterized as {model['parameterization']}; diffusers' ConsistencyModelPipeline has the skip "
            "parameterization of consistency models only"
        )


def write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_consistency_pipeline(folder, model, tensors):
    for part in ("unet", "scheduler"):
        (folder / part).mkdir(parents=True)
    write_json(folder / "unet" / "config.json", unet_config(model))
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config(model))
    index = {
        "_class_name": "ConsistencyModelPipeline",
        "_diffusers_version": VERSION,
        "scheduler": ["diffusers", "CMStochasticIterativeScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(folder / "model_index.json", index)
    save_file(exported(model, tensors), folder / "unet" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    return "a ConsistencyModelPipeline"


def write_pipeline(folder, source, model, tensors, vae):
    if model["network"]["architecture"] == "dit":
        return dit_pipeline.write(folder, source, model, tensors, vae, write_json)
    if vae is not None:
        raise InputError(f"--vae: {source} is a model of pixels, which makes images itself; leave it out")
    return write_consistency_pipeline(folder, model, tensors)


def export(arguments):
    if arguments.out.exists() and not arguments.force:
        raise InputError(f"{arguments.out}: exists already; --force writes over it")
    source = weight_file.resolve(arguments.run, arguments.ema)
    model, tensors = weight_file.load(source)
    check(source, model)
    partial = arguments.out.with_name(arguments.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    made = write_pipeline(partial, source, model, tensors, arguments.vae)
    if arguments.out.exists():
        shutil.rmtree(arguments.out)
    partial.rename(arguments.out)
    print(f"{arguments.out}: {source} as {made}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=pathlib.Path, help="a run, a checkpoint folder or a weight file")
    parser.add_argument("out", metavar="OUT", type=pathlib.Path, help="the pipeline's folder")
    parser.add_argument("--ema", type=float, help="the evaluation average; 0: the trained weights")
    parser.add_argument("--vae", type=pathlib.Path, help="of a model of latents: the folder of their VAE, which goes along")
    parser.add_argument("--force", action="store_true", help="write over OUT")
    arguments = parser.parse_args()
    try:
        export(arguments)
    except InputError as error:
        print(f"export_diffusers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
