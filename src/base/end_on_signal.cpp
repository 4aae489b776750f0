#include "end_on_signal.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "cm/base/error.h"
#include "cm/base/files.h"
#include "cm/base/text.h"

namespace cm {
namespace {

constexpr std::array kEnds = {SIGINT, SIGTERM};

// A signal handler can reach nothing but globals.
std::atomic<int> g_handler_writes_to = -1;
std::atomic<bool> g_ending = false;

void pass_on(int signal) {
  const int code = errno;
  const char byte = static_cast<char>(signal);
  static_cast<void>(!::write(g_handler_writes_to, &byte, 1));
  errno = code;
}

void end_by(int signal, const std::string& program) {
  g_ending = true;
  const std::string line = concat(program, ": ended by ", signal == SIGINT ? "SIGINT" : "SIGTERM",
                                  "; no half-written file was left\n");
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  remove_own_unfinished();
  std::signal(signal, SIG_DFL);
  ::kill(::getpid(), signal);
}

}  // namespace

EndOnSignal::EndOnSignal(std::string program) : program_(std::move(program)) {
  if (::pipe2(pipe_.data(), O_CLOEXEC) != 0) throw Error(concat("no pipe: ", std::strerror(errno)));
  g_handler_writes_to = pipe_[1];
  waiting_ = std::thread([this] { await(); });
  for (const int signal : kEnds) {
    if (std::signal(signal, pass_on) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
}

EndOnSignal::~EndOnSignal() {
  for (const int signal : kEnds) {
    if (std::signal(signal, SIG_DFL) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
  const char none = 0;
  static_cast<void>(!::write(pipe_[1], &none, 1));
  waiting_.join();
  ::close(pipe_[0]);
  ::close(pipe_[1]);
}

void EndOnSignal::wait_if_ending() {
  while (g_ending) ::pause();
}

void EndOnSignal::await() const {
  char signal = 0;
  while (::read(pipe_[0], &signal, 1) < 0 && errno == EINTR) {
  }
  if (signal != 0) end_by(signal, program_);
}

}  // namespace cm
