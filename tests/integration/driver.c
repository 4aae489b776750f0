// A driver for GPUs that are not there, as libcuda.so.1 in LD_LIBRARY_PATH. What it answers is in the environment:
//
//   CM_DRIVER_RESULT=999   cuInit's result
//   CM_DRIVER_DEVICES=1    how many GPUs it has, none of which can be used; their compute capability is 9
#include <stdlib.h>

static int number(const char* name) {
  const char* const value = getenv(name);
  return value == NULL ? 0 : atoi(value);
}

int cuInit(unsigned flags) {
  (void)flags;
  return number("CM_DRIVER_RESULT");
}

int cuDeviceGetCount(int* count) {
  *count = number("CM_DRIVER_DEVICES");
  return 0;
}

int cuDeviceGet(int* device, int index) {
  *device = index;
  return index >= number("CM_DRIVER_DEVICES");
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  *value = attribute == 75 ? 9 : 0;
  return device >= number("CM_DRIVER_DEVICES");
}

int cuGetErrorName(int result, const char** name) {
  *name = result == 999 ? "CUDA_ERROR_UNKNOWN" : NULL;
  return *name == NULL;
}
