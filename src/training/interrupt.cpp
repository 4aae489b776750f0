#include "cm/training/interrupt.h"

#include <csignal>

namespace cm {
namespace {

// A signal handler can reach nothing but globals.
volatile std::sig_atomic_t g_requested = 0;

void request(int signal) {
  g_requested = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  g_requested = 0;
  std::signal(SIGINT, request);
  std::signal(SIGTERM, request);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool InterruptGuard::requested() const {
  return g_requested != 0;
}

}  // namespace cm
