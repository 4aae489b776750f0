// Two arrays that hold one image, as a kernel takes them (cm/kernels/joined.h).
#pragma once

#include <cstdint>

namespace cm {

// Each as the image would lie of its channels alone.
template <class X>
struct JoinedArrays {
  X* first;
  X* second;     // null where the first holds all
  int64_t seam;  // the channels of the first
};

}  // namespace cm
