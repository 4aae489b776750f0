"""The official PyTorch release of consistency models (openai/consistency_models), from a checkout: --release PATH.

Its own U-Net, losses, training loops (TrainLoop, CMTrainLoop: run_step) and samplers run as they are; none of its code is here.
What it imports and a machine may lack is stood in for at run time: MPI and blobfile (one process, nothing read from a blob
store), piq (the distance is l2), einops' two patterns, and flash-attn's GPU kernel, in whose place attention runs by PyTorch's
own fused one with the same layout, or, with CM_PEER_ATTENTION=plain, by the formula.
"""

import functools
import importlib.util
import math
import os
import sys
import tempfile
import types

import peer
from peer import TRAINING, InputError

NAME = "release"
JOBS = (*TRAINING, *peer.SAMPLING, "cold_start")

RATES = "0.999,0.9999,0.9999432189950708"
LOG_EVERY = 10
CD_LEVELS = 18
CD_DECAY = 0.95
CT_LEVELS = (2, 150)
CT_DECAY = 0.9


def rearrange(tensor, pattern, three=None, h=None):
    if pattern == "b (three h d) s -> b s three h d":
        batch, width, places = tensor.shape
        return tensor.reshape(batch, three, h, width // (three * h), places).permute(0, 4, 1, 2, 3)
    if pattern == "b s h d -> b (h d) s":
        return tensor.permute(0, 2, 3, 1).flatten(1, 2)
    raise NotImplementedError(pattern)


def flash_attention_class():
    import torch

    class FlashAttention(torch.nn.Module):
        """qkv [B, S, 3, H, D] -> ([B, S, H, D], no weights)."""

        def __init__(self, attention_dropout=0.0, device=None, dtype=None):
            super().__init__()
            self.plain = os.environ.get("CM_PEER_ATTENTION") == "plain"

        def forward(self, qkv, key_padding_mask=None, need_weights=False, causal=False):
            query, key, value = (part.transpose(1, 2) for part in qkv.unbind(2))
            if self.plain:
                scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
                mixed = torch.softmax(scores, dim=-1) @ value
            else:
                mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
            return mixed.transpose(1, 2), None

    return FlashAttention


def import_release(arguments):
    if arguments.release is None or not (arguments.release / "cm" / "karras_diffusion.py").exists():
        raise InputError(f"--release must name a checkout of openai/consistency_models, got {arguments.release}")
    import torch

    peer.stand_in("blobfile", BlobFile=open)
    peer.stand_in("mpi4py", MPI=types.SimpleNamespace(COMM_WORLD=None))
    peer.stand_in("piq", LPIPS=None)
    peer.stand_in("einops", rearrange=rearrange)
    if importlib.util.find_spec("flash_attn") is None:
        peer.stand_in("flash_attn")
        sys.modules["flash_attn.flash_attention"] = types.ModuleType("flash_attn.flash_attention")
        sys.modules["flash_attn.flash_attention"].FlashAttention = flash_attention_class()
    sys.path.insert(0, str(arguments.release))
    rendezvous = tempfile.mkdtemp(prefix="cm-peer-")
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"file://{rendezvous}/store", rank=0, world_size=1)


