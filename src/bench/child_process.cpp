#include "child_process.h"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "cm/base/error.h"
#include "cm/base/text.h"

namespace cm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kSelf = "/proc/self/exe";

double milliseconds(const timeval& time) {
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-3 * static_cast<double>(time.tv_usec);
}

// Starts the child with its stdout in the pipe.
pid_t spawn(const std::vector<std::string>& arguments, const std::array<int, 2>& pipe_ends) {
  std::vector<std::string> words = {kSelf};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[1]);
  pid_t child = 0;
  const int failure = posix_spawn(&child, kSelf, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw Error(concat("a process could not be started: ", std::strerror(failure)));
  return child;
}

// Whether the child said anything; notes when.
bool wait_for_output(int descriptor, Clock::time_point& first) {
  std::array<char, 4096> buffer{};
  bool any = false;
  while (true) {
    const ssize_t count = read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return any;
    if (!any) first = Clock::now();
    any = true;
  }
}

}  // namespace

ChildTimes run_self(const std::vector<std::string>& arguments) {
  std::array<int, 2> pipe_ends{};
  if (pipe(pipe_ends.data()) != 0) throw Error(concat("no pipe: ", std::strerror(errno)));
  const auto start = Clock::now();
  const pid_t child = spawn(arguments, pipe_ends);
  close(pipe_ends[1]);
  Clock::time_point first;
  const bool spoke = wait_for_output(pipe_ends[0], first);
  close(pipe_ends[0]);
  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  if (!spoke || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error("the process that was to be timed failed; what it said stands above");
  }
  return {.first_output_ms = std::chrono::duration<double, std::milli>(first - start).count(),
          .cpu_ms = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
          .peak_rss_mb = static_cast<double>(usage.ru_maxrss) / 1024};
}

}  // namespace cm
