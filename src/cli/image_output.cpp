#include "image_output.h"

#include <iomanip>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"
#include "cm/io/npz.h"

namespace cm {
namespace {

namespace fs = std::filesystem;

fs::path archive_of(const ImageOutput& output) {
  return output.folder / (output.image + "s.npz");
}

}  // namespace

void check_output(const ImageOutput& output, bool force) {
  refuse_to_replace(archive_of(output), force);
  if (fs::exists(output.folder) && !fs::is_directory(output.folder)) {
    throw InputError(concat("--out ", output.folder.string(), ": is a file; name a folder"));
  }
}

void write_pixels(const ImageOutput& output, const Tensor& pixels, const Tensor& labels, const Tensor& grid) {
  fs::create_directories(output.folder);
  NpzArrays arrays = {{"arr_0", pixels.permute({0, 2, 3, 1}).contiguous()}};
  if (labels.defined()) arrays["arr_1"] = labels;
  if (output.write_pngs) {
    for (int64_t i = 0; i < pixels.size(0); ++i) {
      const std::string name = concat(output.image, "-", std::setw(6), std::setfill('0'), i, ".png");
      write_png(output.folder / name, pixels[i]);
    }
  }
  write_png(output.folder / "grid.png", grid);
  save_npz(archive_of(output), arrays);
}

void write_images(const ImageOutput& output, const Tensor& x, const Tensor& labels, const Tensor& grid,
                  const NamedTensors& beside) {
  if (output.write_float) {
    fs::create_directories(output.folder);
    NamedTensors tensors = beside;
    tensors["x"] = x;
    save_safetensors(output.folder / (output.image + "s.safetensors"), tensors);
  }
  write_pixels(output, to_uint8(x, output.quantization), labels, grid);
}

Json sampler_record(const SamplerOptions& sampler) {
  const Guidance& guidance = sampler.guidance;
  Json record = {{"sampler", to_string(sampler.kind)},
                 {"sigmas", sampler.sigmas},
                 {"guidance", guidance.weight},
                 {"evaluations", evaluations(sampler)}};
  if (sampler.restart > 0) record["restart"] = sampler.restart;
  if (sampler.guide) record["guide"] = sampler.guide->string();
  if (guidance.sigma_min > 0) record["guidance_sigma_min"] = guidance.sigma_min;
  if (guidance.sigma_max) record["guidance_sigma_max"] = *guidance.sigma_max;
  return record;
}

Json walk_record(const ResolvedWeights& weights, const SamplerOptions& sampler, int64_t count, int64_t batch,
                 double seconds) {
  Json record = {{"checkpoint", weights.file.string()},
                 {"count", count},
                 {"batch", batch},
                 {"milliseconds_per_image", 1000 * seconds / static_cast<double>(count)}};
  if (weights.made) {
    record["step"] = weights.made->step;
    record["ema_std"] = *weights.made->state.power_std;
  }
  record.update(sampler_record(sampler));
  return record;
}

}  // namespace cm
