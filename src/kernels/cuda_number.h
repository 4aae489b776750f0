// The numbers of an array in a GPU's memory, without CUDA's headers.
#pragma once

namespace cm::cuda {

enum class Number { fp32, fp16, bf16 };

}  // namespace cm::cuda
