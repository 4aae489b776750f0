// The passes of cm/kernels/multi_tensor.h over one piece of an array in host memory, compiled for each kind
// of processor.
#pragma once

#include <cstdint>

#include "adam_update.h"

namespace cm::multi_tensor_cpu {

template <class T>
struct AdamArrays {
  T* theta;
  const T* gradient;
  T* first;
  T* second;
};

template <class T>
struct Passes {
  double (*sum_of_squares)(const T* x, int64_t count);
  void (*adam)(const AdamArrays<T>& arrays, int64_t count, const AdamUpdate& update);
  void (*average)(T* average, const T* theta, int64_t count, double rate);
};

// Of the processor that this runs on. T is float or double.
template <class T>
const Passes<T>& passes();

}  // namespace cm::multi_tensor_cpu
