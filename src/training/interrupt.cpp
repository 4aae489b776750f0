#include "cm/training/interrupt.h"

#include <csignal>

namespace cm {
namespace {

using Handler = void (*)(int);

// A signal handler can reach nothing but globals.
volatile std::sig_atomic_t g_requested = 0;
Handler g_before_interrupt = SIG_DFL;
Handler g_before_termination = SIG_DFL;

void restore(int signal) {
  std::signal(signal, signal == SIGINT ? g_before_interrupt : g_before_termination);
}

void request(int signal) {
  g_requested = 1;
  restore(signal);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  g_requested = 0;
  g_before_interrupt = std::signal(SIGINT, request);
  g_before_termination = std::signal(SIGTERM, request);
}

InterruptGuard::~InterruptGuard() {
  restore(SIGINT);
  restore(SIGTERM);
}

bool InterruptGuard::requested() const {
  return g_requested != 0;
}

}  // namespace cm
