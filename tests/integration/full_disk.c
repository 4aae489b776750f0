// A disk that fills up, for LD_PRELOAD: once CM_DISK_BYTES bytes have gone into .safetensors files (the
// temporary ones that become them included), write() to such a file fails as on a full disk.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool holds_weights(int descriptor) {
  char link[64];
  char path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return strstr(path, ".safetensors") != NULL;
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static ssize_t (*real_write)(int, const void*, size_t);
  static long long written;
  if (!real_write) real_write = (ssize_t(*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write");
  const char* const capacity = getenv("CM_DISK_BYTES");
  if (capacity && holds_weights(descriptor)) {
    const long long left = atoll(capacity) - written;
    if (left <= 0) {
      errno = ENOSPC;
      return -1;
    }
    if ((long long)count > left) count = (size_t)left;
    written += (long long)count;
  }
  return real_write(descriptor, bytes, count);
}