def make_network(case):
    from cm.unet import UNetModel

    network = UNetModel(
        image_size=case["image_size"],
        in_channels=case["in_channels"],
        model_channels=case["model_channels"],
        out_channels=case["in_channels"],
        num_res_blocks=case["res_blocks"],
        attention_resolutions=tuple(case["image_size"] // side for side in case["attention_resolutions"]),
        dropout=case["dropout"],
        channel_mult=tuple(case["channel_mult"]),
        num_classes=case["num_classes"] or None,
        num_head_channels=case["head_channels"],
        use_scale_shift_norm=case["scale_shift_norm"],
        resblock_updown=case["resblock_updown"],
    )
    peer.fill_zeros(network)
    return network


def ready(case, device, arguments):
    network = make_network(case).to(device)
    peer.compute_in(network, case, device)
    if arguments.compile:
        network.compile(dynamic=False)
    return network


def make_diffusion(job):
    from cm.karras_diffusion import KarrasDenoiser

    edm = job in ("train_edm", "sample_heun18")
    return KarrasDenoiser(weight_schedule="karras" if edm else "uniform", distillation=not edm, loss_norm="l2")


def conditions(case, count, device=None):
    import torch

    return {"y": torch.arange(count, device=device) % case["num_classes"]} if case["num_classes"] else {}


def schedules(case, job):
    from cm.script_util import create_ema_and_scales_fn

    total = case["warmup"] + case["steps"]
    if job == "train_cd":
        return create_ema_and_scales_fn("fixed", CD_DECAY, "fixed", CD_LEVELS, CD_LEVELS, total, 0)
    return create_ema_and_scales_fn("adaptive", CT_DECAY, "progressive", *CT_LEVELS, total, 0)


def make_loop(case, job, device, arguments):
    from cm.resample import create_named_schedule_sampler
    from cm.train_util import CMTrainLoop, TrainLoop

    diffusion = make_diffusion(job)
    sampler = create_named_schedule_sampler("lognormal" if job == "train_edm" else "uniform", diffusion)
    common = {"model": ready(case, device, arguments), "diffusion": diffusion, "data": None, "batch_size": case["batch"],
              "microbatch": -1, "lr": 1e-4, "ema_rate": RATES, "log_interval": LOG_EVERY, "save_interval": -1,
              "resume_checkpoint": "", "schedule_sampler": sampler}  # fmt: skip
    common["model"].train()
    if job == "train_edm":
        return TrainLoop(**common)
    target = ready(case, device, arguments)
    target.load_state_dict(common["model"].state_dict())
    distills = job == "train_cd"
    loop = CMTrainLoop(
        target_model=target,
        teacher_model=ready(case, device, arguments) if distills else None,
        teacher_diffusion=make_diffusion("train_edm") if distills else None,
        training_mode="consistency_distillation" if distills else "consistency_training",
        ema_scale_fn=schedules(case, job),
        total_training_steps=case["warmup"] + case["steps"],
        **common,
    )
    loop._update_target_ema = functools.partial(update_target, loop)
    return loop


def update_target(loop):
    """The release's own way flattens the target and fits its fp16 training only; this is the same average in fp32."""
    from cm.nn import update_ema

    update_ema(loop.target_model.parameters(), loop.mp_trainer.master_params, loop.ema_scale_fn(loop.global_step)[0])


def training(case, job, device, arguments):
    from cm import logger

    logger.configure(dir=tempfile.mkdtemp(prefix="cm-peer-"), format_strs=["csv"])
    loop = make_loop(case, job, device, arguments)
    batches = [peer.random_pixels(case["batch"], case) for _ in range(4)]
    labels = conditions(case, case["batch"])
    done = 0

    def step():
        nonlocal done
        loop.run_step(batches[done % len(batches)], labels)
        done += 1
        if done % LOG_EVERY == 0:
            logger.dumpkvs()

    return step, sum(parameter.numel() for parameter in loop.model.parameters())


SAMPLERS = {
    "sample_onestep": {"sampler": "onestep", "steps": 40},
    "sample_multistep2": {"sampler": "multistep", "steps": 40, "ts": peer.TWO_STEPS},
    "sample_heun18": {"sampler": "heun", "steps": peer.HEUN_STEPS},
}


def batch_of(case, job, network, diffusion, count, device):
    """uint8 [B, H, W, C] in host memory, as the release's image_sample.py makes it."""
    import torch
    from cm.karras_diffusion import karras_sample

    shape = (count, case["in_channels"], case["image_size"], case["image_size"])
    kwargs = conditions(case, count, device)
    sample = karras_sample(diffusion, network, shape, model_kwargs=kwargs, device=device, **SAMPLERS[job])
    pixels = ((sample + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def sampling(case, job, device, arguments):
    import torch

    network, diffusion = ready(case, device, arguments).eval(), make_diffusion(job)

    @torch.no_grad()
    def batch():
        return batch_of(case, job, network, diffusion, case["sample_batch"], device)

    return batch, sum(parameter.numel() for parameter in network.parameters())


def prepare(case, job, device, arguments):
    import_release(arguments)
    return (training if job in TRAINING else sampling)(case, job, device, arguments)


def save_weights(case, path, arguments):
    import torch

    import_release(arguments)
    torch.save(make_network(case).state_dict(), path)


def write_first_image(case, weights, image, device, arguments):
    import torch

    import_release(arguments)
    network = make_network(case)
    network.load_state_dict(torch.load(weights, map_location="cpu"))
    network.to(device).eval()
    from PIL import Image

    with torch.no_grad():
        pixels = batch_of(case, "sample_onestep", network, make_diffusion("sample_onestep"), 1, device)
    Image.fromarray(pixels[0]).save(image)


if __name__ == "__main__":
    sys.exit(peer.main(sys.modules[__name__]))
