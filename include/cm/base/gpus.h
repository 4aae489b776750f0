// The GPUs of this machine.
//
// LibTorch's part for CUDA and the libraries under it cost a process time and hundreds of megabytes, so
// that no program is linked against it: it is loaded when a GPU is asked for and the driver has one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cm {

struct Gpus {
  int64_t usable = 0;
  // Why none is usable, as a clause: "there is no libcuda.so.1, NVIDIA's driver". Empty where one is.
  std::string obstacle = {};
  // Whether something is wrong with what is there: not where the machine has no GPU, or shows this process
  // none.
  bool faulty = false;
  // The first number of each one's compute capability as the driver has it, by the GPU's index: 8 is Ampere.
  std::vector<int> generations = {};
};

// Asked once. LibTorch keeps what it first finds of CUDA, so that this comes before all else that could ask
// it for a GPU; for an executable parse_device does it, for a test its main.
const Gpus& gpus();

namespace detail {
void* cuda_symbol(const char* name);
}

// A function with C linkage of libconsistency_cuda, where what is written against CUDA's own C++ interface
// lies (src/*/*_cuda.cpp). Null where no GPU is usable, where the library was built without the function, and
// where it is not in the program's search path.
template <class Function>
Function* cuda_function(const char* name) {
  return reinterpret_cast<Function*>(detail::cuda_symbol(name));
}

}  // namespace cm
