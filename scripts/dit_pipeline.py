"""A model of ours as the folder of diffusers' DiTPipeline, for export_diffusers.py.

The pipeline walks by DDIM down DDPM's levels, asks DiTTransformer2DModel for the noise, and decodes what comes out by its VAE;
so it can hold what computes the same: a transformer with model.diffusers, in the parameterization vp_diffusion, on latents
that are scaled alone. cm/training/diffusers_folder.h reads such folders.
"""

import hashlib
import json
import shutil

from safetensors.torch import save_file
from state_dict import InputError

# The first release of diffusers with a DiTTransformer2DModel.
VERSION = "0.29.0"
MLP_RATIO = 4  # of diffusers' blocks
GUIDED_CLASSES = 1000  # the pipeline takes the row after these for the null class
WEIGHTS = "diffusion_pytorch_model.safetensors"

# Of ours, what diffusers has once, in every block, and by blocks.
OUTER = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
EMBEDDINGS = {
    "t_embedder.mlp.0": "norm1.emb.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "norm1.emb.timestep_embedder.linear_2",
    "y_embedder.embedding_table": "norm1.emb.class_embedder.embedding_table",
}
BLOCK = {
    "adaLN_modulation.1": "norm1.linear",
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}


def check(source, model):
    network, latents = model["network"], model.get("latents")
    if model["parameterization"] != "vp_diffusion":
        raise InputError(
            f"{source}: is parameterized as {model['parameterization']}; diffusers' DiTPipeline samples by the noise that a "
            "network says at DDPM's levels (vp_diffusion) only"
        )
    if not network.get("diffusers"):
        raise InputError(
            f"{source}: its network computes what DiT's code does, and diffusers' takes other features of the time, from which "
            "it would make other images; train one with model.diffusers=true"
        )
    if network["mlp_ratio"] != MLP_RATIO:
        raise InputError(f"{source}: network.mlp_ratio is {network['mlp_ratio']:g}; diffusers' blocks have {MLP_RATIO}")
    if model["image"]["classes"] == 0:
        raise InputError(f"{source}: knows no classes, and diffusers' DiTPipeline asks for one; train with data.labels=true")
    if latents is None:
        raise InputError(f"{source}: is a model of pixels; diffusers' DiTPipeline makes images of latents by its VAE")
    if latents["pixels"] != "symmetric":
        raise InputError(f"{source}: its VAE is told pixels from 0 to 1 (latents.pixels: unit), and by diffusers from -1 to 1")
    for key, neutral in (("mean", 0), ("std", 1)):
        if any(number != neutral for number in latents[key]):
            raise InputError(f"{source}: its latents have a {key} of their own (latents.{key}); diffusers' DiTPipeline scales latents alone")


def vae_of(source, model, vae):
    """(the VAE's config with the scale of the model's latents, its weights' file); InputError for another VAE than theirs."""
    if vae is None:
        raise InputError(f"{source}: is a model of latents, and diffusers' DiTPipeline holds their VAE; name its folder by --vae")
    vae = vae / "vae" if (vae / "vae").is_dir() else vae
    missing = [name for name in ("config.json", WEIGHTS) if not (vae / name).is_file()]
    if missing:
        raise InputError(f"--vae {vae}: holds no {missing[0]}; expected the folder of diffusers' AutoencoderKL")
    config = json.loads((vae / "config.json").read_text())
    if config.get("latent_channels", 4) != model["image"]["channels"]:
        raise InputError(
            f"--vae {vae}: is a VAE of latents of {config.get('latent_channels', 4)} channels, but those of {source} have "
            f"{model['image']['channels']}"
        )
    known, actual = model["latents"]["vae_hash"], hashlib.sha256((vae / WEIGHTS).read_bytes()).hexdigest()
    if known not in ("", actual):
        raise InputError(f"--vae {vae}: is another VAE (SHA-256 {actual[:12]}…) than that of {source} ({known[:12]}…)")
    return config | {"scaling_factor": model["latents"]["scale"]}, vae / WEIGHTS


def transformer_config(model):
    network, image = model["network"], model["image"]
    return {
        "_class_name": "DiTTransformer2DModel",
        "_diffusers_version": VERSION,
        "num_attention_heads": network["heads"],
        "attention_head_dim": network["width"] // network["heads"],
        "in_channels": image["channels"],
        "out_channels": image["channels"] * (2 if network["learned_variance"] else 1),
        "num_layers": network["depth"],
        "dropout": 0.0,
        "norm_num_groups": 32,
        "attention_bias": True,
        "sample_size": image["size"],
        "patch_size": network["patch"],
        "activation_fn": "gelu-approximate",
        "num_embeds_ada_norm": image["classes"],
        "upcast_attention": False,
        "norm_type": "ada_norm_zero",
        "norm_elementwise_affine": False,
        "norm_eps": 1e-5,
    }


SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": VERSION,
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "prediction_type": "epsilon",
    "thresholding": False,
    "timestep_spacing": "leading",
    "rescale_betas_zero_snr": False,
}


def exported(model, tensors):
    """The tensors under diffusers' names, the embeddings once in every block."""
    depth, found = model["network"]["depth"], {}
    for name, tensor in tensors.items():
        layer, part = name.rsplit(".", 1)
        if layer in OUTER:
            found[f"{OUTER[layer]}.{part}"] = tensor
        elif layer in EMBEDDINGS:
            found |= {f"transformer_blocks.{i}.{EMBEDDINGS[layer]}.{part}": tensor.clone() for i in range(depth)}
        else:
            _, block, inner = layer.split(".", 2)
            their = f"transformer_blocks.{block}"
            if inner == "attn.qkv":
                found |= {f"{their}.attn1.to_{letter}.{part}": third.clone() for letter, third in zip("qkv", tensor.chunk(3))}
            else:
                found[f"{their}.{BLOCK[inner]}.{part}"] = tensor
    return found


def write(folder, source, model, tensors, vae, write_json):
    decoder, decoder_weights = vae_of(source, model, vae)
    for part in ("transformer", "scheduler", "vae"):
        (folder / part).mkdir(parents=True)
    write_json(folder / "transformer" / "config.json", transformer_config(model))
    save_file(exported(model, tensors), folder / "transformer" / WEIGHTS, {"format": "pt"})
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(folder / "vae" / "config.json", decoder)
    shutil.copyfile(decoder_weights, folder / "vae" / WEIGHTS)
    index = {
        "_class_name": "DiTPipeline",
        "_diffusers_version": VERSION,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write_json(folder / "model_index.json", index)
    classes = model["image"]["classes"]
    if classes == GUIDED_CLASSES:
        return "a DiTPipeline"
    return f"a DiTPipeline (guidance_scale=1 alone: with guidance it takes class {GUIDED_CLASSES} for none, and here that is {classes})"
