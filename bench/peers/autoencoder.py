"""diffusers' AutoencoderKL, from PyPI."""

import sys

import peer

NAME = "diffusers"
JOBS = ("encode", "decode")


def make_autoencoder(case, device, compile_it):
    from diffusers import AutoencoderKL

    levels = len(case["channel_mult"])
    autoencoder = AutoencoderKL(
        in_channels=case["in_channels"],
        out_channels=case["in_channels"],
        block_out_channels=[round(case["model_channels"] * factor) for factor in case["channel_mult"]],
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=case["res_blocks"],
        sample_size=case["image_size"],
    )
    autoencoder.eval().requires_grad_(False).to(device)
    if compile_it:
        autoencoder.encoder.compile(dynamic=False)
        autoencoder.decoder.compile(dynamic=False)
    for half in (autoencoder.encoder, autoencoder.decoder):
        peer.compute_in(half, case, device)
    return autoencoder


def prepare(case, job, device, arguments):
    import torch

    autoencoder = make_autoencoder(case, device, arguments.compile)
    count, size = case["sample_batch"], case["image_size"]
    side = size // 2 ** (len(case["channel_mult"]) - 1)
    pixels = torch.randint(0, 256, (count, size, size, case["in_channels"]), dtype=torch.uint8)
    latents = torch.randn(count, autoencoder.config.latent_channels, side, side)

    @torch.no_grad()
    def encode():
        distribution = autoencoder.encode(pixels.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1).latent_dist
        return distribution.mean.cpu(), distribution.std.cpu()

    @torch.no_grad()
    def decode():
        images = autoencoder.decode(latents.to(device)).sample
        return (127.5 * images + 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()

    parameters = sum(parameter.numel() for parameter in autoencoder.parameters())
    return {"encode": encode, "decode": decode}[job], parameters


if __name__ == "__main__":
    sys.exit(peer.main(sys.modules[__name__]))
