// The weights of LPIPS, as scripts/export_lpips.py writes them.
#pragma once

#include <filesystem>
#include <memory>

#include "cm/nn/lpips.h"

namespace cm {

// What to tell a user who has no such file.
inline constexpr auto kLpipsCommand =
    ".venv/bin/python scripts/export_lpips.py --vgg16 vgg16-397923af.pth --out "
    "weights/lpips_vgg16.safetensors";

// The frozen network on `device`, in fp32. InputError, with the command that makes the file, when it is
// missing, is something else, holds other tensors or a negative linear weight.
std::shared_ptr<const Lpips> load_lpips(const std::filesystem::path& path, const torch::Device& device);

}  // namespace cm
