"""MeanFlow's code in PyTorch by its authors (Gsunshine/py-meanflow), from a checkout: --meanflow PATH.

Its own network, loss, sampler of times and averages run as they are; none of its code is here. Its training loop compiles the loss
with its backward pass, as is done here.
"""

import sys
import types

import peer
from peer import InputError

NAME = "meanflow"
JOBS = ("train_mean_flow",)
DTYPES = ("fp32",)

# configs/cifar10/mean_flow.yaml
TIMES = {"tr_sampler": "v1", "P_mean_t": -0.6, "P_std_t": 1.6, "P_mean_r": -4.0, "P_std_r": 1.6, "ratio": 0.75}
NORM = {"norm_p": 0.75, "norm_eps": 1e-3}
AVERAGES = {"ema_decay": 0.9999, "ema_decays": [0.99995, 0.9996]}


def make_model(case, device, arguments):
    if arguments.meanflow is None or not (arguments.meanflow / "meanflow" / "models" / "meanflow.py").exists():
        raise InputError(f"--meanflow must name a checkout of Gsunshine/py-meanflow, got {arguments.meanflow}")
    sys.path.insert(0, str(arguments.meanflow.resolve() / "meanflow"))
    from models.meanflow import MeanFlow
    from models.unet import SongUNet

    network = {
        "img_resolution": case["image_size"],
        "in_channels": case["in_channels"],
        "out_channels": case["in_channels"],
        "model_channels": case["model_channels"],
        "channel_mult": case["channel_mult"],
        "num_blocks": case["res_blocks"],
        "attn_resolutions": case["attention_resolutions"],
        "dropout": case["dropout"],
        "channel_mult_noise": 2,
        "resample_filter": [1, 3, 3, 1],
    }
    model = MeanFlow(arch=SongUNet, net_configs=network, args=types.SimpleNamespace(**TIMES, **NORM, **AVERAGES))
    return model.to(device).train()


def prepare(case, job, device, arguments):
    import torch

    model = make_model(case, device, arguments)
    optimizer = torch.optim.Adam(model.net.parameters(), lr=6e-4)
    count, done = case["batch"], 0
    batches = [peer.random_pixels(count, case) for _ in range(4)]

    def loss_and_gradient(images):
        loss = model.forward_with_loss(images, aug_cond=None)
        loss.backward(create_graph=False)
        return loss

    compiled = torch.compile(loss_and_gradient, disable=not arguments.compile)

    def step():
        nonlocal done
        optimizer.zero_grad()
        loss = compiled(batches[done % len(batches)].to(device))
        loss.item()
        optimizer.step()
        model.update_ema()
        done += 1

    return step, sum(parameter.numel() for parameter in model.net.parameters())


if __name__ == "__main__":
    sys.exit(peer.main(sys.modules[__name__]))
