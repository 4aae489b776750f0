// Unit-normal numbers of counters (cm/base/random.h), many at a time.
#pragma once

#include <vector>

#include "cm/base/random.h"
#include "cm/base/tensor.h"
#include "cm/kernels/paths.h"

namespace cm {

// Unit-normal fp32 tensor [samples.size(), shape…] on the device; row i depends on the key and samples[i]
// alone, and its numbers are the same to the bit on every processor and GPU. Where a GPU has no kernel they
// are made on the host and copied. Nothing is waited for.
Tensor normal(const RandomKey& key, const std::vector<int64_t>& samples, const std::vector<int64_t>& shape,
              const torch::Device& device = torch::kCPU);

}  // namespace cm
