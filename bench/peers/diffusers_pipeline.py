"""diffusers' UNet2DModel in its ConsistencyModelPipeline, from PyPI. It has no training loop and no sampler of EDM's for it."""

import pathlib
import sys

import peer

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))

NAME = "diffusers"
JOBS = ("sample_onestep", "sample_multistep2", "cold_start")

TIMESTEPS = {"sample_onestep": [0], "sample_multistep2": [22, 0]}


def our_options(case):
    """The case as a weight file of ours would describe it."""
    network = {name: case[name] for name in ("channel_mult", "res_blocks", "attention_resolutions", "head_channels",
                                             "dropout", "scale_shift_norm", "resblock_updown")}  # fmt: skip
    network |= {"channels": case["model_channels"], "heads": 1, "conv_resample": True}
    image = {"channels": case["in_channels"], "size": case["image_size"], "classes": case["num_classes"]}
    sigma = {"min": 0.002, "max": 80.0, "data": 0.5, "rho": 7.0}
    return {"network": network, "image": image, "sigma": sigma, "sampling": {"grid": None}}


def settings(config):
    return {key: value for key, value in config.items() if not key.startswith("_")}


def make_pipeline(case, device, compile_it):
    import export_diffusers
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline, UNet2DModel

    options = our_options(case)
    unet = UNet2DModel(**settings(export_diffusers.unet_config(options))).eval().requires_grad_(False)
    peer.fill_zeros(unet)
    peer.compute_in(unet, case, device)
    scheduler = CMStochasticIterativeScheduler(**settings(export_diffusers.scheduler_config(options)))
    pipeline = ConsistencyModelPipeline(unet=unet, scheduler=scheduler).to(device)
    pipeline.set_progress_bar_config(disable=True)
    if compile_it:
        pipeline.unet.compile(dynamic=False)
    return pipeline


def batch_of(case, job, pipeline, count):
    labels = [i % case["num_classes"] for i in range(count)] if case["num_classes"] else None
    output = pipeline(batch_size=count, class_labels=labels, num_inference_steps=None, timesteps=TIMESTEPS[job],
                      output_type="np")  # fmt: skip
    return (output.images * 255).round().astype("uint8")


def prepare(case, job, device, arguments):
    pipeline = make_pipeline(case, device, arguments.compile)
    parameters = sum(parameter.numel() for parameter in pipeline.unet.parameters())
    return lambda: batch_of(case, job, pipeline, case["sample_batch"]), parameters


def save_weights(case, path, arguments):
    make_pipeline(case, "cpu", False).save_pretrained(path)


def write_first_image(case, weights, image, device, arguments):
    from diffusers import ConsistencyModelPipeline
    from PIL import Image

    pipeline = ConsistencyModelPipeline.from_pretrained(weights).to(device)
    pipeline.set_progress_bar_config(disable=True)
    Image.fromarray(batch_of(case, "sample_onestep", pipeline, 1)[0]).save(image)


if __name__ == "__main__":
    sys.exit(peer.main(sys.modules[__name__]))
