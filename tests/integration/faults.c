// A system that fails, for LD_PRELOAD. What it does is in the environment, and counts calls of this process alone:
//
//   CM_DISK_BYTES=1000 CM_DISK_FILES=.safetensors   write() to files whose path has this in it fails as on a full disk, once so
//                                                   many bytes have gone into them (the temporary ones that become them included)
//   CM_KILL_CALL=rename CM_KILL_PATH=latest CM_KILL_NUMBER=2
//                                                   SIGKILL just before the second rename() whose path has this in it; of write(),
//                                                   in its middle. Also mkdir, fsync, symlink, unlinkat (which removes folders) and
//                                                   writev (by which ranks talk, to a "socket")
//   CM_CLOCK_STEP=-3600                             each look at the wall clock finds it so many seconds further on
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// "" where it has none.
static const char* path_of(int descriptor, char* path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = '\0';
  return path;
}

static bool is_the_last(const char* call, const char* path) {
  static atomic_int calls;
  const char* const fatal = getenv("CM_KILL_CALL");
  if (!fatal || strcmp(fatal, call) != 0 || !strstr(path, getenv("CM_KILL_PATH"))) return false;
  return atomic_fetch_add(&calls, 1) + 1 == atoi(getenv("CM_KILL_NUMBER"));
}

static void die_before(const char* call, const char* path) {
  if (is_the_last(call, path)) raise(SIGKILL);
}

// How much of it fits.
static size_t that_fits(const char* path, size_t count) {
  static atomic_llong written;
  const char* const capacity = getenv("CM_DISK_BYTES");
  if (!capacity || !strstr(path, getenv("CM_DISK_FILES"))) return count;
  const long long left = atoll(capacity) - written;
  if ((long long)count > left) count = left < 0 ? 0 : (size_t)left;
  written += (long long)count;
  return count;
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  char path[PATH_MAX];
  path_of(descriptor, path);
  if (is_the_last("write", path)) {
    REAL(write)(descriptor, bytes, count / 2);
    raise(SIGKILL);
  }
  const size_t fitting = that_fits(path, count);
  if (fitting == 0 && count > 0) {
    errno = ENOSPC;
    return -1;
  }
  return REAL(write)(descriptor, bytes, fitting);
}

ssize_t writev(int descriptor, const struct iovec* parts, int count) {
  char path[PATH_MAX];
  die_before("writev", path_of(descriptor, path));
  return REAL(writev)(descriptor, parts, count);
}

int fsync(int descriptor) {
  char path[PATH_MAX];
  die_before("fsync", path_of(descriptor, path));
  return REAL(fsync)(descriptor);
}

int mkdir(const char* path, mode_t mode) {
  die_before("mkdir", path);
  return REAL(mkdir)(path, mode);
}

int rename(const char* from, const char* to) {
  die_before("rename", to);
  return REAL(rename)(from, to);
}

int symlink(const char* target, const char* path) {
  die_before("symlink", path);
  return REAL(symlink)(target, path);
}

int unlinkat(int folder, const char* name, int flags) {
  char path[PATH_MAX];
  path_of(folder == AT_FDCWD ? -1 : folder, path);
  strncat(path, "/", sizeof path - strlen(path) - 1);
  strncat(path, name, sizeof path - strlen(path) - 1);
  die_before("unlinkat", path);
  return REAL(unlinkat)(folder, name, flags);
}

// Seconds that the wall clock is off by now.
static long long offset(void) {
  static atomic_llong looks;
  const char* const step = getenv("CM_CLOCK_STEP");
  return step ? atoll(step) * ++looks : 0;
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  const int result = REAL(clock_gettime)(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += offset();
  return result;
}

int gettimeofday(struct timeval* now, void* zone) {
  const int result = REAL(gettimeofday)(now, zone);
  now->tv_sec += offset();
  return result;
}

time_t time(time_t* now) {
  const time_t seconds = REAL(time)(NULL) + offset();
  if (now) *now = seconds;
  return seconds;
}
