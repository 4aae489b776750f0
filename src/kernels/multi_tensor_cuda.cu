#include "multi_tensor_cuda.h"

#include "cuda_launch.cuh"
#include "multi_tensor_launches.cuh"

namespace cm::multi_tensor_cuda {

const char* norm(const Lists& lists, double* workspace, float* norm, cuda::Stream stream) {
  launch_norm(cuda::StreamLaunch<kThreads>{stream}, lists, workspace, norm);
  return cuda::launch_error();
}

const char* adam(const Lists& lists, const AdamRule& rule, const AdamNumberPointers& numbers,
                 AdamScalars* workspace, cuda::Stream stream) {
  launch_adam(cuda::StreamLaunch<kThreads>{stream}, lists, rule, numbers, workspace);
  return cuda::launch_error();
}

const char* averages(const Lists& lists, const std::vector<const double*>& rates, const bool* usable,
                     cuda::Stream stream) {
  launch_averages(cuda::StreamLaunch<kThreads>{stream}, lists, rates, usable);
  return cuda::launch_error();
}

}  // namespace cm::multi_tensor_cuda
