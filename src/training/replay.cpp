#include "cm/training/replay.h"

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {

Replay::Replay(const std::filesystem::path& path, const ImageSpec& image, int64_t count)
    : path_(path), file_(load_safetensors(path)), shape_{count, image.channels, image.size, image.size} {
  for (const auto& [name, tensor] : file_.tensors) {
    if (name != "x_T" && !name.starts_with("noise.")) continue;
    if (tensor.dim() != 4 || tensor.size(0) < count ||
        tensor.sizes().slice(1) != at::IntArrayRef(shape_).slice(1)) {
      throw InputError(concat(path.string(), ": ", name, " must have the shape ", at::IntArrayRef(shape_),
                              ", got ", tensor.sizes()));
    }
  }
  find("x_T");
}

SampleNoise Replay::batch(int64_t first, int64_t count) const {
  return {find("x_T").narrow(0, first, count).to(torch::kFloat32),
          [file = *this, first, count](int64_t step) {
            return file.find(concat("noise.", step)).narrow(0, first, count).to(torch::kFloat32);
          }};
}

const Tensor& Replay::find(const std::string& name) const {
  const auto found = file_.tensors.find(name);
  if (found == file_.tensors.end()) {
    throw InputError(concat(path_.string(), ": has no tensor ", name, ", which this sampler draws"));
  }
  return found->second;
}

}  // namespace cm
