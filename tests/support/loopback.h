// Two ranks in one process: each a thread with a world of its own over the loopback device.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "cm/distributed/world.h"

namespace cm::test {

// A port of this machine that nobody uses, as the system hands it out.
inline int64_t free_port() {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool bound = bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) == 0;
  TORCH_CHECK(bound, "no free port");
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  close(descriptor);
  return ntohs(address.sin_port);
}

inline Launch loopback_launch(int64_t rank, int64_t size, int64_t port) {
  return {.rank = rank, .size = size, .local_rank = rank, .host = "127.0.0.1", .port = port};
}

// c10d records operations in a map that all groups of a process share and none locks: two groups at once,
// which no program of ours has, could crash in it.
inline void without_flight_recorder() {
  setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
}

// Runs `body` on `size` ranks at once; rethrows the first exception of the lowest rank that throws.
inline void on_ranks(int64_t size, const std::function<void(const World&)>& body) {
  without_flight_recorder();
  const int64_t port = free_port();
  std::vector<std::exception_ptr> failures(static_cast<size_t>(size));
  {
    std::vector<std::jthread> threads;
    for (int64_t rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          const World world = connect(loopback_launch(rank, size, port), torch::kCPU, /*timeout=*/20);
          world.barrier();  // a rank that ends at once closes connections that others still open
          body(world);
        } catch (...) {
          failures[static_cast<size_t>(rank)] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace cm::test
