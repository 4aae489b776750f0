#include "group_norm_cuda.h"

#include "cuda_launch.cuh"
#include "group_norm_launches.cuh"

namespace cm::group_norm_cuda {

const char* forward(const Input& input, Number type, const Plan& plan, double epsilon,
                    const ForwardResult& result, float* workspace, cuda::Stream stream) {
  launch_forward(cuda::StreamLaunch<kThreads>{stream}, input, type, plan, epsilon, result, workspace);
  return cuda::launch_error();
}

const char* backward(const Input& input, Number type, const Plan& plan, const Given& given,
                     const Gradients& gradients, float* workspace, cuda::Stream stream) {
  launch_backward(cuda::StreamLaunch<kThreads>{stream}, input, type, plan, given, gradients, workspace);
  return cuda::launch_error();
}

}  // namespace cm::group_norm_cuda
