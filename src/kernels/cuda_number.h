// The numbers of an array in a GPU's memory, without CUDA's headers.
#pragma once

#include <cstdint>

namespace cm::cuda {

enum class Number { fp32, fp16, bf16 };

// What one instruction loads or stores at most, at a multiple of as many bytes.
inline constexpr int kVectorBytes = 16;

inline bool is_aligned(const void* array) {
  return reinterpret_cast<uintptr_t>(array) % kVectorBytes == 0;
}

}  // namespace cm::cuda
