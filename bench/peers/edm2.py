"""EDM2's official code (NVlabs/edm2), from a checkout: --edm2 PATH.

Its own network, loss, learning rate, averages and sampler run as they are; none of its code is here. Its training loop runs whole
or not at all, so what joins these in a step is said again. Their 16 bits are fp16 on a GPU alone, as there. psutil, which the loop's
report of memory needs, is stood in for.
"""

import sys

import peer
from peer import InputError

NAME = "edm2"
JOBS = ("train_edm", "sample_heun18")
DTYPES = ("fp32", "fp16")

# configs/imagenet64/edm2.yaml
LEVELS = {"P_mean": -1.2, "P_std": 1.2}
POWER_STDS = [0.05, 0.1]
BETAS = (0.9, 0.99)


def import_edm2(arguments):
    if arguments.edm2 is None or not (arguments.edm2 / "training" / "networks_edm2.py").exists():
        raise InputError(f"--edm2 must name a checkout of NVlabs/edm2, got {arguments.edm2}")
    peer.stand_in("psutil")
    sys.path.insert(0, str(arguments.edm2.resolve()))


def make_network(case, device, arguments):
    """Preconditioned, with the uncertainty of its loss."""
    from training.networks_edm2 import Precond

    network = Precond(
        img_resolution=case["image_size"],
        img_channels=case["in_channels"],
        label_dim=case["num_classes"],
        use_fp16=case["dtype"] == "fp16",
        model_channels=case["model_channels"],
        channel_mult=case["channel_mult"],
        num_blocks=case["res_blocks"],
        attn_resolutions=case["attention_resolutions"],
        channels_per_head=case["head_channels"],
        dropout=case["dropout"],
    )
    peer.fill_zeros(network)
    network.to(device)
    if arguments.compile:
        network.compile(dynamic=False)
    return network


def parameters_of(network):
    """cm-bench counts those of the network alone."""
    return sum(parameter.numel() for parameter in network.unet.parameters())


def one_hot(case, count, device):
    import torch

    classes = case["num_classes"]
    return torch.eye(classes, device=device)[torch.arange(count, device=device) % classes] if classes else None


def training(case, device, arguments):
    import torch
    from torch_utils import training_stats
    from training.phema import PowerFunctionEMA
    from training.training_loop import EDM2Loss, learning_rate_schedule

    network = make_network(case, device, arguments).train()
    loss_of = EDM2Loss(**LEVELS)
    optimizer = torch.optim.Adam(network.parameters(), betas=BETAS)
    averages = PowerFunctionEMA(network, POWER_STDS)
    count, seen = case["batch"], 0
    batches = [peer.random_pixels(count, case) for _ in range(4)]
    labels = one_hot(case, count, "cpu")

    def step():
        nonlocal seen
        images = batches[seen // count % len(batches)].to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network, images, None if labels is None else labels.to(device))
        training_stats.report("Loss/loss", loss)
        loss.sum().mul(1 / count).backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_schedule(seen, count)
        for parameter in network.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=0, neginf=0, out=parameter.grad)
        optimizer.step()
        seen += count
        averages.update(seen, count)

    return step, parameters_of(network)


def sampling(case, device, arguments):
    import torch
    from generate_images import edm_sampler

    network = make_network(case, device, arguments).eval().requires_grad_(False)
    count = case["sample_batch"]
    labels = one_hot(case, count, device)

    @torch.no_grad()
    def batch():
        noise = torch.randn(count, case["in_channels"], case["image_size"], case["image_size"]).to(device)
        images = edm_sampler(network, noise, labels, num_steps=peer.HEUN_STEPS)
        pixels = ((images + 1) * 127.5).clip(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    return batch, parameters_of(network)


def prepare(case, job, device, arguments):
    import_edm2(arguments)
    return (training if job in peer.TRAINING else sampling)(case, device, arguments)


if __name__ == "__main__":
    sys.exit(peer.main(sys.modules[__name__]))
